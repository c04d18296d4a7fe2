"""What this machine has verified before: remembered, so that nobody can show it an older state as the present.

::

    trust/root.json          the root that was pinned: by 'trust init' here, or by 'trust adopt'
    trust/metadata/          python-tuf's own: the newest metadata that was verified
    trust/seen.json          when, and up to which versions
    trust/channels/A.json    the channel of A that was verified last
    trust/verified/A.2       the digest under which A.2 was verified, to recover with when no metadata is to be had

All of it is as trustworthy as the journal beside it: whoever can write here can write there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from attrs import field, frozen

from ...core.bundle import frozen_map
from ...core.canonical import parse_json
from ...core.channel import Channel, read_channel
from ...core.identity import BundleId, Digest, Lineage
from ...errors import ManifestError, StateError, TrustError, UsageError
from ..store import replace_file, writing_to

HOME = "trust"
ROOT = "root.json"
SEEN = "seen.json"
MAX_ROOT = 1024 * 1024


@frozen
class Seen:
    """When metadata was verified last, in epoch seconds, and the versions of it."""

    at: float
    versions: Mapping[str, int] = field(factory=dict, converter=frozen_map)


class Memory:
    """Reads and writes the folder *home*."""

    def __init__(self, home: Path) -> None:
        self.home = home

    @property
    def metadata(self) -> Path:
        """Where python-tuf keeps the newest metadata that it verified."""
        return self.home / "metadata"

    def root(self) -> bytes:
        """Return the pinned root.

        Raises:
            TrustError: none is pinned.
        """
        try:
            return (self.home / ROOT).read_bytes()
        except OSError as error:
            raise TrustError(
                f"no root is trusted here: there is no {self.home / ROOT}",
                advice="Bring the publisher's root.json here by hand, and 'rackwave trust adopt root.json'.",
            ) from error

    def pin(self, root: bytes) -> None:
        """Pin *root*, the first or another one, whole or not at all."""
        self._replace(self.home / ROOT, root)

    def seen(self) -> Seen | None:
        """Return what was verified last, None where nothing was yet.

        Raises:
            StateError: it is damaged.
        """
        data = _read(self.home / SEEN)
        if data is None:
            return None
        try:
            match parse_json(data, what="seen.json"):
                case {"at": int() | float() as at, "versions": dict(versions)}:
                    return Seen(float(at), {str(name): int(version) for name, version in versions.items()})
        except (ManifestError, TypeError, ValueError):
            pass
        raise StateError(
            f"{self.home / 'seen.json'} is damaged",
            advice="Restore it from a backup. Without it an older state of the repository could pass for the present.",
        )

    def see(self, seen: Seen) -> None:
        """Remember what was verified."""
        self._replace(self.home / SEEN, json.dumps({"at": seen.at, "versions": dict(seen.versions)}).encode())

    def channel(self, lineage: Lineage) -> Channel | None:
        """Return the channel that was verified last, None where none was."""
        data = _read(self.home / "channels" / f"{lineage}.json")
        return read_channel(data, lineage) if data is not None else None

    def keep_channel(self, lineage: Lineage, data: bytes) -> None:
        """Remember a channel that was verified."""
        path = self.home / "channels" / f"{lineage}.json"
        if _read(path) != data:
            self._replace(path, data)

    def digest(self, bundle: BundleId) -> Digest | None:
        """Return the digest under which *bundle* was verified, None where it never was."""
        data = _read(self.home / "verified" / str(bundle))
        try:
            return Digest(data.decode()) if data is not None else None
        except (UnicodeDecodeError, UsageError):
            return None

    def keep_digest(self, bundle: BundleId, digest: Digest) -> None:
        """Remember that *bundle* was verified under *digest*."""
        if self.digest(bundle) != digest:
            self._replace(self.home / "verified" / str(bundle), digest.encode())

    def _replace(self, path: Path, data: bytes) -> None:
        with writing_to(self.home):
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, data, mode=0o644)


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(MAX_ROOT)
    except FileNotFoundError:
        return None
