"""Which machines wait for maintenance: their lineage has newer bundles than the one that they carry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import frozen

from .announcement import worst
from .identity import BundleId, Lineage, NodeName
from .release_book import ReleaseBook, ReleaseRecord, Stage


@frozen
class Published:
    """A bundle of the repository: *at* is when it was published, in epoch seconds."""

    id: BundleId
    at: float
    purpose: str = ""


@frozen
class Due:
    """Nodes that carry *carries*, which *bundles* have followed since, oldest first.

    *since* is when the first of those was published; *releases* are those that feeds brought. *severity* is the
    most urgent of their publishers' words, *cves* what they fix.
    """

    lineage: Lineage
    carries: BundleId
    bundles: tuple[BundleId, ...]
    since: float
    nodes: tuple[NodeName, ...]
    releases: tuple[ReleaseRecord, ...] = ()

    @property
    def severity(self) -> str:
        """The most urgent of the releases' words; empty where none says any."""
        return worst(record.announced.severity for record in self.releases if record.announced.severity)

    @property
    def cves(self) -> tuple[str, ...]:
        """Every CVE that a release fixes, as its publisher says."""
        return tuple(dict.fromkeys(cve for record in self.releases for cve in record.announced.cves))


def maintenance_due(
    carried: Mapping[NodeName, Mapping[Lineage, BundleId]], published: Iterable[Published], book: ReleaseBook
) -> tuple[Due, ...]:
    """Say, for each lineage and each bundle that nodes carry of it, what has followed since; the longest due first.

    Nodes that carry nothing of a lineage are not due: nothing was ever rolled out to them.
    """
    groups: dict[BundleId, list[NodeName]] = {}
    for node, bundles in carried.items():
        for bundle in bundles.values():
            groups.setdefault(bundle, []).append(node)
    known = sorted(published, key=lambda each: each.id)
    made = {record.bundle: record for record in book.releases.values() if record.stage is Stage.PUBLISHED}
    found = []
    for carries, nodes in groups.items():
        newer = [each for each in known if each.id.lineage == carries.lineage and each.id.seq > carries.seq]
        if newer:
            ids = tuple(each.id for each in newer)
            releases = tuple(made[bundle] for bundle in ids if bundle in made)
            since = min(each.at for each in newer)
            found.append(Due(carries.lineage, carries, ids, since, tuple(sorted(nodes)), releases))
    return tuple(sorted(found, key=lambda due: (due.since, due.carries)))


def words_by_node(found: Iterable[Due]) -> dict[NodeName, dict[Lineage, str]]:
    """Say for each node, by lineage, which bundle is due on it and what speaks for haste: ``A.3, critical, CVE-…``."""
    told: dict[NodeName, dict[Lineage, str]] = {}
    for due in found:
        words = ", ".join(filter(None, (str(due.bundles[-1]), due.severity, *due.cves)))
        for node in due.nodes:
            told.setdefault(node, {})[due.lineage] = words
    return told
