"""A tag of an OCI registry that its owner moves to each new release: an artifact with one file, as ``oras push`` makes.

The manifest's annotations say what the release is (the image specification's own keys, and two of ours for what
those lack); the layer's title is the file's name.

https://github.com/opencontainers/image-spec/blob/v1.1.0/annotations.md
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core.announcement import Announcement
from ..core.canonical import parse_json
from ..core.feed import Feed
from ..core.octets import printable
from ..errors import BundleError, FeedError, RackwaveError
from ..importers.package import safe_name
from ..ports import Secrets
from ..repository.address import RegistryAddress
from ..repository.depot import MAX_DOCUMENT
from ..repository.layout import MANIFEST_TYPE, TITLE, Descriptor
from ..repository.login import Login
from ..repository.registry import Registry
from ..repository.store import BlobFolder
from .listing import Listing, Progress

_OCI = "org.opencontainers.image."
SEVERITY, CVES = "vnd.rackwave.release.severity", "vnd.rackwave.release.cves"
"""What the image specification has no key for: the publisher's word, and CVEs with blanks between."""


class TagFeed:
    """One tag of one registry. Nothing that is fetched is kept in memory."""

    def __init__(self, feed: Feed, secrets: Secrets) -> None:
        self._feed = feed
        self._secrets = secrets

    async def look(self) -> Listing:
        """See ``FeedSource``."""
        return await asyncio.to_thread(self._look)

    async def package(self, announced: Announcement, folder: Path, progress: Progress) -> Path:
        """See ``FeedSource``. What came before a break is gone on with."""
        path = folder / safe_name(announced.name)
        await asyncio.to_thread(self._fetch, announced, folder / "blobs", path)
        progress(path.stat().st_size, announced.size)
        return path

    def _look(self) -> Listing:
        try:
            with self._open() as registry:
                manifest = registry.resolve(self._feed.tag, kind=MANIFEST_TYPE)
                document = parse_json(registry.read(manifest, MAX_DOCUMENT), what="the tag's manifest")
            return Listing((self._announced(document),))
        except FeedError:
            raise
        except RackwaveError as error:
            raise FeedError(str(error), feed=self._feed.name, advice=error.advice) from error

    def _fetch(self, announced: Announcement, blobs: Path, path: Path) -> None:
        folder = BlobFolder(blobs)
        blob = Descriptor("application/octet-stream", announced.digest, announced.size or 0)
        try:
            with self._open() as registry:
                registry.fetch(blob, folder)
            folder.path(announced.digest).replace(path)
        except BundleError as error:
            raise FeedError(f"{announced.name}: {error}", feed=self._feed.name, advice=error.advice) from error
        shutil.rmtree(blobs, ignore_errors=True)

    def _announced(self, document: Any) -> Announcement:
        annotations = document.get("annotations", {}) if isinstance(document, dict) else None
        layers = document.get("layers") if isinstance(document, dict) else None
        if not isinstance(annotations, dict) or not isinstance(layers, list):
            raise self._error("is no artifact")
        files = [Descriptor.from_document(layer, "a layer") for layer in layers]
        titled = [file for file in files if file.annotations.get(TITLE)]
        if len(titled) != 1:
            raise self._error(f"holds {len(titled)} named files, and one is a release")
        (layer,) = titled
        version = _text(annotations, f"{_OCI}version")
        if not version:
            raise self._error(f"has no annotation {_OCI}version")
        return Announcement(
            stream=f"{self._feed.where}:{self._feed.tag}",
            version=version,
            digest=layer.digest,
            file=str(layer.digest),
            name=safe_name(layer.annotations[TITLE]),
            size=layer.size,
            vendor=_text(annotations, f"{_OCI}vendor"),
            model=_text(annotations, f"{_OCI}title"),
            component=self._feed.component,
            severity=_text(annotations, SEVERITY),
            cves=tuple(_text(annotations, CVES).split()),
            summary=_text(annotations, f"{_OCI}description"),
            date=_text(annotations, f"{_OCI}created")[:10],
            url=_text(annotations, f"{_OCI}url"),
        )

    def _open(self) -> Registry:
        feed, reference = self._feed, self._feed.credentials
        login = Login((lambda: self._secrets.resolve(reference)) if reference else None)
        address = RegistryAddress.parse(feed.where, plain=feed.insecure_http)
        return Registry(address, login=login, ca=Path(feed.ca) if feed.ca else None)

    def _error(self, what: str) -> FeedError:
        return FeedError(
            f"the tag {self._feed.tag} {what}",
            feed=self._feed.name,
            advice=f"Push one file: oras push HOST/NAME:{self._feed.tag} --annotation {_OCI}version=… FILE",
        )


def _text(annotations: Mapping[str, Any], key: str) -> str:
    text = annotations.get(key, "")
    return printable(text)[:1000] if isinstance(text, str) else ""
