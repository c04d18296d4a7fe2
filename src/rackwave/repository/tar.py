"""The members of a tar file that somebody gave us: where each one's bytes lie, and nothing unpacked.

Only regular files and folders are taken, uncompressed, each name once. So there is nothing that
could be written outside, linked, or blown up: a member's bytes are as many as the file has. Headers
are read one by one; the standard library's reader holds whole extended headers in memory, whose
size their sender chooses.
https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html#tag_20_92_13
"""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from attrs import frozen

from ..errors import BundleError

_BLOCK = tarfile.BLOCKSIZE
_MAX_MEMBERS = 10_000
_MAX_EXTENSION = 64 * 1024
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE)
_EXTENSIONS = (tarfile.XHDTYPE, tarfile.XGLTYPE)


@frozen
class Member:
    """Where a file's bytes are in the tar file, in bytes from its start."""

    offset: int
    size: int


def members(path: Path) -> Mapping[str, Member]:
    """Return the regular files of an uncompressed tar file, by name.

    Raises:
        BundleError: it is no tar file, or holds something that is no regular file or folder.
    """
    try:
        with path.open("rb") as file:
            return _members(file, path)
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}") from error


def _members(file: BinaryIO, path: Path) -> Mapping[str, Member]:
    found: dict[str, Member] = {}
    end = file.seek(0, 2)
    place, extended = 0, dict[str, str]()
    for _ in range(_MAX_MEMBERS):
        file.seek(place)
        try:
            header = tarfile.TarInfo.frombuf(file.read(_BLOCK), "utf-8", "surrogateescape")
        except tarfile.TarError as error:
            if found and (place >= end or not any(_at(file, place))):
                return found
            raise refused(path, "it is no uncompressed tar file, or ends too early") from error
        name, size = extended.pop("path", header.name), _size(extended.pop("size", header.size), path)
        place += _BLOCK
        if place + size > end:
            raise refused(path, f"its member {name!r} is told to have {size} bytes, more than the file")
        if header.type in _EXTENSIONS:
            found_here = _extension(file, size, path)
            extended = found_here if header.type == tarfile.XHDTYPE else {}  # a global one names no file
        elif header.type in _FILES:
            name = name.removeprefix("./")
            if name in found:
                raise refused(path, f"it has {name!r} twice")
            found[name] = Member(place, size)
        elif header.type != tarfile.DIRTYPE or size:
            raise refused(path, f"its member {name!r} is neither a regular file nor a folder")
        place += -(-size // _BLOCK) * _BLOCK
    raise refused(path, f"it has more than {_MAX_MEMBERS} members")


def _at(file: BinaryIO, place: int) -> bytes:
    file.seek(place)
    return file.read(_BLOCK)


def _size(value: int | str, path: Path) -> int:
    size = int(value) if isinstance(value, int) or (value.isascii() and value.isdigit() and len(value) < 16) else -1
    if size < 0:
        raise refused(path, "a member's size is none")
    return size


def _extension(file: BinaryIO, size: int, path: Path) -> dict[str, str]:
    """Read the records of an extended header (length, blank, key=value, newline), and keep what we look at."""
    if size > _MAX_EXTENSION:
        raise refused(path, f"it has an extended header of {size} bytes")
    rest, found = file.read(size), dict[str, str]()
    while rest.strip(b"\0"):
        length, _, _ = rest.partition(b" ")
        if not length.isdigit() or len(length) > 7 or not len(length) < int(length) <= len(rest):
            raise refused(path, "an extended header of it cannot be read")
        key, _, value = rest[len(length) + 1 : int(length) - 1].partition(b"=")
        if key.startswith(b"GNU.sparse"):
            raise refused(path, "it has a sparse member")
        if key in (b"path", b"size"):
            found[key.decode()] = value.decode("utf-8", "surrogateescape")
        rest = rest[int(length) :]
    return found


def refused(path: Path, why: str) -> BundleError:
    """Return the error for a file that is no bundle, or one that we do not touch."""
    return BundleError(
        f"{path} is not taken as a bundle: {why}", advice="Ask for it again, as 'rackwave bundle export' writes it."
    )
