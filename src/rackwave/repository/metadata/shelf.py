"""The signed metadata in a repository, as whoever adds to it reads it: nothing is built on what is not signed.

Expiry is not looked at here: expired metadata is what has to be signed again. Whoever deploys reads it
through ``client.py``, which looks at everything.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Snapshot, TargetFile, Targets, Timestamp

from ...errors import StateError, TrustError
from .roles import TOP, delegator_of, lineage_role, stored_name

T = TypeVar("T", Root, Timestamp, Snapshot, Targets)

FOLDER = "tuf"
METADATA = "metadata"
TARGETS = "targets"
MOST_ROOTS = 10_000

_REPAIR = "Restore the repository's folder 'tuf' from a backup, and find out who changed it."


class Shelf:
    """What lies in the folder *folder* now, verified from the root *pinned* on."""

    def __init__(self, folder: Path, pinned: bytes) -> None:
        self.folder = folder
        self._roles: dict[str, Metadata[Targets]] = {}
        self.root = self._newest_root(pinned)
        self.timestamp = self._top(Timestamp)
        self.snapshot = self._top(Snapshot, self.timestamp.signed.snapshot_meta.version)

    @staticmethod
    def check_root(data: bytes) -> Root:
        """Return the root in *data*, which must be signed by itself.

        Raises:
            TrustError: it is none.
        """
        root = _parse(Root, data, "the root")
        check_delegate(root.signed, Root.type, root)
        return root.signed

    def role(self, name: str) -> Metadata[Targets]:
        """Return the targets metadata of *name*, which the snapshot lists.

        Raises:
            TrustError: it is not there, or not signed by whom it should be.
        """
        if name not in self._roles:
            meta = self.snapshot.signed.meta.get(f"{name}.json")
            if meta is None:
                raise TrustError(f"the repository's snapshot does not list {name}", advice=_REPAIR)
            metadata = self._read(Targets, f"{meta.version}.{name}.json")
            parent = delegator_of(name)
            delegator = self.root.signed if name in TOP else self.role(parent).signed
            check_delegate(delegator, name, metadata)
            if metadata.signed.version != meta.version:
                raise TrustError(f"{name} has version {metadata.signed.version}, not {meta.version}", advice=_REPAIR)
            self._roles[name] = metadata
        return self._roles[name]

    def has(self, name: str) -> bool:
        """Whether the snapshot lists the role *name*."""
        return f"{name}.json" in self.snapshot.signed.meta

    def lineages(self) -> tuple[str, ...]:
        """Return the names of the roles that sign a lineage each."""
        delegations = self.role(Targets.type).signed.delegations
        return tuple(delegations.roles or ()) if delegations is not None else ()

    def place_of(self, role: str, path: str) -> str:
        """Return which role holds the target *path*: *role* itself, or one of its bins."""
        delegations = self.role(role).signed.delegations
        if delegations is None or delegations.succinct_roles is None or path.startswith("channels/"):
            return role
        return delegations.succinct_roles.get_role_for_target(path)

    def target(self, lineage: str, path: str) -> TargetFile | None:
        """Return what is signed of the target *path* of *lineage*; None where it is no target."""
        role = lineage_role(lineage)  # type: ignore[arg-type]
        if role not in self.lineages() or not self.has(role):
            return None
        return self.role(self.place_of(role, path)).signed.targets.get(path)

    def stored(self, target: TargetFile) -> str:
        """Return under which name *target* lies in the folder of targets."""
        return stored_name(target.path, target.hashes["sha256"])

    def read_target(self, target: TargetFile) -> bytes:
        """Return the bytes of *target*.

        Raises:
            TrustError: they are not there, or others.
        """
        path = self.folder / TARGETS / self.stored(target)
        try:
            with path.open("rb") as file:
                data = file.read(target.length + 1)
            target.verify_length_and_hashes(data)
        except (OSError, RepositoryError) as error:
            raise TrustError(f"the target {target.path} is not as it was signed: {error}", advice=_REPAIR) from error
        return data

    def _newest_root(self, pinned: bytes) -> Metadata[Root]:
        root = _parse(Root, pinned, "the trusted root")
        check_delegate(root.signed, Root.type, root)
        for version in range(root.signed.version + 1, root.signed.version + MOST_ROOTS):
            path = self.folder / METADATA / f"{version}.root.json"
            if not path.exists():
                break
            newer = self._read(Root, path.name)
            check_delegate(root.signed, Root.type, newer)
            check_delegate(newer.signed, Root.type, newer)
            if newer.signed.version != version:
                raise TrustError(f"{path} is version {newer.signed.version} of the root", advice=_REPAIR)
            root = newer
        return root

    def _top(self, role: type[T], version: int | None = None) -> Metadata[T]:
        name = role.type if version is None else f"{version}.{role.type}"
        metadata = self._read(role, f"{name}.json")
        check_delegate(self.root.signed, role.type, metadata)
        return metadata

    def _read(self, role: type[T], name: str) -> Metadata[T]:
        path = self.folder / METADATA / name
        try:
            data = path.read_bytes()
        except OSError as error:
            raise StateError(f"the repository has lost {path}: {error.strerror}", advice=_REPAIR) from error
        return _parse(role, data, str(path))


def _parse(role: type[T], data: bytes, what: str) -> Metadata[T]:
    try:
        metadata = Metadata[T].from_bytes(data)
    except RepositoryError as error:
        raise TrustError(f"{what} is no signed metadata: {error}", advice=_REPAIR) from error
    if metadata.signed.type != role.type:
        raise TrustError(f"{what} is metadata of the kind {metadata.signed.type}, not {role.type}", advice=_REPAIR)
    return metadata


def check_delegate(delegator: Root | Targets, name: str, metadata: Metadata[T]) -> None:
    """Refuse *metadata* that is not signed as *delegator* wants it of *name*.

    Raises:
        TrustError: too few signatures, or by other keys.
    """
    try:
        delegator.verify_delegate(name, metadata.signed_bytes, metadata.signatures)
    except (RepositoryError, ValueError) as error:
        raise TrustError(
            f"the repository's {name} metadata is not signed by whom it should be: {error}", advice=_REPAIR
        ) from error
