"""A registry that lies, drips, floods or leads elsewhere is found out, said so in words, and leaves nothing behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from workshop import Workshop

from rackwave.core.identity import BundleId
from rackwave.errors import (
    BundleNotFoundError,
    DigestMismatchError,
    RackwaveError,
    RegistryAnswerError,
    RegistryCertificateError,
    RegistryRefusedError,
    RegistryUnreachableError,
)
from rackwave.ports import Credentials
from rackwave.repository.address import RegistryAddress
from rackwave.repository.login import Login
from rackwave.repository.registry import Registry
from rackwave.repository.repository import BundleRepository
from rackwave.repository.trust import KeyringTrust
from rackwave.repository.wire import Bounds
from registry_server import NAME, Handler, Shelf, serving

A2 = BundleId("A", 2)
IMAGE = bytes(range(256)) * 1000
QUICK = Bounds(connect=1, silence=0.5, answer=1, slowest=10_000_000)

Lie = Callable[[Handler], bool]


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    """A registry of its own."""
    with serving() as shelf:
        yield shelf


@pytest.fixture
def registry(shelf: Shelf) -> Iterator[Registry]:
    """An impatient way to it, with a login."""
    there = RegistryAddress.parse(f"{shelf.url.replace('http', 'oci')}/{NAME}", plain=True)
    with Registry(there, bounds=QUICK, piece=100_000, login=Login(lambda: Credentials("ann", "hunter2"))) as registry:
        yield registry


@pytest.fixture
def elsewhere(workshop: Workshop, trust_file: Path) -> BundleRepository:
    """Another, empty repository with the same trust."""
    return BundleRepository(workshop.directory / "elsewhere", KeyringTrust.load(trust_file))


@pytest.fixture
def digest(workshop: Workshop, registry: Registry) -> str:
    """The digest of the one payload of A.2, which is in the registry."""
    workshop.repository.publish(workshop.build(2, image=IMAGE).directory)
    workshop.repository.push(A2, registry)
    return str(workshop.repository.get(A2).manifest.payloads[0].digest)


def flood(handler: Handler, piece: bytes) -> bool:
    """Send for ever."""
    while True:
        try:
            handler.wfile.write(piece)
        except OSError:
            handler.close_connection = True
            return True


def drip(handler: Handler, piece: bytes) -> bool:
    """Send a little now and then, for ever."""
    while True:
        try:
            handler.wfile.write(piece)
        except OSError:
            handler.close_connection = True
            return True
        time.sleep(0.05)  # a drip is a matter of real time


def head(handler: Handler, status: int, **headers: str) -> None:
    """Send the head of an answer alone."""
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()


def other_bytes(handler: Handler) -> bool:
    """As many bytes, but others."""
    handler.reply(200, b"\0" * len(IMAGE))
    return True


def too_long(handler: Handler) -> bool:
    """More bytes than were signed."""
    handler.reply(200, IMAGE + b"\0")
    return True


def too_short(handler: Handler) -> bool:
    """Fewer bytes than were signed, as if they were all."""
    handler.reply(200, IMAGE[:-1])
    return True


def endless(handler: Handler) -> bool:
    """A body that says no length and has no end."""
    head(handler, 200, Connection="close")
    return flood(handler, IMAGE)


def endless_chunks(handler: Handler) -> bool:
    """The same in chunks."""
    head(handler, 200, Transfer_Encoding="chunked")
    return flood(handler, b"3e800\r\n" + IMAGE + b"\r\n")


def dripping_body(handler: Handler) -> bool:
    """A body that comes byte by byte, never silent for long."""
    head(handler, 200, Content_Length=str(len(IMAGE)))
    return drip(handler, b"\0")


def dripping_head(handler: Handler) -> bool:
    """A head that comes byte by byte."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    return drip(handler, b"a")


def silent(handler: Handler) -> bool:
    """Nothing at all."""
    time.sleep(1)
    handler.close_connection = True
    return True


def compressed(handler: Handler) -> bool:
    """Something to blow up."""
    handler.reply(200, b"\x1f\x8b" + b"\0" * 100, Content_Encoding="gzip")
    return True


def not_http(handler: Handler) -> bool:
    """Another protocol."""
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")
    handler.close_connection = True
    return True


def wrong_part(handler: Handler) -> bool:
    """Another part than was asked for, after the line broke."""
    if "Range" in handler.headers:
        handler.reply(206, IMAGE, Content_Range=f"bytes 0-{len(IMAGE) - 1}/{len(IMAGE)}")
    else:
        handler.reply(200, IMAGE[:1000], Content_Length=str(len(IMAGE)))
        handler.close_connection = True
    return True


def sends_elsewhere(url: str) -> Lie:
    """Redirect to *url*."""

    def lie(handler: Handler) -> bool:
        handler.reply(307, Location=url)
        return True

    return lie


def server_error(handler: Handler) -> bool:
    """A complaint with an escape sequence in it."""
    handler.reply(503, b"overloaded \x1b[31m")
    return True


def gone(handler: Handler) -> bool:
    """Nothing there any more."""
    handler.reply(404)
    return True


LIES: list[tuple[Lie, type[RackwaveError], str]] = [
    (other_bytes, DigestMismatchError, "other bytes"),
    (too_long, RegistryAnswerError, "more than"),
    (too_short, RegistryUnreachableError, "255999 of the 256000 bytes"),
    (endless, RegistryAnswerError, "more than"),
    (endless_chunks, RegistryAnswerError, "more than"),
    (dripping_body, RegistryUnreachableError, "within 1 s"),
    (dripping_head, RegistryUnreachableError, "within 1 s"),
    (silent, RegistryUnreachableError, "did not answer|did not come to an end"),  # whichever deadline is first
    (compressed, RegistryAnswerError, "compressed"),
    (not_http, RegistryUnreachableError, "did not answer"),
    (wrong_part, RegistryAnswerError, "from 1000 on"),
    (sends_elsewhere("http://127.0.0.2:1/x"), RegistryAnswerError, "sends us to http://127.0.0.2:1/x"),
    (sends_elsewhere("file:///etc/passwd"), RegistryAnswerError, "sends us to"),
    (sends_elsewhere("https://ann:hunter2@host/x"), RegistryAnswerError, r"sends us to https://host/x"),
    (sends_elsewhere("https://127.0.0.1:1/x"), RegistryUnreachableError, "refused"),
    (sends_elsewhere(f"/v2/{NAME}/blobs/x"), BundleNotFoundError, "has no"),
    (server_error, RegistryRefusedError, r"answers 503 for sha256:\w+: overloaded \[31m"),
    (gone, BundleNotFoundError, "has no"),
]


@pytest.mark.parametrize(("lie", "error", "words"), LIES, ids=lambda value: getattr(value, "__name__", ""))
def test_lies_about_a_payload(
    shelf: Shelf,
    registry: Registry,
    digest: str,
    elsewhere: BundleRepository,
    lie: Lie,
    error: type[RackwaveError],
    words: str,
) -> None:
    """Whatever is sent in place of a payload ends in an error with advice, in bounded time; nothing is published."""
    shelf.instead = lambda handler: handler.command == "GET" and handler.path.endswith(digest) and lie(handler)
    began = time.monotonic()
    with pytest.raises(error, match=words) as caught:
        elsewhere.pull(A2, registry)

    assert time.monotonic() - began < 5
    assert caught.value.advice
    assert "hunter2" not in caught.value.whole
    assert () == elsewhere.list()
    assert not (elsewhere.directory / "blobs" / "sha256" / digest[7:]).exists()


@pytest.mark.parametrize("lie", [endless, endless_chunks, dripping_body, other_bytes, compressed, not_http])
def test_lies_about_documents(
    shelf: Shelf, registry: Registry, digest: str, elsewhere: BundleRepository, lie: Lie
) -> None:
    """The same goes for the documents, which are read before anything is believed."""
    shelf.instead = lambda handler: handler.command == "GET" and "/manifests/" in handler.path and lie(handler)
    with pytest.raises(RackwaveError):
        elsewhere.pull(A2, registry)

    assert not elsewhere.directory.exists()


def test_a_wrong_digest_in_the_head(shelf: Shelf, registry: Registry, digest: str, elsewhere: BundleRepository) -> None:
    """A registry that contradicts its own bytes is not believed."""

    def lie(handler: Handler) -> bool:
        if not handler.path.endswith("/manifests/A.2"):
            return False
        handler.reply(200, shelf.manifests["A.2"][1], Docker_Content_Digest="sha256:" + "0" * 64)
        return True

    shelf.instead = lie
    with pytest.raises(DigestMismatchError, match="than it says"):
        elsewhere.pull(A2, registry)


def test_a_payload_of_another_size(shelf: Shelf, registry: Registry, digest: str, elsewhere: BundleRepository) -> None:
    """A blob that is told to have another size than was signed is refused before it is fetched."""
    shelf.blobs[digest] += b"\0"
    shelf.asked.clear()
    with pytest.raises(DigestMismatchError, match="256001 bytes instead of 256000"):
        elsewhere.pull(A2, registry)

    assert [] == [path for path in shelf.paths("GET") if path.endswith(digest)]


def test_an_upload_elsewhere(workshop: Workshop, shelf: Shelf, registry: Registry) -> None:
    """Bytes and login are not sent where the registry points to."""
    workshop.publish(2)
    with serving() as other:

        def lie(handler: Handler) -> bool:
            if handler.command != "POST":
                return False
            handler.reply(202, Location=f"{other.url}/v2/x/blobs/uploads/1")
            return True

        shelf.instead = lie
        with pytest.raises(RegistryAnswerError, match="wants an upload sent to"):
            workshop.repository.push(A2, registry)

        assert [] == other.asked


@pytest.mark.parametrize(("told", "words"), [("0-0", "has none"), ("0-99999999", "says it has"), ("7", "of an upload")])
def test_an_upload_that_goes_nowhere(
    workshop: Workshop, shelf: Shelf, registry: Registry, told: str, words: str
) -> None:
    """A registry that takes bytes and never has them is left alone after a few tries."""
    workshop.publish(2)

    def lie(handler: Handler) -> bool:
        if handler.command != "PATCH":
            return False
        handler._take_body()
        handler.reply(202, Location=handler.path, Range=told)
        return True

    shelf.instead = lie
    with pytest.raises(RegistryAnswerError, match=words):
        workshop.repository.push(A2, registry)

    assert {} == shelf.manifests


def test_a_manifest_that_is_rewritten(workshop: Workshop, shelf: Shelf, registry: Registry) -> None:
    """A registry that stores a manifest as something else is told on at once, before the tag is set."""
    workshop.publish(2)

    def lie(handler: Handler) -> bool:
        if handler.command != "PUT" or "/manifests/" not in handler.path:
            return False
        handler._take_body()
        handler.reply(201, Docker_Content_Digest="sha256:" + "0" * 64)
        return True

    shelf.instead = lie
    with pytest.raises(DigestMismatchError, match="as something else"):
        workshop.repository.push(A2, registry)

    assert [] == [path for path in shelf.paths("PUT") if path.endswith("A.2")]


@pytest.mark.parametrize(
    ("body", "link"),
    [
        (b'{"tags":["A.1"]}', f"</v2/{NAME}/tags/list?last=A.1>; rel=next"),
        (b'{"tags":["A.1"]}', "<http://127.0.0.2:1/v2/>; rel=next"),
        (b'{"tags":[1]}', ""),
        (b"{", ""),
        (b'{"tags":' + b"[" * 100 + b"]" * 100 + b"}", ""),
        (b" " * (4 * 1024 * 1024 + 1), ""),
    ],
)
def test_lists_of_tags_that_are_none(shelf: Shelf, registry: Registry, body: bytes, link: str) -> None:
    """A list without an end, elsewhere, or of something else is refused."""

    def lie(handler: Handler) -> bool:
        handler.reply(200, body, **({"Link": link} if link else {}))
        return True

    shelf.instead = lie
    with pytest.raises(RegistryAnswerError):
        registry.tags()


def test_tls_is_the_default(shelf: Shelf) -> None:
    """Without --plain-http nothing is sent to a registry that does not speak TLS."""
    with (
        Registry(RegistryAddress.parse(f"{shelf.url.replace('http', 'oci')}/{NAME}")) as registry,
        pytest.raises(RegistryCertificateError) as caught,
    ):
        registry.tags()

    assert "--ca" in caught.value.advice
    assert [] == shelf.asked
