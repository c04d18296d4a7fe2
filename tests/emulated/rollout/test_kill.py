"""kill -9 of the real process on a real journal: the next start finishes the work, and flashes nothing twice."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from processes import to_its_end
from rackwave.clock import SystemClock
from rackwave.core.identity import NodeName
from rackwave.engine.database import Database
from rackwave.engine.leases import Holder, Leases
from rackwave.records import JOURNAL
from workplace import Workplace


@pytest.mark.parametrize(
    ("writes", "personality"),
    [
        *((3, "plain"), (3, "openbmc"), (1, "idrac"), (1, "supermicro")),
        *(
            pytest.param(*each, marks=pytest.mark.long)
            for each in ((1, "plain"), (1, "openbmc"), (3, "idrac"), (3, "supermicro"))
        ),
    ],
)
def test_a_killed_rollout_is_finished_by_the_next_start(workplace: Workplace, writes: int, personality: str) -> None:
    """Killed after so many images were taken, the same command goes on and every node ends as it should."""
    workplace.make_bundles("A.1")
    workplace.run("deploy", "A.1")
    workplace.publish("A.2")
    workplace.inject("r1n03", {"fault": "flash-fails"})
    process = workplace.start("deploy", "A.2")

    came_to_it = workplace.wait_until(lambda: workplace.writes() >= writes, process=process)
    os.kill(process.pid, signal.SIGKILL)
    to_its_end(process)
    done = workplace.run("deploy", "A.2", "--json")
    truth = workplace.truth()

    assert came_to_it
    assert 4 == done.code, done.err
    assert {"r1n01": "2.0.0", "r1n02": "2.0.0", "r1n03": "1.0.0", "r1n04": "2.0.0"} == workplace.installed()
    assert (0, 0) == (truth["totals"]["double_flashes"], truth["totals"]["sessions_open"])


def test_an_interrupt_stops_at_a_safe_point_and_can_be_gone_on_with(workplace: Workplace) -> None:
    """SIGINT ends the command with 5 (waiting), and 'rollout resume' finishes the rollout."""
    workplace.make_bundles("A.1")
    workplace.run("deploy", "A.1")
    workplace.publish("A.2")
    process = workplace.start("deploy", "A.2")

    workplace.wait_until(lambda: workplace.writes() >= 1, process=process)
    process.send_signal(signal.SIGINT)
    _, err = to_its_end(process)
    other = workplace.run("deploy", "A.1")
    resumed = workplace.run("rollout", "resume", "--json")

    assert 5 == process.returncode, err
    assert "safe point" in err
    assert 2 == other.code
    assert "has not ended" in other.err
    assert 0 == resumed.code, resumed.err
    assert {"2.0.0"} == set(workplace.installed().values())
    assert 0 == workplace.truth()["totals"]["double_flashes"]


def test_two_orchestrators_do_not_touch_one_node(workplace: Workplace) -> None:
    """While one process holds the nodes another is refused with 5 and sends nothing."""
    workplace.make_bundles("A.1")
    workplace.run("deploy", "A.1")
    workplace.publish("A.2")
    process = workplace.start("deploy", "A.2")

    workplace.wait_until(lambda: workplace.writes() >= 1, process=process)
    second = workplace.run("deploy", "A.2")
    process.communicate(timeout=60)

    assert 5 == second.code, second.err
    assert "is held by" in second.err
    assert 0 == process.returncode
    assert (4, 0) == tuple(workplace.truth()["totals"][key] for key in ("flashes", "double_flashes"))


def test_a_rollout_begins_only_once_its_nodes_are_held(workplace: Workplace) -> None:
    """A deploy that is refused a lease leaves no rollout behind that nobody runs."""
    workplace.make_bundles("A.1")
    with _held(workplace, "r1n02"):
        refused = workplace.run("deploy", "A.1")
    listed = workplace.run("rollout", "list", "--json")

    assert 5 == refused.code, refused.err
    assert "is held by" in refused.err
    assert [] == listed.json


def test_an_unfinished_rollout_is_not_taken_for_one_of_other_nodes(workplace: Workplace) -> None:
    """Deploy goes on with a rollout of just these nodes; beside it, one to other nodes alone may be begun."""
    workplace.make_bundles("A.1")
    workplace.run("deploy", "A.1")
    workplace.publish("A.2")
    process = workplace.start("deploy", "A.2", "--nodes", "r1n[01-02]")
    workplace.wait_until(lambda: workplace.writes() >= 1, process=process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)

    others = [workplace.run("deploy", "A.2", *nodes) for nodes in ((), ("--nodes", "r1n01"))]
    beside = workplace.run("deploy", "A.2", "--nodes", "r1n04")
    same = workplace.run("deploy", "A.2", "--nodes", "r1n[01-02]")

    assert [2, 2] == [other.code for other in others]
    assert 0 == beside.code, beside.err
    assert all("r1n01, r1n02" in other.err and "going on" not in other.err for other in others)
    assert (0, "going on" in same.err) == (same.code, True)
    assert {"r1n01": "2.0.0", "r1n02": "2.0.0", "r1n03": "1.0.0", "r1n04": "2.0.0"} == workplace.installed()


@pytest.mark.parametrize("again", [("rollback", "A", "--nodes", "r1n01"), ("rollout", "resume")])
def test_a_killed_rollback_goes_back_once(workplace: Workplace, again: tuple[str, ...]) -> None:
    """Whichever command finishes a roll-back that was killed, the node is on its prior bundle, and not forth again."""
    workplace.make_bundles("A.1")
    workplace.run("deploy", "A.1", "--nodes", "r1n01")
    workplace.publish("A.2")
    workplace.run("deploy", "A.2", "--nodes", "r1n01")
    process = workplace.start("rollback", "A", "--nodes", "r1n01")

    workplace.wait_until(lambda: workplace.writes() >= 2, process=process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    done = workplace.run(*again)
    status = workplace.run("status", "--nodes", "r1n01", "--json").json[0]

    assert 0 == done.code, done.err
    assert ({"A": "A.1"}, {"A": "A.2"}) == (status["assigned"], status["prior"])
    assert "1.0.0" == workplace.installed()["r1n01"]
    assert (2, 0) == tuple(workplace.truth()["totals"][key] for key in ("flashes", "double_flashes"))


@contextmanager
def _held(workplace: Workplace, node: str) -> Iterator[None]:
    """Hold the lease of *node* as another process does: this one."""
    clock = SystemClock()
    database = Database.open(workplace.state / JOURNAL)
    leases = Leases(database, clock=clock, longest_deadline=60.0)

    try:
        lease = asyncio.run(leases.acquire(NodeName(node), Holder.here()))
        yield
        asyncio.run(leases.release(lease))
    finally:
        database.close()
