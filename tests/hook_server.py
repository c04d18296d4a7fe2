"""A webhook's other end: answers as it is told to, and keeps what it got."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from attrs import define, field, frozen


@frozen
class Got:
    """One request."""

    path: str
    signature: str | None
    body: bytes

    @property
    def json(self) -> Any:
        """What its body says."""
        return json.loads(self.body)


@define
class HookServer:
    """*answers* are the statuses to give, the last one for ever; while *silent* it says nothing until it is let go."""

    url: str = ""
    answers: list[int] = field(factory=lambda: [204])
    got: list[Got] = field(factory=list)
    location: str = ""
    silent: bool = False
    let_go: threading.Event = field(factory=threading.Event)

    def answer(self, got: Got) -> int:
        """Note a request, and say with what it is answered."""
        self.got.append(got)
        if self.silent:
            self.let_go.wait(30)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def hook_server(tls: ssl.SSLContext | None = None) -> Iterator[HookServer]:
    """Run one on this machine, over TLS where there is something to show for it."""
    hook = HookServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(hook.answer(Got(self.path, self.headers.get("Rackwave-Signature"), body)))
            if hook.location:
                self.send_header("Location", hook.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_request(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        hook.url = f"http{'' if tls is None else 's'}://127.0.0.1:{server.server_address[1]}/hooks/t0ken"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield hook
        finally:
            hook.let_go.set()
            server.shutdown()
            thread.join()
