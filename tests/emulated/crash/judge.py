"""What must hold after a kill, whenever it came: the journal's word against the lab's truth.

One moment nobody can judge from outside: an upload's last bytes were announced and, as far as the journal goes, perhaps
sent, and no task tells. "The upload aborted" cannot be shown then, so that the rule demands a person (system.md, "Never
twice"): a node that was cut off there may be set aside, with that as its evidence, and the rollout may stop for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from emulated.crash.drill import FAILING, NODES, Drilled
from rackwave.core.event import (
    Acted,
    Assigned,
    AttemptStarted,
    Completing,
    Intended,
    NodeFinished,
    NodeResult,
    Quarantined,
)
from rackwave.core.goal import Cause
from rackwave.core.step import WriteImage

EXPECTED = {node: NodeResult.ROLLED_BACK if node == FAILING else NodeResult.ON_NEW for node in NODES}
UNDECIDABLE = "the BMC had the whole image, no task tells"
_VERSIONS = {NodeResult.ON_NEW: "2.0.0", NodeResult.ROLLED_BACK: "1.0.0", NodeResult.NOT_STARTED: "1.0.0"}


def complaints(over: Drilled) -> list[str]:
    """Say what is wrong; empty: all is well."""
    return [*_of_the_journal(over), *_of_the_lab(over)]


def _of_the_journal(over: Drilled) -> Iterator[str]:
    set_aside = {event.node: event.evidence for event in over.events if isinstance(event, Quarantined)}
    for node, evidence in set_aside.items():
        if node not in _cut_off(over) or UNDECIDABLE not in "; ".join(evidence):
            yield f"{node} was set aside: {'; '.join(evidence)}"
    expected = {node: NodeResult.QUARANTINED if node in set_aside else EXPECTED[node] for node in NODES}
    if set_aside:  # which may have stopped the rollout
        missed = [node for node in NODES if over.results.get(node) is NodeResult.NOT_STARTED]
        expected |= dict.fromkeys(missed, NodeResult.NOT_STARTED)
    if over.results != expected:
        yield f"ended as { ({node: str(result) for node, result in over.results.items()}) }"
    ended = Counter(event.node for event in over.events if isinstance(event, NodeFinished))
    yield from (f"{node} ended {times} times" for node, times in ended.items() if times != 1)
    assigned = {
        node: [str(e.bundle) for e in over.events if isinstance(e, Assigned) and e.node == node] for node in NODES
    }
    for node, bundles in assigned.items():
        wanted = ["A.1", "A.2"] if expected[node] is NodeResult.ON_NEW else ["A.1"]
        if list(dict.fromkeys(bundles)) != wanted:
            yield f"{node} was assigned {', '.join(bundles)}"
    rolled = {e.node for e in over.events if isinstance(e, AttemptStarted) and e.goal.cause is Cause.ROLLBACK}
    if rolled != {node for node in NODES if expected[node] is NodeResult.ROLLED_BACK}:
        yield f"rolled back: {', '.join(sorted(rolled)) or 'none'}"


def _cut_off(over: Drilled) -> set[str]:
    """Return the nodes to which an upload's last bytes were announced, and of which no answer was journalled."""
    announced = {(e.node, e.attempt, e.number) for e in over.events if isinstance(e, Completing) and not e.held}
    answered = {(e.node, e.attempt, e.number) for e in over.events if isinstance(e, Acted)}
    return {str(node) for node, _, _ in announced - answered}


def _of_the_lab(over: Drilled) -> Iterator[str]:
    for node, truth in over.nodes.items():
        bios = truth["installed"]["BIOS"]
        wanted = _VERSIONS.get(over.results.get(node, NodeResult.QUARANTINED))
        if wanted is not None and (bios["version"], bios["corrupt"], bios["staged"]) != (wanted, False, None):
            yield f"{node} has BIOS {bios}, and the journal says {over.results[node]}"
        well = (truth["power"], truth["post"], truth["health"])
        if well != ("On", "complete", "ok"):
            yield f"{node} is not well: {', '.join(map(str, well))}"
        if truth["double_flashes"]:
            yield f"{node} was flashed twice: {truth['writes']}"
        if truth["corruptions"]:
            yield f"{node} was spoilt: {truth['corruptions']}"
        begun = [write for write in truth["writes"] if write["flash_started_at"] is not None]
        intents = [
            e for e in over.events if isinstance(e, Intended) and e.node == node and isinstance(e.step, WriteImage)
        ]
        if len(begun) > len(intents):
            yield f"{node} was written {len(begun)} times for {len(intents)} intents"
    left, later = over.sessions
    if later or left > over.unknown:
        yield f"{left} sessions were left open, {later} of them for good"
