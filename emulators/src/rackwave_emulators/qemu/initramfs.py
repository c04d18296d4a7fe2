"""The guest's whole userland: busybox, and an init that says over the serial console what it runs on.

A machine whose BIOS came up far enough to load a kernel prints lines of ``MARK key=value`` and at last
``MARK ready``; nobody else can say them for it. The values come from the SMBIOS tables that the guest
found in its own memory, and ``flash`` from its flash chip, of which it reads a few words: builds of OVMF
all tell the version 0.0.0, and only their bytes differ.
"""

from __future__ import annotations

import gzip
import stat
from pathlib import Path

from attrs import frozen

MARK = "RACKWAVE-GUEST"
"""Begins every line that the guest says to the lab."""

_TOLD = ("bios_version", "bios_vendor", "bios_date", "sys_vendor", "product_name", "product_serial", "product_uuid")

_FOUR_GIB = 1 << 32  # x86 firmware ends here
_SAMPLES = (*range(0xFFCC0000, _FOUR_GIB, 0x60000), 0xFFFFFFF0)  # never in the variable store, which changes

# No 'set -e': whatever cannot be read is told as empty, and the guest comes up all the same.
_INIT = f"""#!/bin/busybox sh
b=/bin/busybox
$b mount -t sysfs sysfs /sys
$b mount -t devtmpfs devtmpfs /dev
for key in {" ".join(_TOLD)}; do
    echo "{MARK} $key=$($b cat /sys/class/dmi/id/$key)"
done
words=
for address in {" ".join(hex(address) for address in _SAMPLES)}; do
    words="$words $($b devmem $address 64)"
done
echo "{MARK} flash=$words"
echo "{MARK} ready"
while :; do $b sleep 3600; done
"""

_CONSOLE = (5, 1)  # Linux' Documentation/admin-guide/devices.txt
_TRAILER = "TRAILER!!!"


@frozen
class _Entry:
    name: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def flash_words(firmware: bytes) -> str:
    """Return what a guest that has *firmware* in its flash says of it; where there is no chip it reads zeros."""
    words = []
    for address in _SAMPLES:
        at = len(firmware) - (_FOUR_GIB - address)
        words.append(int.from_bytes(firmware[at : at + 8], "little") if at >= 0 else 0)
    return " ".join(f"0x{word:016X}" for word in words)


def make_initramfs(busybox: Path, out: Path) -> None:
    """Write the initramfs around the static *busybox* to *out*; equal input gives equal bytes."""
    entries = (
        _Entry("dev", stat.S_IFDIR | 0o755),
        _Entry("dev/console", stat.S_IFCHR | 0o600, device=_CONSOLE),
        _Entry("sys", stat.S_IFDIR | 0o755),
        _Entry("bin", stat.S_IFDIR | 0o755),
        _Entry("bin/busybox", stat.S_IFREG | 0o755, busybox.read_bytes()),
        _Entry("init", stat.S_IFREG | 0o755, _INIT.encode()),
        _Entry(_TRAILER, 0),
    )
    archive = b"".join(_packed(entry, number) for number, entry in enumerate(entries, start=1))
    out.write_bytes(gzip.compress(archive, compresslevel=6, mtime=0))


def _packed(entry: _Entry, number: int) -> bytes:
    """Return one member of a cpio archive in the "newc" format (Linux' initramfs buffer format)."""
    name = entry.name.encode() + b"\0"
    major, minor = entry.device
    fields = (number, entry.mode, 0, 0, 1, 0, len(entry.data), 0, 0, major, minor, len(name), 0)
    head = b"070701" + b"".join(b"%08X" % value for value in fields) + name
    return _aligned(head) + _aligned(entry.data)


def _aligned(piece: bytes) -> bytes:
    return piece + b"\0" * (-len(piece) % 4)
