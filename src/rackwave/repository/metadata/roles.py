"""What the roles of the signed metadata are called, which paths are theirs, and how long they hold.

::

    root ─┬─ targets ── lineage.A ── lineage.A.bin-00 … -3f    bundles/A/<seq>.json, attest/A/<digest>.<kind>.json
          │                └──────── channels/A.json
          ├─ snapshot      which version of each of these belongs together
          └─ timestamp     which snapshot is the newest, for a short time

The bins come once a lineage has many bundles (`FLAT`): publishing then signs one sixty-fourth of them again.
https://theupdateframework.github.io/specification/v1.0.33/
"""

from __future__ import annotations

from attrs import frozen
from tuf.api.metadata import DelegatedRole, Root, Snapshot, Targets, Timestamp

from ...core.identity import BundleId, Digest, Lineage

DAY = 86_400.0
HOUR = 3_600.0

BIN_BITS = 6
FLAT = 256
"""Targets that one role holds before bins take them over: docs/benchmarks.md has what each costs."""

ONLINE = (Snapshot.type, Timestamp.type)
TOP = (Root.type, Targets.type, *ONLINE)


BIN_LIFETIME = 3_650 * DAY
"""A bin counts only as its lineage's role and the snapshot name it, and these expire: nobody need read 64 to see."""


@frozen
class Lifetimes:
    """For how long a signature over each kind of metadata holds, in seconds."""

    root: float
    targets: float
    lineage: float
    snapshot: float
    timestamp: float

    def of(self, role: str) -> float:
        """Return the lifetime of *role*."""
        named: dict[str, float] = {name: getattr(self, name) for name in TOP}
        return named.get(role, self.lineage if delegator_of(role) == Targets.type else BIN_LIFETIME)


PROFILES = {
    "default": Lifetimes(root=365 * DAY, targets=365 * DAY, lineage=365 * DAY, snapshot=7 * DAY, timestamp=7 * DAY),
    "strict": Lifetimes(root=365 * DAY, targets=90 * DAY, lineage=30 * DAY, snapshot=24 * HOUR, timestamp=4 * HOUR),
}
"""How long an old state of the repository can be shown as the present one to somebody who has never seen a newer
one: the timestamp's lifetime. Under ``strict`` something has to call ``rackwave trust refresh`` every hour."""


def lineage_role(lineage: Lineage) -> str:
    """Return the role that signs *lineage*; no lineage has a dot, so it can never be called like another role."""
    return f"lineage.{lineage}"


def lineage_of(role: str) -> Lineage | None:
    """Return the lineage that *role*, or the role that it is a bin of, signs."""
    kind, _, rest = role.partition(".")
    return Lineage(rest.partition(".")[0]) if kind == "lineage" else None


def delegator_of(role: str) -> str:
    """Return who says whose signature *role* needs."""
    if role in TOP:
        return Root.type
    return role.rpartition(".")[0] if role.count(".") > 1 else Targets.type


def bin_prefix(lineage: Lineage) -> str:
    """Return what the bins of *lineage* are called, without their numbers."""
    return f"{lineage_role(lineage)}.bin"


def lineage_paths(lineage: Lineage) -> list[str]:
    """Return the patterns of what the role of *lineage* may sign, and nothing else."""
    return [f"bundles/{lineage}/*.json", f"channels/{lineage}.json", f"attest/{lineage}/*.json"]


def delegation(lineage: Lineage, keyids: list[str], threshold: int) -> DelegatedRole:
    """Return the delegation of *lineage* to *keyids*; terminating: nobody else is asked after it."""
    return DelegatedRole(lineage_role(lineage), keyids, threshold, terminating=True, paths=lineage_paths(lineage))


def bundle_path(bundle: BundleId) -> str:
    """Return the path of the target that is *bundle*'s payload manifest."""
    return f"bundles/{bundle.lineage}/{bundle.seq}.json"


def channel_path(lineage: Lineage) -> str:
    """Return the path of the target that says what is current in *lineage*."""
    return f"channels/{lineage}.json"


def attestation_path(lineage: Lineage, digest: Digest, kind: str) -> str:
    """Return the path of the statement of *kind* about the bundle with *digest*."""
    return f"attest/{lineage}/{digest.hex}.{kind}.json"


def stored_name(path: str, sha256: str) -> str:
    """Return under which name a target lies in the repository: versions of it do not overwrite one another."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{sha256}.{name}"
