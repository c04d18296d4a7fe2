"""Cabinet files (Microsoft's [MS-CAB]), streamed: nothing of them is held in memory but one block of 32 KiB.

A cabinet has folders, each a chain of blocks that are stored or deflated (MSZIP), and files, each a stretch of what
a folder holds. Every block may begin with references into the one before, so that a folder is read from its
beginning. LZX and Quantum are refused: LVFS, for which this is here, takes neither.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from functools import partial
from struct import Struct

from attrs import frozen

from ..core.octets import Octets
from ..errors import PackageFormatError
from .files import check_inflation

SIGNATURE = b"MSCF"
MOST_FILES = 256
MOST_FOLDERS = 256
_HEADER = Struct("<4s4xI4xI4xBBHHHHH")
_RESERVE = Struct("<HBB")
_FOLDER = Struct("<IHH")
_FILE = Struct("<IIHHHH")
_BLOCK = Struct("<IHH")
_PREVIOUS, _NEXT, _RESERVED = 0x1, 0x2, 0x4
_LONGEST_NAME = 257
_MOST_WORK = 64 << 30
"""Bytes that may have to be inflated to read every file, each from the beginning of its folder: some minutes."""
_STORED, _MSZIP = 0, 1
_WINDOW = 1 << 15
_OTHER_WAYS = {2: "Quantum", 3: "LZX"}


@frozen
class Folder:
    """A chain of *blocks* that begins at *offset*; each has *reserved* bytes that mean nothing to us."""

    offset: int
    blocks: int
    way: int
    reserved: int


@frozen
class CabinetFile:
    """One file: *size* bytes from *offset* of what *folder* holds. *name* is as the cabinet has it."""

    name: str
    size: int
    offset: int
    folder: Folder
    cabinet: Octets

    def chunks(self) -> Iterator[bytes]:
        """Yield the file's bytes.

        Raises:
            PackageFormatError: a block is damaged, or the folder ends before the file does.
        """
        at, end = 0, self.offset + self.size
        if self.size == 0:
            return
        for block in _blocks(self.cabinet, self.folder):
            if at + len(block) > self.offset:
                yield block[max(self.offset - at, 0) : end - at]
            at += len(block)
            if at >= end:
                return
        raise self.cabinet.damaged(f"its folder holds {at} bytes and should reach to {end}", f"file {self.name!r}")


def read_cabinet(octets: Octets) -> tuple[CabinetFile, ...]:
    """Read which files the cabinet holds.

    Raises:
        PackageFormatError: it is damaged, a part of a set, packed in a way that is not known, or a bomb.
    """
    (signature, size, files_at, minor, major, folder_count, file_count, flags, _, _) = octets.unpack(
        _HEADER, 0, "cabinet header"
    )
    if signature != SIGNATURE:
        raise octets.damaged("is no cabinet", "signature", 0)
    if (major, minor) != (1, 3):
        raise octets.damaged(f"is {major}.{minor}; only 1.3 is known", "cabinet version", 24)
    if flags & (_PREVIOUS | _NEXT):
        raise octets.damaged("is a part of a set of cabinets, which no package is", "flags", 30)
    cabinet = octets.part(0, size, "cabinet size")
    if not 0 < file_count <= MOST_FILES or not 0 < folder_count <= MOST_FOLDERS:
        problem = f"are {file_count} in {folder_count} folders; {MOST_FILES} in {MOST_FOLDERS} are the most"
        raise octets.damaged(problem, "files", 26)
    at, in_header, in_folder, in_block = _HEADER.size, 0, 0, 0
    if flags & _RESERVED:
        in_header, in_folder, in_block = cabinet.unpack(_RESERVE, at, "reserved sizes")
        at += _RESERVE.size + in_header
    folders = []
    for index in range(folder_count):
        offset, blocks, way = cabinet.unpack(_FOLDER, at, f"folder {index}")
        folders.append(Folder(offset, blocks, way & 0xF, in_block))
        at += _FOLDER.size + in_folder
    files = tuple(_files(cabinet, files_at, file_count, tuple(folders)))
    check_inflation(size, sum(file.size for file in files), file=octets.file, what="files")
    if sum(file.offset + file.size for file in files) > _MOST_WORK:
        raise octets.damaged("lie so far behind one another that to read them would take hours", "files")
    return files


def _files(cabinet: Octets, at: int, count: int, folders: tuple[Folder, ...]) -> Iterator[CabinetFile]:
    for index in range(count):
        size, offset, folder, _, _, _ = cabinet.unpack(_FILE, at, f"file {index}")
        at += _FILE.size
        told = cabinet.take(at, min(_LONGEST_NAME, max(cabinet.size - at, 0)), f"name of file {index}")
        name, zero, _ = told.partition(b"\x00")
        if not zero or not name:
            raise cabinet.damaged("is empty or has no end", f"name of file {index}", at)
        if folder >= len(folders):
            raise cabinet.damaged(f"is folder {folder} of {len(folders)}", f"folder of file {index}", at - 8)
        at += len(name) + 1
        yield CabinetFile(name.decode("utf-8", "replace"), size, offset, folders[folder], cabinet)


def _blocks(cabinet: Octets, folder: Folder) -> Iterator[bytes]:
    if folder.way not in (_STORED, _MSZIP):
        way = _OTHER_WAYS.get(folder.way, f"way {folder.way}")
        advice = "Unpack it, for instance with cabextract, and import the image with a sidecar."
        raise cabinet.damaged(f"is packed by {way}, which is not supported", "folder", advice=advice)
    unpack = _stored if folder.way == _STORED else _inflated
    at, window = folder.offset, b""
    for index in range(folder.blocks):
        what = f"block {index}"
        told, packed, unpacked = cabinet.unpack(_BLOCK, at, what)
        data = cabinet.take(at + _BLOCK.size + folder.reserved, packed, what)
        if told and told != _checksum(data, packed | unpacked << 16):
            raise cabinet.damaged("its checksum is wrong", what, at)
        damaged = partial(cabinet.damaged, what=what, offset=at)
        window = unpack(data, unpacked, window, damaged)
        yield window
        at += _BLOCK.size + folder.reserved + packed


def _stored(data: bytes, size: int, _: bytes, damaged: partial[PackageFormatError]) -> bytes:
    if len(data) != size:
        raise damaged(f"has {len(data)} bytes and should have {size}")
    return data


def _inflated(data: bytes, size: int, window: bytes, damaged: partial[PackageFormatError]) -> bytes:
    if data[:2] != b"CK" or size > _WINDOW:
        raise damaged("is no MSZIP block")
    inflating = zlib.decompressobj(-zlib.MAX_WBITS, zdict=window)
    try:
        found = inflating.decompress(data[2:], size + 1)  # never more than is told of
    except zlib.error as error:
        raise damaged(f"cannot be inflated: {error}") from error
    if len(found) != size or not inflating.eof:
        raise damaged(f"does not inflate to the {size} bytes that are told of")
    return found


def _checksum(data: bytes, seed: int) -> int:
    """Exclusive-or of all words of 32 bits, and of what is left in the other byte order; folded, not looped over."""
    whole = len(data) & ~3
    value = int.from_bytes(data[:whole], "little")
    bits = max(whole * 8, 32)
    width = 32 << max(bits // 32 - 1, 0).bit_length()
    while width > 32:
        width //= 2
        value = (value >> width) ^ (value & ((1 << width) - 1))
    return value ^ int.from_bytes(data[whole:], "big") ^ seed
