"""SSDP: ask a network segment which Redfish services are on it (DSP0266, "Discovery"; UPnP Device Architecture 1.1).

Of our own, since ``redfish.discover_ssdp`` (3.4.2, read) changes the time-out of every socket of the
process, ends on the first answer without a USN, and listens for ever where answers keep coming.
"""

from __future__ import annotations

import asyncio
import re
import socket
from urllib.parse import urlsplit

from attrs import frozen

from ..errors import UsageError
from .found import Found

GROUP = ("239.255.255.250", 1900)
TARGET = "urn:dmtf-org:service:redfish-rest:1"

MOST_ANSWERS = 4096
"""Answers kept: a segment has fewer BMCs, and whoever sends more means no good."""

_MOST_BYTES = 2048
_USN = re.compile(r"uuid:([0-9a-f-]{1,64})::urn:dmtf-org:service:redfish-rest:1(?::\d+)?", re.IGNORECASE)


@frozen
class _Answer:
    uuid: str
    url: str


async def search(*, seconds: float, group: tuple[str, int] = GROUP, hops: int = 2) -> tuple[Found, ...]:
    """Ask once and listen for *seconds*; one entry a service, in the order of their addresses.

    Nothing is sent to what answers. *hops* is how far the question travels (its TTL).

    Raises:
        UsageError: the question cannot be sent from this machine.
    """
    loop = asyncio.get_running_loop()
    listener = _Listener()
    transport, _ = await loop.create_datagram_endpoint(lambda: listener, family=socket.AF_INET)
    try:
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, hops)
        question = (
            f"M-SEARCH * HTTP/1.1\r\nHost: {group[0]}:{group[1]}\r\n"
            f'Man: "ssdp:discover"\r\nST: {TARGET}\r\nMX: {max(1, min(5, int(seconds)))}\r\n\r\n'
        )
        transport.sendto(question.encode(), group)
        await asyncio.sleep(seconds)
    finally:
        transport.close()
    if listener.failed is not None:
        raise UsageError(
            f"nothing can be sent to {group[0]}: {listener.failed}", advice="Is there a route for multicast?"
        )
    found = {answer.url: Found(answer.url, uuid=answer.uuid, how="ssdp") for answer in listener.answers.values()}
    return tuple(sorted(found.values(), key=lambda each: each.url))


class _Listener(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.answers: dict[str, _Answer] = {}
        self.failed: Exception | None = None

    def datagram_received(self, data: bytes, addr: object) -> None:
        del addr
        answer = read_answer(data)
        if answer is not None and len(self.answers) < MOST_ANSWERS:
            self.answers.setdefault(answer.uuid, answer)

    def error_received(self, exc: Exception) -> None:
        self.failed = exc


def read_answer(data: bytes) -> _Answer | None:
    """Read one answer; None for what is none, is for another service, or names no https or http address."""
    if len(data) > _MOST_BYTES:
        return None
    lines = data.decode("latin-1").split("\r\n")
    if not re.match(r"HTTP/1\.[01] 200", lines[0]):
        return None
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    named = _USN.fullmatch(headers.get("usn", ""))
    if named is None or not headers.get("al", "").isprintable():
        return None
    try:
        parts = urlsplit(headers.get("al", ""))
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.username is None
        port = parts.port
    except ValueError:
        return None
    if not usable:
        return None
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
    return _Answer(named[1].lower(), f"{parts.scheme}://{host}{f':{port}' if port else ''}")
