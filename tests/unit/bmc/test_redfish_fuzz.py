"""Whatever a BMC answers over Redfish, only typed errors come out, nothing hangs, and no session is left open.

The whole adapter is driven over real HTTP against answers that were spoilt in ever other ways, those of the
recorded machines among them. The budget is fixed, and so are the cases: a failure is one everywhere.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from mutations import MUTATIONS, Mutation
from scripted_bmc import SESSIONS, TASKS, Reply, Request, ScriptedBmc, client, collection, documents

from rackwave.bmc.redfish.bmc import RedfishBmc
from rackwave.bmc.redfish.transport import Timeouts
from rackwave.bmc.throttle import Throttle
from rackwave.core.boot import BootOverride, Lasting
from rackwave.core.identity import ComponentName, Digest
from rackwave.core.observation import Look, Observation, Unknown
from rackwave.core.power import PowerAct
from rackwave.core.receipt import Accepted, Ambiguous, Refused
from rackwave.core.settings_check import SettingsCheck
from rackwave.errors import BmcCertificateError, BmcLoginError, NodeError
from rackwave.ports import Image, ResetKind

TREES = Path(os.environ.get("RACKWAVE_TREES") or "/nowhere")
NAMES = ("dell-r750", "hpe-dl385g10p", "lenovo-sr670v2", "nvidia-gb200", "openbmc-stock", "supermicro-821ge")

BUDGET = settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
OF_A_TREE = settings(BUDGET, max_examples=25)

QUICK = Timeouts(connect=1.0, read=0.25, upload=0.5, retry=20.0, login=60.0)
LONGEST = 60.0
"""Real seconds for one example: several hundred requests, of which some meet their deadline."""


@define
class SpoiltBmc(ScriptedBmc):
    """Answers as *mutations* say."""

    mutations: tuple[Mutation, ...] = ()
    struck: set[str] = field(factory=set)
    """Sessions that were handed out by an answer of which something was changed."""

    def _reply(self, request: Request) -> Reply:
        reply = super()._reply(request)
        number = len(self.requests) - 1
        for mutation in self.mutations:
            if mutation.strikes(number):
                reply = mutation.of(reply)
                if request.method == "POST" and request.path.rstrip("/") == SESSIONS:
                    self.struck.add(f"{SESSIONS}/{self.logins}")
        return reply


def rich() -> dict[str, Any]:
    """The scripted service with tasks, settings and a registry, so that every reader has something to read."""
    found = documents()
    system = "/redfish/v1/Systems/1"
    found |= {
        TASKS: collection(f"{TASKS}/1", f"{TASKS}/2"),
        f"{TASKS}/1": {
            "@odata.id": f"{TASKS}/1",
            "TaskState": "Running",
            "PercentComplete": 5,
            "Messages": [{"Message": "m"}],
        },
        f"{TASKS}/2": {"@odata.id": f"{TASKS}/2", "TaskState": "Completed", "TaskStatus": "OK"},
        f"{system}/Bios": {
            "Attributes": {"Mode": "A", "Count": 3},
            "AttributeRegistry": "Reg.1.0",
            "@Redfish.Settings": {"SettingsObject": {"@odata.id": f"{system}/Bios/Settings"}},
        },
        f"{system}/Bios/Settings": {"@odata.etag": '"1"', "Attributes": {}},
        "/redfish/v1/Registries": collection("/redfish/v1/Registries/Reg"),
        "/redfish/v1/Registries/Reg": {"Location": [{"Language": "en", "Uri": "/redfish/v1/Registries/Reg.json"}]},
        "/redfish/v1/Registries/Reg.json": {
            "RegistryEntries": {
                "Attributes": [
                    {"AttributeName": "Mode", "Type": "Enumeration", "Value": [{"ValueName": "A"}, {"ValueName": "B"}]},
                    {
                        "AttributeName": "Count",
                        "Type": "Integer",
                        "LowerBound": 0,
                        "UpperBound": 9,
                        "ScalarIncrement": 1,
                    },
                ],
                "Dependencies": [{"DependencyFor": "Mode", "Type": "Map", "Dependency": {"MapFrom": [{}]}}],
            }
        },
    }
    return found


def recorded(name: str) -> dict[str, Any]:
    """The documents of a recorded machine, with and without a slash at the end."""
    resources = json.loads(gzip.decompress((TREES / f"{name}.json.gz").read_bytes()))["resources"]
    found: dict[str, Any] = {}
    for path, document in resources.items():
        found |= {path.rstrip("/"): document, f"{path.rstrip('/')}/": document}
    return {**found, "/redfish/v1/": found["/redfish/v1"]}


def looks(served: Mapping[str, Any]) -> tuple[Look, ...]:
    """Looks that between them ask for everything."""
    inventory = served.get("/redfish/v1/UpdateService/FirmwareInventory", {})
    members = inventory.get("Members", []) if isinstance(inventory, dict) else []
    names = [str(member["@odata.id"]).rstrip("/").rpartition("/")[2] for member in members[:2]]
    components = frozenset(ComponentName(name) for name in (*names, "BIOS") if name.isascii())
    return (
        Look(bmc=True, components=components, settings=True),
        Look(tasks=True, task=f"{TASKS}/1", components=components),
        Look(system=False, task=f"{TASKS}/404"),
    )


RECEIPT = (Accepted, Refused, Ambiguous)
PERSON = (BmcLoginError, BmcCertificateError)


async def drive(bmc: RedfishBmc, served: Mapping[str, Any], image: Image) -> None:
    """Ask *bmc* for everything that it can be asked for; whatever comes is of the kind that its port promises."""

    async def completing(*, held: bool = False) -> None:
        pass

    attributes = {"Mode": "B", "Count": 4}
    panel, inspection = bmc.panel, bmc.inspection
    asked: list[tuple[Callable[[], Awaitable[Any]], tuple[type, ...]]] = [
        *((lambda look=look: bmc.observe(look), (Observation,)) for look in looks(served)),
        (lambda: bmc.check_settings(attributes), (SettingsCheck, Unknown)),
        (lambda: bmc.configure(attributes), RECEIPT),
        (lambda: bmc.write(image, completing=completing), RECEIPT),
        (bmc.park, (type(None),)),
        (lambda: bmc.start_update(image.component), RECEIPT),
        *((lambda kind=kind: bmc.reset_host(kind), RECEIPT) for kind in ResetKind),
        (bmc.reset_bios, RECEIPT),
        (lambda: bmc.observe(Look(bmc=True, tasks=True)), (Observation,)),
        (bmc.reset_bmc, RECEIPT),
        (panel.power_acts, (frozenset, Unknown, type(None))),
        (lambda: panel.power(PowerAct.ON), RECEIPT),
        (panel.boot_setting, (object,)),
        (lambda: panel.set_boot(BootOverride("Pxe", Lasting.ONCE)), RECEIPT),
        (panel.secure_boot, (object,)),
        (lambda: panel.set_secure_boot(enabled=True), RECEIPT),
        (panel.indicator, (bool, Unknown)),
        (lambda: panel.set_indicator(on=True), RECEIPT),
        (panel.sensors, (object,)),
        (lambda: panel.log(None, limit=5), (object,)),
    ]
    for call, kinds in asked:
        try:
            found = await call()
        except PERSON:
            continue
        assert isinstance(found, kinds), found
        repr(found)
        json.dumps(repr(found)).encode()
    typed: list[Callable[[], Awaitable[Any]]] = [
        inspection.clock_ahead,
        inspection.open_sessions,
        bmc.media.slots,
        lambda: inspection.can_fetch("https://127.0.0.1/x"),
        lambda: bmc.close_leftover(f"{SESSIONS}/77"),
        lambda: bmc.listen(lambda: None),
    ]
    for call in typed:
        with suppress(NodeError):
            await call()


def play(served: Mapping[str, Any], mutations: list[Mutation], *, pushes: bool) -> None:
    """Drive one example from the first look to the close, and see to what is left."""
    open_uris: list[str] = []

    async def on_session(uri: str, opened: bool) -> None:
        open_uris.append(uri) if opened else (uri in open_uris and open_uris.remove(uri))

    async def run() -> tuple[SpoiltBmc, Throttle]:
        throttle = Throttle("", "", ceiling=4)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "image.bin"
            path.write_bytes(b"x" * 1000)
            image = Image(
                ComponentName("BIOS"),
                "2.0",
                Digest("sha256:" + "0" * 64),
                1000,
                path,
                "image.bin",
                "https://127.0.0.1/i/image.bin",
            )
            async with SpoiltBmc(documents=dict(served), mutations=tuple(mutations)) as server:
                bmc = client(
                    server,
                    timeouts=QUICK,
                    on_session=on_session,
                    throttle=throttle,
                    prefer="push" if pushes else "auto",
                )
                try:
                    await drive(bmc, served, image)
                finally:
                    await bmc.close()
                return server, throttle

    server, throttle = asyncio.run(asyncio.wait_for(run(), LONGEST))
    # What we could not end, since the BMC would not let us, is in the journal for the next run; what it never told
    # us of in a usable answer nobody can end.
    left = set(server.tokens.values()) - set(open_uris) - server.struck

    assert set() == left
    assert 0 == throttle.in_flight


@BUDGET
@given(mutations=MUTATIONS, pushes=st.booleans())
def test_only_typed_errors_come_out(mutations: list[Mutation], pushes: bool) -> None:
    """Of a service whose answers are spoilt come observations, receipts and our own errors, and nothing else."""
    play(rich(), mutations, pushes=pushes)


@pytest.mark.skipif(not TREES.is_dir(), reason="RACKWAVE_TREES names no recorded trees")
@pytest.mark.parametrize("name", NAMES)
def test_recorded_machines_spoilt(name: str) -> None:
    """The same holds for what real machines say, spoilt."""
    served = recorded(name)

    @OF_A_TREE
    @given(mutations=MUTATIONS, pushes=st.booleans())
    def spoilt(mutations: list[Mutation], pushes: bool) -> None:
        play(served, mutations, pushes=pushes)

    spoilt()


def test_an_honest_service_is_no_trouble() -> None:
    """Unspoilt, everything that is asked for is answered: what is fuzzed is reached."""
    play(rich(), [], pushes=False)
    play(rich(), [], pushes=True)


@pytest.mark.parametrize("at", range(0, 60, 4))
def test_silence_at_any_request(at: int) -> None:
    """A BMC that falls silent at any moment costs its deadlines, and nothing hangs."""
    play(rich(), [Mutation(at, 1, 2, "hang", 0, None)], pushes=False)
