"""Rules whose breach no other test would notice: each stands here because a mutant of it once lived."""

from __future__ import annotations

import pytest
from attrs import evolve

from rackwave.core.decision import Situation, Wait
from rackwave.core.finding import Holding
from rackwave.core.policy import Policy
from rackwave.core.receipt import Ambiguous
from rackwave.core.turn import decide
from values import BIOS, NODE, SILENT, attempt, bundle, goal, image, record, running, well, write

POLICY = Policy()
A2 = bundle("A.2", image(BIOS, "2"))
OLD = well({BIOS: "1"})


@pytest.mark.parametrize("tasks", [(running(),), (running(image="somebody-elses.img"),), SILENT])
def test_a_write_in_doubt_sends_no_reset_into_a_busy_bmc(tasks: object) -> None:
    """While a task runs that is a stranger's, or none can be read, the reset that would show more waits."""
    lost = record(1, write(image(BIOS, "2")), Ambiguous("no answer"), known_tasks=("/tasks/9",))
    seen = evolve(OLD, tasks=tasks)
    holding = Holding(0, whole=False)

    assert isinstance(decide(Situation(NODE, attempt(goal(A2), lost), A2, POLICY, 200.0, seen, holding)), Wait)
