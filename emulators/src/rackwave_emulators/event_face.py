"""One server-sent event stream, from its opening to whoever ends it first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from .redfish.answers import RefusalError
from .redfish.station import Station
from .wire import ODATA_VERSION, reset

TYPE = "text/event-stream"
_GLANCE, _GLANCE_MOST = 0.05, 0.5
"""Seconds between two looks at the machine, after an event and when nothing has happened for a while: an event is
about as late as real ones are."""
_COMMENT = 15.0  # real seconds between two signs of life


async def stream(request: web.BaseRequest, station: Station, is_up: Callable[[], bool]) -> web.StreamResponse:
    """Send what happens at *station* until the client, the subscription or the BMC goes.

    Raises:
        RefusalError: the client does not accept an event stream (406), or there are too many of them (503).
    """
    accepted = request.headers.get("Accept", "*/*")
    if not any(kind in accepted for kind in (TYPE, "text/*", "*/*")):
        raise RefusalError(406, f"This is a {TYPE}.", message_id="GeneralError")
    with station.exclusive():
        ident, sent = station.events.open_stream(), station.events.number
    last = request.headers.get("Last-Event-ID", "")
    if last.isascii() and last.isdigit() and len(last) <= len("999999999") and int(last) <= sent:
        sent = int(last)
    response = web.StreamResponse(
        headers={"Content-Type": TYPE, "Cache-Control": "no-store", "OData-Version": ODATA_VERSION}
    )
    loop = asyncio.get_running_loop()
    try:
        await response.prepare(request)
        await response.write(b"retry: 5000\n\n")
        spoke, glance = loop.time(), _GLANCE
        while request.transport is not None and not request.transport.is_closing():
            if not is_up():
                return reset(request)
            with station.exclusive():
                if station.events.destination(ident) is None:
                    break
                happened = station.events.after(sent)
            for number, body in happened:
                await response.write(b"id: %d\ndata: %b\n\n" % (number, body))
                sent = number
            if happened or loop.time() - spoke > _COMMENT:
                if not happened:
                    await response.write(b": here\n\n")
                spoke = loop.time()
            glance = _GLANCE if happened else min(2 * glance, _GLANCE_MOST)
            await asyncio.sleep(glance)
    except ConnectionError:
        pass  # the client has gone
    finally:
        with station.exclusive():
            station.events.remove(ident)
    response.force_close()
    return response
