"""A folder into which somebody, or something, drops packages: each says itself what it is, or its sidecar does."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from ..core.announcement import Announcement
from ..core.feed import Feed
from ..core.identity import ComponentName, Digest
from ..errors import FeedError, PackageFormatError
from ..importers import Package, read
from ..importers.package import Release, safe_name
from ..importers.sidecar import SUFFIX
from ..ports import Clock
from .fetch import fetcher
from .listing import MOST_RELEASES, Listing, Progress

QUIET = 2.0
"""Seconds for which a file must not have changed before it counts as whole: whoever copies it may not be done."""
_UNFINISHED = (".part", ".tmp", ".filepart", ".crdownload")
_Stamp = tuple[int, int, int, int]


class FolderFeed:
    """One look reads and hashes what is new since the last one; the file that came last is the newest."""

    def __init__(self, feed: Feed, *, clock: Clock) -> None:
        self._feed = feed
        self._clock = clock
        self._known: dict[Path, tuple[_Stamp, Announcement | str]] = {}

    async def look(self) -> Listing:
        """See ``FeedSource``."""
        files = await asyncio.to_thread(self._files)
        if any(self._clock.now() - path.stat().st_mtime < QUIET for path, _ in files if path.exists()):
            await self._clock.sleep(QUIET)
        found: dict[Path, tuple[_Stamp, Announcement | str]] = {}
        for path, stamp in files:
            known = self._known.get(path)
            found[path] = known if known and known[0] == stamp else (stamp, await asyncio.to_thread(self._read, path))
            if await asyncio.to_thread(_stamp, path) != stamp:
                found[path] = (stamp, f"{path.name} is still being written; it is looked at again")
        self._known = found
        newest = sorted(found.values(), key=lambda each: each[0][0], reverse=True)
        return Listing(
            tuple(told for _, told in newest if isinstance(told, Announcement)),
            tuple(told for _, told in newest if isinstance(told, str)),
        )

    async def package(self, announced: Announcement, folder: Path, progress: Progress) -> Path:
        """See ``FeedSource``. It is copied, with its sidecar: what is dropped may be taken away again."""
        where = Path(self._feed.where) / announced.file
        path = folder / safe_name(announced.file)
        await fetcher(self._feed).file(
            where.name, path, digest=announced.digest, size=announced.size, progress=progress
        )
        side = where.with_name(where.name + SUFFIX)
        try:
            path.with_name(path.name + SUFFIX).write_bytes(await asyncio.to_thread(side.read_bytes))
        except FileNotFoundError:
            path.with_name(path.name + SUFFIX).unlink(missing_ok=True)
        except OSError as error:
            raise FeedError(f"{side} cannot be read: {error.strerror}", feed=self._feed.name) from error
        return path

    def _files(self) -> list[tuple[Path, _Stamp]]:
        folder = Path(self._feed.where)
        try:
            names = sorted(entry.name for entry in os.scandir(folder) if entry.is_file(follow_symlinks=False))
        except OSError as error:
            raise FeedError(
                f"{folder} cannot be read: {error.strerror}",
                feed=self._feed.name,
                advice="Make the folder, or mend where.",
            ) from error
        if len(names) > MOST_RELEASES:
            raise FeedError(f"{folder} holds more than {MOST_RELEASES} files", feed=self._feed.name)
        stamped = ((folder / name, _stamp(folder / name)) for name in names if _is_package(name, names))
        return [(path, stamp) for path, stamp in stamped if stamp is not None]

    def _read(self, path: Path) -> Announcement | str:
        try:
            package = read(path)
            with path.open("rb") as file:
                digest = Digest(f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}")
            return self._announced(path, package, digest)
        except PackageFormatError as error:
            return f"{path.name} was passed over: {error.whole}"
        except OSError as error:
            return f"{path.name} cannot be read: {error.strerror}"

    def _announced(self, path: Path, package: Package, digest: Digest) -> Announcement | str:
        only = package.images[0] if len(package.images) == 1 else None
        component = self._feed.component if only is None or only.component is None else only.component
        version = (only.version if only is not None else None) or package.version
        if not package.images or not version:
            what = "it holds no image" if not package.images else "it does not say which version it is"
            return f"{path.name} was passed over: {what}; describe it in {path.name}{SUFFIX}"
        release = package.release or Release()
        return Announcement(
            stream="+".join(sorted(_parts(package, component))),
            version=version,
            digest=digest,
            file=path.name,
            name=package.name,
            size=path.stat().st_size,
            vendor=package.vendor or "",
            model=package.model or "",
            component=component if only is not None else None,
            kind=only.kind if only is not None else None,
            scheme=(only.version_scheme or "") if only is not None else "",
            targets=tuple(dict.fromkeys(target for image in package.images for target in image.targets)),
            severity=release.severity,
            cves=release.cves,
            summary=release.summary,
            date=release.date,
            url=release.url,
        )


def _parts(package: Package, component: ComponentName | None) -> Iterator[str]:
    for image in package.images:
        yield str(image.component or component or image.name)


def _is_package(name: str, names: list[str]) -> bool:
    if name.startswith(".") or name.lower().endswith(_UNFINISHED):
        return False
    return not (name.endswith(SUFFIX) and name.removesuffix(SUFFIX) in names)


def _stamp(path: Path) -> _Stamp | None:
    """Return what changes when the file, or its sidecar, does; None where it is gone."""
    try:
        file = path.stat()
    except OSError:
        return None
    side = path.with_name(path.name + SUFFIX)
    try:
        beside = side.stat().st_mtime_ns
    except OSError:
        beside = 0
    return file.st_mtime_ns, file.st_size, file.st_ino, beside
