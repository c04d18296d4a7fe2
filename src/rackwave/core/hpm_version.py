"""Versions in the six bytes that HPM.1 has for them (PICMG HPM.1 R1.0).

They are a major number (7 bits), a minor number (two BCD digits) and four bytes of the maker's own. Those
are told as two numbers here, the second only where it is not 0: ``2.1.0``, ``2.1.7``, ``2.1.7.12``. What
does not read as such, as when a maker packs a text into a checksum, is Unknown: compared with a manifest's
version it would look like another one.
"""

from __future__ import annotations

import re
import struct

from .observation import Unknown

SIZE = 6
_SIX = struct.Struct(">BBHH")
_TEXT = re.compile(r"(\d{1,3})\.(\d{1,2})\.(\d{1,5})(?:\.(\d{1,5}))?")


def version_text(octets: bytes) -> str | Unknown | None:
    """Read six bytes; None: they say that there is none."""
    if len(octets) < SIZE:
        return Unknown(f"a version of {len(octets)} bytes")
    major, minor, third, fourth = _SIX.unpack_from(octets)
    if major in (0x7F, 0xFF) or minor == 0xFF:
        return None
    if minor & 0x0F > 9 or minor >> 4 > 9:
        return Unknown(f"a version that is none: {octets[:SIZE].hex()}")
    if not major & 0x7F and not minor and (third or fourth):
        return Unknown(f"a version that has no number: {octets[2:SIZE].hex()}")
    told = f"{major & 0x7F}.{(minor >> 4) * 10 + (minor & 0x0F)}.{third}"
    return f"{told}.{fourth}" if fourth else told


def version_octets(version: str) -> bytes | None:
    """Return the six bytes of *version*; None: it is not one that would be read from them as the same text."""
    match = _TEXT.fullmatch(version)
    if match is None:
        return None
    major, minor, third, fourth = (int(part or 0) for part in match.groups())
    if major >= 0x7F or third > 0xFFFF or fourth > 0xFFFF:
        return None
    octets = _SIX.pack(major, minor // 10 << 4 | minor % 10, third, fourth)
    return octets if version_text(octets) == version else None


def can_be_told(version: str) -> bool:
    """Whether a BMC that runs *version* can say so in six bytes, and we read the same text from them."""
    return version_octets(version) is not None
