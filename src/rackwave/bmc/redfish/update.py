"""Handing an image to the BMC: it pulls (SimpleUpdate), or we push (MultipartHttpPushUri).

``HttpPushUri`` alone is not spoken: it cannot name a target, and its body's form is the vendor's own.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from attrs import frozen

from ...ports import Image
from .document import Document, dig, strings, text, uri_path
from .power import allowed_values

Prefer: TypeAlias = Literal["auto", "pull", "push"]

_PIECE = 1024 * 1024
"""Bytes read at a time: one hop to a thread each, and no more than this in memory."""


@frozen
class Pull:
    """Send a SimpleUpdate with this body to *uri*; the body holds the URL, which is a secret."""

    uri: str
    protocol: str
    targets: tuple[str, ...]

    def body(self, url: str) -> dict[str, object]:
        """The action's parameters."""
        named: dict[str, object] = {"Targets": list(self.targets)} if self.targets else {}
        return {"ImageURI": url, "TransferProtocol": self.protocol, **named}


@frozen
class Push:
    """Send the file to *uri* as multipart/form-data."""

    uri: str
    targets: tuple[str, ...]


@frozen
class NoWay:
    """The image cannot be handed over, for this reason."""

    reason: str


def choose_way(service: Document, image: Image, member: str, prefer: Prefer) -> Pull | Push | NoWay:
    """Choose by what the UpdateService says it can do; *prefer* breaks the tie and never makes a way.

    ``auto`` pulls where it can: the image server then knows byte by byte what the BMC has.
    """
    if service.get("ServiceEnabled") is False:
        return NoWay("the BMC's UpdateService is disabled")
    pull, push = _pull(service, image, member), _push(service, member)
    first, second = (push, pull) if prefer == "push" else (pull, push)
    if not isinstance(first, NoWay):
        return first
    if not isinstance(second, NoWay):
        return second
    return NoWay(f"{pull.reason if isinstance(pull, NoWay) else ''}; {push.reason if isinstance(push, NoWay) else ''}")


def _pull(service: Document, image: Image, member: str) -> Pull | NoWay:
    action = dig(service, "Actions", "#UpdateService.SimpleUpdate")
    uri = uri_path(text(action, "target"))
    if not isinstance(action, dict) or uri is None:
        return NoWay("the BMC has no SimpleUpdate")
    if image.url is None:
        return NoWay("the image is not served anywhere")
    protocol = urlsplit(image.url).scheme.upper()
    protocols = allowed_values(action, "TransferProtocol")
    if protocols is not None and protocol not in protocols:
        return NoWay(f"the BMC does not fetch by {protocol}, only by {', '.join(protocols)}")
    # XCC lists only BMC-Backup as a target: for all else the image itself says where it belongs.
    targets = strings(action, "Targets@Redfish.AllowableValues")
    return Pull(uri, protocol, (member,) if not targets or member in targets else ())


def _push(service: Document, member: str) -> Push | NoWay:
    uri = uri_path(service.get("MultipartHttpPushUri"))
    if uri is None:
        return NoWay("the BMC has no MultipartHttpPushUri")
    return Push(uri, (member,))


class Multipart:
    """A multipart update of a file, streamed: JSON parameters first, then the file (DSP0266, 12.6.2).

    *completing* is awaited once, before the bytes are handed over that make the image whole.
    """

    def __init__(
        self,
        path: Path,
        file_name: str,
        size: int,
        *,
        targets: tuple[str, ...],
        completing: Callable[[], Awaitable[None]],
    ) -> None:
        self._path = path
        self._completing = completing
        self._name = "".join(c for c in file_name if c.isprintable() and c not in '"\\/') or "image.bin"
        self._size = size
        boundary = secrets.token_hex(16)
        parameters = json.dumps({"Targets": list(targets)}).encode()
        self._head = (
            (
                f"--{boundary}\r\n"
                'Content-Disposition: form-data; name="UpdateParameters"\r\n'
                "Content-Type: application/json\r\n\r\n"
            ).encode()
            + parameters
            + (
                f"\r\n--{boundary}\r\n"
                f'Content-Disposition: form-data; name="UpdateFile"; filename="{self._name}"\r\n'
                "Content-Type: application/octet-stream\r\n\r\n"
            ).encode()
        )
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self.complete = False

    @property
    def size(self) -> int:
        """Bytes in all, for the Content-Length."""
        return len(self._head) + self._size + len(self._tail)

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body, from the first byte; memory stays flat.

        Raises:
            OSError: the file cannot be read, or is no longer as long as it was.
        """
        yield self._head
        left = self._size
        with await asyncio.to_thread(self._path.open, "rb") as file:
            while left:
                piece = await asyncio.to_thread(file.read, min(_PIECE, left))
                if not piece:
                    raise OSError(f"{self._path.name} became shorter while it was sent")
                left -= len(piece)
                if not left:
                    await self._complete()
                yield piece
        await self._complete()  # of an empty image
        yield self._tail

    async def _complete(self) -> None:
        if not self.complete:
            await self._completing()
            self.complete = True
