"""What the tests here build bundles with, and forge them with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from attrs import define, field

from rackwave.core.canonical import canonical_json
from rackwave.repository.keys import BundleSigner
from rackwave.repository.layout import INDEX_TYPE, REF_NAME, ImageLayout
from rackwave.repository.repository import BundleRepository, Publication
from rackwave.repository.source import BuiltBundle, build

SOURCE = """\
lineage = "{lineage}"
seq = {seq}
purpose = "version {seq} of {lineage}"

[[elements]]
name = "bios"
kind = "bios-image"
component = "BIOS"
version = "{seq}.0.0"
payload = "bios.bin"
activation = "host-reset"
reversibility = "reflash"
"""


@define
class Workshop:
    """A key, a repository that trusts it for the lineages A and B, and sources to build from."""

    directory: Path
    signer: BundleSigner
    repository: BundleRepository
    _count: int = field(default=0, init=False)

    def fresh(self, name: str) -> Path:
        """Name a folder that does not exist yet."""
        self._count += 1
        return self.directory / f"{name}-{self._count}"

    def source(self, seq: int, *, lineage: str = "A", image: bytes = b"") -> Path:
        """Write a source with one BIOS image."""
        folder = self.fresh("source")
        folder.mkdir()
        (folder / "bundle.toml").write_text(SOURCE.format(lineage=lineage, seq=seq))
        (folder / "bios.bin").write_bytes(image or f"BIOS {lineage}.{seq}".encode() * 100)
        return folder

    def build(
        self, seq: int, *, lineage: str = "A", image: bytes = b"", signer: BundleSigner | None = None
    ) -> BuiltBundle:
        """Build a bundle into a layout of its own."""
        return build(self.source(seq, lineage=lineage, image=image), self.fresh("out"), signer or self.signer)

    def publish(self, seq: int, *, lineage: str = "A", reason: str = "") -> Publication:
        """Build and publish a bundle."""
        return self.repository.publish(self.build(seq, lineage=lineage).directory, reason)


@define
class Forgery:
    """A layout taken apart, to be put together again, with right digests, as an attacker would."""

    ref: str
    config: bytes
    payload: dict[str, Any]
    envelope: dict[str, Any]
    signature: dict[str, Any]
    index: dict[str, Any]

    @classmethod
    def of(cls, directory: Path) -> Forgery:
        """Take a layout with one bundle apart."""

        def read(descriptor: dict[str, Any]) -> bytes:
            digest: str = descriptor["digest"]
            return (directory / "blobs" / "sha256" / digest[7:]).read_bytes()

        entry = json.loads((directory / "index.json").read_bytes())["manifests"][0]
        index = json.loads(read(entry))
        payload, signature = (json.loads(read(part)) for part in index["manifests"][:2])
        return cls(
            ref=entry["annotations"][REF_NAME],
            config=read(payload["config"]),
            payload=payload,
            envelope=json.loads(read(signature["layers"][0])),
            signature=signature,
            index=index,
        )

    def write(self, directory: Path, *, signed: bool = True) -> Path:
        """Write it into the layout it was taken from."""
        layout = ImageLayout(directory)

        def put(data: bytes, descriptor: dict[str, Any]) -> None:
            digest, size = layout.blobs.add_bytes(data)
            descriptor |= {"digest": str(digest), "size": size}

        put(self.config, self.payload["config"])
        put(canonical_json(self.payload), self.index["manifests"][0])
        put(canonical_json(self.envelope), self.signature["layers"][0])
        self.signature["subject"] |= {key: self.index["manifests"][0][key] for key in ("digest", "size")}
        if signed:
            put(canonical_json(self.signature), self.index["manifests"][1])
        else:
            del self.index["manifests"][1:]
        entry: dict[str, Any] = {
            "mediaType": INDEX_TYPE,
            "annotations": {"org.opencontainers.image.ref.name": self.ref},
        }
        digest, size = layout.blobs.add_bytes(canonical_json(self.index))
        entry |= {"digest": str(digest), "size": size}
        (directory / "index.json").write_bytes(canonical_json({"schemaVersion": 2, "manifests": [entry]}))
        return directory


def flip(path: Path, at: int = 1) -> None:
    """Flip one bit of a file in place, as rot or an intruder would."""
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
