"""HTTP as a BMC speaks it: one connection's parser, the paths, bodies and headers of requests and answers."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from urllib.parse import parse_qs, unquote

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage, BadHttpMethod, BadStatusLine
from multidict import CIMultiDict

from .listener import abort
from .redfish.answers import JSON, Answer, RefusalError

ODATA_VERSION = "4.0"

_BODY_LIMIT = 1 << 20  # JSON bodies; images have a limit of their own
_QUERIES = ("$skip", "$top")
_GLANCE = 0.05  # seconds between looks at whether a client still waits for an answer that never comes


class _Handler(web.RequestHandler):
    """What speaks HTTP on one connection: malformed HTTP gets a Redfish error body, too."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what cannot be parsed; an unknown method is 501 (DSP0266, "HTTP methods")."""
        if not isinstance(exc, BadStatusLine | BadHttpMessage):
            return super().handle_error(request, status, exc, message)
        if isinstance(exc, BadHttpMethod):
            refusal = RefusalError(501, "There is no such method.", message_id="ActionNotSupported")
        else:
            refusal = RefusalError(400, "This is not HTTP.", message_id="MalformedRequest")
        response = response_of(refusal.answer())
        response.force_close()
        return response


class HttpServer(web.Server):
    """aiohttp's server with handlers of ours."""

    def __call__(self) -> web.RequestHandler:
        """Make the handler of one connection."""
        return _Handler(self, loop=self._loop, **self._kwargs)


def check_query(query: str) -> None:
    """Refuse query options that this service does not know (DSP0266, "Query parameters").

    Raises:
        RefusalError: one begins with $ and is unknown (501).
    """
    for name in parse_qs(query, keep_blank_values=True):
        if name.startswith("$") and name not in _QUERIES:
            raise RefusalError(501, f"The query option {name} is not supported.")


def if_changed(request: web.BaseRequest, answer: Answer) -> Answer:
    """Answer 304 to a client that has this state of the resource already."""
    known = request.headers.get("If-None-Match")
    if known is None or answer.status != HTTPStatus.OK:
        return answer
    tag = answer.headers.get("ETag")
    if known.strip() != "*" and tag not in {one.strip().removeprefix("W/") for one in known.split(",")}:
        return answer
    return Answer(HTTPStatus.NOT_MODIFIED, headers=answer.headers)


def path_of(raw: str) -> str:
    """Return the path of a request's target, unquoted and without a slash at its end."""
    path = raw.partition("?")[0]
    if "%" in path:
        path = unquote(path, errors="replace")
    return path.rstrip("/") or "/"


async def body_of(request: web.BaseRequest) -> bytes:
    """Read a body that is no image.

    Raises:
        RefusalError: it is too large (413).
        ConnectionError: it broke off.
    """
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise RefusalError(413, f"The request body is larger than {_BODY_LIMIT} bytes.") from None
    except web.RequestPayloadError as error:
        raise ConnectionResetError("the request broke off") from error


async def invite_body(request: web.BaseRequest) -> None:
    """Ask for the body of a client that waits to be asked (curl does, above 1 MB)."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # as aiohttp's own handler does: nothing of the answer is sent yet


def reset(request: web.BaseRequest) -> web.Response:
    """Reset the connection, and return something for aiohttp to fail to send."""
    abort(request.transport)
    return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE)


async def silence(request: web.BaseRequest) -> None:
    """Say nothing until the client gives up."""
    glance = _GLANCE
    while request.transport is not None and not request.transport.is_closing():  # no event tells
        await asyncio.sleep(glance)
        glance = min(2 * glance, 1.0)


async def parting(request: web.BaseRequest, response: web.Response) -> web.Response:
    """Send the whole answer, which promises to keep the connection, and close it (P27)."""
    await response.prepare(request)
    await response.write_eof()
    if request.transport is not None:
        request.transport.close()
    return response


def response_of(answer: Answer) -> web.Response:
    """Turn what a BMC says into what aiohttp sends, with the headers that every answer has."""
    told = CIMultiDict(answer.headers)
    told["OData-Version"] = ODATA_VERSION
    told["Cache-Control"] = "no-store"
    if answer.body and "Content-Type" not in told:
        told["Content-Type"] = JSON
    return web.Response(status=answer.status, body=answer.body or None, headers=told)
