"""From a dropped package to a published bundle: by a person, by policy, and through every kill on the way."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from attrs import define

from rackwave.automation import PUBLISHER_KEY, TRUST, Automation
from rackwave.core.event import Assigned, Event
from rackwave.core.identity import AttemptId, BundleId, NodeName
from rackwave.core.release_book import ReleaseRecord, Stage
from rackwave.errors import BundleError, TrustError, UsageError
from rackwave.releases import FeedLook
from rackwave.repository.entry import State
from rackwave.repository.keys import generate_key
from rackwave.repository.metadata.ceremony import Setup
from rackwave.repository.metadata.trust import MetadataTrust
from rackwave.repository.trust import KeyringTrust

BIOS_1 = 'component = "BIOS"\nversion = "1.0"\nkind = "bios-image"\nversion_scheme = "dotted"\n'
BIOS_2 = BIOS_1.replace("1.0", "2.0") + 'severity = "high"\ncves = ["CVE-2026-0001"]\nsummary = "Closes a hole."\n'
NIC_1 = 'component = "NIC"\nversion = "1.0"\nversion_scheme = "dotted"\n'


@define
class Site:
    """A state directory with a key, and a folder that a feed watches."""

    state: Path
    policy: str = "draft"
    extra: str = ""

    @property
    def drops(self) -> Path:
        """The folder."""
        return self.state / "drops"

    def write_feeds(self) -> None:
        """Write ``feeds.toml``."""
        text = f'[[feeds]]\nname = "drops"\nkind = "folder"\nwhere = "drops"\nlineage = "A"\npolicy = "{self.policy}"\n'
        (self.state / "feeds.toml").write_text(text + self.extra, "utf-8")

    def drop(self, name: str, side: str, *, at: float, data: bytes = b"") -> Path:
        """Drop a package at second *at*."""
        path = self.drops / name
        path.write_bytes(data or name.encode() * 1000)
        beside = self.drops / f"{name}.toml"
        beside.write_text(side, "utf-8")
        for each in (path, beside):
            os.utime(each, (at, at))
        return path

    def automation(self) -> Automation:
        """The central automation system, as another command would open it."""
        return Automation(None, self.state, by="tester", passphrases=lambda _: b"a passphrase")

    def do(self, work: Any) -> Any:
        """Do something in a process of its own, as it were."""

        async def whole() -> Any:
            async with self.automation() as automation:
                return await work(automation)

        return asyncio.run(whole())

    def look(self) -> FeedLook:
        """Look at the feed once."""
        (look,) = self.do(lambda automation: automation.releases.look())
        assert isinstance(look, FeedLook)
        return look

    def approve(self, record: ReleaseRecord, **how: Any) -> ReleaseRecord:
        """Approve a release."""
        found = self.do(lambda automation: automation.releases.approve(record.id, **how))
        assert isinstance(found, ReleaseRecord)
        return found

    def releases(self) -> tuple[ReleaseRecord, ...]:
        """Every release."""
        return self.automation().releases.list()

    def current(self) -> str:
        """The current bundle."""
        found = [entry.id for entry in self.automation().repository.list() if entry.state is State.CURRENT]
        return ", ".join(map(str, found))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site without releases yet."""
    state = tmp_path / "state"
    (state / "drops").mkdir(parents=True)
    signer = generate_key(state / PUBLISHER_KEY)
    KeyringTrust(()).with_key(signer.public_key, lineages=("*",)).save(state / TRUST)
    site = Site(state)
    site.write_feeds()
    return site


# -- by a person ----------------------------------------------------------------------------------------------


def test_a_dropped_package_becomes_a_draft_and_once_approved_the_current_bundle(site: Site) -> None:
    """Nothing is signed before a person says so; why it was made stands beside the bundle and in the journal."""
    site.drop("bios-2.bin", BIOS_2, at=100)

    look = site.look()
    (record,) = site.releases()
    assert (1, (record.id,)) == (look.listed, look.new)
    assert (Stage.DRAFT, "A.1", "approval", ()) == (record.stage, str(record.bundle), record.waits, record.objections)
    assert "" == site.current()

    done = site.approve(record, manifest=record.manifest)
    assert (Stage.PUBLISHED, "tester") == (done.stage, done.by)
    (entry,) = site.automation().repository.list()
    assert "CVE-2026-0001" in entry.reason
    assert "approved by tester" in entry.reason
    assert "Closes a hole." in entry.purpose
    assert all(check.is_sound for check in site.automation().repository.verify())
    assert not (site.state / "releases" / record.id).exists()


def test_a_release_of_one_part_leaves_the_others_of_the_bundle_as_they_are(site: Site) -> None:
    """The NIC's image is put beside the BIOS that the lineage has; then only the NIC's is replaced."""
    site.drop("bios-1.bin", BIOS_1, at=100)
    site.look()
    site.approve(site.releases()[-1])
    site.drop("nic-1.bin", NIC_1, at=200)
    site.look()
    added = site.releases()[-1]
    assert ["A.1 has nothing of its component: it is new to the lineage"] == list(added.objections)
    with pytest.raises(UsageError, match="it is new to the lineage"):
        site.approve(added)
    site.approve(added, despite=True)
    site.drop("nic-2.bin", NIC_1.replace("1.0", "2.0"), at=300)
    site.look()
    site.approve(site.releases()[-1])

    bundle = site.automation().repository.get(BundleId("A", 3))
    assert [("BIOS", "1.0"), ("NIC", "2.0")] == [(each.component, each.version) for each in bundle.manifest.elements]
    paths = [site.automation().repository.payload_path(bundle, each.name) for each in bundle.manifest.payloads]
    assert [b"bios-1.bin" * 1000, b"nic-2.bin" * 1000] == [path.read_bytes() for path in paths]
    assert ["bios", "nic"] == [each.name for each in bundle.manifest.elements]


def test_what_was_rejected_never_comes_back(site: Site) -> None:
    """Neither at the next look nor as the same file again."""
    site.drop("bios-2.bin", BIOS_2, at=100)
    site.look()
    (record,) = site.releases()
    site.do(lambda automation: automation.releases.reject(record.id, "bricks R700"))
    site.drop("again.bin", BIOS_2, at=200, data=b"bios-2.bin" * 1000)
    site.look()

    (left,) = site.releases()
    assert (Stage.REJECTED, "bricks R700", "tester") == (left.stage, left.reason, left.by)
    with pytest.raises(UsageError, match="is rejected"):
        site.approve(left)


def test_an_approval_is_of_the_draft_that_was_looked_at_and_of_no_other(site: Site) -> None:
    """Where the lineage moved on meanwhile, the draft is made anew and has to be looked at again."""
    site.drop("bios-1.bin", BIOS_1, at=100)
    site.look()
    site.approve(site.releases()[0])
    site.drop("bios-2.bin", BIOS_2, at=200)
    site.look()
    seen = site.releases()[-1]
    site.extra = '[[feeds]]\nname = "more"\nkind = "folder"\nwhere = "more"\nlineage = "A"\n'
    site.write_feeds()
    (site.state / "more").mkdir()
    nic = site.drop("nic.bin", NIC_1, at=200)
    for path in (nic, nic.with_name("nic.bin.toml")):
        path.rename(site.state / "more" / path.name)
    site.do(lambda automation: automation.releases.look("more"))
    site.approve(site.releases()[-1], despite=True)

    with pytest.raises(UsageError, match="not the one that you looked at"):
        site.approve(seen, manifest=seen.manifest)
    with pytest.raises(UsageError, match="not the one"):
        site.approve(seen, manifest=seen.manifest)
    anew = next(record for record in site.releases() if record.id == seen.id)
    assert ("A.3", "A.2") == (str(anew.bundle), str(anew.replaces))
    assert Stage.PUBLISHED is site.approve(anew, manifest=anew.manifest).stage
    assert "A.3" == site.current()


def test_a_seq_that_was_withdrawn_or_rolled_back_is_not_given_again(site: Site) -> None:
    """A bundle that the lineage went back from keeps its number: nodes may carry it."""
    site.do(lambda automation: _signed_metadata(automation))
    for seq, side in ((1, BIOS_1), (2, BIOS_2)):
        site.drop(f"bios-{seq}.bin", side, at=seq * 100)
        site.look()
        site.approve(site.releases()[-1])
    repository = site.automation().repository
    repository.revert(BundleId("A", 1), "2.0 hangs")
    repository.withdraw(BundleId("A", 2), "2.0 hangs")
    site.drop("bios-3.bin", BIOS_1.replace("1.0", "3.0"), at=300)
    site.look()

    record = site.releases()[-1]
    assert ("A.3", "A.1") == (str(record.bundle), str(record.replaces))
    site.approve(record)
    assert "A.3" == site.current()


# -- by policy -------------------------------------------------------------------------------------------------


def test_automatic_publishes_what_is_known_to_be_newer_and_nothing_speaks_against(site: Site) -> None:
    """The journal says whose policy it was."""
    site.policy = "automatic"
    site.write_feeds()
    site.drop("bios-1.bin", BIOS_1, at=100)
    site.look()
    site.drop("bios-2.bin", BIOS_2, at=200)
    site.look()

    assert "A.2" == site.current()
    assert ["the policy of feed drops"] * 2 == [record.by for record in site.releases()]


@pytest.mark.parametrize(
    ("side", "words"),
    [
        (BIOS_2.replace('version_scheme = "dotted"\n', "").replace("2.0", "R17"), "nothing shows that it is newer"),
        (NIC_1, "it is new to the lineage"),
    ],
)
def test_automatic_holds_back_what_something_speaks_against(site: Site, side: str, words: str) -> None:
    """It is a draft that waits for a person, with the reason."""
    site.policy = "automatic"
    site.write_feeds()
    site.drop("bios-1.bin", BIOS_1, at=100)
    site.look()
    (site.drops / "bios-1.bin").unlink()
    (site.drops / "bios-1.bin.toml").unlink()
    site.drop("next.bin", side, at=200)
    site.look()

    record = site.releases()[-1]
    assert Stage.DRAFT is record.stage
    assert words in " ".join(record.objections)
    assert "A.1" == site.current()


def test_what_lint_calls_an_error_is_published_by_nobody(site: Site) -> None:
    """A BMC's firmware that only a host's restart activates: neither by policy nor by a person."""
    site.policy = "automatic"
    site.write_feeds()
    source = site.state / "source"
    source.mkdir()
    (source / "bundle.toml").write_text(
        'lineage = "A"\nseq = 1\npurpose = "x"\n[[elements]]\nname = "one"\nkind = "bios-settings"\n'
        'activation = "immediate"\nreversibility = "reflash"\nattributes = { A = "b" }\n',
        "utf-8",
    )
    site.drop("bios.bin", BIOS_1.replace("bios-image", "bmc-firmware"), at=100)
    site.look()
    bad = site.releases()[-1]
    assert (Stage.PUBLISHED, ()) == (bad.stage, bad.faults)  # importers choose an activation that fits

    (site.drops / "bios.bin").unlink()
    repository = site.automation().repository
    manager = site.automation().manager
    with pytest.raises(BundleError, match="not fit"):
        manager.publish(manager.build(source, site.state / "out"))
    assert "A.1" == ", ".join(str(entry.id) for entry in repository.list())


def test_a_package_that_cannot_be_used_is_refused_with_its_reason_and_taken_once_it_is_mended(site: Site) -> None:
    """The reason is journalled once, not at each look."""
    site.drop("pack.cab", 'version = "1.0"\ncomponent = "BIOS"\n', at=100, data=b"no cabinet" * 100)
    site.look()
    (first,) = site.releases()
    assert Stage.DRAFT is first.stage

    (site.state / PUBLISHER_KEY).rename(site.state / "key.away")
    with pytest.raises(TrustError, match="no key"):
        site.approve(first)
    for _ in range(3):
        site.look()
    (held,) = site.releases()
    assert Stage.APPROVED is held.stage
    assert "no key" in held.reason
    assert 1 == sum("refused for now" in text for text in _story(site))

    (site.state / "key.away").rename(site.state / PUBLISHER_KEY)
    site.look()
    assert "A.1" == site.current()


def test_a_feed_that_cannot_be_read_is_told_once_and_once_it_can(site: Site) -> None:
    """And the others go on: one bad feed stops nobody."""
    site.extra = '[[feeds]]\nname = "gone"\nkind = "folder"\nwhere = "gone"\nlineage = "B"\n'
    site.write_feeds()
    site.drop("bios.bin", BIOS_1, at=100)

    for _ in range(3):
        looks = site.do(lambda automation: automation.releases.look())
        assert ["", True] == [looks[0].problem, bool(looks[1].problem)]
    assert "gone" in site.automation().releases.troubles()
    (site.state / "gone").mkdir()
    site.do(lambda automation: automation.releases.look())

    assert {} == site.automation().releases.troubles()
    assert [1, 1] == [sum(words in text for text in _story(site)) for words in ("CANNOT BE READ", "read again")]


def test_a_lineages_floor_follows_a_security_release_once_no_node_is_below_it(site: Site) -> None:
    """Not before: a node whose deployment fails must find its way back."""
    site.do(lambda automation: _signed_metadata(automation))
    site.extra = 'floor = "high"\n'
    site.write_feeds()
    for seq, side in ((1, BIOS_1), (2, BIOS_2)):
        site.drop(f"bios-{seq}.bin", side, at=seq * 100)
        site.look()
        site.approve(site.releases()[-1])
    nodes = [NodeName("n1"), NodeName("n2")]

    def floor() -> int:
        trust = site.automation().repository.trust
        assert isinstance(trust, MetadataTrust)
        channel = trust.client.channel(BundleId("A", 1).lineage)
        return channel.min_seq

    async def carry(automation: Automation, node: NodeName, seq: int) -> None:
        digest = automation.repository.get(BundleId("A", seq)).digest
        await automation.logbook.record(Assigned(node, BundleId("A", seq), digest, AttemptId("abcd1234")))

    for node, seq in ((nodes[0], 1), (nodes[1], 2)):
        site.do(lambda automation, node=node, seq=seq: carry(automation, node, seq))
    site.look()
    assert 0 == floor()
    due = site.automation().releases.due(nodes)
    assert [("A.1", ("A.2",), ("n1",), "high")] == [
        (str(each.carries), tuple(map(str, each.bundles)), each.nodes, each.severity) for each in due
    ]

    site.do(lambda automation: carry(automation, nodes[0], 2))
    site.look()
    assert 2 == floor()
    assert () == site.automation().releases.due(nodes)
    with pytest.raises(TrustError, match="below the floor"):
        site.automation().repository.revert(BundleId("A", 1), "no")


# -- kills -------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process is gone; nobody catches that."""


def _kill_at(automation: Automation, number: int, *, durable: bool) -> None:
    """Have *automation* die at its journal's write *number*, before or after it is durable."""
    logbook, writes = automation.logbook, iter(range(1, 1000))
    record = logbook.record

    async def dying(*events: Event) -> None:
        if next(writes) == number:
            if durable:
                await record(*events)
            raise Killed
        await record(*events)

    logbook.record = dying  # type: ignore[method-assign]  # a kill, not a substitute: what it does it does for real


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("number", range(1, 5))
def test_a_run_that_is_killed_is_gone_on_with_and_publishes_once(site: Site, number: int, durable: bool) -> None:
    """Seen, drafted, approved, published: killed at each of these writes, the next look ends where none would have."""
    site.policy = "automatic"
    site.write_feeds()
    site.drop("bios-1.bin", BIOS_1, at=100)

    async def killed(automation: Automation) -> None:
        _kill_at(automation, number, durable=durable)
        await automation.releases.look()

    with pytest.raises(Killed):
        site.do(killed)
    site.look()
    site.look()

    (record,) = site.releases()
    assert (Stage.PUBLISHED, "A.1") == (record.stage, str(record.bundle))
    assert ["A.1"] == [str(entry.id) for entry in site.automation().repository.list()]
    assert all(check.is_sound for check in site.automation().repository.verify())


def test_what_was_approved_and_killed_is_not_published_over_something_else(site: Site) -> None:
    """Approved, killed before it was signed, and then the lineage moved on: it waits to be looked at again."""
    site.drop("bios-1.bin", BIOS_1, at=100)
    site.look()
    (record,) = site.releases()

    async def killed(automation: Automation) -> None:
        _kill_at(automation, 1, durable=True)
        await automation.releases.approve(record.id)

    with pytest.raises(Killed):
        site.do(killed)
    source = site.state / "source"
    source.mkdir()
    (source / "bundle.toml").write_text(
        'lineage = "A"\nseq = 1\npurpose = "by hand"\n[[elements]]\nname = "s"\nkind = "bios-settings"\n'
        'activation = "host-reset"\nreversibility = "reflash"\nattributes = { A = "b" }\n',
        "utf-8",
    )
    manager = site.automation().manager
    manager.publish(manager.build(source, site.state / "out"))
    site.look()

    (left,) = site.releases()
    assert (Stage.DRAFT, "A.2") == (left.stage, str(left.bundle))
    assert "changed since it was approved" in left.waits
    assert "A.1" == site.current()


def test_two_watchers_publish_what_one_would(site: Site) -> None:
    """Both look at once; there is one bundle, and both say so."""
    site.policy = "automatic"
    site.write_feeds()
    site.drop("bios-1.bin", BIOS_1, at=100)

    async def both() -> None:
        async with site.automation() as one, site.automation() as other:
            await asyncio.gather(one.releases.look(), other.releases.look())

    asyncio.run(both())
    site.look()

    assert ["A.1"] == [str(entry.id) for entry in site.automation().repository.list()]
    assert [Stage.PUBLISHED] == [record.stage for record in site.releases()]


async def _signed_metadata(automation: Automation) -> None:
    automation.stock.init_trust(Setup())


def _story(site: Site) -> list[str]:
    from rackwave.core.story import tell

    return [tell(each.event) for each in site.automation().records.events()]
