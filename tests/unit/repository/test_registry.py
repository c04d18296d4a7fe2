"""Bundles go to a registry and come back, also where the line breaks and where a login is wanted."""

from __future__ import annotations

import base64
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from workshop import Workshop, flip

from rackwave.core.identity import BundleId, Digest
from rackwave.errors import (
    BundleError,
    BundleNotFoundError,
    DigestMismatchError,
    RegistryLoginError,
    RegistryUnreachableError,
    TrustError,
    UsageError,
)
from rackwave.ports import Credentials
from rackwave.repository.address import RegistryAddress
from rackwave.repository.entry import State
from rackwave.repository.layout import Descriptor, ImageLayout
from rackwave.repository.login import Login
from rackwave.repository.registry import Registry
from rackwave.repository.repository import BundleRepository
from rackwave.repository.trust import KeyringTrust
from registry_server import NAME, Handler, Shelf, serving

A1, A2 = BundleId("A", 1), BundleId("A", 2)
SECRET = "correct horse"
BASIC = "Basic " + base64.b64encode(f"ann:{SECRET}".encode()).decode()
IMAGE = bytes(range(256)) * 1000


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    """A registry of its own."""
    with serving() as shelf:
        yield shelf


def address(shelf: Shelf) -> RegistryAddress:
    """Where it is."""
    return RegistryAddress.parse(f"{shelf.url.replace('http', 'oci')}/{NAME}", plain=True)


@pytest.fixture
def registry(shelf: Shelf) -> Iterator[Registry]:
    """Our way to it, in pieces of 100,000 bytes."""
    with Registry(address(shelf), piece=100_000) as registry:
        yield registry


def ann() -> Credentials:
    """Who may."""
    return Credentials("ann", SECRET)


@pytest.fixture
def elsewhere(workshop: Workshop, trust_file: Path) -> BundleRepository:
    """Another, empty repository with the same trust."""
    return BundleRepository(workshop.directory / "elsewhere", KeyringTrust.load(trust_file))


@pytest.fixture
def pushed(workshop: Workshop, registry: Registry) -> Registry:
    """The registry with A.1 and A.2, each with an image of 256,000 bytes."""
    for seq in (1, 2):
        workshop.repository.publish(workshop.build(seq, image=IMAGE + bytes([seq])).directory)
        workshop.repository.push(BundleId("A", seq), registry)
    return registry


def payload(workshop: Workshop, bundle_id: BundleId = A2) -> Descriptor:
    """A bundle's only payload."""
    (found,) = workshop.repository.get(bundle_id).manifest.payloads
    return Descriptor("application/octet-stream", found.digest, found.size)


def test_what_is_pushed_is_pulled_again(workshop: Workshop, pushed: Registry, elsewhere: BundleRepository) -> None:
    """A bundle comes out of a registry as it went in: the same digests, sound to the last byte."""
    done = elsewhere.pull(A2, pushed)

    assert State.CURRENT is done.entry.state
    assert workshop.repository.get(A2) == elsewhere.get(A2)
    assert all(check.is_sound for check in elsewhere.verify())
    assert ("A.1", "A.2") == pushed.tags()


def test_an_older_bundle_goes_to_the_archive(pushed: Registry, elsewhere: BundleRepository) -> None:
    """Pulling what is older than the current bundle does not make it current."""
    elsewhere.pull(A2, pushed)
    done = elsewhere.pull(A1, pushed)

    assert (State.ARCHIVE, A2) == (done.entry.state, elsewhere.current(A1.lineage).id)
    assert [A1] == [entry.id for entry in elsewhere.archive(A1.lineage)]


def test_what_is_there_is_not_sent_again(workshop: Workshop, shelf: Shelf, pushed: Registry) -> None:
    """Pushing again sends no blob, pulling again fetches none."""
    shelf.asked.clear()
    workshop.repository.push(A2, pushed)
    workshop.repository.pull(A2, pushed)

    assert [] == shelf.paths("POST") + shelf.paths("PATCH")
    assert [] == [path for path in shelf.paths("GET") if path.endswith(str(payload(workshop).digest))]


def test_a_large_blob_goes_in_pieces(workshop: Workshop, shelf: Shelf, pushed: Registry) -> None:
    """Nothing is sent in one request that a broken line would cost whole."""
    spans = [asked.headers["Content-Range"] for asked in shelf.asked if asked.method == "PATCH"]

    assert {"0-99999", "100000-199999", "200000-256000"} <= set(spans)
    assert IMAGE + b"\2" == shelf.blobs[payload(workshop).digest]


def test_an_upload_goes_on_where_the_line_broke(workshop: Workshop, shelf: Shelf, registry: Registry) -> None:
    """Of a piece that was cut off only what the registry did not get is sent again."""
    workshop.repository.publish(workshop.build(2, image=IMAGE + b"\2").directory)
    breaks = [70_000, 30_000]

    def instead(handler: Handler) -> bool:
        if handler.command != "PATCH" or int(handler.headers["Content-Length"]) < 50_000 or not breaks:
            return False
        number = handler.path.rpartition("/")[2]
        shelf.uploads[number] += handler.rfile.read(breaks.pop())
        handler.connection.shutdown(socket.SHUT_RDWR)
        handler.close_connection = True
        return True

    shelf.instead = instead
    workshop.repository.push(A2, registry)
    spans = [asked.headers["Content-Range"] for asked in shelf.asked if asked.method == "PATCH"]

    assert ["0-99999", "30000-129999", "100000-199999", "200000-256000"] == [s for s in spans if len(s) > 6]
    assert IMAGE + b"\2" == shelf.blobs[payload(workshop).digest]


def cutting(shelf: Shelf, digest: Digest, after: int, times: int) -> Callable[[Handler], bool]:
    """Break the line that many times, *after* so many bytes of a blob."""
    left = [times]

    def instead(handler: Handler) -> bool:
        if handler.command != "GET" or not handler.path.endswith(digest) or not left[0]:
            return False
        left[0] -= 1
        data = shelf.blobs[digest]
        start = int(handler.headers.get("Range", "bytes=0-")[6:].split("-")[0])
        told = {"Content_Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
        handler.reply(206 if start else 200, data[start : start + after], Content_Length=str(len(data) - start), **told)
        handler.close_connection = True
        return True

    return instead


def test_a_pull_goes_on_where_the_line_broke(
    workshop: Workshop, shelf: Shelf, pushed: Registry, elsewhere: BundleRepository
) -> None:
    """What has arrived is not fetched again, however often the line breaks."""
    shelf.instead = cutting(shelf, payload(workshop).digest, 50_000, 5)
    shelf.asked.clear()
    elsewhere.pull(A2, pushed)
    wanted = [asked.headers.get("Range") for asked in shelf.asked if asked.path.endswith(payload(workshop).digest)]

    assert [None, None, *(f"bytes={n}-256000" for n in range(50_000, 300_000, 50_000))] == wanted
    assert all(check.is_sound for check in elsewhere.verify())


def test_the_next_pull_goes_on_too(
    workshop: Workshop, shelf: Shelf, pushed: Registry, elsewhere: BundleRepository
) -> None:
    """A pull that was given up leaves what it got to the next one, and nothing that looks like a bundle."""
    shelf.instead = cutting(shelf, payload(workshop).digest, 0, 99)
    with pytest.raises(RegistryUnreachableError):
        elsewhere.pull(A2, pushed)
    shelf.instead = cutting(shelf, payload(workshop).digest, 80_000, 1)
    with (elsewhere.directory / "partial" / payload(workshop).digest.hex).open("wb") as file:
        file.write(IMAGE[:60_000])

    assert () == elsewhere.list()

    shelf.asked.clear()
    elsewhere.pull(A2, pushed)
    wanted = [asked.headers.get("Range") for asked in shelf.asked if asked.path.endswith(payload(workshop).digest)]

    assert [None, "bytes=60000-256000", "bytes=140000-256000"] == wanted
    assert [] == list((elsewhere.directory / "partial").iterdir())


def test_a_damaged_beginning_is_fetched_anew(
    workshop: Workshop, shelf: Shelf, pushed: Registry, elsewhere: BundleRepository
) -> None:
    """If what lay here from an earlier pull was damaged, the whole is fetched again."""
    partial = elsewhere.directory / "partial"
    partial.mkdir(parents=True)
    (partial / payload(workshop).digest.hex).write_bytes(b"\0" * 60_000)
    elsewhere.pull(A2, pushed)

    assert all(check.is_sound for check in elsewhere.verify())


def test_a_registry_that_knows_no_ranges(
    workshop: Workshop, shelf: Shelf, pushed: Registry, elsewhere: BundleRepository
) -> None:
    """Where it sends the whole although a part was asked for, the whole is taken."""
    partial = elsewhere.directory / "partial"
    partial.mkdir(parents=True)
    (partial / payload(workshop).digest.hex).write_bytes(IMAGE[:60_000])

    def instead(handler: Handler) -> bool:
        del handler.headers["Range"]
        return False

    shelf.instead = instead
    elsewhere.pull(A2, pushed)

    assert all(check.is_sound for check in elsewhere.verify())


def test_what_is_damaged_here_is_not_pushed(workshop: Workshop, shelf: Shelf, registry: Registry) -> None:
    """A blob that rotted here is never closed under its digest there, and nothing is tagged."""
    workshop.repository.publish(workshop.build(2, image=IMAGE).directory)
    flip(ImageLayout(workshop.repository.directory).blobs.file(payload(workshop).digest))
    with pytest.raises(DigestMismatchError):
        workshop.repository.push(A2, registry)

    assert ({}, False) == (shelf.manifests, payload(workshop).digest in shelf.blobs)


def test_another_digest_than_was_signed_for(pushed: Registry, elsewhere: BundleRepository) -> None:
    """Where signed metadata names the digest, another bundle is refused although it is signed."""
    with pytest.raises(TrustError, match="another content"):
        elsewhere.pull(A2, pushed, digest=Digest("sha256:" + "0" * 64))

    assert () == elsewhere.list()


def test_a_bundle_that_is_too_large(workshop: Workshop, pushed: Registry, elsewhere: BundleRepository) -> None:
    """A bundle above the limit is refused before any of its payloads is fetched."""
    with pytest.raises(BundleError, match="at most 1000"):
        elsewhere.pull(A2, pushed, most=1000)

    assert not elsewhere.directory.exists()


def test_a_tag_under_another_name(shelf: Shelf, pushed: Registry, elsewhere: BundleRepository) -> None:
    """A registry that offers A.1 as A.2 is found out by the signature."""
    shelf.manifests["A.2"] = shelf.manifests["A.1"]
    with pytest.raises(TrustError, match=r"signed as A\.1"):
        elsewhere.pull(A2, pushed)


def test_nothing_there(registry: Registry, elsewhere: BundleRepository) -> None:
    """An empty registry has no tags, and says what it lacks."""
    with pytest.raises(BundleNotFoundError, match=r"has no A\.2") as caught:
        elsewhere.pull(A2, registry)

    assert "bundle tags" in caught.value.advice
    assert () == registry.tags()


def test_tags_come_in_pages(workshop: Workshop, shelf: Shelf, pushed: Registry) -> None:
    """A list of tags is read to its end."""
    shelf.page = 1

    assert ("A.1", "A.2") == pushed.tags()


def test_a_login_where_one_is_wanted(workshop: Workshop, shelf: Shelf, pushed: Registry) -> None:
    """Basic credentials are sent once the registry has asked for them."""
    shelf.authorization, shelf.challenge = BASIC, 'Basic realm="racks"'
    shelf.asked.clear()
    with Registry(address(shelf), login=Login(ann)) as registry:
        workshop.repository.push(A1, registry)

        assert ("A.1", "A.2") == registry.tags()
    assert "Authorization" not in shelf.asked[0].headers


def test_a_token(workshop: Workshop, shelf: Shelf, pushed: Registry) -> None:
    """A bearer token is fetched for our scope, with our login, and used for all that follows."""
    shelf.authorization, shelf.token = "Bearer abc.def", "abc.def"
    shelf.challenge = f'Bearer realm="{shelf.url}/token",service="reg",scope="repository:others/secrets:pull,push"'
    shelf.asked.clear()
    with Registry(address(shelf), login=Login(ann)) as registry:
        registry.tags()
        registry.resolve("A.2")
        workshop.repository.push(A1, registry)
    fetched = [asked for asked in shelf.asked if asked.path.startswith("/token")]

    assert [
        "/token?scope=repository%3Aracks%2Fbundles%3Apull&service=reg",
        "/token?scope=repository%3Aracks%2Fbundles%3Apull%2Cpush&service=reg",
    ] == [asked.path for asked in fetched]
    assert [BASIC, BASIC] == [asked.headers["Authorization"] for asked in fetched]


@pytest.mark.parametrize("challenge", ['Basic realm="racks"', 'Bearer realm="{url}/token"'])
@pytest.mark.parametrize("login", [Login(), Login(lambda: Credentials("ann", "wrong"))])
def test_a_login_that_is_not_accepted(shelf: Shelf, registry: Registry, login: Login, challenge: str) -> None:
    """It is tried once, and the error shows no password."""
    shelf.authorization, shelf.challenge, shelf.token = BASIC, challenge.format(url=shelf.url), "another"
    with Registry(address(shelf), login=login) as registry, pytest.raises(RegistryLoginError) as caught:
        registry.tags()

    assert "--credentials" in caught.value.advice
    assert "wrong" not in caught.value.whole
    assert len(shelf.asked) <= 3


def test_a_token_server_elsewhere(shelf: Shelf) -> None:
    """A registry that wants our password sent to another host does not get it sent, unless that was named."""
    with serving() as other:
        realm = f"{other.url.replace('127.0.0.1', 'localhost')}/token"
        other.token, shelf.authorization = "abc", "Bearer abc"
        shelf.challenge = f'Bearer realm="{realm}",service="reg"'
        with Registry(address(shelf), login=Login(ann)) as registry, pytest.raises(RegistryLoginError) as caught:
            registry.tags()

        assert [] == other.asked
        assert f"--token-server {realm}" in caught.value.advice

        with Registry(address(shelf), login=Login(ann, realm)) as registry:
            registry.tags()

        assert 1 == len(other.asked)


def test_no_login_in_the_clear() -> None:
    """Over plain HTTP credentials go to this machine alone."""
    there = RegistryAddress.parse("oci://registry.example/x", plain=True)
    with Registry(there) as registry, pytest.raises(RegistryLoginError, match="in the clear"):
        Login(ann).answer('Basic realm="x"', there, registry._wire, writes=False)


@pytest.mark.parametrize(
    "text",
    [
        "registry.example/x",
        "https://registry.example/x",
        "oci://registry.example",
        "oci://registry.example/X",
        "oci://registry.example/a//b",
        "oci://registry.example/a:tag",
        "oci:///x",
        "oci://-x/x",
        "oci://a b/x",
        "oci://ann:hunter2@registry.example/x",
    ],
)
def test_addresses_that_are_none(text: str) -> None:
    """What is no address is refused with an example; what may be a password is not repeated."""
    with pytest.raises(UsageError) as caught:
        RegistryAddress.parse(text)

    assert caught.value.advice
    assert "hunter2" not in caught.value.whole


def test_addresses() -> None:
    """An address says where the registry is and prints as it was written."""
    found = RegistryAddress.parse("oci://registry.example:5000/racks/bundles")

    assert "https://registry.example:5000/v2/racks/bundles" == found.base
    assert "oci://registry.example:5000/racks/bundles" == str(found)
    assert [True, True, True, False] == [
        RegistryAddress(host, "x").is_loopback for host in ("127.0.0.1:5000", "localhost", "[::1]:5000", "127.example")
    ]
