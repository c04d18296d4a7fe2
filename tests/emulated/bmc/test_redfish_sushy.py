"""A borrowed sushy on the adapter's own session."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys

import pytest
import sushy

from rackwave.bmc.redfish.bmc import RedfishBmc
from rackwave.bmc.redfish.trust import CaTrust
from rackwave.core.identity import NodeName
from rackwave.core.observation import Look, Power
from rackwave.errors import UsageError
from rackwave.ports import Credentials
from rackwave_emulators.clock import ScaledClock
from rackwave_emulators.faults import parse_fault
from rackwave_emulators.lab import Lab


def client(lab: Lab) -> RedfishBmc:
    """A client for the lab's only node."""
    return RedfishBmc(
        NodeName("r1n01"),
        lab.urls["r1n01"],
        lambda: Credentials("admin", "password"),
        clock=ScaledClock(),
        trust=CaTrust(lab.ca),
    )


def test_same_session():
    """A borrowed sushy works on our session: no second one is opened, and none is closed when sushy goes."""

    async def run(lab: Lab) -> None:
        bmc = client(lab)
        await bmc.observe(Look())
        lent = await bmc.sushy()
        power = await asyncio.to_thread(lambda: lent.get_system("/redfish/v1/Systems/1").power_state)
        assert sushy.PowerState.ON is power
        lent = None
        gc.collect()
        assert Power.ON is (await bmc.observe(Look())).power
        assert (1, 1) == _sessions(lab)
        await bmc.close()
        assert (1, 0) == _sessions(lab)

    with Lab(1) as lab:
        asyncio.run(run(lab))


def test_expired_session_is_refreshed_through_ours():
    """When the token expires under sushy, one new session serves both; eight threads make no more than that."""

    async def run(lab: Lab) -> None:
        bmc = client(lab)
        lent = [await bmc.sushy() for _ in range(8)]
        lab["r1n01"].sessions.forget()
        systems = [asyncio.to_thread(lambda s=s: s.get_system("/redfish/v1/Systems/1").identity) for s in lent]
        assert ["1"] * 8 == await asyncio.gather(*systems)
        assert Power.ON is (await bmc.observe(Look())).power
        assert (2, 1) == _sessions(lab)
        await bmc.close()

    with Lab(1) as lab:
        asyncio.run(run(lab))


@pytest.mark.parametrize("fault", ["answer-lost", "request-lost"])
def test_lost_post_is_not_replayed(fault):
    """A POST whose answer is lost arrives once and is an error to the script (P12); stock sushy sends three."""

    async def run(lab: Lab) -> None:
        bmc = client(lab)
        lent = await bmc.sushy()
        system = await asyncio.to_thread(lent.get_system, "/redfish/v1/Systems/1")
        lab["r1n01"].arm(parse_fault({"fault": fault, "method": "POST", "path": "Reset", "count": None}))
        before = lab.truth()["nodes"]["r1n01"]["requests"]
        with pytest.raises(sushy.exceptions.ConnectionError):
            await asyncio.to_thread(system.reset_system, sushy.ResetType.FORCE_RESTART)
        assert 1 == lab.truth()["nodes"]["r1n01"]["requests"] - before
        await bmc.close()

    with Lab(1) as lab:
        asyncio.run(run(lab))


def test_connection_is_kept():
    """All of sushy's requests share one connection beside ours."""

    async def run(lab: Lab) -> None:
        bmc = client(lab)
        lent = await bmc.sushy()
        for _ in range(5):
            await asyncio.to_thread(lent.get_system, "/redfish/v1/Systems/1")
        assert 2 == lab.truth()["nodes"]["r1n01"]["connections"]
        await bmc.close()

    with Lab(1) as lab:
        asyncio.run(run(lab))


def test_use_in_the_loop_is_refused():
    """To borrow in the event loop's own thread is refused instead of waiting for itself for ever."""
    from rackwave.bmc.redfish.sushy_bridge import borrow_sushy

    async def run(lab: Lab) -> None:
        bmc = client(lab)
        with pytest.raises(UsageError, match="own thread"):
            borrow_sushy(bmc.session, asyncio.get_running_loop())
        await bmc.close()

    with Lab(1) as lab:
        asyncio.run(run(lab))


def test_sushy_is_imported_late():
    """The adapter alone does not import sushy."""
    program = "import sys, rackwave.bmc.redfish.bmc; print('sushy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)

    assert "False" == done.stdout.strip()


def _sessions(lab: Lab) -> tuple[int, int]:
    node = lab.truth()["nodes"]["r1n01"]
    return node["sessions_opened"], node["sessions_open"]
