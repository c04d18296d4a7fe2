"""Version strings in the few bytes that IPMI and HPM.1 have for them.

HPM.1 writes six: major (7 bits), minor (two BCD digits) and four of whatever the maker likes. What does not
fit, such as ``2022.11-6+deb12u2``, is told as 0.00 with the CRC-32 of the text: not to be read, but
different for different versions, and the same in an image and on the device that runs it.
"""

from __future__ import annotations

import re
import struct
import zlib

from attrs import frozen

_PLAIN = re.compile(r"(\d{1,3})\.(\d{1,2})(?:\.(\d{1,5}))?(?:\.(\d{1,5}))?")
_SIX = struct.Struct(">BB4s")
_TWO = struct.Struct(">HH")
_NONE = b"\xff" * 6


@frozen
class WireVersion:
    """A version as six bytes can tell it; *minor* is a number from 0 to 99."""

    major: int
    minor: int
    auxiliary: bytes = bytes(4)

    @classmethod
    def of(cls, text: str) -> WireVersion:
        """Return what is told of the version *text*."""
        if match := _PLAIN.fullmatch(text):
            major, minor, *rest = (int(part or 0) for part in match.groups())
            if major < 0x7F and all(part <= 0xFFFF for part in rest):
                return cls(major, minor, _TWO.pack(*rest))
        return cls(0, 0, struct.pack(">I", zlib.crc32(text.encode())))

    @classmethod
    def read(cls, octets: bytes) -> WireVersion | None:
        """Read six bytes; None: they say that there is no version."""
        if len(octets) != _SIX.size or octets[0] in (0x7F, 0xFF) or octets[1] == 0xFF:
            return None
        major, minor, auxiliary = _SIX.unpack(octets)
        return cls(major & 0x7F, (minor >> 4) * 10 + (minor & 0x0F), auxiliary)

    @property
    def bcd(self) -> int:
        """The minor version in BCD."""
        return self.minor // 10 << 4 | self.minor % 10

    def octets(self) -> bytes:
        """Return the six bytes."""
        return _SIX.pack(self.major, self.bcd, self.auxiliary)


def version_octets(text: str | None) -> bytes:
    """Return the six bytes of a version; None: there is none, or it cannot be read."""
    return _NONE if text is None else WireVersion.of(text).octets()
