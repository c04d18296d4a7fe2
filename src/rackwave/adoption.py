"""Takes a rack that exists in as it is found: looks at it, makes the bundle to go back to, and writes both down.

Nothing is changed on any machine.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import field, frozen

from .core.adoption import Draft, Found, KnownImage, TakenIn, draft, take_in
from .core.binding import bind, bound, has_patterns
from .core.bundle import Bundle, Element, frozen_map
from .core.event import Adopted, Bound
from .core.identity import BundleId, ComponentName, Digest, Lineage, NodeName
from .core.look import full_look
from .core.node import Node
from .core.observation import Look, Observation, Unknown
from .core.version import SCHEMES
from .engine.leases import Holder
from .engine.logbook import Logbook
from .errors import (
    BundleNotFoundError,
    LeaseError,
    NodeError,
    PackageFormatError,
    SecretError,
    StateError,
    UsageError,
)
from .fleet import Fleet
from .importers import Image, Package, read
from .importers.sidecar import SUFFIX
from .importers.source import kind_of
from .planning import each
from .ports import Lists
from .records import Records
from .stock import Stock

REASON = "adopted as found"


@frozen
class AdoptionReport:
    """What came of it: *bundle* is None where nothing could go into one. *left* are nodes not taken in, and why.

    *unused* are files in which no image was found that could be used.
    """

    lineage: Lineage
    bundle: BundleId | None
    nodes: Mapping[NodeName, TakenIn] = field(converter=frozen_map)
    left: Mapping[NodeName, str] = field(converter=frozen_map)
    unused: tuple[str, ...] = ()

    @property
    def adopted(self) -> tuple[NodeName, ...]:
        """The nodes that are taken in."""
        return tuple(node for node, taken in self.nodes.items() if taken.binding is not None)

    def document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "lineage": str(self.lineage),
            "bundle": str(self.bundle) if self.bundle is not None else None,
            "nodes": [
                {
                    "node": str(node),
                    "adopted": node in self.adopted,
                    "left": self.left.get(node),
                    "kept": [
                        {"component": str(kept.component), "version": kept.version}
                        for kept in (self.nodes[node].kept if node in self.nodes else ())
                    ],
                    "missing": [
                        {"what": lack.what, "have": lack.have, "why": lack.why}
                        for lack in (self.nodes[node].missing if node in self.nodes else ())
                    ],
                }
                for node in sorted({*self.nodes, *self.left})
            ],
            "unused": list(self.unused),
        }


class Adopting:
    """Adopts nodes into a lineage."""

    def __init__(self, *, fleet: Fleet, stock: Stock, records: Records, by: str) -> None:
        self._fleet = fleet
        self._stock = stock
        self._records = records
        self._by = by

    async def adopt(
        self, lineage: Lineage, nodes: Sequence[Node], packages: Path | None = None, *, dry_run: bool = False
    ) -> AdoptionReport:
        """Take *nodes* in as they are found, with images from the files in the folder *packages*.

        What the lineage's current bundle manages is looked at, and what images are given for. A bundle of seq 0 that
        is there already is used as it is.

        Raises:
            UsageError: nothing says what is to be looked at, or *packages* is no folder.
            TrustError: there is no key to sign the bundle with.
        """
        current = await asyncio.to_thread(self._current, lineage)
        given, unused = await asyncio.to_thread(_packages, packages)
        sources = {image.digest: image for package in given for image in package.images}
        images = [known for package in given for known in _known(package)]
        if current is None and not images:
            raise UsageError(
                f"there is no bundle of lineage {lineage} and no image to be used: nothing says what to look at"
                + "".join(f"\n  not used: {line}" for line in unused),
                advice="Publish the lineage's first bundle, or name a folder with images of what runs with --from.",
            )
        self._logbook.refresh()
        left = {node.name: why for node in nodes if (why := self._why_not(node.name, lineage)) is not None}
        looked = await each(
            lambda node: self._look(node, current, images), [node for node in nodes if node.name not in left]
        )
        left |= {node: found for node, found in looked if isinstance(found, str)}
        found = [found for _, found in looked if isinstance(found, Found)]
        bundle = await asyncio.to_thread(self._there, lineage)
        manifest = bundle.manifest if bundle is not None else None
        if bundle is None:
            stored = await asyncio.to_thread(lambda: [*self._stored(lineage)])
            made = draft(lineage, found, (*images, *stored), _managed(current))
            manifest = made.manifest if made is not None else None
            if made is not None and not dry_run:
                bundle = await asyncio.to_thread(self._publish, made, sources)
        taken = {each.node: take_in(each, manifest) for each in found}
        if bundle is not None and not dry_run:
            gone = await self._write(bundle, taken)
            left |= gone
            taken = {node: own for node, own in taken.items() if node not in gone}
        return AdoptionReport(lineage, manifest.id if manifest is not None else None, taken, left, unused)

    # -- inside ------------------------------------------------------------------------------------

    @property
    def _logbook(self) -> Logbook:
        return self._records.logbook

    def _current(self, lineage: Lineage) -> Bundle | None:
        try:
            return self._stock.repository.current(lineage)
        except BundleNotFoundError:
            return None

    def _there(self, lineage: Lineage) -> Bundle | None:
        """Return the bundle that an earlier adoption made; it is never made anew, whatever is found later."""
        try:
            return self._stock.bundle(BundleId(lineage, 0))
        except BundleNotFoundError:
            return None

    def _stored(self, lineage: Lineage) -> Iterator[KnownImage]:
        """Yield the images of the lineage's bundles that are here."""
        for entry in self._stock.repository.list():
            if entry.id.lineage != lineage or self._stock.repository.why_not_sendable(entry.id) is not None:
                continue
            manifest = self._stock.bundle(entry.id).manifest
            for element in manifest.elements:
                if element.kind.is_image and element.component is not None and element.payload and element.version:
                    payload = manifest.payload(element.payload)
                    yield KnownImage(
                        element.component, element.version, payload.digest, payload.size, element.kind, element.scheme
                    )

    def _why_not(self, node: NodeName, lineage: Lineage) -> str | None:
        holder = self._records.holders().get(node)
        return self._why_not_by_itself(node, lineage) or (f"{holder} works on it" if holder is not None else None)

    def _why_not_by_itself(self, node: NodeName, lineage: Lineage) -> str | None:
        history = self._logbook.node(node)
        if lineage in history.assigned:
            return f"it carries {history.assigned[lineage].bundle} already"
        if history.quarantined is not None:
            return "it is in quarantine"
        return "work on it is not finished" if history.is_open else None

    async def _look(
        self, node: Node, current: Bundle | None, images: Sequence[KnownImage]
    ) -> tuple[NodeName, Found | str]:
        try:
            bmc = await self._fleet.get(node.name)
            meant, wanted = current, {image.component for image in images}
            if meant is not None:
                listed: frozenset[ComponentName] | Unknown = frozenset()
                if has_patterns(meant):
                    listed = await bmc.list_components() if isinstance(bmc, Lists) else Unknown("nothing lists them")
                if isinstance(listed, Unknown):
                    return node.name, f"its components cannot be listed: {listed}"
                meant = bound(meant, bind(meant, node, listed))
                wanted |= meant.manifest.image_components
            seen = await bmc.observe(full_look(meant) if meant is not None else Look())
            if wanted:
                names = frozenset(wanted)
                seen = seen.with_more(await bmc.observe(Look(components=names, spares=names)))
        except (NodeError, SecretError) as error:
            return node.name, error.whole
        finally:
            await self._fleet.release(node.name)
        return node.name, _found(node, seen, set(wanted), meant)

    def _publish(self, made: Draft, sources: Mapping[Digest, Image]) -> Bundle:
        manager = self._stock.manager
        with tempfile.TemporaryDirectory(prefix="rackwave-adopt-") as folder:
            fresh: dict[str, Path] = {}
            for name, image in made.payloads.items():
                if image.digest in sources:  # the others are in the repository
                    fresh[name] = Path(folder) / name
                    with fresh[name].open("xb") as out:
                        out.writelines(sources[image.digest].verified())
            built = manager.assemble(made.manifest, fresh, Path(folder) / "bundle")
            manager.publish(built, REASON, may_be_old=True)
        return built.bundle

    async def _write(self, bundle: Bundle, taken: Mapping[NodeName, TakenIn]) -> dict[NodeName, str]:
        """Write down who is taken in; return those that others have taken since they were looked at, and how."""
        leases, holder = self._records.leases(), Holder.here()
        if leases is None:
            raise StateError("the state directory is open for reading only")
        gone: dict[NodeName, str] = {}
        for node, own in taken.items():
            if own.binding is None:
                continue
            try:
                lease = await leases.acquire(node, holder)
            except LeaseError as error:
                gone[node] = error.whole
                continue
            try:
                self._logbook.refresh()
                why = self._why_not_by_itself(node, bundle.id.lineage)
                if why is not None:
                    gone[node] = why
                    continue
                missing = tuple(str(lack) for lack in own.missing)
                await self._logbook.record(
                    Bound(node, bundle.id, bundle.digest, own.binding),
                    Adopted(node, bundle.id, bundle.digest, self._by, missing),
                )
            finally:
                await leases.release(lease)
        return gone


def _packages(folder: Path | None) -> tuple[tuple[Package, ...], tuple[str, ...]]:
    """Read every file in *folder*; return the packages, and why other files were passed over."""
    if folder is None:
        return (), ()
    try:
        files = sorted(path for path in folder.iterdir() if path.is_file() and path.suffix != SUFFIX)
    except OSError as error:
        raise UsageError(f"{folder} cannot be read: {error.strerror}", advice="Name a folder with --from.") from error
    found, unused = [], []
    for path in files:
        try:
            package = read(path)
        except PackageFormatError as error:
            unused.append(f"{path.name}: {error}")
            continue
        if not any(image.component is not None and image.version is not None for image in package.images):
            unused.append(f"{path.name}: it does not say of which component and version it is")
        found.append(package)
    return tuple(found), tuple(unused)


def _known(package: Package) -> Iterator[KnownImage]:
    for image in package.images:
        if image.component is not None and image.version is not None:
            scheme = image.version_scheme if image.version_scheme in SCHEMES else None
            yield KnownImage(image.component, image.version, image.digest, image.size, kind_of(image), scheme)


def _managed(current: Bundle | None) -> Mapping[ComponentName, Element]:
    elements = current.manifest.elements if current is not None else ()
    return {each.component: each for each in elements if each.kind.is_image and each.component is not None}


def _found(node: Node, seen: Observation, wanted: set[ComponentName], meant: Bundle | None) -> Found | str:
    installed = {name: seen.component(name).installed for name in sorted(wanted)}
    if installed and all(isinstance(version, Unknown) for version in installed.values()):
        return f"it cannot be read: {next(iter(installed.values()))}"
    sets = [each for each in meant.manifest.elements if each.attributes] if meant is not None else []
    names = {name for element in sets for name in element.attributes}
    present = seen.settings if not isinstance(seen.settings, Unknown) else {}
    settings = {name: present[name] for name in sorted(names) if name in present}
    keeps = frozenset(name for name in wanted if isinstance(seen.component(name).spare, str))
    return Found(node.name, node.vendor, node.model, installed, settings, keeps)
