"""What must hold when a season is over, judged by the lab's truth against the journal's claims.

Of each node: it is on its new or its prior bundle, truly and well; or set aside with evidence. None is written without
an intent, flashed twice, spoilt, sent the new bundle before its wave, or sent by a recovery what was never assigned to
it. Without a fault it is on new, unless the budget stopped the rollout. And few are set aside that need not be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from emulated.table.verdict import Mark, known_misses
from rackwave.core.event import (
    Assigned,
    AttemptStarted,
    Event,
    Intended,
    NodeFinished,
    NodeResult,
    RolloutResult,
    WaveStarted,
)
from rackwave.core.gate import Well, judge
from rackwave.core.goal import Cause
from rackwave.core.history import NodeHistory
from rackwave.core.identity import NodeName
from rackwave.core.observation import Look
from rackwave.core.step import ResetBmc, ResetHost, WriteImage
from rackwave_emulators.faults import (
    HostDead,
    InventoryLags,
    LinkBreaks,
    OddVersions,
    ReadsIncomplete,
    RevivedBy,
    VersionsNeedHost,
)
from rig import BIOS
from soak.season import NEW, OLD, Season, fair
from truths import LONGEST, writes

MOST_GIVEN_UP = 0.02
"""Of all nodes, those that were set aside although nothing that befell them leaves anybody in doubt."""

_RECOVERIES = (Cause.RESTART, Cause.RESEND, Cause.ROLLBACK)
_HIDES = (InventoryLags, LinkBreaks, OddVersions, ReadsIncomplete, VersionsNeedHost)
_MENDED = (RevivedBy.RESTART, RevivedBy.REFLASH)
_LEFT_IN_DOUBT = "had the whole image"
"""What is said of a push that a kill cut off at its last bytes: nobody can know (docs/adr/0003)."""


def complaints(over: Season) -> list[str]:
    """Say what is wrong; empty: all is well."""
    told = [recorded.event for recorded in over.rig.journal.events()]
    ledger = over.rig.logbook().ledger
    found: list[str] = []
    for node in over.rig.nodes:
        story = [event for event in told if getattr(event, "node", node) == node]
        rules = (
            _of_end(over, node, ledger.node(node)),
            _of_writes(over, node, story),
            _of_goals(over, node, story),
        )
        found += [f"{node}: {what}" for rule in rules for what in rule]
    if over.state.finished is None or over.rig.clock.monotonic() > LONGEST:
        found.append("the rollout went on for too long")
    return [f"seed {over.seed}: {what}" for what in found]


def _of_end(over: Season, node: NodeName, history: NodeHistory) -> Iterator[str]:
    finished = over.state.results.get(node)
    if history.attempt is not None or history.recovery is not None:
        yield "something is still open"
    if finished is None or finished.result is NodeResult.NOT_STARTED:
        if over.state.finished is None or over.state.finished.result is not RolloutResult.STOPPED:
            yield "it has no result"
        return
    truth = over.rig.rack.machine(node).truth()
    match finished.result:
        case NodeResult.QUARANTINED:
            if not history.quarantined or not all(history.quarantined):
                yield "set aside without evidence"
            if _is_mended_by_recovery(over, node) and _LEFT_IN_DOUBT not in finished.reason:
                yield f"set aside, and a recovery mends what befell it: {finished.reason}"
        case NodeResult.ON_NEW | NodeResult.ROLLED_BACK:
            wanted = NEW if finished.result is NodeResult.ON_NEW else OLD
            bios = truth["installed"]["BIOS"]  # type: ignore[index]
            staged = None if _waits_unseen(over, bios, wanted) else bios["staged"]
            if (bios["version"], staged, bios["corrupt"]) != (wanted, None, False):
                yield f"{finished.result}, it says, and the BIOS is {bios}"
            well = (truth["power"], truth["post"], truth["health"])
            if _died_afterwards(over, node):
                return
            if well[:2] != ("On", "complete") or well[2] == "critical":
                yield f"{finished.result}, it says, and it is {' '.join(map(str, well))}"
    if finished.result is NodeResult.ON_NEW or _LEFT_IN_DOUBT in finished.reason:
        return
    if node not in over.faults:
        yield f"nothing befell it, and it is {finished.result}: {finished.reason}"
    elif _is_hidden_at_most(over, node):
        yield f"all that it took was patience, and it is {finished.result}: {finished.reason}"


def _waits_unseen(over: Season, bios: Mapping[str, Any], wanted: str) -> bool:
    """Whether the version that was there is staged again on a make that shows nothing of it: nobody can see that."""
    make = over.rig.personality
    return make is not None and not make.rules.shows_staged and bios["staged"] == wanted == OLD


def _died_afterwards(over: Season, node: NodeName) -> bool:
    """Whether the host died when the rollout had ended for it: that is another story."""
    deaths = over.rig.rack.machine(node).truth()["deaths"]
    return any(death["at"] > over.ends[node] for death in deaths)  # type: ignore[attr-defined]


def _is_hidden_at_most(over: Season, node: NodeName) -> bool:
    """Whether all that befell *node* is that its versions could not be read for a while."""
    given = over.faults.get(node, ())
    return bool(given) and node in fair(over.rig.nodes) and all(isinstance(fault, _HIDES) for fault in given)


def _is_mended_by_recovery(over: Season, node: NodeName) -> bool:
    """Whether all that befell *node* is a death that a restart or an image ends."""
    given = over.faults.get(node, ())
    return bool(given) and all(isinstance(fault, HostDead) and fault.revived_by in _MENDED for fault in given)


def _of_writes(over: Season, node: NodeName, story: Sequence[Event]) -> Iterator[str]:
    truth = over.rig.rack.machine(node).truth()
    log = writes(over.rig, node)
    is_dead = any(isinstance(fault, HostDead) for fault in over.faults.get(node, ()))
    doubles = [write for write in log if write["double_flash"] is not None]
    if doubles and not is_dead:  # a dead host is sent an image whatever waits (P41)
        yield f"flashed twice: {doubles}"
    for spoilt in truth["corruptions"]:  # type: ignore[attr-defined]
        by_us = _restarts(story, ResetBmc if "BMC" in spoilt["why"] else ResetHost)
        if "two writes" in spoilt["why"] or ("reset" in spoilt["why"] and by_us and not is_dead):
            yield f"spoilt: {spoilt['why']}"
    intended = {(e.step.digest, e.attempt) for e in story if isinstance(e, Intended) and isinstance(e.step, WriteImage)}
    for write in log:
        flashed = write["flash_started_at"] is not None and write["attempt"]
        if flashed and (write["digest"], write["attempt"]) not in intended:
            yield f"written without an intent: {write['image']}"


def _restarts(story: Sequence[Event], kind: type[ResetBmc | ResetHost]) -> bool:
    return any(isinstance(event, Intended) and isinstance(event.step, kind) for event in story)


def _of_goals(over: Season, node: NodeName, story: Sequence[Event]) -> Iterator[str]:
    old, new = over.bundles
    wave = next(index for index, names in enumerate(over.state.waves) if node in names)
    begun, ended, assigned = -1, 0, {old.id}
    for event in story:
        match event:
            case WaveStarted(_, index):
                begun = index
            case Assigned(bundle=bundle):
                assigned.add(bundle)
            case NodeFinished():
                ended += 1
            case AttemptStarted(goal=goal):
                if goal.bundle == new.id and begun < wave:
                    yield "sent the new bundle before its wave"
                if goal.cause in _RECOVERIES and goal.bundle not in assigned:
                    yield f"a recovery sent {goal.bundle}, which was never assigned to it"
            case _:
                pass
    if ended > 1:
        yield f"ended {ended} times"


def given_up(over: Season) -> list[NodeName]:
    """Return the nodes that were set aside, are well, and had none of the faults that are known to leave doubt."""
    make = over.rig.personality.name if over.rig.personality is not None else "plain"
    doubtful = {miss.key.split()[1] for miss in known_misses() if (miss.make, miss.mark) == (make, Mark.UNKNOWN)}
    found = []
    for node, finished in over.state.results.items():
        ids = {fault.id for fault in over.faults.get(node, ())}
        if finished.result is NodeResult.QUARANTINED and not ids & doubtful and _is_well(over, node):
            found.append(node)
    return found


def _is_well(over: Season, node: NodeName) -> bool:
    truth = over.rig.rack.machine(node).truth()
    bios = truth["installed"]["BIOS"]  # type: ignore[index]
    seen = over.rig.clock.run(over.rig.rack.bmc(node).observe(Look(components=frozenset({BIOS}))))
    return isinstance(judge(seen), Well) and not bios["corrupt"] and bios["staged"] is None


def told(over: Season) -> str:
    """Say in a line how a season came out, and how to see it again."""
    ends = Counter(str(finished.result) for finished in over.state.results.values())
    counted = ", ".join(f"{number} {what}" for what, number in sorted(ends.items()))
    return (
        f"seed {over.seed}: {counted}; {len(given_up(over))} given up, "
        f"{over.kills} kills, {over.takeovers} take-overs; "
        f"again with: pytest tests/soak --seeds {over.seed} --soak-nodes {len(over.rig.nodes)}"
    )
