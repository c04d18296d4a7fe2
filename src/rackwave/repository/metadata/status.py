"""How trust by signed metadata stands: what runs out when, which keys are where, what is current."""

from __future__ import annotations

from typing import Any

from attrs import frozen
from tuf.api.metadata import Metadata, Role, Root, Snapshot, Targets, Timestamp

from ...core.channel import Channel
from .author import Author
from .roles import lineage_of


@frozen
class KeyStatus:
    """One key. *state*: ``here``, ``encrypted``, ``external``, ``away``; ``elsewhere``: its place is not known."""

    id: str
    name: str
    state: str


@frozen
class RoleStatus:
    """One role: its version, its expiry in epoch seconds, whose signatures it needs, and how many targets it has."""

    name: str
    version: int
    expires: float
    threshold: int
    keys: tuple[KeyStatus, ...]
    targets: int | None = None


@frozen
class TrustStatus:
    """All of it, as the metadata on this disk says."""

    profile: str
    roles: tuple[RoleStatus, ...]
    channels: tuple[Channel, ...]


def read_status(author: Author) -> TrustStatus:
    """Read how things stand from the metadata that *author* signs.

    Raises:
        TrustError: the metadata does not verify.
    """
    shelf = author.shelf()
    root = shelf.root.signed

    def status(name: str, metadata: Metadata[Any], role: Role, targets: int | None = None) -> RoleStatus:
        signed = metadata.signed
        keys = tuple(_key(author, keyid) for keyid in role.keyids)
        return RoleStatus(name, signed.version, signed.expires.timestamp(), role.threshold, keys, targets)

    tops: dict[str, Metadata[Any]] = {
        Root.type: shelf.root,
        Targets.type: shelf.role(Targets.type),
        Snapshot.type: shelf.snapshot,
        Timestamp.type: shelf.timestamp,
    }
    roles = [status(name, each, root.roles[name]) for name, each in tops.items()]
    channels = []
    delegations = shelf.role(Targets.type).signed.delegations
    for name, role in ((delegations.roles or {}) if delegations is not None else {}).items():
        lineage = lineage_of(name)
        if lineage is None or not shelf.has(name):
            continue
        metadata = shelf.role(name)
        bins = metadata.signed.delegations.succinct_roles if metadata.signed.delegations is not None else None
        held = [metadata, *(shelf.role(each) for each in (bins.get_roles() if bins is not None else ()))]
        roles.append(status(name, metadata, role, sum(len(each.signed.targets) for each in held)))
        channel = author.channel(shelf, lineage)
        if channel is not None:
            channels.append(channel)
    return TrustStatus(author.keys.profile, tuple(roles), tuple(channels))


def _key(author: Author, keyid: str) -> KeyStatus:
    key = author.keys.find(keyid)
    return (
        KeyStatus(keyid, key.name, author.keys.state_of(key)) if key is not None else KeyStatus(keyid, "", "elsewhere")
    )
