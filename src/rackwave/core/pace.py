"""When to look again: seldom while nothing can have changed, soon where the end is near.

Rules, for something that began *elapsed* seconds ago:
1. Never sooner than `Policy.poll`; never later than `Policy.poll_most`, nor past a deadline.
2. Where nothing is known, the wait grows with the time that has passed, by the fraction `Policy.late`:
   the end is seen at most that fraction late, and the number of looks grows like the logarithm of the
   duration.
3. Where it took some time before, nothing is looked at until shortly before that time.
4. A percentage tells the end too, but not every BMC's runs evenly: it may stretch the wait to one and a
   half times what has passed, or to five polls, and no further.
5. A BMC that is away is asked less and less often, and no two of a rack in step: what took them away
   together must not find them all asked at once when they come back.
6. What a BMC refuses for now is sent again when it said, never before, and a little after, each node at another
   moment. Where it refuses on and on, the wait grows as in rule 2: one that says "in 10 s" for half a day (P23)
   is asked once a minute.

Example: a flash of 10 minutes whose task tells its percentage, polled at 2 s, is looked at after 2, 4, 6,
16, 40 and 100 s, then once a minute, and 13 s past its end: 15 looks in place of 300. One that tells
nothing takes 35, and is seen to end up to a minute late.

No clock and no chance in here: the jitter is a hash of who waits and since when.
"""

from __future__ import annotations

import zlib
from typing import TypeAlias

from .bundle import Activation, Bundle
from .observation import Power
from .policy import Policy
from .step import ResetBmc, ResetHost, ResetKind, StageSettings, StartUpdate, Step, SwitchBank, WriteImage

_TRUST = 1.5
"""How far a percentage may stretch a wait, in times what has passed: one that lies costs no more than that."""

_TRUSTED_POLLS = 5
"""And in polls, so that a short write is not looked at again and again only because it is young."""

_NEAR = 0.1
"""How much sooner than the last time, or after how much of it again, something may be done."""

_FINE = 0.03
"""Of what has passed: the finest step of looks near an end that is expected and does not come. A
percentage that stays at 99 for an hour is not asked for every 2 s."""

_AWAY_MOST = 30.0
"""Seconds between two tries to reach a BMC. One that restarts is back in 90 to 200 s and costs nobody
anything meanwhile; beyond half a minute only the operator's patience would grow."""

_REMEMBERED = 8
"""Durations kept of one kind of thing; the shortest of them counts."""

Key: TypeAlias = tuple[str, ...]


def next_look(
    policy: Policy,
    elapsed: float,
    *,
    percent: int | None = None,
    usual: float | None = None,
    deadline: float | None = None,
) -> float:
    """Return for how many seconds nothing need be looked at.

    *percent* is what its task says now, *usual* what it took before (seconds), *deadline* the seconds
    left until the caller gives up, which a wait never passes by more than a poll.
    """
    wait = max(policy.poll, elapsed * policy.late)
    if usual is not None:
        wait = _toward(usual, elapsed, wait)
    if percent is not None and 0 < percent <= 100 and elapsed > 0:
        # Half a percent, for it is cut off; and just past the end, for a look before it is a look in vain.
        passed = min(percent + 0.5, 100.0)
        left = elapsed * (100.0 - passed) / passed
        aimed = left + max(policy.poll / 4, 0.02 * (elapsed + left))
        most = max(_TRUST * elapsed, _TRUSTED_POLLS * policy.poll)
        wait = min(max(aimed, _FINE * elapsed), most)
    wait = min(wait, max(policy.poll, policy.poll_most))
    if deadline is not None:
        wait = min(wait, deadline)
    return max(wait, policy.poll)


def _toward(usual: float, elapsed: float, unknown: float) -> float:
    """How long to wait for what took *usual* before; *unknown* where that no longer says anything."""
    if elapsed < (1.0 - _NEAR) * usual:
        return (1.0 - _NEAR) * usual - elapsed
    return _FINE * elapsed if elapsed < (1.0 + _NEAR) * usual else unknown


def first_look(policy: Policy, step: Step, *, usual: float | None = None) -> float:
    """Return the seconds from sending *step*, which was taken, to the first look at what came of it."""
    match step:
        case WriteImage() | SwitchBank() | StartUpdate():
            # Whatever it took before: an image that is refused or cannot be fetched fails in the first seconds.
            return policy.poll
        case StageSettings():
            return min(policy.poll, 1.0)
        case ResetHost() | ResetBmc():
            # Nothing restarts in 2 s: the quickest virtual machine takes 3, a server's POST minutes.
            return max(2 * policy.poll, next_look(policy, 0.0, usual=usual))


def away(policy: Policy, waited: float, who: str) -> float:
    """Return the seconds until *who*, of which nothing could be read for *waited* seconds, is tried again."""
    return spread(min(policy.poll * (1 + waited / 30), max(policy.poll, _AWAY_MOST)), who, waited)


def refused(policy: Policy, told: float, refused_for: float, who: str) -> float:
    """Return the seconds until *who*, which says to come back in *told*, is asked again what it refuses.

    *refused_for* is for how long it has refused it by now, in seconds.
    """
    return spread(max(told, next_look(policy, refused_for)), who, refused_for)


def spread(wait: float, who: str, moment: float) -> float:
    """Return *wait* or up to a quarter more: by chance, but the same for the same *who* and *moment*."""
    share = zlib.crc32(f"{who} {moment:.3f}".encode()) / 0xFFFFFFFF
    return wait * (1.0 + 0.25 * share)


class Durations:
    """What things took before, by node, image and machine; the shortest of the last few counts.

    A reset is timed on the node itself, or on another of its make and model; a write by its image too,
    so that the first nodes of a rollout teach the others. Grows by fold, like the ledger that holds it.
    """

    def __init__(self) -> None:
        self._known: dict[Key, tuple[float, ...]] = {}

    def copy(self) -> Durations:
        """Return the same knowledge, to be added to apart."""
        copied = Durations()
        copied._known = dict(self._known)
        return copied

    def add(self, step: Step, seconds: float, *, node: str, make: Key = ()) -> None:
        """Note that *step* took *seconds* on *node*."""
        for key in _keys(step, node, make):
            self._known[key] = (*self._known.get(key, ()), seconds)[-_REMEMBERED:]

    def usual(self, step: Step, *, node: str, make: Key = ()) -> float | None:
        """Return what *step* usually takes, in seconds; None where nobody knows."""
        return next((min(self._known[key]) for key in _keys(step, node, make) if key in self._known), None)


def usual_steps(bundle: Bundle) -> tuple[Step, ...]:
    """Return the steps that *bundle* takes on a node that has nothing of it yet, as far as their durations go."""
    digests = {payload.name: payload for payload in bundle.manifest.payloads}
    steps: list[Step] = []
    for element in bundle.manifest.elements:
        if element.kind.is_image and element.component is not None and element.payload in digests:
            payload = digests[element.payload]
            version, limit = element.version or "", element.time_limit
            steps.append(
                WriteImage(
                    element.name,
                    element.component,
                    version,
                    payload.name,
                    payload.digest,
                    payload.size,
                    element.activation,
                    limit,
                    "",
                )
            )
    activations = {element.activation for element in bundle.manifest.elements}
    if Activation.BMC_RESET in activations:
        steps.append(ResetBmc((), ""))
    if Activation.HOST_RESET in activations:
        steps.append(ResetHost(ResetKind.FORCE_RESTART, (), Power.ON, ""))
    return tuple(steps)


def _keys(step: Step, node: str, make: Key) -> tuple[Key, ...]:
    """Under what *step* is remembered, the closest first."""
    match step:
        case WriteImage():
            return ("write", node, step.component), ("write", step.component, str(step.digest))
        case SwitchBank():
            return (("switch", node, step.component), ("switch", step.component, step.version))
        case StartUpdate():
            return (("start", node, step.component), ("start", step.component, step.version))
        case ResetHost() | ResetBmc():
            kind = "reset-host" if isinstance(step, ResetHost) else "reset-bmc"
            return ((kind, node), (kind, *make)) if make else ((kind, node),)
        case StageSettings():
            return ()
