"""What keeps a thousand TLS connections small.

asyncio gives each of its TLS connections a buffer of 256 KiB when it is made, and asks OpenSSL for as
much at every read. No TLS record holds more than 16 KiB (RFC 8446, 5.1), so what one read can bring is
that. Measured over 400 nodes: 364 KiB a node with asyncio's buffer, 120 KiB with this one.

The size is an attribute of asyncio's class, so this holds for every TLS connection of the process. To
others it means reads of 16 KiB from the socket, as asyncio itself reads from sockets without TLS when it
is asked for a stream, and nothing else.
"""

from __future__ import annotations

from asyncio import sslproto

TLS_READ = 16 * 1024
"""Bytes: what a record holds at most, without its few bytes of frame."""


def shrink_tls_buffers() -> None:
    """Have TLS connections that are made from now on keep `TLS_READ` bytes in place of 256 KiB."""
    sslproto.SSLProtocol.max_size = min(sslproto.SSLProtocol.max_size, TLS_READ)
