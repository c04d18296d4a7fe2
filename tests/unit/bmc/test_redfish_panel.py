"""What a person reads of and does to one machine over Redfish, against a scripted BMC and the recorded ones."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from recorded import Recorded
from scripted_bmc import DROP, MANAGER, RESET, SYSTEM, Reply, ScriptedBmc, client, collection

from rackwave.bmc.redfish.bmc import RedfishBmc
from rackwave.bmc.redfish.media import MediaKind
from rackwave.core.boot import BootMode, BootOverride, BootSetting, Lasting
from rackwave.core.log import LogMark, LogNews, Severity
from rackwave.core.observation import Health, Look, Unknown
from rackwave.core.power import PowerAct
from rackwave.core.receipt import Accepted, Ambiguous, Ground, Refused
from rackwave.core.sensor import SensorKind
from rackwave_emulators.tree import TREES, find_tree, load_tree

ALLOWED = "ResetType@Redfish.AllowableValues"
LOG = f"{SYSTEM}/LogServices/SEL"
ENTRIES = f"{LOG}/Entries"


def with_panel(server: ScriptedBmc, program: Callable[[RedfishBmc], Awaitable[Any]], **options: Any) -> Any:
    """Run *program* on a client of *server*."""

    async def run() -> Any:
        async with server:
            bmc = client(server, **options)
            try:
                return await program(bmc)
            finally:
                await bmc.close()

    return asyncio.run(run())


def sent(server: ScriptedBmc, method: str = "PATCH") -> list[Any]:
    """The bodies of every request of *method* but logins."""
    return [r.json for r in server.requests if r.method == method and "SessionService" not in r.path]


# -- power ------------------------------------------------------------------------------------------


def test_power_acts_are_those_of_the_service():
    """What can be asked for is what the service lists, or anything where it lists nothing."""
    server = ScriptedBmc()
    found = with_panel(server, lambda bmc: bmc.panel.power_acts())
    del server.documents[SYSTEM]["Actions"]["#ComputerSystem.Reset"][ALLOWED]

    assert {PowerAct.ON, PowerAct.FORCE_OFF, PowerAct.FORCE_RESTART} == found
    assert with_panel(server, lambda bmc: bmc.panel.power_acts()) is None


def test_power_in_the_services_words():
    """An act is sent once in the service's word; one that it lacks is not sent."""
    server = ScriptedBmc()
    server.documents[SYSTEM]["Actions"]["#ComputerSystem.Reset"][ALLOWED] = ["ForceOn", "Nmi"]
    accepted = with_panel(server, lambda bmc: bmc.panel.power(PowerAct.ON))
    refused = with_panel(server, lambda bmc: bmc.panel.power(PowerAct.CYCLE))

    assert isinstance(accepted, Accepted)
    assert [{"ResetType": "ForceOn"}] == sent(server, "POST")
    assert isinstance(refused, Refused)
    assert Ground.UNABLE is refused.ground


@pytest.mark.parametrize(("act", "kind"), [(PowerAct.ON, Accepted), (PowerAct.FORCE_OFF, Refused)])
def test_already_so(act, kind):
    """A refusal in the state that was asked for is as good as yes (P35); in another it stands."""
    server = ScriptedBmc().on(f"POST {RESET}", Reply(409))

    assert isinstance(with_panel(server, lambda bmc: bmc.panel.power(act)), kind)


def test_power_of_a_lost_answer():
    """A power act whose answer was lost is Ambiguous, and was sent once."""
    server = ScriptedBmc().on(f"POST {RESET}", DROP, DROP)

    assert isinstance(with_panel(server, lambda bmc: bmc.panel.power(PowerAct.FORCE_OFF)), Ambiguous)
    assert 1 == len(server.seen(f"POST {RESET}"))


# -- boot --------------------------------------------------------------------------------------------


def booting(**more: Any) -> ScriptedBmc:
    """A system with a boot override."""
    server = ScriptedBmc()
    server.documents[SYSTEM]["Boot"] = {
        "BootSourceOverrideEnabled": "Once",
        "BootSourceOverrideTarget": "Pxe",
        "BootSourceOverrideMode": "UEFI",
        "BootSourceOverrideTarget@Redfish.AllowableValues": ["None", "Pxe", "BiosSetup"],
        **more,
    }
    return server


def test_boot_is_read():
    """The override is read with what the service takes; a system that tells none is unknown."""
    override = BootOverride("Pxe", Lasting.ONCE, BootMode.UEFI)
    blank = with_panel(ScriptedBmc(), lambda bmc: bmc.panel.boot_setting())

    assert BootSetting(override, ("None", "Pxe", "BiosSetup")) == with_panel(
        booting(), lambda bmc: bmc.panel.boot_setting()
    )
    assert isinstance(blank.override, Unknown)
    assert blank.targets is None


@pytest.mark.parametrize(
    ("wanted", "body"),
    [
        (BootOverride("pxe"), {"BootSourceOverrideEnabled": "Once", "BootSourceOverrideTarget": "Pxe"}),
        (
            BootOverride("biossetup", Lasting.ALWAYS, BootMode.LEGACY),
            {
                "BootSourceOverrideEnabled": "Continuous",
                "BootSourceOverrideTarget": "BiosSetup",
                "BootSourceOverrideMode": "Legacy",
            },
        ),
        (
            BootOverride("None", Lasting.NEVER),
            {"BootSourceOverrideEnabled": "Disabled", "BootSourceOverrideTarget": "None"},
        ),
    ],
)
def test_boot_is_overridden(wanted, body):
    """An override goes out in the service's own words, once, and is cleared again."""
    server = booting().on(f"PATCH {SYSTEM}", Reply(204))

    assert isinstance(with_panel(server, lambda bmc: bmc.panel.set_boot(wanted)), Accepted)
    assert [{"Boot": body}] == sent(server)


@pytest.mark.parametrize(
    ("wanted", "more"),
    [
        (BootOverride("Cd"), {}),
        (
            BootOverride("Pxe", Lasting.ALWAYS),
            {"BootSourceOverrideEnabled@Redfish.AllowableValues": ["Once", "Disabled"]},
        ),
        (BootOverride("Pxe", mode=BootMode.LEGACY), {"BootSourceOverrideMode@Redfish.AllowableValues": ["UEFI"]}),
    ],
)
def test_boot_that_the_service_does_not_take(wanted, more):
    """A target, a duration or a mode that the service does not list is not sent."""
    server = booting(**more)
    receipt = with_panel(server, lambda bmc: bmc.panel.set_boot(wanted))

    assert isinstance(receipt, Refused)
    assert Ground.UNABLE is receipt.ground
    assert [] == sent(server)


@pytest.mark.parametrize("first", [428, 412])
def test_a_service_that_wants_an_etag(first):
    """A plain PATCH that was not carried out for want of an ETag is sent with it; later ones are at once (P28)."""
    server = booting().on(f"PATCH {SYSTEM}", Reply(first), Reply(412), Reply(204), Reply(204))
    server.documents[SYSTEM] = Reply(200, server.documents[SYSTEM], {"ETag": 'W/"1"'})

    async def program(bmc: RedfishBmc) -> list[object]:
        return [await bmc.panel.set_boot(BootOverride("Pxe")) for _ in range(2)]

    receipts = with_panel(server, program)
    tags = [request.headers.get("if-match") for request in server.requests if request.method == "PATCH"]

    assert all(isinstance(receipt, Accepted) for receipt in receipts)
    assert [None, 'W/"1"', '"1"', '"1"'] == tags


# -- secure boot ----------------------------------------------------------------------------------------


SECURE = f"{SYSTEM}/SecureBoot"
KEYS = f"{SECURE}/Actions/SecureBoot.ResetKeys"


def secure(*, enabled: bool = False) -> ScriptedBmc:
    """A system with secure boot."""
    server = ScriptedBmc()
    server.documents[SYSTEM]["SecureBoot"] = {"@odata.id": SECURE}
    server.documents[SECURE] = {
        "SecureBootEnable": enabled,
        "SecureBootCurrentBoot": "Disabled",
        "SecureBootMode": "UserMode",
        "Actions": {"#SecureBoot.ResetKeys": {"target": KEYS, "ResetKeysType@Redfish.AllowableValues": ["DeletePK"]}},
    }
    return server


def test_secure_boot():
    """Secure boot is read and switched once; what is so already is not sent; keys are reset by listed words only."""
    server = secure().on(f"PATCH {SECURE}", Reply(200, {}))

    async def program(bmc: RedfishBmc) -> tuple[Any, ...]:
        panel = bmc.panel
        return (
            await panel.secure_boot(),
            await panel.set_secure_boot(enabled=False),
            await panel.set_secure_boot(enabled=True),
            await panel.reset_secure_boot_keys("DeletePK"),
            await panel.reset_secure_boot_keys("DeleteAllKeys"),
        )

    seen, same, on, keys, unlisted = with_panel(server, program)

    assert (False, False, "UserMode", ("DeletePK",)) == (seen.enabled, seen.active, seen.mode, seen.key_resets)
    assert [Accepted] * 3 == [type(receipt) for receipt in (same, on, keys)]
    assert [{"SecureBootEnable": True}] == sent(server)
    assert isinstance(unlisted, Refused)
    assert [{"ResetKeysType": "DeletePK"}] == sent(server, "POST")


def test_without_secure_boot():
    """A system without it is unknown, and nothing is sent."""
    server = ScriptedBmc()

    assert isinstance(with_panel(server, lambda bmc: bmc.panel.secure_boot()), Unknown)
    assert isinstance(with_panel(server, lambda bmc: bmc.panel.set_secure_boot(enabled=True)), Refused)


# -- the light --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("light", "lit", "body"),
    [
        ({"LocationIndicatorActive": False, "IndicatorLED": "Lit"}, False, {"LocationIndicatorActive": True}),
        ({"IndicatorLED": "Off"}, False, {"IndicatorLED": "Blinking"}),
        ({"IndicatorLED": "Blinking"}, True, {"IndicatorLED": "Blinking"}),
        ({"IndicatorLED": "Lit"}, None, {"IndicatorLED": "Blinking"}),  # iDRAC's is always Lit
    ],
)
@pytest.mark.parametrize("on_chassis", [False, True])
def test_the_light(light, lit, body, on_chassis):
    """The light is read and switched where it is, by the newer property where there is one."""
    server = ScriptedBmc()
    place = "/redfish/v1/Chassis/1" if on_chassis else SYSTEM
    server.documents[SYSTEM]["Links"] = {"Chassis": [{"@odata.id": "/redfish/v1/Chassis/1"}]}
    server.documents.setdefault(place, {}).update(light)
    server.on(f"PATCH {place}", Reply(204))
    seen = with_panel(server, lambda bmc: bmc.panel.indicator())
    receipt = with_panel(server, lambda bmc: bmc.panel.set_indicator(on=True))

    assert lit == (None if isinstance(seen, Unknown) else seen)
    assert isinstance(receipt, Accepted)
    assert [body] == sent(server)


def test_a_light_that_knows_no_off():
    """Where Off is refused, which changed nothing, the light goes back to Lit."""
    server = ScriptedBmc().on(f"PATCH {SYSTEM}", Reply(400), Reply(200, {}))
    server.documents[SYSTEM]["IndicatorLED"] = "Blinking"

    assert isinstance(with_panel(server, lambda bmc: bmc.panel.set_indicator(on=False)), Accepted)
    assert [{"IndicatorLED": "Off"}, {"IndicatorLED": "Lit"}] == sent(server)


def test_no_light():
    """A machine without a light says so, and nothing is sent."""
    server = ScriptedBmc()

    assert isinstance(with_panel(server, lambda bmc: bmc.panel.indicator()), Unknown)
    assert isinstance(with_panel(server, lambda bmc: bmc.panel.set_indicator(on=True)), Refused)
    assert [] == sent(server)


# -- the log ------------------------------------------------------------------------------------------------


def entry(number: int, *, severity: str = "OK", **more: Any) -> dict[str, Any]:
    """A LogEntry."""
    return {
        "@odata.id": f"{ENTRIES}/{number}",
        "Id": str(number),
        "Created": f"2026-01-01T00:{number // 60:02}:{number % 60:02}Z",
        "Severity": severity,
        "Message": f"entry {number}",
        **more,
    }


def logging(*numbers: int, page: int = 0, skips: bool = True) -> ScriptedBmc:
    """A system with a log of these entries, in this order, *page* of them at once (0: all)."""
    server = ScriptedBmc()
    services = f"{SYSTEM}/LogServices"
    server.documents[SYSTEM]["LogServices"] = {"@odata.id": services}
    server.documents[services] = collection(f"{services}/PostCodes", LOG)
    server.documents[LOG] = {"Id": "SEL", "Entries": {"@odata.id": ENTRIES}}
    size = page or len(numbers) or 1
    for start in range(0, max(len(numbers), 1), size):
        following = f"{ENTRIES}?$skip={start + size}" if skips else f"{ENTRIES}?$skiptoken={start + size}"
        document = {
            "Members@odata.count": len(numbers),
            "Members": [entry(number) for number in numbers[start : start + size]],
            **({"Members@odata.nextLink": following} if start + size < len(numbers) else {}),
        }
        here = f"{ENTRIES}?$skip={start}" if skips else f"{ENTRIES}?$skiptoken={start}"
        server.documents[here] = document
        if start == 0:
            server.documents[ENTRIES] = document
    return server


def read(server: ScriptedBmc, since: LogMark | None = None, limit: int = 5) -> Any:
    """Read the log, and how many pages that took."""
    found = with_panel(server, lambda bmc: bmc.panel.log(since, limit=limit))
    return found, len(server.seen(f"GET {ENTRIES}"))


def mark(number: int) -> LogMark:
    """The mark at an entry."""
    return LogMark(LOG, str(number), entry(number)["Created"])


@pytest.mark.parametrize(
    ("server", "pages"),
    [
        (logging(*range(1, 101)), 1),
        (logging(*range(100, 0, -1), page=10), 1),  # downward, as iDRAC's: the newest come first
        (logging(*range(1, 101), page=10), 2),  # upward: from its end
        (logging(*range(1, 101), page=10, skips=False), 10),  # upward, and its end cannot be named
    ],
)
def test_the_newest_entries(server, pages):
    """The newest entries are found in few requests, whichever way the log runs."""
    found, requests = read(server)

    assert [96, 97, 98, 99, 100] == [int(each.id) for each in found.entries]
    assert mark(100) == found.mark
    assert found.more
    assert pages == requests


@pytest.mark.parametrize("numbers", [range(1, 101), range(100, 0, -1)])
@pytest.mark.parametrize("page", [0, 7, 10])
def test_entries_since_a_mark(numbers, page):
    """Since a mark there are those that came after it, page by page as far as it takes."""
    found, _ = read(logging(*numbers, page=page), mark(75), limit=50)

    assert list(range(76, 101)) == [int(each.id) for each in found.entries]
    assert (False, mark(100)) == (found.cleared, found.mark)


def test_since_the_newest():
    """Where nothing came, nothing is told."""
    found, requests = read(logging(*range(1, 101), page=10), mark(100))

    assert () == found.entries
    assert 2 == requests


def test_what_the_witness_costs():
    """A mark costs three requests the first time, for the log is to be found; what is new since it, one."""
    server = logging(*range(1, 20))

    async def program(bmc: RedfishBmc) -> list[int]:
        await bmc.observe(Look())
        counts = [len(server.requests)]
        seen = await bmc.observe(Look(system=False, log=True))
        counts.append(len(server.requests))
        assert isinstance(seen.log, LogNews)
        seen = await bmc.observe(Look(system=False, log=True, since=seen.log.mark))
        counts.append(len(server.requests))
        assert isinstance(seen.log, LogNews)
        assert () == seen.log.entries
        return [after - before for before, after in itertools.pairwise(counts)]

    assert [3, 1] == with_panel(server, program)


def test_a_cleared_log():
    """A log that was cleared says so, and tells what came since."""
    server = logging(1, 2)
    server.documents[ENTRIES]["Members"][1]["Created"] = "2026-02-01T00:00:00Z"
    found, _ = read(server, mark(77))

    assert found.cleared
    assert ["2"] == [each.id for each in found.entries]


@pytest.mark.parametrize(
    ("told", "severity"),
    [
        ({"Severity": "Critical"}, Severity.CRITICAL),
        ({"Severity": "Warning"}, Severity.WARNING),
        ({"Severity": "OK"}, Severity.OK),
        ({"Severity": None, "MessageSeverity": "Critical"}, Severity.CRITICAL),
        ({"Severity": "Fatal"}, Severity.CRITICAL),
        ({"Severity": "Critical", "EntryCode": "Deassert"}, Severity.OK),  # it has ended
        ({"Severity": None}, Severity.UNKNOWN),
        ({"Severity": 5}, Severity.UNKNOWN),
    ],
)
def test_severities(told, severity):
    """Severities are told in one way, and unknown where the service tells none."""
    server = logging(1)
    server.documents[ENTRIES]["Members"] = [entry(1) | told]

    assert severity is read(server)[0].entries[0].severity


def test_entries_that_are_only_linked():
    """Where a collection only links its entries, as many as are wanted are read, the newest."""
    server = logging(*range(1, 11))
    members = server.documents[ENTRIES]["Members"]
    for member in members:
        server.documents[member["@odata.id"]] = member
    server.documents[ENTRIES]["Members"] = [{"@odata.id": member["@odata.id"]} for member in members]
    found, _ = read(server, limit=2)

    assert ["9", "10"] == [each.id for each in found.entries]
    assert 3 == len(server.seen(f"GET {ENTRIES}"))


def test_no_log():
    """A service without a log of the machine is unknown, not a log without entries."""
    assert isinstance(with_panel(ScriptedBmc(), lambda bmc: bmc.panel.log(None, limit=5)), Unknown)


@pytest.mark.parametrize("nonsense", [b"<html>", {"Members": "x"}, {"Members": [5, None, {"@odata.id": 7}]}, []])
def test_a_nonsensical_log(nonsense):
    """Whatever a log holds, it is read or unknown."""
    server = logging(1)
    server.documents[ENTRIES] = Reply(200, nonsense)

    assert isinstance(with_panel(server, lambda bmc: bmc.panel.log(None, limit=5)), LogNews | Unknown)


# -- virtual media ----------------------------------------------------------------------------------------------


def media(**slot: Any) -> tuple[ScriptedBmc, str]:
    """A system with one slot."""
    server = ScriptedBmc()
    place = f"{SYSTEM}/VirtualMedia/1"
    server.documents["/redfish/v1/Managers"] = collection(MANAGER)
    server.documents[SYSTEM]["VirtualMedia"] = {"@odata.id": f"{SYSTEM}/VirtualMedia"}
    server.documents[f"{SYSTEM}/VirtualMedia"] = collection(place)
    server.documents[place] = {"MediaTypes": ["CD", "DVD"], "Image": None, "Inserted": False, **slot}
    return server, place


@pytest.mark.parametrize("has_action", [True, False])
def test_media_goes_in_and_out(has_action):
    """Media are inserted, write-protected unless said otherwise, and ejected, by action or by PATCH of the slot."""
    insert, eject = (f"{SYSTEM}/VirtualMedia/1/Actions/VirtualMedia.{word}Media" for word in ("Insert", "Eject"))
    actions = {"#VirtualMedia.InsertMedia": {"target": insert}, "#VirtualMedia.EjectMedia": {"target": eject}}
    server, place = media(**({"Actions": actions} if has_action else {}))
    server.on(f"PATCH {place}", Reply(204), Reply(204))

    async def program(bmc: RedfishBmc) -> list[object]:
        slot = await bmc.media.free_slot(MediaKind.CD)
        assert slot is not None
        assert await bmc.media.free_slot(MediaKind.USB) is None
        return [await bmc.media.insert(slot, "http://s/x.iso", write_protected=False), await bmc.media.eject(slot)]

    receipts = with_panel(server, program)
    inserted = {"Image": "http://s/x.iso", "Inserted": True, "WriteProtected": False}

    assert all(isinstance(receipt, Accepted) for receipt in receipts)
    if has_action:
        assert [inserted, {}] == sent(server, "POST")
    else:
        assert [inserted, {"Image": None, "Inserted": False}] == sent(server)


# -- recorded -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tree", "system", "least", "most_requests", "log"),
    [
        ("dell-r750", None, 60, 4, ("Sel", "1024")),
        ("hpe-dl385g10p", None, 50, 4, ("IML", "5")),
        ("lenovo-sr670v2", None, 35, 4, ("PlatformLog", "5")),
        ("supermicro-821ge", None, 60, 4, ("Log1", "12")),
        ("nvidia-gb200", "System_0", 25, 70, ("SEL", "1014")),
        ("openbmc-stock", None, 1, 6, ("EventLog", "")),
    ],
)
def test_recorded(tree, system, least, most_requests, log):
    """Six recorded BMCs are read whole, in few requests; what they lack is unknown."""
    if TREES not in os.environ:
        pytest.skip(f"{TREES} names no recorded trees")
    server = ScriptedBmc(documents=Recorded(load_tree(find_tree(tree))))

    async def program(bmc: RedfishBmc) -> tuple[Any, ...]:
        acts, boot = await bmc.panel.power_acts(), await bmc.panel.boot_setting()
        await bmc.panel.indicator()
        await bmc.panel.secure_boot()
        await bmc.media.slots()
        before = len(server.requests)
        sensors = await bmc.panel.sensors()
        requests = len(server.requests) - before
        return acts, boot, sensors, requests, await bmc.panel.log(None, limit=20)

    acts, boot, sensors, requests, news = with_panel(server, program, system=system)

    assert {PowerAct.ON, PowerAct.FORCE_OFF, PowerAct.FORCE_RESTART} <= acts
    assert isinstance(boot.override, BootOverride)
    assert "Pxe" in boot.targets
    assert least <= len(sensors.sensors)
    assert requests <= most_requests
    assert log == (news.mark.log.rpartition("/")[2], news.mark.last)
    if least > 30:
        assert {SensorKind.TEMPERATURE, SensorKind.FAN, SensorKind.POWER} <= {each.kind for each in sensors.sensors}
        assert any(each.health is Health.OK for each in sensors.sensors)
