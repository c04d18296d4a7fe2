"""The Transport network function (0Ch): the parameters of the LAN channel, to be read (chapter 23)."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping

from .application import CHANNEL
from .ciphers import SUITES
from .codes import Caller, Code, Command, Commands, CompletionError, Privilege
from .node import Node

NETFN = 0x0C
_REVISION = 0x11
_UNSUPPORTED = 0x80
_THIS_CHANNEL = 0x0E
_STATIC = 0x01


class Lan:
    """Answers the LAN commands of one BMC. Nothing can be set: the lab's addresses stay where they are."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._parameters: Mapping[int, Callable[[], bytes]] = {
            0: lambda: b"\x00",  # nobody is setting anything
            1: lambda: b"\x00",  # no authentication of IPMI 1.5
            2: lambda: bytes(5),
            3: lambda: ipaddress.IPv4Address(node.address).packed,
            4: lambda: bytes([_STATIC]),
            5: lambda: bytes.fromhex(node.mac.replace(":", "")),
            6: lambda: b"\xff\x00\x00\x00",
            7: lambda: b"\x40\x40\x10",
            10: lambda: b"\x00",
            12: lambda: bytes(4),
            13: lambda: bytes(6),
            14: lambda: bytes(4),
            15: lambda: bytes(6),
            16: lambda: b"public".ljust(18, b"\x00"),
            20: lambda: bytes(2),
            21: lambda: b"\x00",
            22: lambda: bytes([len(SUITES)]),
            23: lambda: bytes([0, *SUITES]).ljust(17, b"\x00"),
            24: lambda: bytes([0]) + bytes([Privilege.ADMINISTRATOR | Privilege.ADMINISTRATOR << 4]) * 8,
        }

    def commands(self) -> Commands:
        """Return what the BMC understands of this network function."""
        return {(NETFN, 0x02): Command(self._parameter, Privilege.OPERATOR, least=4)}

    def _parameter(self, data: bytes, _: Caller) -> bytes:
        if data[0] & 0x0F not in (CHANNEL, _THIS_CHANNEL):
            raise CompletionError(Code.INVALID_DATA)
        if data[0] & 0x80:
            return bytes([_REVISION])  # only the revision was asked for
        read = self._parameters.get(data[1])
        if read is None:
            raise CompletionError(_UNSUPPORTED)
        return bytes([_REVISION]) + read()
