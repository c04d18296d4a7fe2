"""One BMC's UDP socket."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

from ..faults import IpmiPacketLost, IpmiSessionsDropped, IpmiSilent
from ..faults.ipmi import Side
from .bmc import IpmiBmc
from .node import Node

_LONGEST = 1 << 16
_BURST = 32  # datagrams that are read at a time, then the loop gets its turn


def bind(address: str, port: int) -> socket.socket:
    """Bind a UDP socket; *port* 0 lets the kernel choose.

    Raises:
        OSError: the address or port cannot be had.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.bind((address, port))
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


class IpmiServer:
    """Serves what *bmc* returns on *sock*; *latency* is in real seconds for every answer."""

    def __init__(self, node: Node, bmc: Callable[[], IpmiBmc], sock: socket.socket, *, latency: float = 0.0) -> None:
        self._loop = asyncio.get_running_loop()
        self._node = node
        self._bmc = bmc
        self._sock = sock
        self._latency = latency
        self._open = True
        self.address, self.port = sock.getsockname()[:2]
        self._loop.add_reader(sock.fileno(), self._read)

    def close(self) -> None:
        """Stop listening."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._sock.fileno())
            self._sock.close()

    def _read(self) -> None:
        for _ in range(_BURST):
            try:
                datagram, peer = self._sock.recvfrom(_LONGEST)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:  # an ICMP error that an earlier answer brought: the client is gone
                continue
            self._serve(datagram, peer)

    def _serve(self, datagram: bytes, peer: tuple[str, int]) -> None:
        with self._node.exclusive() as machine:
            if machine.suffers(IpmiSilent):  # P39
                return
            if machine.suffers(IpmiSessionsDropped) and self._bmc().sessions and machine.strike(IpmiSessionsDropped):
                self._bmc().sessions.forget()
            loss = machine.strike(IpmiPacketLost)
            if loss is not None and loss.side is Side.REQUEST:
                return
            answer = self._bmc().answer(datagram)
        if answer is None or loss is not None:
            return
        if self._latency:
            self._loop.call_later(self._latency, self._send, answer, peer)
        else:
            self._send(answer, peer)

    def _send(self, answer: bytes, peer: tuple[str, int]) -> None:
        if self._open:
            with contextlib.suppress(OSError):  # a full buffer or a client that is gone: datagrams get lost
                self._sock.sendto(answer, peer)
