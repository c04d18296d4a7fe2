"""A small registry of our own on loopback: honest until it is told to lie, and it remembers what it was asked."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from attrs import define, field

NAME = "racks/bundles"


@define
class Asked:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]


@define
class Shelf:
    """What the registry has, and how it behaves. *instead* answers a request itself and returns whether it did."""

    blobs: dict[str, bytes] = field(factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(factory=dict)
    uploads: dict[str, bytes] = field(factory=dict)
    asked: list[Asked] = field(factory=list)
    instead: Callable[[Handler], bool] | None = None
    authorization: str = ""
    challenge: str = ""
    token: str = ""
    page: int = 1000
    url: str = ""

    def paths(self, method: str) -> list[str]:
        """The paths that were asked for with *method*."""
        return [asked.path for asked in self.asked if asked.method == method]


class Handler(BaseHTTPRequestHandler):
    """Answers by the Distribution specification."""

    protocol_version = "HTTP/1.1"
    shelf: Shelf

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Answer whole."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _answer(self) -> None:
        shelf = self.shelf
        shelf.asked.append(Asked(self.command, self.path, dict(self.headers.items())))
        path = urlsplit(self.path).path
        if path == "/token":
            self.reply(200, json.dumps({"token": shelf.token}).encode())
        elif shelf.authorization and self.headers.get("Authorization") != shelf.authorization:
            self._take_body()
            self.reply(401, WWW_Authenticate=shelf.challenge)
        elif shelf.instead is not None and shelf.instead(self):
            return
        elif match := re.fullmatch(rf"/v2/{NAME}/(manifests|blobs|tags)/(.+)", path):
            getattr(self, f"_{match[1]}")(match[2])
        elif match := re.fullmatch(rf"/v2/{NAME}/blobs/uploads/(\w*)", path):
            self._blobs(f"uploads/{match[1]}")
        else:
            self.reply(404)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = _answer  # noqa: N815

    def _take_body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def _tags(self, _: str) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        tags = sorted(tag for tag in self.shelf.manifests if not tag.startswith("sha256:"))
        rest = [tag for tag in tags if tag > asked.get("last", [""])[0]]
        shown = rest[: self.shelf.page]
        more = {"Link": f'</v2/{NAME}/tags/list?last={shown[-1]}>; rel="next"'} if len(rest) > len(shown) else {}
        self.reply(200, json.dumps({"name": NAME, "tags": shown}).encode(), **more)

    def _manifests(self, reference: str) -> None:
        if self.command == "PUT":
            data = self._take_body()
            digest = "sha256:" + hashlib.sha256(data).hexdigest()
            self.shelf.manifests[reference] = self.shelf.manifests[digest] = (self.headers["Content-Type"], data)
            self.reply(201, Docker_Content_Digest=digest)
        elif reference in self.shelf.manifests:
            kind, data = self.shelf.manifests[reference]
            self.reply(200, data, Content_Type=kind)
        else:
            self.reply(404)

    def _blobs(self, rest: str) -> None:
        if rest.startswith("uploads/"):
            self._upload(rest.removeprefix("uploads/"))
        elif rest not in self.shelf.blobs:
            self.reply(404)
        elif match := re.fullmatch(r"bytes=(\d+)-\d*", self.headers.get("Range", "")):
            data, start = self.shelf.blobs[rest], int(match[1])
            self.reply(206, data[start:], Content_Range=f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.reply(200, self.shelf.blobs[rest])

    def _upload(self, number: str) -> None:
        uploads = self.shelf.uploads
        if self.command == "POST":
            number = str(len(uploads))
            uploads[number] = b""
            self.reply(202, Location=f"/v2/{NAME}/blobs/uploads/{number}")
            return
        uploads[number] += self._take_body()
        told = {"Location": f"/v2/{NAME}/blobs/uploads/{number}", "Range": f"0-{max(0, len(uploads[number]) - 1)}"}
        if self.command == "PUT":
            (wanted,) = parse_qs(urlsplit(self.path).query)["digest"]
            if wanted != "sha256:" + hashlib.sha256(uploads[number]).hexdigest():
                self.reply(400, b'{"errors":[{"code":"DIGEST_INVALID"}]}')
                return
            self.shelf.blobs[wanted] = uploads.pop(number)
            self.reply(201)
        else:
            self.reply(202 if self.command == "PATCH" else 204, **told)


@contextmanager
def serving() -> Iterator[Shelf]:
    """Serve an empty registry."""
    shelf = Shelf()
    handler: Any = type("Bound", (Handler,), {"shelf": shelf})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        shelf.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield shelf
        finally:
            server.shutdown()
            thread.join()
