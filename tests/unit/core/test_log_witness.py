"""The machine's own event log as the last witness: what is new and critical speaks against an attempt."""

from __future__ import annotations

import pytest
from attrs import evolve

from rackwave.core.bundle import Bundle, Witness
from rackwave.core.decision import Decision, Finish, See, Situation, Wait
from rackwave.core.event import AttemptResult, LogMarked, Outcome
from rackwave.core.gate import critical_events
from rackwave.core.history import NodeHistory, apply_to_node
from rackwave.core.log import LogEntry, LogMark, LogNews, Severity
from rackwave.core.observation import Look, Observation, Unknown
from rackwave.core.policy import Policy
from rackwave.core.turn import decide
from values import ATTEMPT, BIOS, NODE, attempt, bundle, goal, host_reset, image, record, taken, well, write

A2 = bundle("A.2", image(BIOS, "2"))
MARK = LogMark("SEL", "9", "2026-01-01T00:00:00Z")
DONE = attempt(
    goal(A2),
    record(1, write(image(BIOS, "2")), taken(), outcome=Outcome.DONE),
    record(2, host_reset(), taken(None), at=100.0, outcome=Outcome.DONE),
)
NEW = evolve(well({BIOS: "2"}), boot="boot-2")


def entry(message: str, severity: Severity = Severity.CRITICAL) -> LogEntry:
    """An entry of the log."""
    return LogEntry("10", "2026-01-01T00:10:00Z", severity, message)


def gate(
    seen: Observation, *, level: int = 1, mark: LogMark | None = MARK, asked: bool = True, to: Bundle = A2
) -> Decision:
    """Decide at the gate of an update that went well."""
    begun = evolve(DONE, is_marked=asked, mark=mark)
    return decide(Situation(NODE, begun, to, Policy(critical_events=level), 200.0, seen))


@pytest.mark.parametrize(
    "decision", [gate(NEW, level=0), gate(NEW, asked=False)], ids=["not asked by policy", "begun before it was asked"]
)
def test_it_costs_nothing_where_it_is_not_asked(decision):
    """Without the policy, or a mark from before the first act, the gate asks no log."""
    assert isinstance(decision, Finish)
    assert AttemptResult.LEVEL is decision.result


def test_the_log_is_asked_since_the_mark():
    """All else being well, the gate asks once what is new since the mark."""
    assert See(Look(system=False, log=True, since=MARK)) == gate(NEW)


@pytest.mark.parametrize(
    ("entries", "result"),
    [
        ((), AttemptResult.LEVEL),
        ((entry("Memory met an error that cannot be corrected."),), AttemptResult.FAILED),
        ((entry("Fan 3 is slow.", Severity.WARNING),), AttemptResult.LEVEL),
        ((entry("Something.", Severity.UNKNOWN),), AttemptResult.LEVEL),
        ((entry("The host's power is off."), entry("Memory failed.")), AttemptResult.FAILED),
        ((entry("The host's power is off."),), AttemptResult.LEVEL),
    ],
)
def test_new_critical_events_speak_against_it(entries, result):
    """A critical event that is new fails the attempt; a lesser one, and one of our own making, does not."""
    decision = gate(evolve(NEW, log=LogNews(MARK, entries)))

    assert isinstance(decision, Finish)
    assert result is decision.result
    assert any("critical events" in evidence for evidence in decision.evidence)


def test_a_bundle_asks_for_the_log():
    """A bundle whose element names the log has it asked, whatever the policy says, and waits for one that is silent."""
    asks = bundle("A.2", image(BIOS, "2", checks=(Witness.LOG,)))

    assert See(Look(system=False, log=True, since=MARK)) == gate(NEW, level=0, to=asks)
    assert isinstance(gate(evolve(NEW, log=Unknown("HTTP 500")), level=0, to=asks), Wait)


@pytest.mark.parametrize("seen", [evolve(NEW, log=Unknown("HTTP 500")), NEW])
@pytest.mark.parametrize("level", [1, 2])
def test_a_log_that_cannot_be_read(seen, level):
    """A log that is silent is a note in the evidence, and stands in the way only where policy says so."""
    decision = gate(seen, level=level, mark=MARK if isinstance(seen.log, Unknown) and seen is not NEW else None)

    if level == 1:
        assert isinstance(decision, Finish)
        assert AttemptResult.LEVEL is decision.result
        assert any("event log not heard" in evidence for evidence in decision.evidence)
    else:
        assert isinstance(decision, Wait)


@pytest.mark.parametrize(
    "message",
    [
        "The host's power is off.",
        "System Power: Powered Off",
        "Power cycle by command",
        "Host was reset.",
        "The iDRAC was restarted.",
        "Firmware of BIOS was updated to 2.0.0.",
        "Power supply 1 lost its input.",
    ],
)
def test_our_own_acts_do_not_count(message):
    """What an update enters by its own acts, critical on some makes, is no witness against it."""
    assert () == critical_events(LogNews(MARK, (entry(message),)))


@pytest.mark.parametrize(
    "message",
    [
        "Uncorrectable memory error in DIMM A1; restart the system.",
        "CPU 1 has an internal error (IERR).",
        "A fatal error was detected on a component at bus 0.",
        "The system board fail-safe voltage is outside of range.",
        "Fan 2 stopped: thermal shutdown.",
    ],
)
def test_others_do(message):
    """A fault is no act of ours because it speaks of power or restarts."""
    assert 1 == len(critical_events(LogNews(MARK, (entry(message),))))


def test_the_mark_is_kept_with_the_attempt():
    """The journalled mark belongs to its attempt, also where there was nothing to mark."""
    history = NodeHistory(NODE, attempt=DONE)
    marked = apply_to_node(history, LogMarked(NODE, ATTEMPT, MARK), 5.0).attempt
    silent = apply_to_node(history, LogMarked(NODE, ATTEMPT), 5.0).attempt

    assert marked is not None
    assert silent is not None
    assert (True, MARK) == (marked.is_marked, marked.mark)
    assert (True, None) == (silent.is_marked, silent.mark)
