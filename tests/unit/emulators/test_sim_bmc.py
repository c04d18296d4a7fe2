"""SimBmc: the Bmc port on a machine in memory, with a wire that may do anything."""

from __future__ import annotations

import time
from collections.abc import Coroutine
from pathlib import Path
from typing import TypeVar

import pytest

from rackwave.core.identity import AttemptId, ComponentName, Digest, NodeName
from rackwave.core.observation import (
    NOT_ASKED,
    Component,
    Health,
    Identity,
    Look,
    Post,
    Power,
    TaskPhase,
    TaskSeen,
    Unknown,
)
from rackwave.core.receipt import Accepted, Ambiguous, Receipt, Refused
from rackwave.ports import Bmc, Fetch, Image, ImageServer, ResetKind
from rackwave_emulators.clock import VirtualClock
from rackwave_emulators.faults import AnswerLost, FetchFails, FlashFails, Leaves, RequestLost
from rackwave_emulators.images import make_image
from rackwave_emulators.personality import load_personality
from rackwave_emulators.sim import NOT_NOW, Killed, Script, SimBmc, SimImageServer, SimRack, WireFate

T = TypeVar("T")
BIOS = ComponentName("BIOS")
TASK = "/redfish/v1/TaskService/Tasks/1"
EVERYTHING = Look(bmc=True, components=frozenset({BIOS}), settings=True, task=TASK, tasks=True)


class Site:
    """A rack of one on virtual time, with one image to write."""

    def __init__(self, directory: Path, *, personality: str = "plain") -> None:
        self.clock = VirtualClock()
        self.rack = SimRack(["n1"], self.clock, personality=load_personality(personality))
        self.machine = self.rack.machine("n1")
        self.path = directory / "bios.img"
        facts = make_image(self.path, component="BIOS", version="2.0", size=2048)
        self.digest = facts.digest
        self.attempt = AttemptId("aaaa")
        self.completed: list[object] = []
        """For each upload about to be whole: how many flashes the machine had seen by then."""

    def bmc(self, *fates: WireFate) -> SimBmc:
        """Return a client whose first requests meet *fates*."""
        return self.rack.bmc("n1", wire=Script(fates))

    def run(self, coroutine: Coroutine[object, object, T]) -> T:
        """Run on virtual time."""
        return self.clock.run(coroutine)

    def image(self, *, pull: bool = True) -> Image:
        """Return the image, with a URL where it may be pulled."""
        url = None
        if pull:
            url = self.run(
                self.rack.images.grant(
                    node=NodeName("n1"), attempt=self.attempt, digest=self.digest, path=self.path, file_name="bios.img"
                )
            )
        return Image(BIOS, "2.0", self.digest, 2048, self.path, f"bios-attempt-{self.attempt}.img", url)

    def write(self, image: Image, *fates: WireFate) -> Receipt:
        """Hand *image* to the BMC over a wire that begins with *fates*."""

        async def completing(*, held: bool = False) -> None:
            self.completed.append(self.flashes())

        return self.run(self.bmc(*fates).write(image, completing=completing))

    def fetched(self) -> Fetch:
        """Return what the image server saw."""
        return self.run(self.rack.images.fetched(node=NodeName("n1"), attempt=self.attempt, digest=self.digest))

    def flashes(self) -> object:
        """Return how many writes programmed bytes."""
        return self.machine.truth()["flashes"]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Return a fresh site of the plain make."""
    return Site(tmp_path)


def test_it_is_what_the_ports_say(site: Site) -> None:
    """SimBmc is a Bmc and SimImageServer an ImageServer, to the type checker too."""
    bmc: Bmc = site.bmc()
    images: ImageServer = site.rack.images

    assert NodeName("n1") == bmc.node
    assert images is site.rack.images


def test_a_whole_update_by_pull(site: Site) -> None:
    """A pulled image is fetched once, followed as a task, staged, activated by a reset, and seen installed."""
    bmc, image = site.bmc(), site.image()
    receipt = site.write(image)
    assert Accepted(task="/redfish/v1/TaskService/Tasks/1", way="SimpleUpdate") == receipt
    site.clock.advance(30)
    seen = site.run(bmc.observe(EVERYTHING)).task
    assert isinstance(seen, TaskSeen)
    assert (TaskPhase.RUNNING, 50, image.url) == (seen.phase, seen.percent, seen.image)
    site.clock.advance(30)
    waiting = site.run(bmc.observe(EVERYTHING))
    assert isinstance(waiting.task, TaskSeen)
    assert TaskPhase.DONE is waiting.task.phase
    assert Component(BIOS, "1.0.0", "2.0") == waiting.component(BIOS)
    site.run(bmc.reset_host(ResetKind.FORCE_RESTART))
    during = site.run(bmc.observe(Look()))
    assert (Power.ON, Post.RUNNING) == (during.power, during.post)
    site.clock.advance(60)
    after = site.run(bmc.observe(EVERYTHING))

    assert Component(BIOS, "2.0", None) == after.component(BIOS)
    assert (Post.COMPLETE, Health.OK) == (after.post, after.health)
    assert after.boot != waiting.boot
    assert after.bmc_boot == waiting.bmc_boot
    assert Fetch(requests=1, sent=2048, size=2048) == site.fetched()
    assert (1, 0) == (site.rack.truth()["flashes"], site.rack.truth()["double_flashes"])


def test_a_push_needs_no_url(tmp_path: Path) -> None:
    """Without a URL, or on a make that cannot pull, the image is pushed and its file name tells the attempt."""
    plain, openbmc = Site(tmp_path), Site(tmp_path, personality="openbmc")
    first = plain.write(plain.image(pull=False))
    second = openbmc.write(openbmc.image())

    for site, receipt in ((plain, first), (openbmc, second)):
        writes = site.machine.truth()["writes"]
        assert isinstance(writes, list)
        assert Accepted(task="/redfish/v1/TaskService/Tasks/1", way="MultipartHttpPush") == receipt
        assert ("push", "aaaa", "BIOS") == (writes[0]["source"], writes[0]["attempt"], writes[0]["component"])


def test_an_upload_announces_that_it_becomes_whole(site: Site) -> None:
    """A push awaits *completing* before the BMC can act; a pull never does, nor an upload that was lost on its way."""
    site.write(site.image())
    site.clock.advance(60)
    for fate in (WireFate.LOST_REQUEST, WireFate.SILENT):
        site.write(site.image(pull=False), fate)
    assert [] == site.completed
    site.write(site.image(pull=False), WireFate.LOST_ANSWER)

    assert [1] == site.completed
    assert site.flashes() == 2


def test_what_was_not_asked_for_is_not_told(site: Site) -> None:
    """An observation answers its look and nothing more."""
    seen = site.run(site.bmc().observe(Look(system=False)))

    assert all(
        value == NOT_ASKED
        for value in (seen.power, seen.post, seen.health, seen.boot, seen.bmc_boot, seen.settings, seen.staged_settings)
    )
    assert (NOT_ASKED, NOT_ASKED, Identity(), {}) == (seen.task, seen.tasks, seen.identity, dict(seen.components))


def test_what_is_not_listed_is_unknown(site: Site) -> None:
    """A component that the inventory does not list is Unknown, and a task that the BMC does not know has vanished."""
    gpu = ComponentName("GPU9")
    seen = site.run(site.bmc().observe(Look(components=frozenset({gpu}), task="/redfish/v1/TaskService/Tasks/7")))

    assert isinstance(seen.component(gpu).installed, Unknown)
    assert TaskSeen("/redfish/v1/TaskService/Tasks/7", TaskPhase.VANISHED) == seen.task


def test_a_version_that_cannot_be_read_is_unknown(site: Site) -> None:
    """An inventory without a version gives Unknown, never an empty or old one."""
    site.machine.inject(FlashFails(leaves=Leaves.UNKNOWN))
    site.write(site.image())
    site.clock.advance(60)
    seen = site.run(site.bmc().observe(EVERYTHING))

    assert isinstance(seen.component(BIOS).installed, Unknown)
    assert isinstance(seen.task, TaskSeen)
    assert TaskPhase.FAILED is seen.task.phase


def test_openbmc_tells_less(tmp_path: Path) -> None:
    """Where a make tells no staged version, no settings and no image of a task, these are not invented."""
    site = Site(tmp_path, personality="openbmc")
    site.write(site.image())
    seen = site.run(site.bmc().observe(EVERYTHING))

    assert isinstance(seen.component(BIOS).staged, Unknown)
    assert isinstance(seen.settings, Unknown)
    assert isinstance(seen.task, TaskSeen)
    assert seen.task.image is None


def test_a_make_without_tasks_names_none(tmp_path: Path) -> None:
    """On iLO 5 an update is accepted without a task, and none is listed; the image is written all the same."""
    site = Site(tmp_path, personality="ilo5")
    receipt = site.write(site.image())
    site.clock.advance(61)
    seen = site.run(site.bmc().observe(EVERYTHING))

    assert Accepted(way="SimpleUpdate") == receipt
    assert (TaskSeen(TASK, TaskPhase.VANISHED), ()) == (seen.task, seen.tasks)
    assert 1 == site.flashes()


def test_a_component_goes_by_the_makes_own_name_too(tmp_path: Path) -> None:
    """What XCC lists as UEFI is the machine's BIOS."""
    site = Site(tmp_path, personality="xcc")
    uefi = ComponentName("UEFI")
    seen = site.run(site.bmc().observe(Look(components=frozenset({uefi}))))

    assert "22J-1.51" == seen.components[uefi].installed


def test_settings_are_staged_and_seen(site: Site) -> None:
    """Configure stages, the observation shows what waits, and a POST puts it in force."""
    bmc = site.bmc()
    assert Accepted(way="Settings") == site.run(bmc.configure({"BootMode": "Bios"}))
    waiting = site.run(bmc.observe(EVERYTHING))
    assert {"BootMode": "Bios"} == waiting.staged_settings
    site.run(bmc.reset_host(ResetKind.FORCE_RESTART))
    site.clock.advance(60)
    after = site.run(bmc.observe(EVERYTHING))

    assert isinstance(after.settings, dict)
    assert after.settings["BootMode"] == "Bios"
    assert {} == after.staged_settings


def test_a_refusal_is_a_receipt(site: Site) -> None:
    """What the BMC refuses comes back as Refused with its words."""
    site.write(site.image())

    assert Refused("an update is already in progress", NOT_NOW) == site.write(site.image())
    assert isinstance(site.run(site.bmc().configure({"BootMode": "Nonsense"})), Refused)


def test_a_lost_request_changes_nothing_and_is_ambiguous(site: Site) -> None:
    """The client cannot know that the BMC never saw its request; an upload that broke off it does know of."""
    pull = site.write(site.image(), WireFate.LOST_REQUEST)
    push = site.write(site.image(pull=False), WireFate.LOST_REQUEST)

    assert isinstance(pull, Ambiguous)
    assert isinstance(push, Ambiguous)
    assert (True, False) == (pull.body_complete, push.body_complete)
    assert site.flashes() == 0
    assert site.fetched().requests == 0


def test_a_lost_answer_is_ambiguous_and_acted(site: Site) -> None:
    """P12: the BMC acted, the client does not know."""
    receipt = site.write(site.image(), WireFate.LOST_ANSWER)

    assert isinstance(receipt, Ambiguous)
    assert site.flashes() == 1
    assert site.fetched().complete


@pytest.mark.parametrize(("fate", "flashes"), [(WireFate.KILL_BEFORE, 0), (WireFate.KILL_AFTER, 1)])
def test_a_kill_strikes_before_or_after_the_act(site: Site, fate: WireFate, flashes: int) -> None:
    """The orchestrator dies with the request unsent, or with the act done; the image server remembers."""
    with pytest.raises(Killed):
        site.write(site.image(), fate)

    assert flashes == site.flashes()
    assert flashes == site.fetched().requests


def test_a_dead_process_says_nothing_more(site: Site) -> None:
    """After a kill the script kills every request, until the next process starts."""
    script = Script([WireFate.KILL_AFTER])
    bmc = site.rack.bmc("n1", wire=script)
    for _ in range(2):
        with pytest.raises(Killed):
            site.run(bmc.reset_host(ResetKind.FORCE_RESTART))
    with pytest.raises(Killed):
        site.run(bmc.observe(Look()))
    assert site.machine.truth()["resets"] == {"host": 1, "bmc": 0}
    script.revive()

    assert Accepted(way="ComputerSystem.Reset") == site.run(bmc.reset_host(ResetKind.FORCE_RESTART))
    assert ["reset_host", "reset_host", "observe", "reset_host"] == script.acts


@pytest.mark.parametrize("fate", [WireFate.SILENT, WireFate.LOST_REQUEST, WireFate.LOST_ANSWER])
def test_a_silent_bmc_gives_a_blank_observation(site: Site, fate: WireFate) -> None:
    """Nothing is known of a BMC that does not answer; reading never raises."""
    seen = site.run(site.bmc(fate).observe(EVERYTHING))

    assert isinstance(seen.power, Unknown)
    assert isinstance(seen.component(BIOS).installed, Unknown)
    assert isinstance(seen.task, Unknown)


def test_an_incomplete_answer_leaves_parts_unknown(site: Site) -> None:
    """P25: the system can be read, the inventory and the tasks cannot."""
    seen = site.run(site.bmc(WireFate.PARTIAL).observe(EVERYTHING))

    assert Power.ON is seen.power
    assert isinstance(seen.component(BIOS).installed, Unknown)
    assert isinstance(seen.task, Unknown)
    assert isinstance(seen.tasks, Unknown)
    assert isinstance(seen.settings, Unknown)


def test_an_act_on_a_silent_bmc_is_refused_unsent(site: Site) -> None:
    """Where no connection comes about nothing was sent, and the receipt says so."""
    receipt = site.write(site.image(), WireFate.SILENT)

    assert isinstance(receipt, Refused)
    assert site.flashes() == 0


def test_a_restarting_bmc_is_silent(site: Site) -> None:
    """While the BMC restarts observations are blank and acts refused; afterwards its marker has changed."""
    bmc = site.bmc()
    before = site.run(bmc.observe(Look(bmc=True)))
    assert Accepted(way="Manager.Reset") == site.run(bmc.reset_bmc())
    assert isinstance(site.run(bmc.observe(Look(bmc=True))).power, Unknown)
    assert isinstance(site.run(bmc.reset_host(ResetKind.ON)), Refused)
    site.clock.advance(90)
    after = site.run(bmc.observe(Look(bmc=True)))

    assert Power.ON is after.power
    assert before.bmc_boot != after.bmc_boot


def test_wire_faults_of_the_lab_strike_here_too(site: Site) -> None:
    """answer-lost and request-lost work on SimBmc as they do on the real wire."""
    site.machine.inject(AnswerLost(path="SimpleUpdate"))
    first = site.write(site.image())
    site.clock.advance(60)
    site.machine.inject(RequestLost(path="Reset"))
    second = site.run(site.bmc().reset_host(ResetKind.FORCE_RESTART))

    assert isinstance(first, Ambiguous)
    assert isinstance(second, Ambiguous)
    assert site.flashes() == 1
    assert site.machine.truth()["resets"] == {"host": 0, "bmc": 0}


def test_a_failed_fetch_is_told_as_such(site: Site) -> None:
    """P20: the task says that nothing was transferred."""
    site.machine.inject(FetchFails())
    site.write(site.image())
    seen = site.run(site.bmc().observe(EVERYTHING)).task

    assert isinstance(seen, TaskSeen)
    assert (TaskPhase.FAILED, True) == (seen.phase, seen.transfer_failed)


def test_a_url_that_was_never_granted_is_not_served(site: Site) -> None:
    """A pull from an unknown URL fails its transfer."""
    image = Image(BIOS, "2.0", site.digest, 2048, site.path, "x.img", "https://images.sim/other/x.img")
    site.write(image)

    assert site.flashes() == 0


def test_a_damaged_image_is_rejected(site: Site) -> None:
    """The sim verifies bytes as the lab's BMCs do."""
    image = site.image()
    site.path.write_bytes(site.path.read_bytes()[:-1] + b"\0")
    site.write(image)
    seen = site.run(site.bmc().observe(EVERYTHING)).task

    assert isinstance(seen, TaskSeen)
    assert TaskPhase.FAILED is seen.phase
    assert site.flashes() == 0


def test_the_image_server_counts_over_grants() -> None:
    """Granting again, as a resumed run does, forgets nothing; nothing fetched is nothing."""
    images, clock = SimImageServer(), VirtualClock()
    where = {"node": NodeName("n1"), "attempt": AttemptId("aaaa"), "digest": Digest("sha256:" + "0" * 64)}

    async def main() -> tuple[Fetch, Fetch]:
        before = await images.fetched(**where)  # type: ignore[arg-type] # mypy cannot type a ** of unlike values
        for _ in range(2):
            url = await images.grant(path=Path(__file__), file_name="x", **where)  # type: ignore[arg-type] # as above
            images.serve(url)
        return before, await images.fetched(**where)  # type: ignore[arg-type] # as above

    before, after = clock.run(main())

    assert not before.requests
    assert after.requests == 2
    assert after.complete


def test_a_rack_of_thousands_is_cheap() -> None:
    """Two thousand machines are made and looked at within a second or so: no thread, no timer, no file each."""
    clock = VirtualClock()
    started = time.monotonic()
    rack = SimRack((f"n{i}" for i in range(2000)), clock)
    look = Look(components=frozenset({BIOS}))

    async def main() -> int:
        seen = [await rack.bmc(name).observe(look) for name in rack.machines]
        return sum(observation.power is Power.ON for observation in seen)

    assert clock.run(main()) == 2000
    assert time.monotonic() - started < 5.0
