"""Is the failure the bundle's? What a failure shows by itself, then what it shows beside the other machines.

By itself (``sign_of``), from the steps of the attempt:

    nothing was written, or nothing that was written is in force yet        not the bundle's
    the host is not well once what was written is in force                  the bundle's
    an image or a setting was refused, failed, or did not take              open
    once it is in force a witness cannot be heard, or the event log objects  open
    the machine fell ill later, while its wave was watched                  open

What is open is decided beside the others (``attribute``), by exact tests: an image that other machines took well is
excused, since a fault of its own would hit one of five at least; an illness is held against the bundle where machines
with it fall ill more often than those without (Fisher's test), and excused where they do not. What stays open counts
as the bundle's: a lone canary cannot convict it, and must not acquit it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import exp, lgamma, log

from attrs import evolve, frozen

from .attempt import Attempt, StepRecord
from .blame import Beside, Blame, Sign, Symptom
from .bundle import Activation
from .event import AttemptResult, NodeFinished, Outcome
from .receipt import Ground, Refused
from .rollout import RolloutState
from .step import Flash, StageSettings, Write

LEVEL = 0.05
"""How improbable it must be that chance alone did it."""

SHARE = 0.2
"""Of the machines of a rollout, those that a fault of the bundle itself hits at least: one board revision of five."""


@frozen
class Cohort:
    """The machines of a rollout, without the one that is judged: with the bundle and without it, ill and well.

    *ill* are those that failed alike where one is judged beside its peers, else all whose failure may be the bundle's.
    """

    ill: int = 0
    well: int = 0
    ill_without: int = 0
    well_without: int = 0


@frozen
class Attribution:
    """Whose the failure is: *why* by itself, and what decided *beside* the other machines, if anything did."""

    blame: Blame
    why: str
    beside: str = ""

    @property
    def evidence(self) -> tuple[str, ...]:
        """On what that rests, in words."""
        return (self.why, self.beside) if self.beside else (self.why,)

    @property
    def counts(self) -> bool:
        """Whether it counts as the bundle's."""
        return self.blame is not Blame.ELSEWHERE


def sign_of(attempt: Attempt, result: AttemptResult) -> Sign:
    """Say what the end of *attempt*, which was to bring a bundle, shows by itself."""
    refused = next((r for r in attempt.steps if _is_of_bundle(r) and _is_turned_down(r)), None)
    if refused is not None and not attempt.has_begun:
        return Sign(Blame.UNDECIDED, f"the BMC turned it down: {_reason(refused)}", Beside.PEERS, Symptom.REFUSED)
    if not attempt.has_begun:
        return Sign(Blame.ELSEWHERE, "nothing of the bundle was written")
    if result is AttemptResult.ILL:
        return Sign(
            Blame.BUNDLE,
            "the host is not well with what was written, from when that came into force",
            symptom=Symptom.ILL,
        )
    failed = next((r for r in attempt.steps if r.outcome in (Outcome.FAILED, Outcome.UNSEEN)), None)
    if failed is not None or refused is not None:
        how = Symptom.BROKE_OFF if failed is not None and failed.outcome is Outcome.FAILED else Symptom.DID_NOT_TAKE
        return Sign(Blame.UNDECIDED, f"what was sent did not take: {_reason(failed or refused)}", Beside.PEERS, how)
    if _wrote_bmc(attempt):
        return Sign(Blame.UNDECIDED, _SILENT, Beside.PEERS, Symptom.UNHEARD)
    if not _in_force(attempt):
        return Sign(Blame.ELSEWHERE, "nothing of what was written was in force yet")
    return Sign(Blame.UNDECIDED, _UNHEARD, Beside.PEERS, Symptom.UNHEARD)


def sign_of_illness(seconds: float) -> Sign:
    """Say what it shows that a machine falls ill *seconds* after a bundle was committed on it."""
    return Sign(
        Blame.UNDECIDED, f"it fell ill {seconds:.0f} s after the bundle was committed", Beside.OTHERS, Symptom.ILL
    )


def attribute(sign: Sign, cohort: Cohort) -> Attribution:
    """Decide beside the other machines of the rollout."""
    total, total_without = cohort.ill + 1 + cohort.well, cohort.ill_without + cohort.well_without
    match sign.beside:
        case Beside.PEERS:
            chance = at_most(cohort.ill + 1, total, SHARE)
            told = f"{cohort.ill + 1} of {total} machines with the bundle failed so"
            if chance < LEVEL:
                excuse = f"{told}; a fault of its own would hit one of five at least: p = {chance:.2g}"
                return Attribution(Blame.ELSEWHERE, sign.why, excuse)
            return Attribution(Blame.UNDECIDED, sign.why, f"{told}; {_COUNTS}")
        case Beside.OTHERS:
            chance = fisher(cohort.ill + 1, total, cohort.ill_without, total_without)
            with_it = f"{cohort.ill + 1} of {total} machines with the bundle are ill"
            told = f"{with_it}, {cohort.ill_without} of {total_without} without it: p = {chance:.2g}"
            if chance < LEVEL and cohort.ill:  # one machine alone convicts nothing
                return Attribution(Blame.BUNDLE, sign.why, told)
            if cohort.ill_without and (cohort.ill + 1) * total_without <= cohort.ill_without * total:
                return Attribution(Blame.ELSEWHERE, sign.why, f"{told}; those without it fare no better")
            return Attribution(Blame.UNDECIDED, sign.why, f"{told}; {_COUNTS}")
        case Beside.NOBODY:
            return Attribution(sign.blame, sign.why)


def cohort_of(rollout: RolloutState, sign: Sign) -> Cohort:
    """Return the machines of *rollout* that are done, and those that wait, as they fared, beside a failure's *sign*."""
    begun = sum(map(len, rollout.waves[: rollout.wave + 1]))
    ill_while_waiting = sum(1 for node in rollout.ill_without if rollout.wave_of[node] > rollout.wave)
    return Cohort(
        ill=sum(number for each, number in rollout.tally.items() if _is_like(each, sign)),
        well=len(rollout.results) - len(rollout.failed),
        ill_without=len(rollout.ill_without),
        well_without=len(rollout.nodes) - begun - ill_while_waiting,
    )


def attribution_of(rollout: RolloutState, node: NodeFinished) -> Attribution:
    """Say whose the failure of a node is that is done, beside all that is known of the others by now."""
    sign = rollout.sign_of(node.node)
    return attribute(sign, _without_itself(cohort_of(rollout, sign)))


def counted(rollout: RolloutState) -> int:
    """Return how many of the failures of *rollout* count as the bundle's. Cost does not grow with the nodes."""
    return sum(
        number
        for sign, number in rollout.tally.items()
        if attribute(sign, _without_itself(cohort_of(rollout, sign))).counts
    )


def _is_like(sign: Sign, other: Sign) -> bool:
    if other.beside is Beside.PEERS:
        return (sign.beside, sign.symptom) == (other.beside, other.symptom)
    return sign.blame is not Blame.ELSEWHERE


def _without_itself(cohort: Cohort) -> Cohort:
    return evolve(cohort, ill=max(0, cohort.ill - 1))


def verdicts(rollout: RolloutState) -> Iterator[tuple[NodeFinished, Attribution]]:
    """Yield the failures of *rollout*, each with whose it is."""
    return ((end, attribution_of(rollout, end)) for end in rollout.failed)


_SILENT = "its BMC does not tell, and the bundle wrote that BMC's firmware"
_UNHEARD = "a witness speaks against what was written, or cannot be heard"
_COUNTS = "not decided, which counts as the bundle's"


@lru_cache(maxsize=4096)
def fisher(ill: int, total: int, ill_without: int, total_without: int) -> float:
    """Return how probable at least *ill* of *total* ill are by chance, beside *ill_without* of *total_without*.

    Fisher's exact test, one-sided: the hypergeometric tail.
    """
    all_ill = ill + ill_without
    fewest, most = max(0, all_ill - total_without), min(total, all_ill)
    if ill <= fewest:
        return 1.0
    at_ill = _log_ways(total, ill) + _log_ways(total_without, ill_without) - _log_ways(total + total_without, all_ill)
    falls = ((total - k) * (all_ill - k) / ((k + 1) * (total_without - all_ill + k + 1)) for k in range(ill, most))
    rises = (k * (total_without - all_ill + k) / ((total - k + 1) * (all_ill - k + 1)) for k in range(ill, fewest, -1))
    is_above_mode = (ill + 1) * (total + total_without + 2) > (total + 1) * (all_ill + 1)
    return _tail(at_ill, falls) if is_above_mode else 1.0 - (_tail(at_ill, rises) - exp(at_ill))


@lru_cache(maxsize=4096)
def at_most(hits: int, total: int, share: float) -> float:
    """Return how probable at most *hits* of *total* are where each is hit with probability *share* (binomial tail)."""
    if hits >= total:
        return 1.0
    if hits + 1 > share * (total + 1):  # beyond the most probable number: what lies above is the smaller sum
        return 1.0 - at_most(total - hits - 1, total, 1.0 - share)
    odds = (1.0 - share) / share
    at_hits = _log_ways(total, hits) + hits * log(share) + (total - hits) * log(1.0 - share)
    return _tail(at_hits, (k * odds / (total - k + 1) for k in range(hits, 0, -1)))


def _log_ways(total: int, chosen: int) -> float:
    """The logarithm of the binomial coefficient."""
    return lgamma(total + 1) - lgamma(chosen + 1) - lgamma(total - chosen + 1)


def _tail(first: float, ratios: Iterator[float]) -> float:
    """Sum probabilities from one whose logarithm is *first*; *ratios* lead from each to the next, ever smaller one."""
    term = sum_ = 1.0
    for ratio in ratios:
        term *= ratio
        sum_ += term
        if term < sum_ * 1e-18:
            break
    return min(1.0, exp(first + log(sum_)))


def _is_of_bundle(record: StepRecord) -> bool:
    return isinstance(record.step, (Flash, StageSettings))


def _is_turned_down(record: StepRecord) -> bool:
    return isinstance(record.receipt, Refused) and record.receipt.ground is Ground.SAID_NO


def _reason(record: StepRecord | None) -> str:
    if record is None:
        return ""
    return record.receipt.reason if isinstance(record.receipt, Refused) else record.evidence


def _wrote_bmc(attempt: Attempt) -> bool:
    return any(
        isinstance(r.step, Write) and r.step.writes_bmc and r.step.component in attempt.touched for r in attempt.steps
    )


def _in_force(attempt: Attempt) -> bool:
    """Whether anything that the attempt wrote may run by now; settings come into force with a restart."""
    return any(
        _is_of_bundle(record)
        and (
            (activation := getattr(record.step, "activation", Activation.HOST_RESET)) is Activation.IMMEDIATE
            or attempt.activated(activation, record.number)
        )
        for record in attempt.steps
    )
