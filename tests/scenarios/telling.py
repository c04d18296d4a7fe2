"""Plays a scenario on a simulated rack and tells what happened, in an operator's words.

A scenario is two files: NAME.toml says what the rack is up against, NAME.txt is the story that must
come of it. ``python tests/scenarios/telling.py NAME …`` plays scenarios and writes their stories anew;
read what changed before you commit it.

NAME.toml holds:

* ``about``: what it shows, in a sentence; ``rollout``: the bundle to roll out.
* ``nodes``: how many (1); ``make``: a personality (plain); ``committed``: bundles, oldest first.
* ``keeps``: a component of which the machines keep what ran before (none).
* ``[policy]``: whatever differs from ``SHORT`` below.
* ``[bundles]``: images, ``settings`` as a table, and what nobody has an image of (``kept``), by bundle.
* ``[[faults]]``: ``node`` and the lab's own words for a fault (``fault``, and its parameters).
* ``[[silences]]``: ``node``, ``from`` and ``until``, in seconds: its BMC is not reachable.
* ``ipmi``: whether there is a second way to every BMC (false); ``outlet``: whether its mains can be cut (false).
* ``[[strangers]]``: ``node`` and ``component``: somebody else's update that runs when we begin.
"""

from __future__ import annotations

import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from rackwave.core import event as ev
from rackwave.core.identity import ComponentName, NodeName
from rackwave.core.policy import Policy
from rackwave.core.receipt import Accepted, Ambiguous, Receipt, Refused
from rackwave.core.step import describe
from rackwave.core.story import tell
from rackwave_emulators.clock import LAB_EPOCH
from rackwave_emulators.faults import parse_fault
from rackwave_emulators.images import make_image
from rackwave_emulators.personality import load_personality
from rackwave_emulators.sim import Wire, WireFate, calm
from rig import Rig, Shelf, keeping, nodes
from truths import STRANGERS

SHORT = {"canary": 0, "waves": 1, "failure_budget": 9, "poll": 5.0}
HERE = Path(__file__).parent


def play(name: str, folder: Path) -> tuple[Rig, str]:
    """Play the scenario *name*, with its images in *folder*, and return the rig as it was left, and the story."""
    script = tomllib.loads((HERE / f"{name}.toml").read_text("utf-8"))
    shelf, keeps = Shelf(folder), script.get("keeps")
    bundles = {
        name: shelf.bundle(
            name,
            {ComponentName(name): version for name, version in parts.items() if name not in ("settings", "kept")},
            settings=parts.get("settings"),
            kept=[ComponentName(name) for name in parts.get("kept", ())],
        )
        for name, parts in script["bundles"].items()
    }
    rig = Rig(
        shelf,
        nodes(script.get("nodes", 1)),
        policy=Policy(**{**SHORT, **script.get("policy", {})}),
        personality=keeping(ComponentName(keeps)) if keeps else load_personality(script.get("make", "plain")),
        ipmi=calm if script.get("ipmi") else None,
    )
    if script.get("outlet"):
        rig.outlet = lambda node: rig.rack.machine(node).cut_ac()
    rig.wires = {NodeName(s["node"]): _silence(rig, s["from"], s["until"]) for s in script.get("silences", ())}
    for committed in script.get("committed", ()):
        rig.clock.run(rig.assign(bundles[committed]))
    for fault in script.get("faults", ()):
        rig.rack.machine(fault["node"]).inject(parse_fault({k: v for k, v in fault.items() if k != "node"}))
    for stranger in script.get("strangers", ()):
        _begin_update(rig, stranger["node"], stranger["component"], folder)
    rig.run(bundles[script["rollout"]])
    return rig, _story(script["about"], rig)


def _silence(rig: Rig, begin: float, end: float) -> Wire:
    def wire(_: str) -> WireFate:
        return WireFate.SILENT if begin <= rig.clock.monotonic() < end else calm(_)

    return wire


def _begin_update(rig: Rig, node: str, component: str, folder: Path) -> None:
    machine = rig.rack.machine(node)
    facts = make_image(folder / "stranger.img", component=component, version="7.7.7", size=4096)
    machine.image_received(machine.begin_update(component, STRANGERS), facts)


def _story(about: str, rig: Rig) -> str:
    lines = [about, ""]
    for recorded in rig.journal.events():
        line = _line(recorded.event, rig)
        if line is not None:
            lines.append(f"{recorded.at - LAB_EPOCH:6.0f} s  {line}")
    lines.append("")
    for node in rig.nodes:
        truth = rig.rack.machine(node).truth()
        runs = ", ".join(f"{name} {held['version']}" for name, held in sorted(_table(truth["installed"]).items()))
        held = rig.assigned(node) or "nothing"
        lines.append(
            f"the lab: {node} runs {runs}; POST {truth['post']}, health {truth['health']}; assigned {held}; "
            f"{truth['flashes']} flashes, {truth['double_flashes']} double"
        )
    return "\n".join(lines) + "\n"


def _table(value: object) -> dict[str, Any]:
    assert isinstance(value, dict)
    return value


def _line(event: ev.Event, rig: Rig) -> str | None:
    match event:
        case ev.RolloutStarted(bundle=bundle):
            return f"rollout of {bundle} begins"
        case ev.WaveStarted(wave=wave):
            return f"wave {wave}"
        case ev.RolloutFinished(result=result, reason=reason):
            return f"the rollout is {result}" + (f": {reason}" if reason else "")
        case ev.Identified() | ev.ImageFetched() | ev.SessionOpened() | ev.SessionClosed() | ev.Completing():
            return None
        case _:
            words = _words(event, rig)
            return f"{event.node}  {words}" if words else None


def _words(event: ev.Event, rig: Rig) -> str | None:
    match event:
        case ev.AttemptStarted(goal=goal):
            what = f", {goal.mode} {' and '.join(sorted(goal.reassert))}" if goal.reassert else ""
            return f"{goal.cause} to {goal.bundle}{what}"
        case ev.Acted(node, attempt, number, receipt):
            intent = next(
                e
                for e in (recorded.event for recorded in rig.journal.events())
                if isinstance(e, ev.Intended) and (e.node, e.attempt, e.number) == (node, attempt, number)
            )
            return f"  {describe(intent.step)}: {_receipt(receipt)}"
        case ev.Reading(installed=installed):
            return f"  reading: {installed}"
        case ev.Resolved(outcome=outcome, evidence=evidence):
            return f"  {outcome}: {evidence}"
        case ev.AttemptEnded(result=result, evidence=evidence):
            return f"  -> {result}: {'; '.join(evidence)}"
        case ev.Attributed():
            return f"  -> {tell(event)}"
        case ev.RecoveryRequested(policy=policy, bundle=bundle, failed=failed, evidence=evidence):
            blame = f"back from {failed}" if failed is not None else f"on {bundle}"
            return f"recovery by {policy}, {blame}: {'; '.join(evidence)}"
        case ev.RecoveryEnded(bundle=bundle):
            return f"recovered on {bundle}"
        case ev.Quarantined(evidence=evidence):
            return "QUARANTINED\n" + "\n".join(f"{'':24}{line}" for line in evidence)
        case ev.NodeFinished(result=result):
            return f"is {result}"
        case _:
            return None


def _receipt(receipt: Receipt) -> str:
    match receipt:
        case Accepted(way=way):
            return f"taken by {way}" if way.startswith(("IPMI", "the command")) else "taken"
        case Refused(reason, retry_after):
            return f"refused ({reason})" + ("" if retry_after is None else f", again in {retry_after:.0f} s")
        case Ambiguous(reason):
            return f"in doubt ({reason})"


def main(names: list[str]) -> None:
    """Write the stories of *names*, or of all scenarios, beside them."""
    for name in names or sorted(path.stem for path in HERE.glob("*.toml")):
        with tempfile.TemporaryDirectory() as folder:
            (HERE / f"{name}.txt").write_text(play(name, Path(folder))[1], "utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    main(sys.argv[1:])
