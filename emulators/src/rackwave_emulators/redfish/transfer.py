"""How an image comes to a BMC: fetched by it (SimpleUpdate), or pushed to it (multipart, octet stream).

Bytes go straight to a file; a lab of 1,000 BMCs must not hold 1,000 images in memory.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohttp
from aiohttp import BodyPartReader, MultipartReader, web
from attrs import field, frozen

from .answers import RefusalError

_CHUNK = 256 * 1024
_PARAMETERS_LIMIT = 64 * 1024
# Real BMCs give up after 5 to 30 minutes; a lab that hangs that long is no use to a test.
_FETCH_LIMIT = aiohttp.ClientTimeout(total=300.0, sock_connect=15.0, sock_read=60.0)
_SCHEMES = ("http", "https")


class TransferError(Exception):
    """The image could not be had; the message is what the task will say."""


@frozen
class Push:
    """A push that has arrived whole: the file, and what came with it."""

    path: Path
    file_name: str
    targets: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(factory=dict)


class Inbox:
    """A directory for images in transit, and the largest that is taken."""

    def __init__(self, directory: Path, limit: int) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self.limit = limit

    def check(self, size: int) -> None:
        """Refuse an image of *size* bytes.

        Raises:
            TransferError: it is larger than the limit.
        """
        if size > self.limit:
            raise TransferError(f"The image is larger than {self.limit} bytes.")

    async def keep(self, chunks: AsyncIterator[bytes]) -> Path:
        """Write *chunks* to a new file; nothing is left behind when they break off.

        Raises:
            TransferError: more came than the limit.
        """
        with tempfile.NamedTemporaryFile(dir=self._directory, prefix="image-", delete=False) as file:
            path = Path(file.name)
            size = 0
            try:
                async for chunk in chunks:
                    size += len(chunk)
                    self.check(size)
                    file.write(chunk)
            except BaseException:
                drop(path)
                raise
        return path


def image_uri(text: str) -> str:
    """Return *text*, which must be an absolute http or https URL with a host.

    Raises:
        RefusalError: it is not (400).
    """
    try:
        parts = urlsplit(text)
        usable = parts.scheme in _SCHEMES and bool(parts.hostname)
        _ = parts.port  # a port that is no number only shows here
    except ValueError:
        usable = False
    if not usable:
        raise RefusalError(
            400, "ImageURI must be an absolute http or https URL.", message_id="ActionParameterValueFormatError"
        )
    return text


class RangeCheck(Protocol):
    """Told whether the image's server sends parts on request; it may raise TransferError."""

    def __call__(self, *, ranges: bool) -> None:
        """Judge it."""


async def fetch(uri: str, inbox: Inbox, *, address: str, verify: bool, check: RangeCheck) -> Path:
    """Fetch *uri* into the inbox, from the BMC's own address where the image server is on loopback too.

    Certificates are only verified on request, as real BMCs do (VerifyRemoteServerCertificate defaults to
    false); then the system's CAs decide.

    Raises:
        TransferError: it could not be fetched whole.
    """
    host = urlsplit(uri).hostname or ""
    trust: ssl.SSLContext | bool = ssl.create_default_context() if verify else False
    local = (address, 0) if host.startswith("127.") else None
    try:
        # A connector for each fetch: a BMC's downloader keeps nothing alive, and the source address is its own.
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=trust, local_addr=local, force_close=True),
                timeout=_FETCH_LIMIT,
                headers={"User-Agent": "rackwave-lab-bmc", "Accept-Encoding": "identity"},
            ) as session,
            session.get(uri, max_redirects=3) as response,
        ):
            if response.status != web.HTTPOk.status_code:
                raise TransferError(f"The image server answered {response.status}.")
            check(ranges=response.headers.get("Accept-Ranges") == "bytes")
            inbox.check(response.content_length or 0)
            return await inbox.keep(response.content.iter_chunked(_CHUNK))
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # The URL may grant access, so it is not repeated, and neither is an error text that holds it.
        raise TransferError(f"The image could not be fetched ({type(error).__name__}).") from error
    except TimeoutError as error:
        raise TransferError("The image server was too slow.") from error


async def receive_multipart(request: web.BaseRequest, inbox: Inbox) -> Push:
    """Receive a MultipartHttpPushUri request: a JSON part UpdateParameters and a file part UpdateFile.

    Raises:
        RefusalError: the body is not that (400), or too large (413).
        ConnectionError: the client went away in the middle; nothing is kept.
    """
    if not request.content_type.startswith("multipart/form-data"):
        raise RefusalError(415, "Send multipart/form-data.")
    parts = _Parts()
    try:
        await parts.read(await request.multipart(), inbox)
        return parts.push()
    except TransferError as error:
        parts.drop()
        raise RefusalError(413, str(error)) from None
    except (web.RequestPayloadError, asyncio.IncompleteReadError) as error:
        parts.drop()
        raise ConnectionResetError("the upload broke off") from error
    except (ValueError, AssertionError, RuntimeError, LookupError, TypeError) as error:
        # aiohttp's multipart reader tells malformed bodies by all of these.
        parts.drop()
        raise RefusalError(
            400, f"The multipart body is malformed ({type(error).__name__}).", message_id="MalformedRequest"
        ) from error
    except BaseException:
        parts.drop()
        raise


class _Parts:
    """The parts of a multipart push, as they arrive."""

    def __init__(self) -> None:
        self._parameters: dict[str, Any] | None = None
        self._path: Path | None = None
        self._file_name = ""

    async def read(self, reader: MultipartReader, inbox: Inbox) -> None:
        while (part := await reader.next()) is not None:
            if not isinstance(part, BodyPartReader):
                raise RefusalError(400, "Parts within parts are not understood.", message_id="MalformedRequest")
            if part.name == "UpdateParameters" and self._parameters is None:
                self._parameters = await _parameters(part)
            elif part.name == "UpdateFile" and self._path is None:
                self._file_name = part.filename or ""
                self._path = await inbox.keep(_chunks(part))
            else:
                await _skip(part)

    def push(self) -> Push:
        if self._parameters is None or self._path is None:
            raise RefusalError(400, "UpdateParameters and UpdateFile are required.", message_id="PropertyMissing")
        return Push(self._path, self._file_name, targets_of(self._parameters), self._parameters)

    def drop(self) -> None:
        if self._path is not None:
            drop(self._path)


async def receive_stream(request: web.BaseRequest, inbox: Inbox) -> Push:
    """Receive a plain HttpPushUri request, whose whole body is the image.

    Raises:
        RefusalError: it is too large (413).
        ConnectionError: the client went away in the middle; nothing is kept.
    """
    try:
        return Push(await inbox.keep(request.content.iter_chunked(_CHUNK)), "")
    except TransferError as error:
        raise RefusalError(413, str(error)) from None
    except (web.RequestPayloadError, asyncio.IncompleteReadError) as error:
        raise ConnectionResetError("the upload broke off") from error


def targets_of(parameters: dict[str, Any]) -> tuple[str, ...]:
    """Return the Targets of an update, which must be a list of URIs where there are any.

    Raises:
        RefusalError: they are something else (400).
    """
    targets = parameters.get("Targets")
    if targets is None:
        return ()
    if not isinstance(targets, list) or not all(isinstance(target, str) for target in targets):
        raise RefusalError(400, "Targets must be a list of URIs.", message_id="PropertyValueTypeError")
    return tuple(targets)


async def _parameters(part: BodyPartReader) -> dict[str, Any]:
    raw = bytearray()
    async for chunk in _chunks(part):
        raw += chunk
        if len(raw) > _PARAMETERS_LIMIT:
            raise RefusalError(413, "UpdateParameters is too large.")
    value = json.loads(bytes(raw) or b"{}")
    if not isinstance(value, dict):
        raise RefusalError(400, "UpdateParameters must be a JSON object.", message_id="PropertyValueTypeError")
    return value


async def _chunks(part: BodyPartReader) -> AsyncIterator[bytes]:
    while chunk := await part.read_chunk(_CHUNK):
        yield chunk


async def _skip(part: BodyPartReader) -> None:
    async for _ in _chunks(part):
        pass


def drop(path: Path) -> None:
    """Remove an image that is no longer needed."""
    path.unlink(missing_ok=True)
