"""A lineage's channel: which of its bundles is current, and which a node may go back to.

Rules:

- *epoch* never decreases. Within one epoch *current* only grows; a lineage is moved back by a new,
  signed channel of a higher epoch.
- *min_seq* never decreases either. What lies below is never sent again, forward or back.
- *rollback_to* lists where nodes may be brought back to without a new signature: every other bundle
  that is not withdrawn and not below *min_seq*, the newest `MOST_WAYS_BACK` of them.
- *withdrawn* names what is never sent again, with its digest: nodes may still carry it, and what it
  consists of must be known to bring them to another bundle.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import evolve, field, frozen

from ..errors import ManifestError, TrustError, UsageError
from .bundle import frozen_map
from .canonical import parse_json
from .identity import BundleId, Digest, Lineage

MOST_WAYS_BACK = 1000
"""Some 5 KB of a document that every node's orchestrator reads; nobody goes back further."""


@frozen
class Channel:
    """What the signed channel of one lineage says; see the module for the rules."""

    lineage: Lineage
    epoch: int
    current: int
    digest: Digest
    min_seq: int = 0
    rollback_to: tuple[int, ...] = ()
    withdrawn: Mapping[int, Digest] = field(factory=dict, converter=frozen_map)
    reason: str = ""
    extra: Mapping[str, Any] = field(factory=dict, converter=frozen_map)

    @property
    def id(self) -> BundleId:
        """The current bundle."""
        return BundleId(self.lineage, self.current)

    def published(self, bundle: BundleId, digest: Digest, *, min_seq: int | None = None, reason: str) -> Channel:
        """Return the channel once *bundle* is current; *min_seq* raises the floor.

        Raises:
            TrustError: it was withdrawn, lies below the floor, or the floor would be lowered.
        """
        if bundle.seq in self.withdrawn:
            raise TrustError(f"{bundle} was withdrawn", advice="Give the content that takes its place a new seq.")
        return self._with_current(bundle, digest, self.epoch, min_seq, reason)

    def moved_back(self, bundle: BundleId, digest: Digest, *, min_seq: int | None = None, reason: str) -> Channel:
        """Return the channel of the next epoch, in which the archived *bundle* is current again.

        Raises:
            TrustError: it was withdrawn, or lies below the floor.
            UsageError: it is current already.
        """
        if bundle == self.id:
            raise UsageError(f"{bundle} is current already")
        problem = self.why_not(bundle)
        if problem is not None:
            raise TrustError(problem, advice="Choose another bundle of 'rackwave bundle list', or publish a newer one.")
        return self._with_current(bundle, digest, self.epoch + 1, min_seq, reason)

    def archived(self, bundle: BundleId) -> Channel:
        """Return the channel once *bundle*, which is older than the current one, may be gone back to.

        Raises:
            TrustError: it was withdrawn, or lies below the floor.
        """
        if bundle.seq in self.withdrawn or bundle.seq < self.min_seq:
            raise TrustError(str(self.why_not(bundle)), advice="Publish what is wanted with a new seq.")
        kept = sorted({*self.rollback_to, bundle.seq}, reverse=True)[:MOST_WAYS_BACK]
        return evolve(self, rollback_to=tuple(sorted(kept)))

    def without(self, bundle: BundleId, digest: Digest, *, reason: str) -> Channel:
        """Return the channel once *bundle* is withdrawn.

        Raises:
            UsageError: it is the current one.
        """
        if bundle == self.id:
            raise UsageError(
                f"{bundle} is current and cannot be withdrawn as such",
                advice="Publish a newer bundle, or 'rackwave bundle revert' to an older one, first.",
            )
        return evolve(
            self,
            rollback_to=tuple(seq for seq in self.rollback_to if seq != bundle.seq),
            withdrawn={**self.withdrawn, bundle.seq: digest},
            reason=reason,
        )

    def raised(self, min_seq: int, *, reason: str) -> Channel:
        """Return the channel once nothing below *min_seq* is sent any more, not even to go back.

        Raises:
            TrustError: the current bundle lies below it.
        """
        return self._with_current(self.id, self.digest, self.epoch, max(min_seq, self.min_seq), reason)

    def why_not(self, bundle: BundleId) -> str | None:
        """Say why *bundle* must not be sent to a node, forward or back; None where it may."""
        if bundle.seq in self.withdrawn:
            return f"{bundle} was withdrawn by its publisher"
        if bundle.seq < self.min_seq:
            return f"{bundle} lies below the floor of its lineage, {self.lineage}.{self.min_seq}"
        if bundle.seq != self.current and bundle.seq not in self.rollback_to:
            return f"{bundle} is not among the bundles that lineage {self.lineage} may be brought to"
        return None

    def check_follows(self, before: Channel) -> None:
        """Refuse a channel that cannot come after *before*, which was verified earlier.

        Raises:
            TrustError: the epoch, the floor or, within one epoch, the current bundle went back.
        """
        if self.epoch < before.epoch:
            raise _went_back(self.lineage, "epoch", before.epoch, self.epoch)
        if self.min_seq < before.min_seq:
            raise _went_back(self.lineage, "floor (min_seq)", before.min_seq, self.min_seq)
        if self.epoch == before.epoch and self.current < before.current:
            raise _went_back(self.lineage, f"current bundle within epoch {self.epoch}", before.current, self.current)
        returned = sorted(before.withdrawn.keys() - self.withdrawn.keys())
        if returned:
            raise TrustError(
                f"the channel of lineage {self.lineage} no longer says that {self.lineage}.{returned[0]} was withdrawn",
                advice=_REPLAYED,
            )

    def document(self) -> dict[str, Any]:
        """Write it as plain JSON values."""
        return {
            **self.extra,
            "lineage": str(self.lineage),
            "epoch": self.epoch,
            "current": self.current,
            "digest": str(self.digest),
            "min_seq": self.min_seq,
            "rollback_to": list(self.rollback_to),
            "withdrawn": {str(seq): str(digest) for seq, digest in sorted(self.withdrawn.items())},
            "reason": self.reason,
        }

    def _with_current(self, bundle: BundleId, digest: Digest, epoch: int, min_seq: int | None, reason: str) -> Channel:
        floor = self.min_seq if min_seq is None else min_seq
        if floor < self.min_seq:
            raise TrustError(
                f"the floor of lineage {self.lineage} is {self.min_seq} and is never lowered to {floor}",
                advice="Publish what is wanted again, with a new seq.",
            )
        if bundle.seq < floor:
            raise TrustError(
                f"{bundle} lies below the floor of its lineage, {self.lineage}.{floor}",
                advice="Choose a bundle at or above the floor.",
            )
        others = {*self.rollback_to, self.current} - {bundle.seq}
        kept = sorted((seq for seq in others if seq >= floor), reverse=True)[:MOST_WAYS_BACK]
        return evolve(
            self,
            epoch=epoch,
            current=bundle.seq,
            digest=digest,
            min_seq=floor,
            rollback_to=tuple(sorted(kept)),
            reason=reason,
        )


def first_channel(bundle: BundleId, digest: Digest, *, min_seq: int | None = None, reason: str) -> Channel:
    """Return the channel of a lineage in which nothing was published before *bundle*."""
    floor = min_seq or 0
    return Channel(bundle.lineage, epoch=1, current=bundle.seq, digest=digest, min_seq=0).published(
        bundle, digest, min_seq=floor, reason=reason
    )


def read_channel(data: bytes, lineage: Lineage) -> Channel:
    """Read the channel of *lineage*.

    Raises:
        TrustError: it is none, or another lineage's.
    """
    try:
        document = parse_json(data, what=f"the channel of lineage {lineage}")
        match document:
            case {
                "lineage": str(named),
                "epoch": int(epoch),
                "current": int(current),
                "digest": str(digest),
                "min_seq": int(min_seq),
                "rollback_to": list(ways_back),
                "withdrawn": dict(withdrawn),
                "reason": str(reason),
                **rest,
            } if all(isinstance(seq, int) for seq in ways_back):
                channel = Channel(
                    Lineage(named),
                    epoch,
                    current,
                    Digest(digest),
                    min_seq,
                    tuple(ways_back),
                    {int(seq): Digest(gone) for seq, gone in withdrawn.items()},
                    reason,
                    rest,
                )
            case _:
                raise ManifestError("it lacks a field, or has one of a wrong type")  # noqa: TRY301 - told like the rest
    except (ManifestError, UsageError, ValueError) as error:
        raise TrustError(f"what is signed as the channel of lineage {lineage} is none: {error}") from error
    if channel.lineage != lineage:
        raise TrustError(
            f"what is signed as the channel of lineage {lineage} is that of lineage {channel.lineage}",
            advice="Whoever signs that lineage must sign its channel again: 'rackwave bundle publish'.",
        )
    return channel


_REPLAYED = (
    "Somebody shows an old state of the repository, or its publisher went back to a backup. Find out which before "
    "you deploy; what is deployed already can be recovered meanwhile."
)


def _went_back(lineage: Lineage, what: str, before: int, now: int) -> TrustError:
    return TrustError(
        f"the channel of lineage {lineage} went back: its {what} was {before} and is now {now}", advice=_REPLAYED
    )
