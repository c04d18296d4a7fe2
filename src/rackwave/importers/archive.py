"""ZIP archives, bounded: sizes are looked at before the standard library reads or inflates anything."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from io import SEEK_CUR, SEEK_END, SEEK_SET, RawIOBase

from ..core.octets import CHUNK, Octets
from ..errors import PackageFormatError
from .files import check_inflation
from .package import safe_name

SIGNATURE = b"PK\x03\x04"
MOST_FILES = 256
_MAX_DIRECTORY = 1 << 20
_END = struct.Struct("<4s4H2IH")
_END_SIGNATURE = b"PK\x05\x06"
_FARTHEST_END = _END.size + 0xFFFF  # a comment may follow
_WAYS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OverflowError,
    struct.error, LookupError, UnicodeError,
)  # fmt: skip


def read_entries(octets: Octets) -> dict[str, zipfile.ZipInfo]:
    """Return the files in the archive by their bare names.

    Raises:
        PackageFormatError: it is damaged, a bomb, encrypted, or packed in a way that is not supported.
    """
    _check_end(octets)
    try:
        with zipfile.ZipFile(_File(octets)) as archive:
            infos = archive.infolist()
    except _DAMAGE as error:
        raise octets.damaged(f"cannot be read: {error}", "ZIP directory") from error
    entries: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        if info.is_dir():
            continue
        name = safe_name(info.filename)
        if name in entries:
            raise octets.damaged(f"two files are called {name}, once folders are taken off", "ZIP directory")
        if info.compress_type not in _WAYS or info.flag_bits & _ENCRYPTED:
            raise octets.damaged(f"{name} is encrypted, or packed in a way that is not supported", "ZIP directory")
        entries[name] = info
    check_inflation(octets.size, sum(info.file_size for info in entries.values()), file=octets.file, what="ZIP")
    return entries


def _check_end(octets: Octets) -> None:
    """Look at how large the directory is before a library reads it as a whole."""
    start = max(octets.size - _FARTHEST_END, 0)
    tail = octets.take(start, octets.size - start, "end of the ZIP")
    at = tail.rfind(_END_SIGNATURE)
    if at < 0 or len(tail) - at < _END.size:
        raise octets.damaged("has no end record: it is cut short, or no ZIP", "end of the ZIP")
    _, _, _, _, count, size, _, _ = _END.unpack_from(tail, at)
    if count > MOST_FILES or size > _MAX_DIRECTORY:
        raise octets.damaged(f"lists {count} files; {MOST_FILES} are the most", "ZIP directory", start + at)


def inflated(octets: Octets, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield the bytes of *entry*, never more than its size; the library checks the CRC-32 at their end.

    Raises:
        PackageFormatError: they are damaged, or not as many as the archive says.
    """
    try:
        with zipfile.ZipFile(_File(octets)) as archive, archive.open(entry) as file:
            left = entry.file_size
            while left and (chunk := file.read(min(CHUNK, left))):
                left -= len(chunk)
                yield chunk
            if left or file.read(1):
                raise octets.damaged(f"has not the {entry.file_size} bytes that are told of", entry.filename)
    except PackageFormatError:
        raise
    except _DAMAGE as error:
        raise octets.damaged(f"cannot be unpacked: {error}", entry.filename) from error


class _File(RawIOBase):
    """Octets as the file that `zipfile` wants."""

    def __init__(self, octets: Octets) -> None:
        super().__init__()
        self._octets = octets
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = SEEK_SET, /) -> int:
        start = {SEEK_SET: 0, SEEK_CUR: self._at, SEEK_END: self._octets.size}[whence]
        if start + offset < 0:
            raise ValueError("before the beginning of the file")
        self._at = start + offset
        return self._at

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        length = min(len(buffer), max(self._octets.size - self._at, 0), CHUNK)
        buffer[:length] = self._octets.take(self._at, length, "ZIP")
        self._at += length
        return length
