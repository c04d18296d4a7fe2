"""What some nodes carried and ran at one moment, as a document; and what bringing each back to it takes.

The document holds its own digest: one that was cut short, damaged or edited is refused, since what it says is sent to
machines. It holds no secret, and nobody's signature: what it names is believed because the repository has it, signed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Self

from attrs import field, frozen

from ..errors import RackwaveError, UsageError
from .bundle import AttributeValue, frozen_map
from .canonical import canonical_json, parse_json
from .identity import BundleId, Digest, Lineage, NodeName
from .observation import Unknown
from .report import NodeStatus

FORMAT = "rackwave-snapshot-1"
MOST = 64 * 1024 * 1024
"""Bytes of a document: some 10 KB a node with all of its BIOS settings."""
_ADVICE = "Take one with 'rackwave snapshot -o FILE'."


@frozen
class Carried:
    """A bundle that was assigned to a node."""

    bundle: BundleId
    digest: Digest


@frozen
class NodeSnapshot:
    """One node, as it was; None: it could not be read."""

    node: NodeName
    vendor: str | None = None
    model: str | None = None
    serial: str | None = None
    power: str | None = None
    assigned: Mapping[Lineage, Carried] = field(factory=dict, converter=frozen_map)
    components: Mapping[str, str | None] = field(factory=dict, converter=frozen_map)
    settings: Mapping[str, AttributeValue] | None = None

    @classmethod
    def of(cls, status: NodeStatus) -> Self:
        """Take one of a node that was looked at just now."""
        seen = status.seen
        assigned = {line: Carried(held.bundle, held.digest) for line, held in status.history.assigned.items()}
        if seen is None:
            return cls(status.history.node, assigned=assigned)
        identity = seen.identity
        return cls(
            status.history.node,
            _known(identity.vendor),
            _known(identity.model),
            _known(identity.serial),
            _known(seen.power),
            assigned,
            {str(name): _known(component.installed) for name, component in sorted(seen.components.items())},
            None if isinstance(seen.settings, Unknown) else dict(seen.settings),
        )

    def document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "node": str(self.node),
            "vendor": self.vendor,
            "model": self.model,
            "serial": self.serial,
            "power": self.power,
            "assigned": {
                str(line): {"bundle": str(held.bundle), "digest": str(held.digest)}
                for line, held in sorted(self.assigned.items())
            },
            "components": dict(self.components),
            "settings": None if self.settings is None else dict(sorted(self.settings.items())),
        }


@frozen
class Snapshot:
    """Some nodes at one moment: *at* in RFC 3339, *by* whom it was taken."""

    at: str
    by: str
    nodes: tuple[NodeSnapshot, ...]

    @property
    def unread(self) -> tuple[NodeName, ...]:
        """The nodes of which neither who they are nor what they run could be read."""
        return tuple(
            each.node
            for each in self.nodes
            if each.serial is None and each.power is None and not any(each.components.values())
        )

    def document(self) -> dict[str, Any]:
        """Return it as JSON values, with its digest."""
        body = {"format": FORMAT, "at": self.at, "by": self.by, "nodes": [each.document() for each in self.nodes]}
        return {**body, "digest": _digest(body)}

    @classmethod
    def read(cls, data: bytes) -> Self:
        """Read a document.

        Raises:
            UsageError: it is none, or not as it was written.
        """
        try:
            at, by, nodes = _body(parse_json(data, what="the snapshot", most=20_000_000))
            found = tuple(map(_read_node, nodes))
        except UsageError:
            raise
        except (RackwaveError, TypeError, ValueError, KeyError, AttributeError) as error:
            raise UsageError(f"this is no snapshot: {error}", advice=_ADVICE) from error
        if len({each.node for each in found}) < len(found):
            raise UsageError("this snapshot has a node twice", advice=_ADVICE)
        return cls(at, by, found)


@frozen
class Target:
    """What bringing a node back takes: bundles to be sent to it, or why it cannot be."""

    node: NodeName
    sends: tuple[Carried, ...] = ()
    problems: tuple[str, ...] = ()


def target_of(then: NodeSnapshot, now: NodeStatus) -> Target:
    """Compare a node with what it was, without asking whether what it carried is still to be had."""
    seen, problems, sends = now.seen, [], []
    serial = _known(seen.identity.serial) if seen is not None else None
    if then.serial is not None and serial != then.serial:
        what = f"the machine in its place has serial {serial}" if serial is not None else "its serial cannot be read"
        problems.append(f"{what}; {then.serial} was meant")
    for line, held in now.history.assigned.items():
        if line not in then.assigned:
            problems.append(f"it carries {held.bundle}, which it did not then, and nothing takes that away")
    for line, carried in sorted(then.assigned.items()):
        present = now.history.assigned.get(line)
        is_same = present is not None and (present.bundle, present.digest) == (carried.bundle, carried.digest)
        drift = now.drift.get(line)
        if not is_same or (drift is not None and drift.state == "drifted"):
            sends.append(carried)
        elif drift is not None and drift.state == "unread":
            problems.append(f"whether it is level with {carried.bundle} cannot be read: {'; '.join(drift.unread)}")
    return Target(then.node, tuple(sends), tuple(problems))


def _known(value: object) -> str | None:
    return None if isinstance(value, Unknown) else str(value)


def _digest(body: Mapping[str, Any]) -> str:
    return f"sha256:{hashlib.sha256(canonical_json(body)).hexdigest()}"


def _body(document: Any) -> tuple[str, str, list[Any]]:
    match document:
        case {"format": str(kind), "at": str(at), "by": str(by), "nodes": list(nodes), "digest": str(digest)}:
            pass
        case _:
            raise UsageError("this is no snapshot", advice=_ADVICE)
    if kind != FORMAT:
        raise UsageError(f"this snapshot is of format {kind!r}, not {FORMAT}", advice="Use a newer rackwave.")
    if _digest({name: value for name, value in document.items() if name != "digest"}) != digest:
        raise UsageError("this snapshot is not as it was written: its digest is another", advice=_ADVICE)
    return at, by, nodes


def _read_node(document: Any) -> NodeSnapshot:
    match document:
        case {"node": str(node), "assigned": dict(assigned), "components": dict(components), "settings": settings}:
            return NodeSnapshot(
                NodeName(node),
                vendor=_text(document["vendor"], "vendor"),
                model=_text(document["model"], "model"),
                serial=_text(document["serial"], "serial"),
                power=_text(document["power"], "power"),
                assigned={
                    Lineage(line): Carried(BundleId.parse(held["bundle"]), Digest(held["digest"]))
                    for line, held in assigned.items()
                },
                components={name: _text(version, name) for name, version in components.items()},
                settings=None if settings is None else dict(settings),
            )
        case _:
            raise UsageError("this snapshot has a node that is none", advice=_ADVICE)


def _text(value: object, name: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise UsageError(f"this snapshot has a {name} that is no text", advice=_ADVICE)
    return value
