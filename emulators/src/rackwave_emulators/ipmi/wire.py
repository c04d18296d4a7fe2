"""What travels in a datagram: RMCP, ASF, IPMI sessions and IPMI messages, taken apart and put together.

Section numbers are those of the IPMI specification 2.0, revision 1.1. Whatever does not add up is
``None``: a BMC is silent about datagrams that it cannot read.
"""

from __future__ import annotations

import struct

from attrs import evolve, frozen

_RMCP = b"\x06\x00\xff"  # version 1.0, reserved, no RMCP acknowledgement wanted
_CLASS_ASF, _CLASS_IPMI = 0x06, 0x07
_ASF_IANA = 4542
_PING, _PONG = 0x80, 0x40
_ASF = struct.Struct(">IBBxB")  # enterprise number, type, tag, length
_FORMAT_NONE, _FORMAT_RMCP_PLUS = 0x00, 0x06
_HEADER_15 = struct.Struct("<BIIB")  # authentication type, sequence, session, length
_HEADER_20 = struct.Struct("<BBIIH")  # authentication type, payload type, session, sequence, length
_ENCRYPTED, _AUTHENTICATED, _KIND = 0x80, 0x40, 0x3F
_NEXT_HEADER = 0x07
BMC_ADDRESS = 0x20

PAYLOAD_IPMI = 0x00
PAYLOAD_OPEN_REQUEST, PAYLOAD_OPEN_RESPONSE = 0x10, 0x11
PAYLOAD_RAKP_1, PAYLOAD_RAKP_2, PAYLOAD_RAKP_3, PAYLOAD_RAKP_4 = 0x12, 0x13, 0x14, 0x15


@frozen
class Ping:
    """An ASF Presence Ping (13.2.3)."""

    tag: int


@frozen
class Sessionless:
    """An IPMI message in the format of IPMI 1.5, outside of any session."""

    payload: bytes


@frozen
class Packet:
    """A packet in the format of RMCP+ (13.6).

    *signed* are the bytes that the integrity code protects when the code is *code_length* long.
    """

    kind: int
    session: int
    sequence: int
    payload: bytes
    encrypted: bool = False
    authenticated: bool = False
    body: bytes = b""
    trailer: bytes = b""

    def signed(self, code_length: int) -> tuple[bytes, bytes] | None:
        """Return the protected bytes and the code; None: the trailer is malformed."""
        # The trailer is padding, its length, the next header, the code (13.28.4).
        rest, code = self.trailer[:-code_length], self.trailer[-code_length:]
        if len(code) != code_length or len(rest) < 2 or rest[-1] != _NEXT_HEADER or rest[-2] != len(rest) - 2:
            return None
        return self.body + rest, code


@frozen
class Message:
    """One IPMI request (13.8). *data* excludes the completion code, which only answers have."""

    netfn: int
    lun: int
    source: int
    source_lun: int
    sequence: int
    command: int
    data: bytes

    def answer(self, code: int, data: bytes = b"") -> bytes:
        """Put together the response to this request."""
        head = bytes([self.source, (self.netfn | 1) << 2 | self.source_lun])
        body = bytes([BMC_ADDRESS, self.sequence << 2 | self.lun, self.command, code]) + data
        return head + _checksum(head) + body + _checksum(body)


def parse(datagram: bytes) -> Ping | Sessionless | Packet | None:
    """Take a datagram apart as far as that needs no keys."""
    if len(datagram) < 4 or datagram[0] != _RMCP[0]:
        return None
    rest = datagram[4:]
    if datagram[3] == _CLASS_ASF:
        return _parse_asf(rest)
    if datagram[3] != _CLASS_IPMI or not rest:
        return None
    return _parse_20(rest) if rest[0] == _FORMAT_RMCP_PLUS else _parse_15(rest)


def parse_message(payload: bytes) -> Message | None:
    """Read an IPMI request for this BMC; None: it is malformed, damaged or for somebody else."""
    if len(payload) < 7 or _sum(payload[:3]) or _sum(payload[3:]) or payload[0] != BMC_ADDRESS:
        return None
    netfn, lun = payload[1] >> 2, payload[1] & 3
    if netfn & 1:
        return None  # a response; we asked nothing
    return Message(netfn, lun, payload[3], payload[4] & 3, payload[4] >> 2, payload[5], payload[6:-1])


def pong(tag: int) -> bytes:
    """Answer an ASF Presence Ping: IPMI is supported (13.2.4)."""
    data = struct.pack(">IIBB6x", _ASF_IANA, 0, 0x81, 0)
    return _RMCP + bytes([_CLASS_ASF]) + _ASF.pack(_ASF_IANA, _PONG, tag, len(data)) + data


def sessionless(payload: bytes) -> bytes:
    """Put *payload* into the format of IPMI 1.5, outside of any session."""
    return _RMCP + bytes([_CLASS_IPMI]) + _HEADER_15.pack(_FORMAT_NONE, 0, 0, len(payload)) + payload


def rmcp_plus(packet: Packet) -> bytes:
    """Put together an RMCP+ datagram up to its integrity code, which the caller adds over ``signable``."""
    return _RMCP + bytes([_CLASS_IPMI]) + packet.body + packet.trailer


def framed(packet: Packet) -> Packet:
    """Fill in the bytes of *packet*, and of its trailer all but the code."""
    flags = (_ENCRYPTED if packet.encrypted else 0) | (_AUTHENTICATED if packet.authenticated else 0)
    header = _HEADER_20.pack(
        _FORMAT_RMCP_PLUS, packet.kind | flags, packet.session, packet.sequence, len(packet.payload)
    )
    body = header + packet.payload
    trailer = b""
    if packet.authenticated:
        padding = -(len(body) + 2) % 4
        trailer = b"\xff" * padding + bytes([padding, _NEXT_HEADER])
    return evolve(packet, body=body, trailer=trailer)


def _parse_asf(rest: bytes) -> Ping | None:
    if len(rest) < _ASF.size:
        return None
    iana, kind, tag, _ = _ASF.unpack_from(rest)
    return Ping(tag) if iana == _ASF_IANA and kind == _PING else None


def _parse_15(rest: bytes) -> Sessionless | None:
    if len(rest) < _HEADER_15.size:
        return None
    form, sequence, session, length = _HEADER_15.unpack_from(rest)
    payload = rest[_HEADER_15.size :]
    # Sessions of IPMI 1.5 are not offered. One byte more is the legacy pad that lan drivers of 1.5 add.
    if form != _FORMAT_NONE or sequence or session or len(payload) not in (length, length + 1):
        return None
    return Sessionless(payload[:length])


def _parse_20(rest: bytes) -> Packet | None:
    if len(rest) < _HEADER_20.size:
        return None
    _, kind, session, sequence, length = _HEADER_20.unpack_from(rest)
    end = _HEADER_20.size + length
    if len(rest) < end:
        return None
    return Packet(
        kind=kind & _KIND,
        session=session,
        sequence=sequence,
        payload=rest[_HEADER_20.size : end],
        encrypted=bool(kind & _ENCRYPTED),
        authenticated=bool(kind & _AUTHENTICATED),
        body=rest[:end],
        trailer=rest[end:],
    )


def _sum(octets: bytes) -> int:
    return sum(octets) & 0xFF


def _checksum(octets: bytes) -> bytes:
    return bytes([-sum(octets) & 0xFF])
