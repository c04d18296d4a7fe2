"""How patient we are, how bold, and how much may fail: every number with its reason."""

from __future__ import annotations

import math
from typing import Any

from attrs import Attribute, field, frozen

from ..errors import UsageError
from .moment import ADVICE, moment
from .window import read_windows

GATE_UNKNOWNS = ("stop", "wait")
"""What it counts as where the gate cannot say for too long."""

APPROVALS = ("none", "after-canary", "each-wave")
"""Before which waves a person is asked."""


def _check(_policy: Policy, attribute: Attribute[Any], value: object) -> None:
    """Refuse what is not a number, negative, or no whole number where one is counted."""
    counted = attribute.type in (int, "int")
    kinds = int if counted else (int, float)
    if not isinstance(value, kinds) or isinstance(value, bool) or not math.isfinite(value) or value < 0:
        what = "a whole number" if counted else "a number of seconds"
        raise UsageError(f"policy {attribute.name} is {value!r}", advice=f"It takes {what}, 0 or more.")


def _check_percent(policy: Policy, attribute: Attribute[Any], value: object) -> None:
    _check(policy, attribute, value)
    if not isinstance(value, int) or value > 100:
        raise UsageError(f"policy {attribute.name} is {value!r}", advice="It takes a share from 0 to 100.")


def _check_one(policy: Policy, attribute: Attribute[Any], value: object) -> None:
    _check(policy, attribute, value)
    if value == 0:
        raise UsageError(f"policy {attribute.name} is 0", advice="It takes a whole number, 1 or more.")


def _check_text(_policy: Policy, attribute: Attribute[Any], value: object) -> None:
    if not isinstance(value, str):
        raise UsageError(f"policy {attribute.name} is {value!r}", advice="It takes a text in quotation marks.")


def _check_approval(policy: Policy, attribute: Attribute[Any], value: object) -> None:
    _check_text(policy, attribute, value)
    if value not in APPROVALS:
        raise UsageError(f"policy {attribute.name} is {value!r}", advice=f"One of {', '.join(APPROVALS)}.")


def _check_terms(policy: Policy, attribute: Attribute[Any], value: object) -> None:
    _check_text(policy, attribute, value)
    for term in _parts(str(value)):
        key, equals, wanted = term.partition("=")
        if not (key.strip() and equals and wanted.strip()):
            raise UsageError(
                f"policy {attribute.name} has {term!r} in it", advice="It takes label=value, commas between."
            )


def _check_moment(policy: Policy, attribute: Attribute[Any], value: object) -> None:
    _check_text(policy, attribute, value)
    if not value:
        return
    try:
        moment(str(value))
    except (ValueError, OverflowError) as error:
        raise UsageError(f"policy {attribute.name} is {value!r}", advice=ADVICE) from error


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _check_unknown(policy: Policy, attribute: Attribute[Any], value: object) -> None:
    _check_text(policy, attribute, value)
    if value not in GATE_UNKNOWNS:
        raise UsageError(f"policy {attribute.name} is {value!r}", advice=f"One of {', '.join(GATE_UNKNOWNS)}.")


def _check_window(policy: Policy, attribute: Attribute[Any], value: object) -> None:
    _check_text(policy, attribute, value)
    read_windows(str(value))


@frozen(kw_only=True)
class Policy:
    """The knobs of a rollout; times in seconds.

    Attributes:
        poll: The shortest time between two looks at a task or a booting host. BMCs answer in 50 to
            1,000 ms; 2 s keeps their web server free.
        poll_most: The longest, whatever is expected: a minute is how late the end of an hour's flash
            may be seen, and how old the news on a screen may be.
        late: How much later than it happened an end may be seen, as a fraction of what it took, where
            nothing tells when it will be; looks grow rarer by it (``core.pace``). 0.15 of a flash of
            5 minutes is 45 s, and costs 24 looks where one each 2 s would cost 150.
        settle: How long a write that nobody saw begin must stay unseen before it may count as never
            begun. BMCs queue a pull for up to half a minute.
        reading_gap: Between the two fresh readings that such a verdict needs.
        write_limit: Upper bound on any element's own time limit.
        reset_timeout: From a reset to a completed POST. Memory training on large machines takes
            10 minutes; BMCs took 90 to over 200 s to come back (P36).
        steady: How long a BMC that was away must have answered without a gap before it is trusted: it flaps (P36).
        effect_timeout: From a completed POST to the new version in the inventory, which lags by
            minutes on some (P46).
        unknown_timeout: How long something that decides may stay unreadable.
        busy_timeout: How long a stranger's task, or a BMC that says "busy", is waited for (P22, P23). Sessions
            that others left open expire after 30 minutes on many (P26); 40 outlast them.
        retries: New attempts with the same bundle after one in which provably nothing was written.
        recoveries: Failures of a host, unrelated to any bundle, that are mended before a person must look.
        bmc_resets: Restarts of a BMC that no longer answers, in one attempt: one by the gentlest means, one
            by the next where that changed nothing. 0: none.
        bmc_resets_a_day: The same in 24 hours, whatever the attempt. A BMC that needs more has a fault
            that restarts do not mend, and some wear their flash at each start.
        critical_events: Whether the machine's own event log is a witness: 0, it is not asked; 1, a critical
            event that is new since the attempt began speaks against it; 2, so does a log that cannot be read.
            It costs a node four requests.
        validated: 1: a bundle is planned only for makes and models on which a signed record says that it was
            proven (``rackwave bundle attest``). Going back asks for none.
        canary: Nodes in the first wave, alone. 0: no canary.
        waves: Waves after the canary, of equal size; 0 counts as 1.
        failure_budget: Nodes that may fail because of the bundle before the rollout stops. A canary
            that fails always stops it.
        failure_budget_percent: The same as a share of all nodes; whichever is more counts.
        other_failures_percent: Share of all nodes that may fail for other reasons (``core.attribution``); at least
            as many as the budget for the bundle's own. Where more do, something is wrong with the room, not the rack.
        wave_most: Nodes of one wave, at most: that many can be away at once. 0: as ``waves`` has it.
        wave_percent: The same as a share of the nodes after the canary. 0: no such bound.
        domain: Labels that name failure domains, parted by commas (``rack,power``). Empty: none.
        domain_most: Nodes of one failure domain in one wave.
        soak: Seconds for which the nodes of a wave are watched before the next one starts, and before the rollout
            counts as done after the last: what a new bundle does to a machine may take its time.
        approval: ``none``, ``after-canary`` or ``each-wave``: before which waves a person is asked.
        window: When work on a node may begin (``core.window``); a roll-back or a recovery waits for no window.
        gate_timeout: How long a gate that cannot say (``core.gating``) holds a wave before that counts as
            ``gate_unknown`` says. Metrics lag by minutes and their server restarts; an hour is neither.
        gate_unknown: ``stop``: then the rollout is stopped. ``wait``: a person must pause or abort it.
        first: Labels of the nodes that come first (``tier=test,tier=staging``), the others after them: what can best
            be spared goes ahead, and its first ones are the canary. Empty: all in their order.
        enforce_by: From this date and time on a node's scheduler and maintenance windows no longer keep it waiting
            (``core.enforce``). Empty: never.
        recovery: The policy for failures not related to a bundle; names in ``core.recovery``.
        watch: Between two looks at a node that waits for its wave.
    """

    poll: float = field(default=2.0, validator=_check)
    poll_most: float = field(default=60.0, validator=_check)
    late: float = field(default=0.15, validator=_check)
    settle: float = field(default=60.0, validator=_check)
    reading_gap: float = field(default=10.0, validator=_check)
    write_limit: float = field(default=7200.0, validator=_check)
    reset_timeout: float = field(default=1200.0, validator=_check)
    steady: float = field(default=10.0, validator=_check)
    effect_timeout: float = field(default=300.0, validator=_check)
    unknown_timeout: float = field(default=600.0, validator=_check)
    busy_timeout: float = field(default=2400.0, validator=_check)
    retries: int = field(default=2, validator=_check)
    recoveries: int = field(default=3, validator=_check)
    bmc_resets: int = field(default=2, validator=_check)
    bmc_resets_a_day: int = field(default=4, validator=_check)
    critical_events: int = field(default=0, validator=_check)
    validated: int = field(default=0, validator=_check)
    canary: int = field(default=1, validator=_check)
    waves: int = field(default=2, validator=_check)
    failure_budget: int = field(default=1, validator=_check)
    failure_budget_percent: int = field(default=0, validator=_check_percent)
    other_failures_percent: int = field(default=20, validator=_check_percent)
    wave_most: int = field(default=0, validator=_check)
    wave_percent: int = field(default=0, validator=_check_percent)
    domain: str = field(default="", validator=_check_text)
    domain_most: int = field(default=1, validator=_check_one)
    soak: float = field(default=0.0, validator=_check)
    approval: str = field(default="none", validator=_check_approval)
    window: str = field(default="", validator=_check_window)
    gate_timeout: float = field(default=3600.0, validator=_check)
    gate_unknown: str = field(default="stop", validator=_check_unknown)
    first: str = field(default="", validator=_check_terms)
    enforce_by: str = field(default="", validator=_check_moment)
    recovery: str = "resend-then-prior"
    watch: float = field(default=15.0, validator=_check)

    @property
    def domains(self) -> tuple[str, ...]:
        """The labels that name failure domains."""
        return _parts(self.domain)

    @property
    def firsts(self) -> tuple[tuple[str, str], ...]:
        """The labels, with their values, of the nodes that come first, in order."""
        terms = (term.partition("=") for term in _parts(self.first))
        return tuple((key.strip(), value.strip()) for key, _, value in terms)

    @property
    def enforced_from(self) -> float | None:
        """When a node's own wishes end, in epoch seconds; None: never."""
        return moment(self.enforce_by) if self.enforce_by else None
