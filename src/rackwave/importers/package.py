"""What a file of firmware holds, whatever its format: images, and what is said of their release."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, Final, Self

from attrs import evolve, field, frozen
from attrs.converters import optional

from ..core.bundle import ElementKind
from ..core.identity import ComponentName, Digest
from ..core.octets import printable
from ..errors import DigestMismatchError, UsageError

__all__ = ["FORMATS", "Image", "Package", "Release", "safe_name"]

FORMATS: Final = ("cab", "uefi-capsule", "pldm", "hpm1", "fwpkg", "sidecar")
_LONGEST_NAME = 120
_OTHERS = re.compile(r"[^A-Za-z0-9._+-]+")


def safe_name(told: str, *, fallback: str = "image.bin") -> str:
    """Return *told* as a bare file name that is the same on every disk and in a URL: no folders, no odd letters."""
    bare = re.split(r"[/\\:]", told)[-1]
    name = _OTHERS.sub("_", bare).lstrip("._-+")[-_LONGEST_NAME:].lstrip("._-+")
    return name or fallback


def _all_printable(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(printable(text) for text in texts)


@frozen
class Release:
    """What the publisher says of a release; *severity* in its own word, *date* as YYYY-MM-DD. Empty: not said."""

    severity: str = field(default="", converter=printable)
    cves: tuple[str, ...] = field(default=(), converter=_all_printable)
    summary: str = field(default="", converter=printable)
    date: str = field(default="", converter=printable)
    url: str = field(default="", converter=printable)


@frozen
class Image:
    """One image, still where it was found; *size* is in bytes.

    *component*, *version* and *kind* are None where the file does not tell them: `Package.told` adds them.
    *targets* are the devices it is for (GUIDs, PCI ids, descriptors), as text; *checks* says what was
    verified when it was read, and what was not.
    """

    name: str
    size: int
    digest: Digest
    source: Callable[[], Iterator[bytes]] = field(repr=False, eq=False)
    component: ComponentName | None = None
    version: str | None = field(default=None, converter=optional(printable))
    version_scheme: str | None = field(default=None, converter=optional(printable))
    kind: ElementKind | None = None
    targets: tuple[str, ...] = field(default=(), converter=_all_printable)
    checks: tuple[str, ...] = ()

    def verified(self) -> Iterator[bytes]:
        """Yield the image's bytes, and fail at their end if they are not those that were read before.

        Raises:
            DigestMismatchError: the package was changed since it was read.
            PackageFormatError: it was cut short since, or cannot be read any more.
        """
        found = hashlib.sha256()
        for chunk in self.source():
            found.update(chunk)
            yield chunk
        if found.hexdigest() != self.digest.hex:
            raise DigestMismatchError(
                f"{self.name} is not the image any more that was read from its package",
                expected=str(self.digest),
                found=f"sha256:{found.hexdigest()}",
                advice="Somebody changed the file meanwhile; read it again.",
            )

    def copy_to(self, file: BinaryIO) -> None:
        """Write the image to *file*, in pieces.

        Raises:
            DigestMismatchError, PackageFormatError: as `verified`.
            OSError: *file* cannot be written.
        """
        for chunk in self.verified():
            file.write(chunk)

    def open(self) -> BinaryIO:
        """Return a stream of the image's bytes, which fails at its end as `verified` does."""
        return io.BufferedReader(_Stream(self.verified()))


@frozen
class Package:
    """A file of firmware that was read and verified as far as its format allows. Its texts may go to a terminal.

    *notes* are sentences on what a person should know: parts that were left out, signatures that nobody checked.
    *model* is what a sidecar says; None: not said.
    """

    format: str
    name: str = field(converter=printable)
    images: tuple[Image, ...]
    version: str | None = field(default=None, converter=optional(printable))
    vendor: str | None = field(default=None, converter=optional(printable))
    model: str | None = field(default=None, converter=optional(printable))
    release: Release | None = None
    notes: tuple[str, ...] = field(default=(), converter=_all_printable)

    def image(self, name: str) -> Image:
        """Return the image called *name*.

        Raises:
            UsageError: there is none.
        """
        for image in self.images:
            if image.name == name:
                return image
        there = ", ".join(image.name for image in self.images)
        raise UsageError(f"{self.name} holds no image {name!r}", advice=f"It holds: {there}.")

    def only(self, *names: str) -> Self:
        """Return the package with just these images.

        Raises:
            UsageError: there is none of that name.
        """
        return evolve(self, images=tuple(self.image(name) for name in dict.fromkeys(names)))

    def told(
        self,
        name: str,
        *,
        component: ComponentName | None = None,
        version: str | None = None,
        kind: ElementKind | None = None,
    ) -> Self:
        """Return the package with what is given, of the image called *name*, instead of what its file says.

        Raises:
            UsageError: there is no such image.
        """
        image = self.image(name)
        changed = evolve(
            image,
            component=component or image.component,
            version=version or image.version,
            kind=kind or image.kind,
        )
        return evolve(self, images=tuple(changed if each is image else each for each in self.images))


class _Stream(io.RawIOBase):
    """Chunks as a raw stream."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        super().__init__()
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        length = min(len(buffer), len(self._rest))
        buffer[:length] = self._rest[:length]
        self._rest = self._rest[length:]
        return length
