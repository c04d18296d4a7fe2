"""Writes the signed metadata of a repository.

A change is one transaction: every role that changed is written under its new version number, then the
snapshot that lists them, and at last ``timestamp.json``, which alone is replaced in place. Whoever reads,
and whoever is killed at whatever moment, sees the metadata before or after. All signatures are made
before anything is written, so a passphrase that is wrong leaves nothing behind.

Callers hold ``locked`` while they read and change.
"""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from attrs import field, frozen
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    Delegations,
    Key,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    SuccinctRoles,
    TargetFile,
    Targets,
    Timestamp,
)

from ...core.channel import Channel, read_channel
from ...core.identity import Lineage
from ...errors import TrustError
from ..store import replace_file, writing_to
from .key_box import KeyBox
from .roles import (
    BIN_BITS,
    FLAT,
    ONLINE,
    PROFILES,
    TOP,
    bin_prefix,
    channel_path,
    delegation,
    delegator_of,
    lineage_role,
    stored_name,
)
from .shelf import METADATA, TARGETS, Shelf, T, check_delegate

KEEP = 8
"""Versions of each role that stay on disk, for whoever has read an older timestamp and still reads on."""

RENEW_AT = 0.5
"""A signature is made again once less than this part of its lifetime is left, where its key asks nobody."""

_ROOT_FILE = f".{Root.type}.json"

OFFLINE_RENEW = 30 * 86_400.0
"""Seconds before its expiry from which what holds for long is signed again, where its key asks nobody."""


@frozen
class Keyring:
    """Public keys for a role, and how many of them must sign."""

    keys: tuple[Key, ...]
    threshold: int = 1


@frozen
class Change:
    """What a transaction changes: targets to add (with their bytes, None where they lie elsewhere) and to remove."""

    add: Mapping[str, bytes] = field(factory=dict)
    remove: tuple[str, ...] = ()


class Author:
    """Signs with the keys in *keys* what lies in *folder*; the pinned root says from where on to believe it."""

    def __init__(self, folder: Path, keys: KeyBox, pinned: bytes, *, now: Callable[[], float]) -> None:
        self.folder = folder
        self.keys = keys
        self._pinned = pinned
        self._now = now

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other writers of the metadata out, across processes; the kernel lets go when the holder dies."""
        with writing_to(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / ".lock").open("ab")
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    # -- reading ---------------------------------------------------------------------------------

    def shelf(self) -> Shelf:
        """Read what is there now."""
        return Shelf(self.folder, self._pinned)

    def channel(self, shelf: Shelf, lineage: Lineage) -> Channel | None:
        """Return the channel of *lineage*, None where nothing was published in it yet."""
        target = shelf.target(lineage, channel_path(lineage))
        return read_channel(shelf.read_target(target), lineage) if target is not None else None

    # -- changing --------------------------------------------------------------------------------

    def change(self, lineage: Lineage, change: Change, *, shelf: Shelf | None = None) -> None:
        """Add and remove targets of *lineage*, and sign what that concerns.

        Raises:
            TrustError: nobody was allowed to sign the lineage yet, or a key is missing.
        """
        shelf = shelf or self.shelf()
        role = lineage_role(lineage)
        if role not in shelf.lineages():
            raise TrustError(
                f"nobody may sign lineage {lineage} yet", advice=f"Allow it: 'rackwave trust delegate {lineage}'."
            )
        draft = _Draft(shelf)
        if not shelf.has(role):
            draft.roles[role] = _unwritten(Targets(expires=self._expiry(role)))
        for path in change.remove:
            draft.holder(role, path).signed.targets.pop(path, None)
        for path, data in change.add.items():
            draft.holder(role, path).signed.targets[path] = _target(path, data)
        draft.split_if_large(role, lineage, self._expiry(role))
        self._commit(shelf, draft.roles, files=change.add)

    def delegate(self, lineages: Iterable[Lineage], keyring: Keyring, *, shelf: Shelf | None = None) -> None:
        """Say who may sign *lineages* from now on; what the ones before signed has to be signed again.

        Raises:
            TrustError: the targets key is away, or one of the new keys for what is signed already.
        """
        shelf = shelf or self.shelf()
        targets = shelf.role(Targets.type)
        roles = [delegation(lineage, [], keyring.threshold) for lineage in lineages]
        changed = {Targets.type: targets}
        for role in roles:  # read, and verified by their present keys, before these are changed
            if shelf.has(role.name):
                changed[role.name] = shelf.role(role.name)
                changed.update(_bins(shelf, changed[role.name], keyring))
        delegations = targets.signed.delegations or Delegations({}, roles={})
        targets.signed.delegations = delegations
        for role in roles:
            delegations.roles = {**(delegations.roles or {}), role.name: role}
            for key in keyring.keys:
                targets.signed.add_key(key, role.name)
        used = {keyid for role in (delegations.roles or {}).values() for keyid in role.keyids}
        delegations.keys = {keyid: key for keyid, key in delegations.keys.items() if keyid in used}
        self._commit(shelf, changed)

    def rotate(self, roles: Iterable[str], keyring: Keyring) -> None:
        """Give top-level *roles* other keys: a new root, signed by the old root keys and by the new.

        Raises:
            TrustError: one of the keys that must sign is away.
        """
        shelf = self.shelf()
        before = shelf.root
        root = Metadata(deepcopy(before.signed))
        changed: dict[str, Metadata[Targets]] = {}
        for name in roles:
            for keyid in tuple(root.signed.roles[name].keyids):
                root.signed.revoke_key(keyid, name)
            root.signed.roles[name].threshold = keyring.threshold
            for key in keyring.keys:
                root.signed.add_key(key, name)
            if name == Targets.type:
                changed[name] = shelf.role(name)
        self._commit(shelf, changed, root=(root, before))

    def renew(self, *, force: bool = False, targets: bool = False) -> tuple[str, ...]:
        """Sign again what expires soon, as far as nobody has to be asked; return which roles that were.

        With *force* the snapshot and the timestamp are signed again in any case, with *targets* the targets role, too.
        """
        shelf = self.shelf()
        due = [name for name in ONLINE if force or self._is_due(name, shelf)]
        changed = {
            name: shelf.role(name)
            for name in (Targets.type, *(role for role in shelf.lineages() if shelf.has(role)))
            if (targets and name == Targets.type) or (self._is_due(name, shelf) and self._signs_by_itself(name, shelf))
        }
        if not due and not changed:
            return ()
        if not force and not all(self._signs_by_itself(name, shelf) for name in ONLINE):
            return ()
        self._commit(shelf, changed)
        return (*changed, *ONLINE)

    def create(self, root: Keyring, targets: Keyring, online: Keyring) -> bytes:
        """Write the first version of everything, and return the root that is to be pinned.

        Raises:
            TrustError: there is metadata already, or a key cannot be used.
        """
        if (self.folder / METADATA).exists():
            raise TrustError(
                f"{self.folder} holds signed metadata already",
                advice="To believe it, 'rackwave trust adopt ROOT' with the publisher's root.json.",
            )
        first = Root(expires=self._expiry(Root.type), consistent_snapshot=True)
        for name, keyring in ((Root.type, root), (Targets.type, targets), *((each, online) for each in ONLINE)):
            first.roles[name].threshold = keyring.threshold
            for key in keyring.keys:
                first.add_key(key, name)
        signed_root = Metadata(first)
        self._sign(signed_root, Root.type, first)
        self._pinned = signed_root.to_bytes()
        empty = {Targets.type: _unwritten(Targets(expires=self._expiry(Targets.type)))}
        snapshot = _unwritten(Snapshot(expires=self._expiry(Snapshot.type), meta={}))
        timestamp = _unwritten(Timestamp(expires=self._expiry(Timestamp.type)))
        self._write(signed_root, {"1.root.json": self._pinned}, snapshot, timestamp, empty, {})
        return self._pinned

    # -- one transaction -------------------------------------------------------------------------

    def _commit(
        self,
        shelf: Shelf,
        changed: Mapping[str, Metadata[Targets]],
        *,
        root: tuple[Metadata[Root], Metadata[Root]] | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> None:
        newest, documents, old = shelf.root, {}, None
        if root is not None:
            newest, before = root
            newest.signed.version += 1
            newest.signed.expires = self._expiry(Root.type)
            self._sign(newest, Root.type, newest.signed, before.signed)
            documents[f"{newest.signed.version}.root.json"] = newest.to_bytes()
            tops = (*ONLINE, *(name for name in changed if name in TOP))
            old = before.signed if all(self._can_sign(name, before.signed) for name in tops) else None
        self._write(newest, documents, shelf.snapshot, shelf.timestamp, changed, files or {}, shelf=shelf, old=old)

    def _write(
        self,
        root: Metadata[Root],
        documents: dict[str, bytes],
        snapshot: Metadata[Snapshot],
        timestamp: Metadata[Timestamp],
        changed: Mapping[str, Metadata[Targets]],
        files: Mapping[str, bytes],
        *,
        shelf: Shelf | None = None,
        old: Root | None = None,
    ) -> None:
        """Sign and write.

        Where the root changes, what is under it is signed for the *old* one, too, if its keys are here: then a run
        that is killed leaves what both roots allow, and the new root is written last of all.
        """
        gone, tops = [], (root.signed,) if old is None else (root.signed, old)
        for name, metadata in changed.items():
            metadata.signed.version += 1
            metadata.signed.expires = self._expiry(name)
            parent = delegator_of(name)
            delegators: tuple[Root | Targets, ...] = tops
            if name not in TOP:
                assert shelf is not None  # noqa: S101 - for the type checker: only the first version has no shelf
                delegators = (changed[parent].signed if parent in changed else shelf.role(parent).signed,)
            self._sign(metadata, name, *delegators)
            data = metadata.to_bytes()
            documents[f"{metadata.signed.version}.{name}.json"] = data
            snapshot.signed.meta[f"{name}.json"] = _meta(metadata.signed.version, data)
            gone.append(f"{metadata.signed.version - KEEP}.{name}.json")
        snapshot.signed.version += 1
        snapshot.signed.expires = self._expiry(Snapshot.type)
        self._sign(snapshot, Snapshot.type, *tops)
        data = snapshot.to_bytes()
        documents[f"{snapshot.signed.version}.snapshot.json"] = data
        timestamp.signed.snapshot_meta = _meta(snapshot.signed.version, data)
        timestamp.signed.version += 1
        timestamp.signed.expires = self._expiry(Timestamp.type)
        self._sign(timestamp, Timestamp.type, *tops)
        gone.append(f"{snapshot.signed.version - KEEP}.snapshot.json")
        last = {name: documents.pop(name) for name in tuple(documents) if old is not None and name.endswith(_ROOT_FILE)}
        self._put(documents, timestamp.to_bytes(), files, last)
        for name in gone:
            with suppress(OSError):
                (self.folder / METADATA / name).unlink()

    def _put(
        self,
        documents: Mapping[str, bytes],
        timestamp: bytes,
        files: Mapping[str, bytes],
        last: Mapping[str, bytes],
    ) -> None:
        with writing_to(self.folder):
            for path, data in files.items():
                if path.startswith("bundles/"):
                    continue  # the bytes are a blob of the repository
                place = self.folder / TARGETS / stored_name(path, hashlib.sha256(data).hexdigest())
                place.parent.mkdir(parents=True, exist_ok=True)
                replace_file(place, data, mode=0o644)
                if path.startswith("channels/"):
                    _drop_old(place)
            folder = self.folder / METADATA
            folder.mkdir(parents=True, exist_ok=True)
            for name, data in (*documents.items(), ("timestamp.json", timestamp), *last.items()):
                replace_file(folder / name, data, mode=0o644)

    def _sign(self, metadata: Metadata[Any], name: str, *delegators: Root | Targets) -> None:
        """Sign with as many keys as each of *delegators* wants for *name*, and see that this is enough."""
        metadata.signatures.clear()
        wanted: list[str] = []
        for delegator in delegators:
            wanted += [keyid for keyid in self._able(name, delegator) if keyid not in wanted]
        for keyid in wanted:
            signer = self.keys.signer(keyid)
            try:
                metadata.sign(signer, append=True)
            except RepositoryError as error:  # whatever an HSM or KMS raises
                raise TrustError(
                    f"the key {keyid[:12]} did not sign {name}: {error}",
                    advice="Check that the HSM or KMS can be reached, and the PIN or the credentials.",
                ) from error
        for delegator in delegators:
            check_delegate(delegator, name, metadata)

    def _can_sign(self, name: str, delegator: Root | Targets) -> bool:
        try:
            self._able(name, delegator)
        except TrustError:
            return False
        return True

    def _able(self, name: str, delegator: Root | Targets) -> list[str]:
        """Return as many keys as must sign *name*, first those that ask nobody."""
        role = delegator.get_delegated_role(name)
        known = [key for keyid in role.keyids if (key := self.keys.find(keyid)) is not None]
        able = [key.id for key in known if self.keys.state_of(key) != "away"]
        if len(able) >= role.threshold:
            return sorted(able, key=lambda keyid: not self.keys.signs_by_itself(keyid))[: role.threshold]
        away = [f"{key.name} ({key.where})" for key in known if key.id not in able]
        unknown = [keyid[:12] for keyid in role.keyids if self.keys.find(keyid) is None]
        raise TrustError(
            f"{name} needs {role.threshold} of {len(role.keyids)} keys to sign it, and {len(able)} are here; "
            f"away: {', '.join([*away, *unknown])}",
            advice="Bring back the medium that the key lies on, or do this where it is; see 'rackwave trust status'.",
        )

    # -- when ------------------------------------------------------------------------------------

    def _expiry(self, role: str) -> datetime:
        lifetime = PROFILES[self.keys.profile].of(role)
        return datetime.fromtimestamp(int(self._now()), UTC) + timedelta(seconds=lifetime)

    def _is_due(self, role: str, shelf: Shelf) -> bool:
        tops: dict[str, Metadata[Any]] = {Snapshot.type: shelf.snapshot, Timestamp.type: shelf.timestamp}
        metadata = tops.get(role) or shelf.role(role)
        left = metadata.signed.expires.timestamp() - self._now()
        lifetime = PROFILES[self.keys.profile].of(role)
        return left < (lifetime * RENEW_AT if role in ONLINE else min(OFFLINE_RENEW, lifetime * RENEW_AT))

    def _signs_by_itself(self, name: str, shelf: Shelf) -> bool:
        delegator = shelf.root.signed if name in TOP else shelf.role(delegator_of(name)).signed
        role = delegator.get_delegated_role(name)
        return sum(self.keys.signs_by_itself(keyid) for keyid in role.keyids) >= role.threshold


class _Draft:
    """The roles that a change touches."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self.roles: dict[str, Metadata[Targets]] = {}

    def holder(self, role: str, path: str) -> Metadata[Targets]:
        """Return the metadata that holds *path*, of the role itself or of one of its bins, to be changed."""
        name = role if role in self.roles and not self._shelf.has(role) else self._shelf.place_of(role, path)
        if name not in self.roles:
            self.roles[name] = self._shelf.role(name)
        return self.roles[name]

    def split_if_large(self, role: str, lineage: Lineage, expires: datetime) -> None:
        """Move the targets of a role that has become large into bins; the channel stays where it is."""
        metadata = self.roles.get(role)
        if metadata is None or metadata.signed.delegations is not None or len(metadata.signed.targets) <= FLAT:
            return
        delegations = self._shelf.role(Targets.type).signed.delegations
        assert delegations is not None and delegations.roles is not None  # noqa: S101, PT018 - the role is in it
        mine = delegations.roles[role]
        bins = SuccinctRoles(list(mine.keyids), mine.threshold, BIN_BITS, bin_prefix(lineage))
        keys = {keyid: delegations.keys[keyid] for keyid in mine.keyids}
        metadata.signed.delegations = Delegations(keys, succinct_roles=bins)
        for name in bins.get_roles():
            self.roles[name] = _unwritten(Targets(expires=expires))
        for path, target in list(metadata.signed.targets.items()):
            if not path.startswith("channels/"):
                self.roles[bins.get_role_for_target(path)].signed.targets[path] = target
                del metadata.signed.targets[path]


def _bins(shelf: Shelf, metadata: Metadata[Targets], keyring: Keyring) -> dict[str, Metadata[Targets]]:
    """Return the bins of a role that gets other keys, once its delegation of them names these."""
    delegations = metadata.signed.delegations
    if delegations is None or delegations.succinct_roles is None:
        return {}
    bins = {name: shelf.role(name) for name in delegations.succinct_roles.get_roles()}
    delegations.keys = {key.keyid: key for key in keyring.keys}
    delegations.succinct_roles.keyids = list(delegations.keys)
    delegations.succinct_roles.threshold = keyring.threshold
    return bins


def _unwritten(signed: T) -> Metadata[T]:
    """Return metadata of which no version was written yet; writing it makes it version 1."""
    signed.version = 0
    return Metadata(signed)


def _target(path: str, data: bytes) -> TargetFile:
    return TargetFile(len(data), {"sha256": hashlib.sha256(data).hexdigest()}, path)


def _meta(version: int, data: bytes) -> MetaFile:
    return MetaFile(version, len(data), {"sha256": hashlib.sha256(data).hexdigest()})


def _drop_old(newest: Path) -> None:
    """Drop old versions of one target, which are no longer signed."""
    name = newest.name.partition(".")[2]
    others = [path for path in newest.parent.glob(f"*.{name}") if path != newest]
    for path in sorted(others, key=lambda each: each.stat().st_mtime)[: -KEEP or None]:
        with suppress(OSError):
            path.unlink()
