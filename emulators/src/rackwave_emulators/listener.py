"""One BMC's listening socket, which can be away: while it is, connections are reset before any byte.

asyncio's own server creates the protocol first and asks later; here the BMC decides first, so that a
restarting BMC costs a client one RST and the lab no TLS handshake.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
import struct
from collections.abc import Callable

# SO_LINGER with a zero time: close() sends RST and drops what was not sent.
_ABORT = struct.pack("ii", 1, 0)
_HANDSHAKE_LIMIT = 15.0  # seconds; an idle stranger must not hold a slot, a loaded machine must not be refused
_SHUTDOWN_LIMIT = 1.0
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_PAUSE = 1.0


def listen(address: str, port: int) -> socket.socket:
    """Bind and listen; *port* 0 lets the kernel choose.

    Raises:
        OSError: the address or port cannot be had.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        sock.listen(256)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def abort(transport: asyncio.BaseTransport | None) -> None:
    """Reset the connection under *transport*: RST, nothing flushed, no TLS close."""
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):  # the peer may have been faster
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()


class Listener:
    """Accepts connections on *sock* and gives each a protocol from *factory*, while *admits* says yes.

    *context* is asked for at each connection, since certificates may change (None: plain HTTP).
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        factory: Callable[[], asyncio.Protocol],
        context: Callable[[], ssl.SSLContext | None],
        admits: Callable[[], bool],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._factory = factory
        self._context = context
        self._admits = admits
        self._handshakes: set[asyncio.Task[None]] = set()
        self.accepted = 0
        self.refused = 0
        self._pause: asyncio.TimerHandle | None = None
        self._listen()

    async def close(self) -> None:
        """Stop listening; connections that stand are not touched."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._sock.fileno())
        self._sock.close()
        pending = tuple(self._handshakes)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    def _listen(self) -> None:
        self._loop.add_reader(self._sock.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(64):  # at most a burst, then the loop gets its turn
            try:
                connection, _peer = self._sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    # The socket stays readable, so without a pause this would spin until somebody closes something.
                    self._loop.remove_reader(self._sock.fileno())
                    self._pause = self._loop.call_later(_PAUSE, self._listen)
                return
            if not self._admits():
                self.refused += 1
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
                connection.close()
                continue
            self.accepted += 1
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task = self._loop.create_task(self._serve(connection))
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)

    async def _serve(self, connection: socket.socket) -> None:
        context = self._context()
        tls = context is not None
        try:
            await self._loop.connect_accepted_socket(
                self._factory,
                connection,
                ssl=context,
                ssl_handshake_timeout=_HANDSHAKE_LIMIT if tls else None,
                ssl_shutdown_timeout=_SHUTDOWN_LIMIT if tls else None,
            )
        except OSError:
            # A client that gave up, spoke plain HTTP or does not trust the lab's CA.
            connection.close()
        except asyncio.CancelledError:
            connection.close()
            raise
