"""What must hold when a run is over, judged by the lab's own truth against the journal's claims."""

from __future__ import annotations

from collections import Counter
from typing import Any

from rackwave.core.event import (
    Acted,
    Assigned,
    AttemptStarted,
    Event,
    Intended,
    NodeFinished,
    NodeResult,
    Quarantined,
    RolloutFinished,
    WaveStarted,
)
from rackwave.core.history import NodeHistory
from rackwave.core.identity import NodeName
from rackwave.core.receipt import Refused
from rackwave.core.rollout import RolloutState
from rackwave.core.step import SwitchBank, WriteImage
from rig import Rig

STRANGERS = "somebody-elses.img"
"""The image of an update that is not ours."""

LONGEST = 48 * 3600.0
"""Seconds of virtual time within which every run here must have ended: nothing may go in a circle."""


def assert_settled(rig: Rig, state: RolloutState) -> None:
    """Every node came to rest, none was flashed twice, and the journal tells the truth."""
    assert state.finished is not None
    assert rig.clock.monotonic() < LONGEST
    assert_never_twice(rig)
    for node in rig.nodes:
        assert_at_rest(rig, node)
    once = Counter(e for e in events(rig) if isinstance(e, (NodeFinished, WaveStarted, RolloutFinished)))
    ended = Counter(event.node for event in once if isinstance(event, NodeFinished))

    assert dict.fromkeys(once, 1) == dict(once), "said twice"
    assert dict.fromkeys(ended, 1) == dict(ended), "ended twice"
    assert set(state.results) >= {node for wave in state.waves[: state.wave + 1] for node in wave}


def assert_at_rest(rig: Rig, node: NodeName) -> None:
    """*node* is quarantined with evidence, or runs exactly what the journal says is assigned to it, and is well."""
    history = rig.logbook().node(node)

    assert history.attempt is None
    assert history.recovery is None
    if history.quarantined is not None:
        assert history.quarantined
        assert all(history.quarantined)
        return
    truth = rig.rack.machine(node).truth()
    installed, bios = truth["installed"], truth["bios"]
    assert isinstance(installed, dict)
    assert isinstance(bios, dict)
    for held in history.assigned.values():
        for element in rig.shelf.bundles[held.bundle].manifest.elements:
            if element.component is not None:
                assert (node, element.component, element.version) == (
                    node,
                    element.component,
                    installed[element.component]["version"],
                )
                assert not installed[element.component]["corrupt"]
                assert installed[element.component]["staged"] is None
            assert dict(element.attributes) == {name: bios[name] for name in element.attributes}
    assert ("On", "complete", "ok") == (truth["power"], truth["post"], truth["health"])


def assert_never_twice(rig: Rig) -> None:
    """No double flash by the lab's count; and the journal's intents and the machine's log agree on every write."""
    for node in rig.nodes:
        truth = rig.rack.machine(node).truth()
        log = writes(rig, node)

        assert [] == [record for record in log if record["double_flash"] is not None]
        assert 0 == truth["double_flashes"]
        assert [] == truth["corruptions"] or not _broken_by_us(truth)
        ours = [r for r in log if r["source"] != "rollback"]
        flashed = [r for r in ours if r["flash_started_at"] is not None and r["image"] != STRANGERS]
        recalled = Counter(r["component"] for r in log if r["source"] == "rollback")
        switches = Counter(component for component, _ in switched(rig, node))
        assert all(count <= switches[name] for name, count in recalled.items()), f"{node}: {recalled}, not {switches}"
        seen = Counter((r["component"], r["digest"], r["attempt"]) for r in flashed)
        intended = Counter(intents(rig, node))
        assert all(count == 1 for count in seen.values())
        assert all(intended[key] >= 1 for key in seen), f"{node} was written without an intent: {seen} {intended}"
        assert all(count == 1 for count in intended.values()), f"intended twice in one attempt: {intended}"


def _broken_by_us(truth: dict[str, Any]) -> bool:
    """Whether a component was spoilt by a reset or a second write of ours; a host that dies may spoil one by itself."""
    ours = ("two writes", "BMC was reset") if truth["deaths"] else ("two writes", "reset")
    return any(words in spoilt["why"] for spoilt in truth["corruptions"] for words in ours)


def switched(rig: Rig, node: NodeName) -> list[tuple[str, str]]:
    """Return component and attempt of every switch to another bank that was intended and not refused."""
    steps: dict[tuple[str, int], tuple[str, str]] = {}
    for event in events(rig):
        match event:
            case Intended(node=of, attempt=attempt, number=number, step=SwitchBank() as step) if of == node:
                steps[attempt, number] = (step.component, attempt)
            case Acted(node=of, attempt=attempt, number=number, receipt=Refused()) if of == node:
                steps.pop((attempt, number), None)
            case _:
                pass
    assert len(set(steps.values())) == len(steps), f"switched twice in one attempt: {steps}"
    return list(steps.values())


def intents(rig: Rig, node: NodeName) -> list[tuple[str, str, str]]:
    """Return component, digest and attempt of every write that was intended and not refused before it began."""
    steps: dict[tuple[str, int], tuple[str, str, str]] = {}
    for event in events(rig):
        match event:
            case Intended(node=of, attempt=attempt, number=number, step=WriteImage() as write) if of == node:
                steps[attempt, number] = (write.component, write.digest, attempt)
            case Acted(node=of, attempt=attempt, number=number, receipt=Refused()) if of == node:
                steps.pop((attempt, number), None)
            case _:
                pass
    return list(steps.values())


def writes(rig: Rig, node: NodeName) -> list[dict[str, Any]]:
    """Return the machine's own log of accepted updates."""
    log = rig.rack.machine(node).truth()["writes"]
    assert isinstance(log, list)
    return log


def events(rig: Rig) -> list[Event]:
    """Return the journal, in order."""
    return [recorded.event for recorded in rig.journal.events()]


def results(state: RolloutState) -> dict[str, NodeResult]:
    """Return how the rollout ended, node by node."""
    return {str(node): finished.result for node, finished in sorted(state.results.items())}


def history(rig: Rig, node: NodeName) -> NodeHistory:
    """Return what the journal says of *node*."""
    return rig.logbook().node(node)


def story(rig: Rig, node: NodeName) -> list[Event]:
    """Return what the journal says of *node*, in order."""
    return [event for event in events(rig) if getattr(event, "node", None) == node]


def attempts(rig: Rig, node: NodeName) -> list[tuple[str, str]]:
    """Return cause and bundle of every attempt at *node*."""
    return [(e.goal.cause.value, str(e.goal.bundle)) for e in story(rig, node) if isinstance(e, AttemptStarted)]


def quarantined(rig: Rig) -> list[NodeName]:
    """Return the nodes that wait for a person."""
    return [event.node for event in events(rig) if isinstance(event, Quarantined)]


def committed(rig: Rig, node: NodeName) -> list[str]:
    """Return the bundles that were committed on *node*, in order."""
    return [str(event.bundle) for event in story(rig, node) if isinstance(event, Assigned)]
