"""What a GET tells in its headers: the resource's ETag, its schema, and what else may be done to it."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from typing import Any

from . import paths

READ_ONLY = "GET, HEAD"
_SCHEMA = "http://redfish.dmtf.org/schemas/v1/{}.json"
_TYPE = re.compile(rb'"@odata\.type"\s*:\s*"#([A-Za-z0-9_.]+)\.[A-Za-z0-9]+"')

# Members of these are created by POST, or changed, or removed; see ``server.BmcServer`` for who does it.
_BY_PATH = {
    paths.SESSIONS: "GET, HEAD, POST",
    paths.ACCOUNTS: "GET, HEAD, POST",
    paths.SUBSCRIPTIONS: "GET, HEAD, POST",
    paths.UPDATE_SERVICE: "GET, HEAD, PATCH",
}
_BY_PARENT = {
    paths.SESSIONS: "GET, HEAD, DELETE",
    paths.SUBSCRIPTIONS: "GET, HEAD, DELETE",
    paths.ACCOUNTS: "GET, HEAD, PATCH, DELETE",
    paths.SYSTEMS: "GET, HEAD, PATCH",
    paths.MANAGERS: "GET, HEAD, PATCH",
}


def of_resource(path: str, body: Mapping[str, Any], raw: bytes) -> dict[str, str]:
    """Return the headers of a resource that was rendered as *raw*."""
    told = {"ETag": str(body.get("@odata.etag") or f'"{zlib.crc32(raw):08x}"'), "Allow": allow(path)}
    if (kind := body.get("@odata.type")) is not None:
        told["Link"] = _link(str(kind).lstrip("#").rpartition(".")[0])
    elif path == paths.VERSIONS or path == paths.ODATA:
        told["Link"] = _link("redfish-schema")
    return told


def allow(path: str) -> str:
    """Return the methods that *path* takes."""
    if path in _BY_PATH:
        return _BY_PATH[path]
    parent, _, last = path.rpartition("/")
    if parent.endswith("/Bios") and last != "Bios":
        return "GET, HEAD, PATCH, PUT"
    return _BY_PARENT.get(parent, READ_ONLY)


def link_of(raw: bytes) -> str | None:
    """Return the Link header for a resource that another rendered; None: its schema is not to be seen."""
    found = _TYPE.search(raw)
    return None if found is None else _link(found[1].decode())


def _link(schema: str) -> str:
    return f"<{_SCHEMA.format(schema)}>; rel=describedby"
