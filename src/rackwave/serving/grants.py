"""A grant: one node may, for a while, fetch one file. Its token proves that we gave it.

``/images/<token>/attempt-<attempt id>/<file name>``: no query string, a real extension last (BMCs
have been seen to refuse either), and the attempt readable, so that any log ties a fetch to it.

The token holds its expiry in the open and an HMAC over node, digest, attempt and expiry. So one
that has run out is told from one that is forged or another node's, without keeping it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Any
from urllib.parse import quote

from attrs import asdict, frozen

_PATH = re.compile(r"/images/([0-9a-f]{1,12})-([0-9a-f]{32})/attempt-([a-z0-9]{4,32})/([^/]+)")


@frozen
class Grant:
    """The node may fetch *path* under *file_name* until *expires* (epoch seconds)."""

    node: str
    attempt: str
    digest: str
    path: str
    file_name: str
    size: int
    expires: int

    def mac(self, key: bytes) -> str:
        """What proves that this grant is ours; takes some 2 µs."""
        message = "\0".join((self.node, self.digest, self.attempt, str(self.expires)))
        return hmac.new(key, message.encode(), hashlib.sha256).hexdigest()[:32]

    def url_path(self, key: bytes) -> str:
        """The path of the URL, which grants access and so belongs in no log."""
        return f"/images/{self.expires:x}-{self.mac(key)}/attempt-{self.attempt}/{quote(self.file_name, safe='')}"

    def document(self) -> dict[str, Any]:
        """The grant as JSON holds it."""
        return asdict(self)


@frozen
class Asked:
    """A URL path taken apart; nothing in it is proven yet."""

    expires: int
    mac: str
    attempt: str
    file_name: str

    def is_for(self, grant: Grant, key: bytes) -> bool:
        """Whether the token is the one of *grant*."""
        return grant.expires == self.expires and hmac.compare_digest(grant.mac(key), self.mac)


def parse_path(path: str) -> Asked | None:
    """Take a decoded URL path apart; None where it is not one of ours."""
    found = _PATH.fullmatch(path)
    return Asked(int(found[1], 16), found[2], found[3], found[4]) if found else None
