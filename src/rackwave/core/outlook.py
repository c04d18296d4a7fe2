"""What each node of a rollout is expected to take, from what was timed.

A node takes what its images and resets took before, on it or its like, times what the nodes of this rollout that are
done took of that: looks, queues and slow days come in by themselves. Where nothing was timed, it takes what the middle
one of those took.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence

from .binding import meant
from .bundle import Bundle
from .eta import Eta, estimate
from .identity import BundleId, NodeName
from .ledger import Ledger
from .pace import usual_steps
from .rollout import RolloutState
from .window import Windows


def eta_of(
    rollout: RolloutState,
    ledger: Ledger,
    load: Callable[[BundleId], Bundle],
    now: float,
    own: Callable[[NodeName], Sequence[Windows]] = lambda _: (),
) -> Eta | None:
    """Say when *rollout* is done, from what *ledger* knows and the windows that nodes have of their own.

    None: it is over.
    """
    if rollout.finished is not None:
        return None
    bundle, took = load(rollout.bundle), ledger.took.by(rollout.id)
    plain = usual_steps(bundle)

    def timed(node: NodeName) -> float | None:
        bindings = ledger.node(node).bindings
        steps = usual_steps(meant(bundle, bindings, load)) if bundle.digest in bindings else plain
        known = [ledger.usual_of(step, node) for step in steps]
        found = [seconds for seconds in known if seconds is not None]
        return sum(found) if found and len(found) == len(known) else None

    shares = _shares((seconds, timed(node)) for node, seconds in took.items())
    share = statistics.median(shares) if shares else 1.0
    middle = statistics.median(took.values()) if took else None

    def expected(node: NodeName) -> float | None:
        seconds = timed(node)
        return middle if seconds is None else seconds * share

    ground = f"as those took that are done: {len(took)}" if took else "as its images and resets took before"
    return estimate(rollout, now, expected=expected, begun=ledger.took.begun(rollout.id), own=own, ground=ground)


def _shares(pairs: Iterable[tuple[float, float | None]]) -> list[float]:
    return [took / timed for took, timed in pairs if timed]
