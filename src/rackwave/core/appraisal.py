"""What speaks against a draft, and what a person should know of it: a policy publishes nothing that something does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import frozen

from .bundle import Manifest
from .feed import Feed, FeedPolicy
from .lint import Level, LintFinding, lint
from .release import Ground
from .release_book import ReleaseRecord


@frozen
class Appraisal:
    """*faults* forbid publication, *objections* want a person's consent, *notes* are worth to know."""

    faults: tuple[str, ...] = ()
    objections: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def waits(self, feed: Feed) -> str:
        """Say for what the draft waits; empty where the feed's policy publishes it."""
        if self.faults:
            return "a draft without faults"
        if feed.policy is FeedPolicy.DRAFT:
            return "approval"
        return "approval, since something speaks against it" if self.objections else ""


def appraise(
    record: ReleaseRecord, manifest: Manifest, current: Manifest | None, *, said: Iterable[str], notes: Iterable[str]
) -> Appraisal:
    """Appraise the draft *manifest* of a release.

    Args:
        record: The release.
        manifest: What it is to become.
        current: What it replaces, if anything.
        said: The versions that the package itself says.
        notes: What its importer says.
    """
    known = {_key(finding) for finding in lint(current)} if current is not None else set()
    found = lint(manifest)
    said = tuple(said)
    bare = () if said else ("its version is the feed's word: the package itself says none",)
    return Appraisal(
        faults=tuple(_told(finding) for finding in found if finding.level is Level.ERROR),
        objections=(
            *_of_release(record, current, said),
            *(_told(each) for each in found if each.level is Level.WARNING and _key(each) not in known),
        ),
        notes=(*bare, *notes),
    )


def _of_release(record: ReleaseRecord, current: Manifest | None, said: tuple[str, ...]) -> Iterator[str]:
    announced = record.announced
    if record.ground == Ground.UNKNOWN:
        yield "nothing shows that it is newer than what the lineage has"
    if record.ground == Ground.FIRST and current is not None:
        yield f"{current.id} has nothing of its component: it is new to the lineage"
    if said and announced.version not in said:
        yield f"the feed says that it is {announced.version}, and the package says {', '.join(said)}"


def _key(finding: LintFinding) -> tuple[str, str | None]:
    return finding.id, finding.element


def _told(finding: LintFinding) -> str:
    where = f"{finding.element}: " if finding.element is not None else ""
    return f"{where}{finding.text}. {finding.advice}"
