"""Makes the draft of a bundle from a release's package: unsigned, and the same whenever it is made again."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

from attrs import evolve, field, frozen

from .core.appraisal import Appraisal, appraise
from .core.bundle import AppliesTo, Bundle, Manifest, frozen_map
from .core.canonical import canonical_json
from .core.feed import Feed
from .core.identity import BundleId, Digest
from .core.manifest import manifest_to_document
from .core.release_book import ReleaseRecord
from .core.succession import succeed
from .core.version import SCHEMES
from .errors import UsageError
from .importers import Package, read, write_source
from .repository.source import read_source

SOURCE = "source"


@frozen
class Draft:
    """A bundle that is not made yet. *fresh* says where its new payloads lie; the others are in the repository.

    *is_new* is false where it brings nothing that the current bundle does not.
    """

    manifest: Manifest
    fresh: Mapping[str, Path] = field(converter=frozen_map)
    replaces: BundleId | None
    appraisal: Appraisal
    is_new: bool

    @property
    def digest(self) -> Digest:
        """The digest of its manifest: what an approval is bound to."""
        return manifest_digest(self.manifest)


def manifest_digest(manifest: Manifest) -> Digest:
    """Return the digest of a manifest's canonical document."""
    return Digest(f"sha256:{hashlib.sha256(canonical_json(manifest_to_document(manifest))).hexdigest()}")


def make_draft(
    record: ReleaseRecord, feed: Feed, package: Path, folder: Path, *, bundle: BundleId, current: Bundle | None
) -> Draft:
    """Write the source of what *package* brings into *folder* and put it in the place of *current*.

    Raises:
        PackageFormatError: the package is damaged.
        UsageError: it does not say which component or version an image is, and neither does the feed.
        BundleError, StateError: no source can be made of it, or it cannot be written.
    """
    found = read(package, bare=True)
    said = [each for each in (found.version, *(image.version for image in found.images)) if each]
    told = _told(found, record, feed)
    source = folder / SOURCE
    shutil.rmtree(source, ignore_errors=True)
    write_source(
        told,
        source,
        lineage=bundle.lineage,
        seq=bundle.seq,
        purpose=_purpose(record),
        applies_to=AppliesTo(told.vendor or "*", told.model) if told.model is not None else None,
    )
    read_back = read_source(source)
    alone = read_back.manifest({image.name: (image.digest, image.size) for image in told.images})
    scheme = record.announced.scheme if record.announced.scheme in SCHEMES else None
    alone = evolve(alone, elements=tuple(evolve(each, scheme=each.scheme or scheme) for each in alone.elements))
    replaced = current.manifest if current is not None else None
    succession = succeed(replaced, alone)
    return Draft(
        succession.manifest,
        {name: read_back.files[theirs] for name, theirs in succession.fresh.items()},
        current.id if current is not None else None,
        appraise(record, succession.manifest, replaced, said=said, notes=found.notes),
        succession.is_new,
    )


def _told(package: Package, record: ReleaseRecord, feed: Feed) -> Package:
    """Return *package* with what the feed, or its settings, say of its one image where it says nothing itself."""
    announced = record.announced
    if len(package.images) != 1:
        return package
    (image,) = package.images
    component = image.component or announced.component or feed.component
    if component is None:
        raise UsageError(
            f"neither {package.name} nor the feed says which component {image.name} is for",
            advice=f'Say it in feeds.toml, in the feed {feed.name}: component = "what the BMC calls it".',
        )
    # The package's word counts where it has one: a feed that says another is an objection (core.appraisal).
    return package.told(
        image.name, component=component, version=image.version or announced.version, kind=image.kind or announced.kind
    )


def _purpose(record: ReleaseRecord) -> str:
    announced = record.announced
    title = f"{announced.component or announced.name} {announced.version}"
    fixes = f"fixes {', '.join(announced.cves)}" if announced.cves else ""
    severity = f"severity {announced.severity}" if announced.severity else ""
    said = "; ".join(part for part in (fixes, severity, announced.summary) if part)
    return f"{title}: {said}" if said else f"{title}, from the feed {record.feed}"
