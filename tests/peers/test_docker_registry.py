"""Docker's own registry and skopeo, neither of which shares code with us, hold our bundles and carry them about.

Debian's docker-registry is started by hand on a loopback port, with TLS and a login.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import frozen
from click.testing import CliRunner

from rackwave.automation import PUBLISHER_KEY, REPOSITORY, TRUST, Automation
from rackwave.backing import Backing
from rackwave.cli.app import cli
from rackwave.core.identity import BundleId
from rackwave.errors import (
    DigestMismatchError,
    RackwaveError,
    RegistryCertificateError,
    RegistryLoginError,
    TrustError,
)
from rackwave.feeds.tag import CVES, SEVERITY
from rackwave.repository.address import RegistryAddress
from rackwave.repository.examples import prepare_example
from rackwave.repository.keys import generate_key
from rackwave.repository.layout import MANIFEST_TYPE, REF_NAME, TITLE, Descriptor, ImageLayout, LayoutIndex
from rackwave.repository.repository import BundleRepository
from rackwave.repository.trust import KeyringTrust
from rackwave.secrets import ReferencedSecrets
from rackwave.stock import REGISTRY
from rackwave_emulators.tls import Authority

SERVER = shutil.which("docker-registry")
SKOPEO = shutil.which("skopeo")
pytestmark = [
    pytest.mark.skipif(SERVER is None, reason="docker-registry is not installed (apt-get install docker-registry)"),
    pytest.mark.skipif(SKOPEO is None, reason="skopeo is not installed (apt-get install skopeo)"),
]
A1, A2 = BundleId("A", 1), BundleId("A", 2)
PASSWORD = "correct horse"
HTPASSWD = "ann:$2b$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2\n"
"""bcrypt of that password, the only kind that the registry takes."""
CONFIGURATION = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {root}}}
http:
  addr: {address}
  tls: {{certificate: {certificate}, key: {key}}}
auth:
  htpasswd: {{realm: racks, path: {htpasswd}}}
"""


@frozen
class Place:
    """A docker-registry that runs, and a state directory with A.1 and A.2 published."""

    folder: Path
    address: RegistryAddress
    ca: Path
    state: Path

    @property
    def backing(self) -> Backing:
        """How it is reached."""
        return Backing(self.address, f"file:{self.folder / 'login.toml'}", self.ca)

    @property
    def repository(self) -> BundleRepository:
        """The repository that is pushed from."""
        return BundleRepository(self.state / REPOSITORY, KeyringTrust.load(self.state / TRUST))

    def elsewhere(self, name: str = "elsewhere") -> BundleRepository:
        """Another repository with the same trust."""
        return BundleRepository(self.folder / name, KeyringTrust.load(self.state / TRUST))

    def skopeo(self, *arguments: str) -> str:
        """Run skopeo; its policy of signatures is not ours, so none is asked for."""
        done = subprocess.run(
            [SKOPEO or "", "--insecure-policy", *arguments], capture_output=True, text=True, check=False, timeout=60
        )

        assert (0, "") == (done.returncode, done.stderr)
        return done.stdout

    def there(self, tag: str) -> tuple[str, ...]:
        """What skopeo needs to know of a source in the registry."""
        login = ("--src-creds", f"ann:{PASSWORD}", "--src-cert-dir", str(self.folder / "certificates.d"))
        return (*login, f"docker://{self.address.host}/{self.address.name}:{tag}")

    def rackwave(self, *words: str, state: Path | None = None) -> object:
        """Run a command with --json and return what it printed."""
        done = CliRunner().invoke(cli, ["-s", str(state or self.state), *words, "--json"], standalone_mode=False)

        assert done.exception is None, done.exception
        return json.loads(done.stdout)


def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The registry, and what is published here; each test pushes under a name of its own."""
    folder = tmp_path_factory.mktemp("registry")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    authority = Authority(folder)
    authority.context("registry", "127.0.0.1")
    (folder / "certificates.d").mkdir()
    shutil.copy(authority.ca, folder / "certificates.d" / "ca.crt")
    (folder / "htpasswd").write_text(HTPASSWD)
    (folder / "login.toml").write_text(f'username = "ann"\npassword = "{PASSWORD}"\n')
    (folder / "login.toml").chmod(0o600)
    (folder / "config.yml").write_text(
        CONFIGURATION.format(
            root=folder / "storage",
            address=f"127.0.0.1:{port}",
            certificate=folder / "certificates/registry.pem",
            key=folder / "server.key",
            htpasswd=folder / "htpasswd",
        )
    )
    state = folder / "state"
    state.mkdir()
    signer = generate_key(state / PUBLISHER_KEY)
    KeyringTrust(()).with_key(signer.public_key, lineages=("*",)).save(state / TRUST)
    manager = Automation(None, state).manager
    for source in prepare_example("lab-bios", folder / "source")[:2]:
        manager.publish(manager.build(source, folder / "build" / source.name))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL")}
    log = (folder / "log").open("wb")
    with (
        log,
        subprocess.Popen(
            [SERVER or "", "serve", folder / "config.yml"], stdout=log, stderr=log, env=environment
        ) as server,
    ):
        try:
            deadline = time.monotonic() + 20
            while not listens(port):
                assert server.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield Place(folder, RegistryAddress(f"127.0.0.1:{port}", "racks/all"), authority.ca, state)
        finally:
            server.terminate()


@pytest.fixture
def pushed(place: Place, request: pytest.FixtureRequest) -> Place:
    """The registry with A.1 and A.2 under a name of this test's own."""
    name = "racks/" + request.node.name.lower().replace("[", "-").rstrip("]")
    found = Place(place.folder, RegistryAddress(place.address.host, name), place.ca, place.state)
    with found.backing.open(ReferencedSecrets()) as registry:
        for bundle_id in (A1, A2):
            found.repository.push(bundle_id, registry)
    return found


def index_digest(layout: Path, ref: str) -> str:
    """The digest that a layout's index.json has under *ref*."""
    for entry in json.loads((layout / "index.json").read_bytes())["manifests"]:
        if entry["annotations"]["org.opencontainers.image.ref.name"] == ref:
            return str(entry["digest"])
    raise AssertionError(ref)


def test_what_we_push_skopeo_copies(pushed: Place, tmp_path: Path) -> None:
    """Skopeo takes a bundle out of the registry with every digest as it was, into a layout that can be published."""
    pushed.skopeo("copy", "--all", "--preserve-digests", *pushed.there("A.2"), f"oci:{tmp_path / 'copy'}:A.2")
    elsewhere = pushed.elsewhere(tmp_path.name)
    elsewhere.publish(tmp_path / "copy")

    assert index_digest(pushed.state / REPOSITORY, "A.2") == index_digest(elsewhere.directory, "A.2")
    assert all(check.is_sound for check in elsewhere.verify())


def test_what_skopeo_pushes_we_pull(place: Place, tmp_path: Path) -> None:
    """A bundle that skopeo put into the registry is pulled, verified and published, digest by digest."""
    address = RegistryAddress(place.address.host, "racks/skopeo")
    source = f"oci:{place.state / REPOSITORY}:A.2"
    login = ("--dest-creds", f"ann:{PASSWORD}", "--dest-cert-dir", str(place.folder / "certificates.d"))
    place.skopeo("copy", "--all", "--preserve-digests", *login, source, f"docker://{address.host}/{address.name}:A.2")
    elsewhere = place.elsewhere(tmp_path.name)
    with Backing(address, place.backing.credentials, place.ca).open(ReferencedSecrets()) as registry:
        elsewhere.pull(A2, registry)

    assert index_digest(place.state / REPOSITORY, "A.2") == index_digest(elsewhere.directory, "A.2")
    assert all(check.is_sound for check in elsewhere.verify())


def test_a_bit_flipped_in_the_registry(pushed: Place, tmp_path: Path) -> None:
    """What rotted, or was changed, in the registry's storage is refused and leaves nothing behind."""
    (payload,) = pushed.repository.get(A2).manifest.payloads
    blob = (
        pushed.folder / "storage/docker/registry/v2/blobs/sha256" / payload.digest.hex[:2] / payload.digest.hex / "data"
    )
    sound = blob.read_bytes()
    blob.write_bytes(bytes([sound[0] ^ 1]) + sound[1:])
    elsewhere = pushed.elsewhere(tmp_path.name)
    try:
        with pushed.backing.open(ReferencedSecrets()) as registry, pytest.raises(DigestMismatchError) as caught:
            elsewhere.pull(A2, registry)
    finally:
        blob.write_bytes(sound)

    assert "Push the bundle again" in caught.value.advice
    assert "sha256:" + hashlib.sha256(bytes([sound[0] ^ 1]) + sound[1:]).hexdigest() == caught.value.found
    assert () == elsewhere.list()


def test_a_large_blob_in_several_pieces(place: Place, tmp_path: Path) -> None:
    """The registry puts an upload in pieces together again."""
    address = RegistryAddress(place.address.host, "racks/pieces")
    with Backing(address, place.backing.credentials, place.ca).open(ReferencedSecrets()) as registry:
        registry._piece = 300_000
        place.repository.push(A2, registry)
        elsewhere = place.elsewhere(tmp_path.name)
        elsewhere.pull(A2, registry)

    assert all(check.is_sound for check in elsewhere.verify())


@pytest.mark.parametrize(
    ("backing", "error"),
    [
        (lambda place: Backing(place.address, None, place.ca), RegistryLoginError),
        (lambda place: Backing(place.address, "env:WRONG", place.ca), RegistryLoginError),
        (lambda place: Backing(place.address, place.backing.credentials), RegistryCertificateError),
    ],
)
def test_who_is_not_let_in(place: Place, backing: object, error: type[RackwaveError]) -> None:
    """Without a login, with a wrong one, or without its CA there is a clear word and no password in it."""
    assert callable(backing)
    wrong = ReferencedSecrets({"WRONG_USERNAME": "ann", "WRONG_PASSWORD": "hunter2"})
    with backing(place).open(wrong) as registry, pytest.raises(error) as caught:
        registry.tags()

    assert caught.value.advice
    assert "hunter2" not in caught.value.whole


def test_the_command_line(place: Place, tmp_path: Path) -> None:
    """push, tags and pull do it from the command line, also with the registry named in registry.toml."""
    address = f"oci://{place.address.host}/racks/cli"
    options = ("--registry", address, "--ca", str(place.ca), "--credentials", f"file:{place.folder / 'login.toml'}")
    pushed = place.rackwave("bundle", "push", "A.1", "A.2", *options)
    other = tmp_path / "state"
    other.mkdir()
    shutil.copy(place.state / TRUST, other / TRUST)
    (other / REGISTRY).write_text(
        f'registry = "{address}"\nca = "{place.ca}"\ncredentials = "file:{place.folder / "login.toml"}"\n'
    )
    pulled = place.rackwave("bundle", "pull", "--all", state=other)

    assert [{"bundle": "A.1", "registry": address}, {"bundle": "A.2", "registry": address}] == [
        {key: each[key] for key in ("bundle", "registry")}
        for each in pushed  # type: ignore[attr-defined]
    ]
    assert ["A.1", "A.2"] == place.rackwave("bundle", "tags", *options)
    assert [("A.1", None), ("A.2", "A.1")] == [(each["bundle"], each["archived"]) for each in pulled]  # type: ignore[attr-defined]
    assert [] == place.rackwave("bundle", "pull", "--all", state=other)


def test_a_release_that_skopeo_put_there_is_drafted_from_its_tag(place: Place, tmp_path: Path) -> None:
    """An artifact with one file, carried there by skopeo over TLS with a login, becomes a draft; the next one, too."""
    where = f"oci://{place.address.host}/vendor/nic"
    login = ("--dest-creds", f"ann:{PASSWORD}", "--dest-cert-dir", str(place.folder / "certificates.d"))
    feed = {
        "name": "vendor",
        "kind": "oci",
        "where": where,
        "tag": "stable",
        "lineage": "N",
        "component": "NIC",
        "ca": str(place.ca),
        "credentials": f"file:{place.folder / 'login.toml'}",
    }
    text = "\n".join(["[[feeds]]", *(f"{key} = {json.dumps(value)}" for key, value in feed.items())])
    (place.state / "feeds.toml").write_text(text, "utf-8")
    for version in ("1.0", "2.0"):
        layout, firmware = ImageLayout(tmp_path / f"artifact-{version}"), f"NIC {version}".encode() * 1000
        empty, blob = layout.blobs.add_bytes(b"{}"), layout.blobs.add_bytes(firmware)
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": Descriptor("application/vnd.oci.empty.v1+json", *empty).document(),
            "layers": [Descriptor("application/octet-stream", *blob, annotations={TITLE: "nic.bin"}).document()],
            "annotations": {"org.opencontainers.image.version": version, CVES: "CVE-2026-0001", SEVERITY: "high"},
        }
        manifest = Descriptor(
            MANIFEST_TYPE, *layout.blobs.add_bytes(json.dumps(document).encode()), annotations={REF_NAME: "stable"}
        )
        with layout.locked():
            layout.swap(LayoutIndex((manifest,)))
        there = f"docker://{place.address.host}/vendor/nic:stable"
        place.skopeo("copy", *login, f"oci:{layout.directory}:stable", there)
        done = CliRunner().invoke(cli, ["--state", str(place.state), "release", "watch", "--once"])

        assert 0 == done.exit_code, done.output
        assert f"NIC {version} is drafted as N.1" in done.output


def test_a_machine_that_only_deploys_needs_a_root_and_this_registry(place: Place, tmp_path: Path) -> None:
    """Signed metadata goes there with the bundles, skopeo can copy its tag, and a withdrawal reaches the machine."""
    environment = {"RACKWAVE_PASSPHRASE": PASSWORD}
    address = f"oci://{place.address.host}/racks/metadata"
    publisher, node = tmp_path / "publisher", tmp_path / "node"
    shutil.copytree(place.state, publisher)
    for state in (publisher, node):
        state.mkdir(exist_ok=True)
        table = {"registry": address, "credentials": f"file:{place.folder / 'login.toml'}", "ca": str(place.ca)}
        lines = [f"{key} = {json.dumps(value)}" for key, value in table.items()]
        (state / REGISTRY).write_text("\n".join(lines), "utf-8")

    def rackwave(state: Path, *words: str) -> str:
        done = CliRunner(env=environment).invoke(cli, ["--state", str(state), *words])
        assert 0 == done.exit_code, done.output
        return done.output

    rackwave(publisher, "trust", "init")
    rackwave(publisher, "bundle", "push", "A.1", "A.2")
    rackwave(node, "trust", "adopt", str(publisher / "trust/root.json"))
    assert "A.2 is current" in rackwave(node, "bundle", "pull", "A.2")
    rackwave(publisher, "bundle", "withdraw", "A.1", "--reason", "hangs")
    rackwave(publisher, "trust", "push")
    login = ("--src-creds", f"ann:{PASSWORD}", "--src-cert-dir", str(place.folder / "certificates.d"))
    place.skopeo("copy", "--all", *login, f"docker://{place.address.host}/racks/metadata:metadata", f"oci:{tmp_path}/m")

    trust = Automation(None, node).repository.trust
    with pytest.raises(TrustError, match="withdrawn"):
        trust.check_sendable(A1)
    trust.check_sendable(A2)
