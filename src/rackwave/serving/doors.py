"""Doors: where a BMC that tells its events by itself (DSP0266, EventDestination) knocks.

``/events/<token>/node/<name>``: the token grants nothing but to have its node looked at; the name is for
people, and keeps the token out of the end of the URL, which logs may keep. An event decides nothing, so that
a forged one costs a look. What is sent is bounded, and passed on as text for whoever has to tell news from
none; a flood becomes one knock in `QUIET` seconds.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from collections.abc import Callable
from urllib.parse import quote

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

QUIET = 1.0
"""Seconds after a knock in which what comes is put together into the next."""

LONGEST = 256 * 1024
"""Octets of one delivery: events of real services take 1 to 10 KiB, and come up to 64 together."""

_READ = 8 * 1024
"""Octets that are passed on. The parent's pipe takes lines of 64 KiB, and JSON may need six characters for one."""

_PATIENCE = 5.0  # real seconds for one delivery to arrive
_PATH = re.compile(r"/events/([0-9a-f]{32})/node/[^/]+")


def door_token(node: str, key: bytes) -> str:
    """Return the secret part of the URL under which *node*'s BMC knocks, while *key* is the image server's."""
    return hmac.new(key, b"events\0" + node.encode(), hashlib.sha256).hexdigest()[:32]


def door_path(node: str, key: bytes) -> str:
    """Return the path of that URL."""
    return f"/events/{door_token(node, key)}/node/{quote(node, safe='')}"


class Doors:
    """The doors that are open in this process. Belongs to one event loop.

    *knocked* is called with the node that has something to tell and what it sent; with an empty text where that
    is long, or several things came.
    """

    def __init__(self, knocked: Callable[[str, str], None]) -> None:
        self._knocked = knocked
        self._nodes: dict[str, str] = {}
        self._quiet: dict[str, asyncio.TimerHandle] = {}
        self._more: set[str] = set()

    def open(self, token: str, node: str) -> None:
        """Let *node* knock under *token*."""
        self._nodes[token] = node

    def shut(self, node: str) -> None:
        """Take nothing more from *node*."""
        self._nodes = {token: other for token, other in self._nodes.items() if other != node}
        self._more.discard(node)

    @staticmethod
    def is_one(scope: Scope) -> bool:
        """Whether a request is for a door, open or not."""
        return bool(scope["method"] == "POST" and scope["path"].startswith("/events/"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one delivery: 204 once it is here, 404 for no open door, 413 or 408 for what does not end."""
        found = _PATH.fullmatch(scope["path"])
        node = self._nodes.get(found[1]) if found is not None and not scope["query_string"] else None
        if node is None:
            await Response(status_code=404)(scope, receive, send)
            return
        try:
            async with asyncio.timeout(_PATIENCE):
                told = await _taken(receive)
        except TimeoutError:
            await Response(status_code=408)(scope, receive, send)
            return
        await Response(status_code=413 if told is None else 204)(scope, receive, send)
        if told is not None:
            self._pass_on(node, told)

    def _pass_on(self, node: str, told: bytes) -> None:
        if node in self._quiet:
            self._more.add(node)
            return
        self._quiet[node] = asyncio.get_running_loop().call_later(QUIET, self._end_quiet, node)
        self._knocked(node, told.decode("utf-8", "replace") if len(told) <= _READ else "")

    def _end_quiet(self, node: str) -> None:
        del self._quiet[node]
        if node in self._more:
            self._more.discard(node)
            self._pass_on(node, b"")


async def _taken(receive: Receive) -> bytes | None:
    """Take a body off the wire; None where it does not end within `LONGEST`."""
    taken = bytearray()
    while True:
        message = await receive()
        taken += message.get("body", b"")
        if len(taken) > LONGEST:
            return None
        if not message.get("more_body", False):
            return bytes(taken)
