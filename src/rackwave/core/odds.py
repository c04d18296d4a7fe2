"""What may go wrong in a rollout that is simulated, as shares of its nodes."""

from __future__ import annotations

from attrs import Attribute, asdict, field, frozen

from ..errors import UsageError


def _check_share(_: object, attribute: Attribute[float], value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise UsageError(f"{attribute.name} is a share of the nodes, and {value:g} is none", advice="From 0 to 100 %.")


@frozen(kw_only=True)
class Odds:
    """The share of nodes, from 0 to 1, that each kind of misfortune meets; every node draws for itself.

    Attributes:
        fail: The bundle does not agree with them: the host does not boot on it, its health is critical, a flash
            breaks off. Each such deployment fails, whatever is tried.
        die: The host dies by itself at some moment; a restart helps most of them, others their bundle sent again.
        trouble: The BMC shows one to three of the pathologies that pass by themselves: answers are lost, it is busy,
            it restarts in the midst of something.
    """

    fail: float = field(default=0.0, validator=_check_share)
    die: float = field(default=0.0, validator=_check_share)
    trouble: float = field(default=0.0, validator=_check_share)

    def document(self) -> dict[str, float]:
        """Return them as JSON values."""
        return asdict(self)


def read_share(text: str) -> float:
    """Read ``3%``, ``3 %`` or ``0.03`` as a share from 0 to 1.

    Raises:
        UsageError: it is neither.
    """
    words = text.strip()
    try:
        share = float(words.removesuffix("%")) / 100 if words.endswith("%") else float(words)
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise UsageError(f"{text!r} is no share of the nodes", advice="Write it like 3% or 0.03.")
    return share
