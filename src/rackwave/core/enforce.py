"""Until when a node's own wishes count: its scheduler's work and windows, past a date that policy or bundle names.

What persons say is no wish of the node: a hold, a pause and an approval that is wanted stand, whatever the date.
"""

from __future__ import annotations

from attrs import evolve

from .bundle import Bundle
from .policy import Policy
from .window import utc


def for_bundle(policy: Policy, bundle: Bundle) -> Policy:
    """Return *policy* as it holds for *bundle*, which may have a date of its own: the earlier one counts."""
    own, given = bundle.manifest.enforced_from, policy.enforced_from
    if own is None or (given is not None and given <= own):
        return policy
    return evolve(policy, enforce_by=bundle.manifest.enforce_by)


def is_enforced(policy: Policy, now: float) -> bool:
    """Whether what *policy* was given for is done at *now*, whatever the node wants."""
    return policy.enforced_from is not None and now >= policy.enforced_from


def with_date(why: str, policy: Policy) -> str:
    """Return *why* a node waits, with a warning from when on it does no longer."""
    return why if policy.enforced_from is None else f"{why}; done all the same from {utc(policy.enforced_from)} on"
