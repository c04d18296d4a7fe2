"""When a login must not even be tried: accounts are locked after a few that fail (P34).

Rules:
- Credentials that a BMC refused are never sent to it again: not by this process, not by a later one.
- Two refusals within `WINDOW` use the budget up, whichever credentials they were.
- A login that works, or a person who releases the node, wipes the slate.
- Redfish and IPMI are counted each for itself: an account may be allowed over one and not the other.

Credentials are told apart by a fingerprint that says nothing of them (engine/logins.py).
"""

from __future__ import annotations

from attrs import frozen

BUDGET = 2
"""Refusals within `WINDOW` before nothing more is tried. Makers lock or block from the third on (iDRAC's
IP blocking and Supermicro count to 3, XCC to 5), and a person at the BMC's own page may need one, too."""

WINDOW = 1800.0
"""Seconds in which refusals add up. Lock-outs and their counters end within 30 minutes by default."""

_KEPT = 8


@frozen
class RefusedLogin:
    """A login that the BMC refused, at epoch seconds *at*; *way*: over what, empty for Redfish."""

    fingerprint: str
    at: float
    reason: str = ""
    way: str = ""


def with_refusal(refused: tuple[RefusedLogin, ...], one: RefusedLogin) -> tuple[RefusedLogin, ...]:
    """Return *refused* with *one* more; the oldest are forgotten."""
    return (*refused, one)[-_KEPT:]


def without_way(refused: tuple[RefusedLogin, ...], way: str) -> tuple[RefusedLogin, ...]:
    """Return *refused* without those over *way*: a login over it worked."""
    return tuple(one for one in refused if one.way != way)


def why_not_log_in(refused: tuple[RefusedLogin, ...], fingerprint: str, now: float, way: str = "") -> str | None:
    """Return why the credentials of *fingerprint* must not be sent over *way* now; None where they may be."""
    refused = tuple(one for one in refused if one.way == way)
    same = next((one for one in reversed(refused) if one.fingerprint == fingerprint), None)
    if same is not None:
        ago = max(0.0, now - same.at)
        return f"the BMC refused these credentials {ago:.0f} s ago ({same.reason}), and they are not tried again"
    # A date in the future (our clock was set back) counts as recent.
    recent = [one for one in refused if now - one.at < WINDOW]
    if len(recent) >= BUDGET:
        wait = max(one.at for one in recent[-BUDGET:]) + WINDOW - now
        return f"the BMC refused {len(recent)} logins lately; the next is not tried for {min(wait, WINDOW):.0f} s"
    return None
