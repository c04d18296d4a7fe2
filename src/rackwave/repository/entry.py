"""What a layout's ``index.json`` says about a bundle, as annotations beside the bundle's digest.

Annotations are not signed. They say what is current and when and why it was published; whatever a
bundle *does* is read from its signed manifest alone.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum

from attrs import evolve, frozen

from ..core.bundle import Bundle
from ..core.identity import BundleId, Digest
from ..errors import StateError, UsageError
from .layout import INDEX_TYPE, REF_NAME, Descriptor

LINEAGE = "vnd.rackwave.bundle.lineage"
SEQ = "vnd.rackwave.bundle.seq"
DIGEST = "vnd.rackwave.bundle.digest"
PURPOSE = "vnd.rackwave.bundle.purpose"
STATE = "vnd.rackwave.bundle.state"
PUBLISHED_AT = "vnd.rackwave.bundle.published-at"
REASON = "vnd.rackwave.bundle.reason"
KEPT = "vnd.rackwave.bundle.kept"

_LONGEST_TEXT = 1000  # index.json is read whole on every load; the manifest has the full purpose


class State(StrEnum):
    """Whether new rollouts aim at a bundle (118), it is kept for the way back (120), or never sent again."""

    CURRENT = "current"
    ARCHIVE = "archive"
    WITHDRAWN = "withdrawn"


@frozen
class Entry:
    """One published bundle. *digest* is the bundle's own (its signed content); *published_at* is epoch seconds.

    *kept* is why it stays whatever the retention policy says; empty where nobody asked for that.
    """

    id: BundleId
    state: State
    digest: Digest
    published_at: float
    purpose: str
    reason: str
    kept: str = ""


def offer(index: Descriptor, bundle: Bundle) -> Descriptor:
    """Return *index* annotated as the one bundle of a layout that was built; no dates, so that builds are alike."""
    annotations = {
        REF_NAME: str(bundle.id),
        LINEAGE: str(bundle.id.lineage),
        SEQ: str(bundle.id.seq),
        DIGEST: str(bundle.digest),
        PURPOSE: bundle.manifest.purpose[:_LONGEST_TEXT],
    }
    return Descriptor(INDEX_TYPE, index.digest, index.size, annotations)


def offered_id(descriptor: Descriptor) -> BundleId | None:
    """Return which bundle a descriptor claims to be, None where it claims to be none.

    The ref name alone says it: tools that copy layouts keep that annotation and drop the others.
    """
    return tagged_id(descriptor.annotations.get(REF_NAME, ""))


def tagged_id(tag: str) -> BundleId | None:
    """Return the bundle that a tag claims to be, None where it claims to be none."""
    try:
        return BundleId.parse(tag)
    except UsageError:
        return None


def publish(offered: Descriptor, *, at: float, reason: str, state: State = State.CURRENT) -> Descriptor:
    """Return the descriptor of a bundle that is entered, as the current one or into the archive."""
    date = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    added = {STATE: state.value, PUBLISHED_AT: date, REASON: reason[:_LONGEST_TEXT]}
    return evolve(offered, annotations={**offered.annotations, **added})


def put_into(descriptor: Descriptor, state: State) -> Descriptor:
    """Return the descriptor of a published bundle that is in *state* from now on."""
    return evolve(descriptor, annotations={**descriptor.annotations, STATE: state.value})


def keep(descriptor: Descriptor, reason: str) -> Descriptor:
    """Return the descriptor of a bundle that stays because of *reason*; an empty one lets it go."""
    others = {name: value for name, value in descriptor.annotations.items() if name != KEPT}
    return evolve(descriptor, annotations={**others, **({KEPT: reason[:_LONGEST_TEXT]} if reason else {})})


def is_published(descriptor: Descriptor) -> bool:
    """Whether a descriptor is a published bundle, not something that somebody else keeps in the same layout."""
    return STATE in descriptor.annotations


def read_entry(descriptor: Descriptor) -> Entry:
    """Read what is said about a published bundle.

    Raises:
        StateError: the annotations are damaged.
    """
    said = descriptor.annotations
    try:
        return Entry(
            id=BundleId.parse(said[REF_NAME]),
            state=State(said[STATE]),
            digest=Digest(said[DIGEST]),
            published_at=datetime.fromisoformat(said[PUBLISHED_AT]).timestamp(),
            purpose=said.get(PURPOSE, ""),
            reason=said.get(REASON, ""),
            kept=said.get(KEPT, ""),
        )
    except (KeyError, ValueError, UsageError) as error:
        raise StateError(
            f"index.json says something about {said.get(REF_NAME, descriptor.digest)!r} that cannot be read: {error}",
            advice="Restore the repository's index.json from a backup.",
        ) from error
