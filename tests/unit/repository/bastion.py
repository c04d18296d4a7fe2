"""A publisher with signed metadata, a node's machine that believes it, and an attacker between the two."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field
from tuf.api.metadata import Metadata, MetaFile, Snapshot, Targets, Timestamp
from workshop import SOURCE

from rackwave.core.identity import BundleId
from rackwave.errors import TrustError
from rackwave.repository.keys import generate_key, load_signer
from rackwave.repository.metadata.ceremony import Setup, adopt, init
from rackwave.repository.metadata.client import MetadataClient
from rackwave.repository.metadata.key_box import KeyBox
from rackwave.repository.metadata.memory import HOME, Memory
from rackwave.repository.metadata.source import LocalSource, MetadataSource
from rackwave.repository.metadata.trust import MetadataTrust
from rackwave.repository.repository import BundleRepository
from rackwave.repository.source import BuiltBundle, build

PASSPHRASE = b"correct horse"
START = 1_800_000_000.0
DAY = 86_400.0
A1, A2, A3 = (BundleId("A", seq) for seq in (1, 2, 3))


def ask(what: str) -> bytes:
    """Say the passphrase of every key."""
    return PASSPHRASE


@define
class Bastion:
    """*state* is the publisher's, *offered* what the attacker lets the node see, *node* the node's own memory."""

    place: Path
    time: float = START
    ticks: float = field(default=0.0, init=False)

    # -- the publisher -----------------------------------------------------------------------------

    @property
    def state(self) -> Path:
        """The publisher's state directory."""
        return self.place / "publisher"

    @property
    def repository(self) -> BundleRepository:
        """The publisher's repository, opened anew as by a command."""
        return BundleRepository(self.state / "repository", self.trust, now=lambda: self.time)

    @property
    def trust(self) -> MetadataTrust:
        """The publisher's trust, opened anew as by a command."""
        box = KeyBox.load(self.state, ask)
        return MetadataTrust(self.state / "repository", Memory(self.state / HOME), box, now=lambda: self.time)

    def init(self, setup: Setup | None = None) -> None:
        """Set everything up."""
        init(
            self.state,
            self.state / "repository",
            self.state / "publisher.pem",
            setup or Setup(),
            ask=ask,
            now=lambda: self.time,
        )

    def build(self, seq: int, lineage: str = "A", *, key: Path | None = None) -> BuiltBundle:
        """Build a bundle."""
        source = self.place / f"source-{lineage}.{seq}"
        source.mkdir(exist_ok=True)
        (source / "bundle.toml").write_text(SOURCE.format(lineage=lineage, seq=seq))
        (source / "bios.bin").write_bytes(f"BIOS {lineage}.{seq}".encode() * 100)
        return build(source, self.place / f"out-{lineage}.{seq}", load_signer(key or self.state / "publisher.pem"))

    def publish(self, seq: int, lineage: str = "A", *, min_seq: int | None = None) -> None:
        """Build and publish a bundle."""
        self.repository.publish(self.build(seq, lineage).directory, "released", min_seq=min_seq)

    # -- the attacker ------------------------------------------------------------------------------

    @property
    def offered(self) -> Path:
        """What the node is shown: a copy of the publisher's repository, as of ``offer``."""
        return self.place / "offered"

    @property
    def metadata(self) -> Path:
        """The signed metadata that the node is shown."""
        return self.offered / "tuf" / "metadata"

    def offer(self) -> None:
        """Show the node what the publisher has now."""
        shutil.rmtree(self.offered, ignore_errors=True)
        shutil.copytree(self.state / "repository", self.offered)

    def version(self, role: str) -> int:
        """The newest version of *role* that is offered."""
        return max(int(path.name.partition(".")[0]) for path in self.metadata.glob(f"*.{role}.json"))

    def newest(self, role: str) -> Path:
        """The file of *role* that is offered."""
        if role == "timestamp":
            return self.metadata / "timestamp.json"
        return self.metadata / f"{self.version(role)}.{role}.json"

    def edit(self, role: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Change what is signed as *role*, without a key."""
        path = self.newest(role)
        document = json.loads(path.read_bytes())
        change(document["signed"])
        path.write_text(json.dumps(document, separators=(",", ":")))

    def signer(self, name: str) -> Any:
        """What signs with one of the publisher's keys."""
        box = KeyBox.load(self.state, ask)
        return box.signer(next(key.id for key in box.keys if key.name == name))

    def stranger(self) -> Any:
        """What signs with a key that nobody knows."""
        path = self.place / "stranger.pem"
        return (load_signer(path) if path.exists() else generate_key(path)).signer

    def sign(self, role: str, change: Callable[[Any], None], by: Any, *, name: str | None = None) -> bytes:
        """Change what is signed as *role* and sign it with *by*; return the bytes, which are offered as *name*."""
        metadata: Metadata[Any] = Metadata.from_bytes(self.newest(role).read_bytes())
        change(metadata.signed)
        metadata.sign(by)
        data = metadata.to_bytes()
        (self.metadata / (name or self.newest(role).name)).write_bytes(data)
        return data

    def list_anew(self, changed: dict[str, tuple[int, bytes]], *, by: Any = None) -> None:
        """Sign a snapshot and a timestamp over *changed* roles, as whoever has the online key can."""
        online = by or self.signer("online")

        def list_them(snapshot: Snapshot) -> None:
            snapshot.version += 1
            for role, (version, data) in changed.items():
                snapshot.meta[f"{role}.json"] = MetaFile.from_data(version, data, ["sha256"])

        version = self.version("snapshot") + 1
        data = self.sign("snapshot", list_them, online, name=f"{version}.snapshot.json")

        def point(timestamp: Timestamp) -> None:
            timestamp.version += 1
            timestamp.snapshot_meta = MetaFile.from_data(version, data, ["sha256"])

        self.sign("timestamp", point, online)

    def sign_channel(self, **fields: Any) -> None:
        """Sign another channel of lineage A, as whoever has the publisher's and the online key can."""
        channels = self.offered / "tuf" / "targets" / "channels"
        newest = max(channels.glob("*.A.json"), key=lambda each: each.stat().st_mtime_ns)
        data = json.dumps({**json.loads(newest.read_bytes()), **fields}).encode()
        self.sign_target("channels/A.json", data)

    def sign_target(self, path: str, data: bytes, *, role: str = "lineage.A", by: str = "publisher") -> None:
        """Sign *data* as a target of *role*."""
        from rackwave.repository.metadata.author import _target
        from rackwave.repository.metadata.roles import stored_name

        info = _target(path, data)
        place = self.offered / "tuf" / "targets" / stored_name(path, info.hashes["sha256"])
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        version = self.version(role) + 1

        def add(targets: Targets) -> None:
            targets.version = version
            targets.targets[path] = info

        signed = self.sign(role, add, self.signer(by), name=f"{version}.{role}.json")
        self.list_anew({role: (version, signed)})

    # -- the node's machine ------------------------------------------------------------------------

    @property
    def memory(self) -> Memory:
        """What the node's machine remembers."""
        return Memory(self.place / "node" / HOME)

    def adopt(self) -> None:
        """Have the node's machine believe the publisher, and see what is offered."""
        adopt(self.place / "node", self.state / HOME / "root.json")

    def node(self, source: MetadataSource | None = None) -> MetadataTrust:
        """The node's trust, opened anew as by a command: it has no keys."""
        trust = MetadataTrust(
            self.offered, self.memory, KeyBox(self.place / "node", ask), source=source, now=lambda: self.time
        )
        trust.client = MetadataClient(
            self.memory,
            source or LocalSource(self.offered / "tuf"),
            now=lambda: self.time,
            monotonic=lambda: self.ticks,
        )
        return trust

    def deploy(self, bundle: BundleId, source: MetadataSource | None = None) -> None:
        """Ask what a deployment asks."""
        trust = self.node(source)
        found = BundleRepository(self.offered, trust).get(bundle)
        trust.check_forward(bundle, found.digest)

    def recover(self, bundle: BundleId) -> None:
        """Ask what a recovery asks: the whole of the bundle, from what is held."""
        BundleRepository(self.offered, self.node()).check_sendable(bundle)

    def refused(self, bundle: BundleId = A2, source: MetadataSource | None = None) -> str:
        """Deploy what must be refused, with an advice; what was deployed before can be recovered all the same."""
        with pytest.raises(TrustError) as caught:
            self.deploy(bundle, source)
        assert caught.value.advice
        self.recover(A1)
        return str(caught.value)


def drip(tick: Callable[[], None]) -> Iterator[bytes]:
    """Yield 40 bytes a second, without an end."""
    while True:
        tick()
        yield b" " * 40
