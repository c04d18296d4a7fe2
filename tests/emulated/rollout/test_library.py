"""The library's plain face: in a script, in a notebook's running loop, after a fork."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator

import pytest

from rackwave.central import CentralAutomationSystem
from rackwave.core.event import ConditionChanged
from rackwave.core.identity import ComponentName
from rackwave.core.observation import Look, Power
from rackwave.core.report import NodeStatus
from rackwave.errors import StateError
from workplace import PASSWORD, Workplace


@pytest.fixture
def system(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> Iterator[CentralAutomationSystem]:
    """A system on the workplace's rack."""
    monkeypatch.setenv("LAB_USERNAME", "admin")
    monkeypatch.setenv("LAB_PASSWORD", PASSWORD)
    workplace.make_bundles("A.1")
    with CentralAutomationSystem(workplace.inventory, workplace.state) as system:
        yield system


def test_the_whole_job_in_a_script(workplace: Workplace, system: CentralAutomationSystem) -> None:
    """Publish, plan, deploy and roll back by plain calls."""
    system.deploy("A.1")
    system.publish(workplace.directory / "build" / "A.2", reason="test")
    plan = system.plan("A.2", nodes="r1n[01-02]")
    report = system.deploy("A.2", nodes="r1n[01-02]")
    back = system.rollback("r1n02", "A")

    assert ["r1n01", "r1n02"] == [node.node for node in plan.nodes]
    assert report.succeeded
    assert "A.1" == str(next(iter(back[0].history.assigned.values())).bundle)
    assert {"r1n01": "2.0.0", "r1n02": "1.0.0", "r1n03": "1.0.0", "r1n04": "1.0.0"} == workplace.installed()


def test_going_back_in_parts_from_a_script(workplace: Workplace, system: CentralAutomationSystem) -> None:
    """One component, forward again, and then all that the rollout did, from a system that has done nothing else yet."""
    system.deploy("A.1")
    system.publish(workplace.directory / "build" / "A.2", reason="test")
    report = system.deploy("A.2", nodes="r1n[01-02]")
    back = system.rollback("r1n01", "A", component="BIOS", reason="it hangs")
    between = workplace.installed()["r1n01"]
    with CentralAutomationSystem(workplace.inventory, workplace.state) as other:
        forward = other.bring_forward("r1n01", "A", "BIOS")
        every = other.rollback_rollout(str(report.state.id))

    assert (["BIOS"], "1.0.0") == ([str(each.component) for each in back[0].history.set_back], between)
    assert () == forward[0].history.set_back
    assert ["r1n01", "r1n02"] == [str(each.history.node) for each in every]
    assert {"1.0.0"} == set(workplace.installed().values())


def test_it_works_inside_a_running_loop(system: CentralAutomationSystem) -> None:
    """In a notebook a loop runs already; plain calls work all the same."""

    async def cell() -> bool:
        return system.deploy("A.1").succeeded

    assert asyncio.run(cell()) is True


def test_the_async_face_does_the_same(workplace: Workplace, system: CentralAutomationSystem) -> None:
    """What the plain face calls can be awaited."""
    statuses = system._loop.run(system.aio.status(look=True))

    assert 4 == len(statuses)
    assert {Power.ON} == {status.seen.power for status in statuses if status.seen is not None}


def test_a_watch_blocks_until_another_thread_stops_it(workplace: Workplace, system: CentralAutomationSystem) -> None:
    """What else is done through the same object goes its way beside it; the watch returns where the nodes stand."""
    system.deploy("A.1")
    system.publish(workplace.directory / "build" / "A.2", reason="test")
    seen = threading.Event()
    system.subscribe(lambda recorded: seen.set() if isinstance(recorded.event, ConditionChanged) else None)
    found: list[NodeStatus] = []
    watching = threading.Thread(target=lambda: found.extend(system.watch("r1n01")))
    watching.start()
    assert seen.wait(30)
    report = system.deploy("A.2")
    system.stop()
    watching.join(30)

    assert report.succeeded
    assert not watching.is_alive()
    assert ["answers"] == [each.history.sightings["bmc"].word for each in found]


def test_a_node_lends_a_live_sushy_on_our_session(workplace: Workplace, system: CentralAutomationSystem) -> None:
    """Sushy works through the session that we hold: the BMC sees no second one."""
    node = system.node("r1n01")
    seen = node.observe(Look(components=frozenset({ComponentName("BIOS")})))
    lent = node.sushy()

    assert "1.0.0" == seen.component(ComponentName("BIOS")).installed
    assert "On" == lent.get_system().power_state.value
    assert 1 == workplace.truth()["nodes"]["r1n01"]["sessions_open"]


def test_a_fork_is_noticed(system: CentralAutomationSystem) -> None:
    """In a forked child the system says whose it is, instead of waiting for a thread that is not there."""
    system.status()
    pid = os.fork()
    if pid == 0:
        try:
            system.status()
        except StateError:
            os._exit(17)
        os._exit(1)

    assert 17 == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
