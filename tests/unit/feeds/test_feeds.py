"""Feeds as they are read: a folder, LVFS's catalogue, one in JSON, a tag of a registry; by disk and by HTTP."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import lzma
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwave.clock import SystemClock
from rackwave.core.announcement import Announcement
from rackwave.core.feed import Feed, FeedKind, FeedPolicy
from rackwave.core.identity import ComponentName, Digest, Lineage
from rackwave.errors import FeedError, RackwaveError, UsageError
from rackwave.feeds import Listing, load_feeds, open_feed
from rackwave.feeds.catalogue import read_catalogue
from rackwave.feeds.inflate import inflate
from rackwave.feeds.lvfs import read_lvfs
from rackwave.secrets import ReferencedSecrets
from registry_server import NAME, serving

A = Lineage("A")
IMAGE = bytes(range(256)) * 8
SHA256 = hashlib.sha256(IMAGE).hexdigest()
GUID = "230c8b18-8d9b-53ec-838b-6cfc0383493a"

LVFS = f"""<?xml version="1.0"?>
<components origin="lvfs" version="0.9">
<component type="firmware"><id>com.other.firmware</id><provides><firmware>00000000-0000</firmware></provides>
  <releases><release version="9"><location>x.cab</location></release></releases></component>
<component type="firmware"><id>com.contoso.board.firmware</id><name>Board</name><developer_name>Contoso</developer_name>
  <categories><category>X-System</category></categories>
  <custom><value key="LVFS::VersionFormat">triplet</value></custom>
  <provides><firmware type="flashed">{GUID.upper()}</firmware></provides>
  <releases>
    <release version="2.0.1" urgency="critical" timestamp="1767225600">
      <artifacts><artifact type="binary"><location>files/board-2.0.1.cab</location><filename>board.cab</filename>
        <checksum type="sha1">00</checksum><checksum type="sha256">{SHA256}</checksum>
        <size type="installed">9</size><size type="download">{len(IMAGE)}</size></artifact></artifacts>
      <issues><issue type="cve">CVE-2026-0001</issue></issues>
      <description><p>Closes a hole.</p></description></release>
    <release version="2.0.0" urgency="low"><location>files/board-2.0.0.cab</location>
      <checksum filename="b.cab" target="container" type="sha256">{"a" * 64}</checksum></release>
    <release version="1.9.0"><location>files/board-1.9.0.cab</location>
      <checksum filename="b.cab" target="container" type="sha1">{"b" * 40}</checksum></release>
  </releases></component></components>"""

CATALOGUE = {
    "releases": [
        {
            "component": "BIOS",
            "version": "2.0.1",
            "file": "files/bios.bin",
            "sha256": SHA256.upper(),
            "size": len(IMAGE),
            "severity": "high",
            "cves": ["CVE-2026-0001"],
            "from_the_future": True,
        },
        {"component": "BIOS", "version": "2.0.0"},
        {"component": "B\n", "version": "1", "file": "x", "sha256": SHA256},
        {"component": "BIOS", "version": "1", "file": "x", "sha256": "123"},
        17,
    ]
}


def feed(kind: FeedKind, where: str | Path, **more: object) -> Feed:
    """A feed for lineage A."""
    return evolve(Feed("f", kind, str(where), A), **more)  # type: ignore[arg-type]  # fields by name


def look(one: Feed) -> Listing:
    """One look at a feed."""
    return asyncio.run(open_feed(one, secrets=ReferencedSecrets(), clock=SystemClock()).look())


def fetch(one: Feed, announced: Announcement, folder: Path) -> Path:
    """The package of a release."""
    source = open_feed(one, secrets=ReferencedSecrets(), clock=SystemClock())
    return asyncio.run(source.package(announced, folder, lambda _got, _size: None))


# -- a folder ------------------------------------------------------------------------------------------------


def drop(folder: Path, name: str, side: str, age: float = 60.0) -> Path:
    """Drop a file and its sidecar *age* seconds ago."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(IMAGE + name.encode())
    beside = folder / f"{name}.toml"
    beside.write_text(side, "utf-8")
    for each in (path, beside):
        os.utime(each, (path.stat().st_mtime - age,) * 2)
    return path


def test_a_folder_lists_what_was_dropped_the_latest_first(tmp_path: Path) -> None:
    """What a sidecar says of a file is announced; hidden and unfinished files are nobody's business."""
    drop(tmp_path, "a.bin", 'component = "NIC"\nversion = "1"', age=300)
    drop(tmp_path, "b.bin", 'component = "NIC"\nversion = "2"\nseverity = "high"\ncves = ["CVE-2026-0001"]')
    (tmp_path / ".hidden").write_bytes(IMAGE)
    (tmp_path / "c.bin.part").write_bytes(IMAGE)

    listing = look(feed(FeedKind.FOLDER, tmp_path))

    assert ["2", "1"] == [each.version for each in listing.announced]
    assert ("high", ("CVE-2026-0001",), "NIC") == (
        listing.announced[0].severity,
        listing.announced[0].cves,
        listing.announced[0].stream,
    )
    assert () == listing.problems


def test_a_file_that_says_too_little_is_passed_over_by_name(tmp_path: Path) -> None:
    """Each with the sentence that helps: no sidecar, no version, a digest that does not match."""
    drop(tmp_path, "noversion.bin", 'component = "NIC"')
    drop(tmp_path, "damaged.bin", f'component = "NIC"\nversion = "1"\nsha256 = "{"0" * 64}"')
    (tmp_path / "raw.bin").write_bytes(IMAGE)
    os.utime(tmp_path / "raw.bin", (1, 1))

    told = {text.split()[0]: text for text in look(feed(FeedKind.FOLDER, tmp_path)).problems}

    assert "which version" in told["noversion.bin"]
    assert "not " + "0" * 64 in told["damaged.bin"]
    assert "raw.bin.toml" in told["raw.bin"]


def test_a_file_that_is_still_being_copied_is_left_for_later(tmp_path: Path) -> None:
    """It is waited for once, and if it changed meanwhile it is not taken: half an image is no image."""
    path = drop(tmp_path, "a.bin", 'component = "NIC"\nversion = "1"', age=0)

    class Growing(SystemClock):
        async def sleep(self, seconds: float) -> None:
            path.write_bytes(IMAGE * 2)

    source = open_feed(feed(FeedKind.FOLDER, tmp_path), secrets=ReferencedSecrets(), clock=Growing())
    first = asyncio.run(source.look())
    os.utime(path, (1, 1))
    second = asyncio.run(source.look())

    assert ((), 1) == (first.announced, len(first.problems))
    assert "still being written" in first.problems[0]
    assert ["1"] == [each.version for each in second.announced]


def test_what_was_dropped_is_copied_and_verified(tmp_path: Path) -> None:
    """A file that changed after it was listed is not taken, and nothing of it stays."""
    path = drop(tmp_path / "drops", "a.bin", 'component = "NIC"\nversion = "1"')
    one = feed(FeedKind.FOLDER, tmp_path / "drops")
    (told,) = look(one).announced

    copied = fetch(one, told, tmp_path / "mine")
    assert path.read_bytes() == copied.read_bytes()
    assert copied.with_name("a.bin.toml").exists()

    path.write_bytes(bytes(reversed(path.read_bytes())))
    with pytest.raises(FeedError, match="its sha256 is"):
        fetch(one, told, tmp_path / "again")
    assert [] == list((tmp_path / "again").iterdir())


def test_a_folder_that_is_not_there_is_a_feed_that_cannot_be_read(tmp_path: Path) -> None:
    """The error names it and says what to do."""
    with pytest.raises(FeedError, match="No such file") as caught:
        look(feed(FeedKind.FOLDER, tmp_path / "gone"))
    assert "Make the folder" in caught.value.advice


# -- catalogues ------------------------------------------------------------------------------------------------


def test_lvfs_lists_the_releases_of_the_devices_that_are_named() -> None:
    """Newest first, both of LVFS's notations; one without a sha256 is passed over, and others' are not looked at."""
    listing = read_lvfs(feed(FeedKind.LVFS, "x", guids=(GUID,)), LVFS.encode())

    first, second = listing.announced
    assert ("2.0.1", "dotted", "critical", ("CVE-2026-0001",), "2026-01-01") == (
        first.version,
        first.scheme,
        first.severity,
        first.cves,
        first.date,
    )
    assert (ComponentName("BIOS"), len(IMAGE), "files/board-2.0.1.cab") == (first.component, first.size, first.file)
    assert ("2.0.0", None, first.stream) == (second.version, second.size, second.stream)
    assert ["names no package with a sha256" in text for text in listing.problems] == [True]


def test_a_catalogue_in_json_is_read_entry_by_entry() -> None:
    """What is right is taken, each that is not is told by its number; unknown fields are passed over."""
    listing = read_catalogue(feed(FeedKind.CATALOGUE, "x"), json.dumps(CATALOGUE).encode())

    (told,) = listing.announced
    assert ("2.0.1", f"sha256:{SHA256}", "BIOS") == (told.version, told.digest, told.stream)
    assert [text.split(":")[0] for text in listing.problems] == [f"release {n} was passed over" for n in (2, 3, 4, 5)]


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"releases": 1}', b"\xff", b"<components/>", b"[" * 10_000])
def test_what_is_no_catalogue_is_refused(data: bytes) -> None:
    """With a sentence, whatever it is."""
    with pytest.raises(FeedError, match="no catalogue"):
        read_catalogue(feed(FeedKind.CATALOGUE, "x"), data)


_JSON = st.recursive(st.none() | st.text(max_size=5), lambda x: st.dictionaries(st.text(max_size=8), x) | st.lists(x))


def _with_a_byte(at: int, byte: int) -> bytes:
    return LVFS.encode()[:at] + bytes([byte]) + LVFS.encode()[at + 1 :]


@settings(deadline=None, max_examples=60)
@given(
    st.binary(max_size=300)
    | st.builds(_with_a_byte, st.integers(0, len(LVFS) - 1), st.integers(0, 255))
    | _JSON.map(lambda value: json.dumps({"releases": [value]}).encode())
)
def test_no_feed_however_damaged_raises_anything_but_ours(data: bytes) -> None:
    """Damage is a FeedError, or a listing without what was damaged."""
    for read in (read_lvfs, read_catalogue):
        with suppress(FeedError):
            read(feed(FeedKind.LVFS, "x", guids=(GUID,)), data)


def test_a_document_type_and_a_bomb_are_refused() -> None:
    """No entity is expanded, and what is packed becomes no more than was allowed."""
    doctype = b'<!DOCTYPE x [<!ENTITY a "aaaa">]><components>&a;</components>'
    with pytest.raises(FeedError, match="document type"):
        read_lvfs(feed(FeedKind.LVFS, "x", guids=(GUID,)), doctype)
    with pytest.raises(FeedError, match="become more than"):
        inflate(feed(FeedKind.LVFS, "x"), gzip.compress(bytes(300 << 20), 1))
    with pytest.raises(FeedError, match="cut short"):
        inflate(feed(FeedKind.LVFS, "x"), lzma.compress(IMAGE)[:-9])
    with pytest.raises(FeedError, match="zstd"):
        inflate(feed(FeedKind.LVFS, "x"), b"\x28\xb5\x2f\xfd....")
    assert inflate(feed(FeedKind.LVFS, "x"), lzma.compress(IMAGE)) == IMAGE


# -- by HTTP ------------------------------------------------------------------------------------------------------


class Site:
    """A server on loopback: *files* by path, or a function that answers by itself."""

    def __init__(self) -> None:
        self.files: dict[str, bytes | Callable[[BaseHTTPRequestHandler], None]] = {}
        self.asked: list[tuple[str, str]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                """Say nothing."""

            def do_GET(self) -> None:
                told = site.files.get(self.path)
                site.asked.append((self.path, self.headers.get("If-None-Match", "")))
                if callable(told):
                    told(self)
                    return
                tag = f'"{hashlib.sha256(told or b"").hexdigest()}"'
                if told is not None and self.headers.get("If-None-Match") == tag:
                    self.send_response(304)
                    self.end_headers()
                    return
                self.send_response(200 if told is not None else 404)
                self.send_header("Content-Length", str(len(told or b"")))
                self.send_header("ETag", tag)
                self.end_headers()
                self.wfile.write(told or b"")

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def site() -> Iterator[Site]:
    """A site that a feed may be read from."""
    one = Site()
    yield one
    one.server.shutdown()
    one.server.server_close()


def catalogue(site: Site, path: str = "/c.json.gz") -> Feed:
    """A feed by HTTP, without TLS."""
    return feed(FeedKind.CATALOGUE, f"{site.url}{path}", insecure_http=True)


def test_a_catalogue_is_fetched_packed_and_sent_again_only_where_it_changed(site: Site) -> None:
    """The second look sends the server's tag and gets no body; what it knew still stands."""
    site.files["/c.json.gz"] = gzip.compress(json.dumps(CATALOGUE).encode())
    source = open_feed(catalogue(site), secrets=ReferencedSecrets(), clock=SystemClock())

    first, second = asyncio.run(source.look()), asyncio.run(source.look())

    assert first == second
    assert ["", True] == [site.asked[0][1], bool(site.asked[1][1])]


def test_a_package_is_fetched_beside_the_catalogue_and_verified(site: Site, tmp_path: Path) -> None:
    """Its address is relative to the catalogue; it appears whole or not at all."""
    site.files["/c.json.gz"] = gzip.compress(json.dumps(CATALOGUE).encode())
    site.files["/files/bios.bin"] = IMAGE
    (told,) = look(catalogue(site)).announced

    assert fetch(catalogue(site), told, tmp_path).read_bytes() == IMAGE


def _short(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(IMAGE)))
    handler.end_headers()
    handler.wfile.write(IMAGE[:100])
    handler.close_connection = True


def _to_the_clear(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(302)
    handler.send_header("Location", "ftp://127.0.0.1/x")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def _round_and_round(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(302)
    handler.send_header("Location", handler.path)
    handler.send_header("Content-Length", "0")
    handler.end_headers()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (IMAGE[:-1] + b"x", "its sha256 is"),
        (IMAGE[:-1], "ended after"),
        (IMAGE + b"x", "larger than"),
        (None, "answers 404"),
        (_short, "cannot be reached"),
        (_to_the_clear, "without TLS"),
        (_round_and_round, "redirects more than"),
    ],
)
def test_a_package_that_is_not_what_the_feed_says_is_not_taken(
    site: Site, tmp_path: Path, answer: bytes | Callable[[BaseHTTPRequestHandler], None] | None, words: str
) -> None:
    """Damaged, cut short, too long, gone, broken off, or elsewhere: nothing of it stays on disk."""
    if answer is not None:
        site.files["/files/bios.bin"] = answer
    (told,) = read_catalogue(catalogue(site), json.dumps(CATALOGUE).encode()).announced

    with pytest.raises(FeedError, match=words):
        fetch(catalogue(site), told, tmp_path / "mine")
    assert [] == list((tmp_path / "mine").iterdir())


def test_http_without_tls_is_not_asked_unless_allowed(site: Site) -> None:
    """A feed over plain HTTP is refused before anything is sent."""
    with pytest.raises(FeedError, match="without TLS"):
        look(evolve(catalogue(site), insecure_http=False))
    assert [] == site.asked


def test_a_catalogue_on_disk_names_nothing_outside_of_its_folder(tmp_path: Path) -> None:
    """A path that leads out, by dots or by a link, is not read."""
    (tmp_path / "secret").write_bytes(IMAGE)
    place = tmp_path / "mirror"
    place.mkdir()
    (place / "link").symlink_to(tmp_path / "secret")
    for name in ("../secret", "link", str(tmp_path / "secret"), "no\0ne"):
        (place / "c.json").write_text(
            json.dumps({"releases": [{"component": "B", "version": "1", "file": name, "sha256": SHA256}]}), "utf-8"
        )
        one = feed(FeedKind.CATALOGUE, place / "c.json")
        (told,) = look(one).announced
        with pytest.raises(FeedError, match="no such file beside it"):
            fetch(one, told, tmp_path / "mine")


# -- a tag of a registry --------------------------------------------------------------------------------------------


def artifact(version: str | None, *titles: str) -> bytes:
    """The manifest that ``oras push`` writes."""
    layers = [
        {
            "mediaType": "application/octet-stream",
            "digest": f"sha256:{SHA256}",
            "size": len(IMAGE),
            "annotations": {"org.opencontainers.image.title": title},
        }
        for title in titles
    ]
    annotations = {"org.opencontainers.image.version": version} if version else {}
    extra = {"vnd.rackwave.release.severity": "high", "vnd.rackwave.release.cves": "CVE-2026-0001 CVE-2026-0002"}
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "layers": layers,
            "annotations": {**annotations, **extra},
        }
    ).encode()


def test_a_tag_announces_the_file_that_it_names(tmp_path: Path) -> None:
    """What the image specification's annotations say; the file is fetched by digest."""
    with serving() as shelf:
        host = shelf.url.removeprefix("http://")
        data = artifact("1.2", "nic.bin")
        shelf.manifests["stable"] = ("application/vnd.oci.image.manifest.v1+json", data)
        shelf.manifests[f"sha256:{hashlib.sha256(data).hexdigest()}"] = shelf.manifests["stable"]
        shelf.blobs[f"sha256:{SHA256}"] = IMAGE
        one = feed(FeedKind.OCI, f"oci://{host}/{NAME}", tag="stable", insecure_http=True, component=ComponentName("N"))

        (told,) = look(one).announced

        assert ("1.2", "high", ("CVE-2026-0001", "CVE-2026-0002"), "nic.bin") == (
            told.version,
            told.severity,
            told.cves,
            told.name,
        )
        assert fetch(one, told, tmp_path).read_bytes() == IMAGE
        with pytest.raises(FeedError, match="has no other"):
            look(evolve(one, tag="other"))
        for bad, words in ((artifact(None, "nic.bin"), "no annotation"), (artifact("1", "a", "b"), "2 named files")):
            shelf.manifests["stable"] = ("application/vnd.oci.image.manifest.v1+json", bad)
            shelf.manifests[f"sha256:{hashlib.sha256(bad).hexdigest()}"] = shelf.manifests["stable"]
            with pytest.raises(FeedError, match=words):
                look(one)


# -- feeds.toml -------------------------------------------------------------------------------------------------------

WHOLE = """
[[feeds]]
name = "mirror"
kind = "lvfs"
where = "https://mirror.example/firmware.xml.gz"
lineage = "A"
policy = "automatic"
guids = ["230C8B18-8d9b-53ec-838b-6cfc0383493a"]
floor = "high"
every = 600
ca = "ca.pem"
[[feeds]]
name = "drops"
kind = "folder"
where = "drops"
lineage = "B"
component = "NIC.1"
"""


def test_feeds_are_read_with_paths_beside_their_file(tmp_path: Path) -> None:
    """Everything that is said is taken; what is not said is careful: a draft for a person, every hour."""
    path = tmp_path / "feeds.toml"
    path.write_text(WHOLE, "utf-8")

    mirror, drops = load_feeds(path)

    assert (FeedPolicy.AUTOMATIC, (GUID,), 600.0, str(tmp_path / "ca.pem")) == (
        mirror.policy,
        mirror.guids,
        mirror.every,
        mirror.ca,
    )
    assert (FeedPolicy.DRAFT, str(tmp_path / "drops"), 3600.0) == (drops.policy, drops.where, drops.every)
    assert () == load_feeds(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('kind = "folder"', 'kind = "ftp"'), "kind is 'ftp'"),
        (('where = "drops"', 'where = "https://x.example"'), "folder of this machine"),
        (('where = "https://m', 'where = "http://m'), "not reached by TLS"),
        (('where = "https://m', 'where = "https://me:hunter2@m'), "not shown"),
        (("guids", "gids"), "gids is not a field"),
        (('guids = ["230C8B18-8d9b-53ec-838b-6cfc0383493a"]\n', ""), "chooses no devices"),
        (("every = 600", "every = 1"), "every is 1"),
        (("every = 600", 'every = "1h"'), "number of seconds"),
        (('name = "drops"', 'name = "mirror"'), "two feeds"),
        (('lineage = "B"', 'lineage = "B 1"'), "B 1"),
        (('component = "NIC.1"', 'tag = "x"'), "follows one tag"),
        (('component = "NIC.1"', 'credentials = "hunter2"'), "credentials|reference"),
        (('floor = "high"', 'floor = "huge"'), "floor is 'huge'"),
        (("[[feeds]]", "[feeds"), "cannot be read"),
    ],
)
def test_a_mistake_in_feeds_toml_is_told_by_name(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    """Which feed, which field, and no secret in any of it."""
    path = tmp_path / "feeds.toml"
    assert change[0] in WHOLE
    path.write_text(WHOLE.replace(*change), "utf-8")

    with pytest.raises(RackwaveError, match=words) as caught:
        load_feeds(path)
    assert "hunter2" not in caught.value.whole
    assert isinstance(caught.value, UsageError)


def test_digests_of_feeds_are_digests() -> None:
    """The digest that a catalogue names is held to the form of one."""
    assert (
        Digest(f"sha256:{SHA256}")
        == read_catalogue(feed(FeedKind.CATALOGUE, "x"), json.dumps(CATALOGUE).encode()).announced[0].digest
    )
