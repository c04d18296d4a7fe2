"""A snapshot comes back as it was written, or not at all; and what a node takes to be as it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwave.core.drift import Deviation, Drift
from rackwave.core.history import Assignment, NodeHistory
from rackwave.core.identity import BundleId, Digest, Lineage, NodeName
from rackwave.core.observation import Identity, Observation, Unknown
from rackwave.core.report import NodeStatus
from rackwave.core.snapshot import Carried, NodeSnapshot, Snapshot, target_of
from rackwave.errors import UsageError

ONE, TWO = Digest("sha256:" + "1" * 64), Digest("sha256:" + "2" * 64)
A, B = Lineage("A"), Lineage("B")
A1, A2, B1 = BundleId(A, 1), BundleId(A, 2), BundleId(B, 1)
words = st.one_of(st.none(), st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12))
taken = st.builds(
    NodeSnapshot,
    st.sampled_from([NodeName(f"n{number}") for number in range(9)]),
    words,
    words,
    words,
    words,
    st.dictionaries(
        st.sampled_from([A, B]), st.builds(Carried, st.sampled_from([A1, A2, B1]), st.sampled_from([ONE, TWO]))
    ),
    st.dictionaries(st.sampled_from(["BIOS", "BMC", "NIC.1"]), words),
    st.one_of(
        st.none(), st.dictionaries(st.text("abc", min_size=1), st.one_of(st.booleans(), st.integers(0, 99), words))
    ),
)
snapshots = st.builds(
    Snapshot,
    st.just("2026-11-22T09:12:07.310Z"),
    st.just("ann"),
    st.lists(taken, unique_by=lambda n: n.node).map(tuple),
)


def written(snapshot: Snapshot) -> bytes:
    """The file of a snapshot."""
    return json.dumps(snapshot.document(), indent=2, ensure_ascii=False).encode()


@given(snapshot=snapshots)
@settings(max_examples=150, deadline=None)
def test_what_was_written_is_read_again(snapshot: Snapshot) -> None:
    """Whatever a node carries, and whatever could not be read of it."""
    assert snapshot == Snapshot.read(written(snapshot))


@given(snapshot=snapshots.filter(lambda s: s.nodes), data=st.data())
@settings(max_examples=100, deadline=None)
def test_whatever_was_changed_is_refused(snapshot: Snapshot, data: st.DataObject) -> None:
    """A flipped byte, a cut end, another bundle."""
    whole = written(snapshot)
    place = data.draw(st.integers(0, len(whole) - 1))
    flipped = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
    edited = json.loads(whole)
    edited["nodes"][0]["assigned"]["C"] = {"bundle": "C.1", "digest": str(ONE)}
    for spoilt in (whole[:place], json.dumps(edited).encode()):
        with pytest.raises(UsageError):
            Snapshot.read(spoilt)
    with suppress(UsageError):  # unless it was a blank, which became another
        assert snapshot == Snapshot.read(flipped)


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"\xff", b'{"format": "rackwave-snapshot-1"}', b"1" * 50, b"[" * 99]
)
def test_what_is_no_snapshot_is_said_to_be_none(data: bytes) -> None:
    """A sentence and what to do, whatever the file holds."""
    with pytest.raises(UsageError) as caught:
        Snapshot.read(data)

    assert caught.value.advice


THEN = NodeSnapshot(NodeName("n1"), "Lab", "R1", "S1", "on", {A: Carried(A1, ONE)})
LEVEL, UNREAD = Drift(A1, ONE), Drift(A1, ONE, unread=("BIOS is unknown",))
DRIFTED = Drift(A1, ONE, (Deviation("BIOS", "2", "1"),))


def now(assigned: Mapping[Lineage, Carried], drift: Drift | None = None, serial: str | Unknown = "S1") -> NodeStatus:
    """How the node is now."""
    held = {line: Assignment(each.bundle, each.digest, 0.0) for line, each in assigned.items()}
    seen = Observation(at=0.0, identity=Identity("Lab", "R1", serial))
    return NodeStatus(NodeHistory(NodeName("n1"), held), seen=seen, drift={A: drift} if drift is not None else {})


@pytest.mark.parametrize(
    ("status", "sends", "problem"),
    [
        (now({A: Carried(A1, ONE)}, LEVEL), [], ""),
        (now({A: Carried(A1, ONE)}, DRIFTED), [A1], ""),
        (now({A: Carried(A1, ONE)}, UNREAD), [], "cannot be read"),
        (now({A: Carried(A2, TWO)}, evolve(LEVEL, bundle=A2)), [A1], ""),
        (now({}), [A1], ""),
        (now({A: Carried(A1, ONE), B: Carried(B1, TWO)}, LEVEL), [], "it carries B.1"),
        (now({A: Carried(A2, TWO)}, serial="S2"), [A1], "the machine in its place has serial S2; S1 was meant"),
        (now({A: Carried(A2, TWO)}, serial=Unknown("away")), [A1], "its serial cannot be read"),
    ],
)
def test_what_a_node_takes(status: NodeStatus, sends: list[BundleId], problem: str) -> None:
    """Nothing, a bundle, or why it cannot be brought back."""
    found: Any = target_of(THEN, status)

    assert sends == [each.bundle for each in found.sends]
    assert bool(problem) == bool(found.problems)
    assert problem in "".join(found.problems)


def test_a_node_of_which_nothing_could_be_read_is_named() -> None:
    """One whose BMC hides its serial, or names no component, was read all the same."""
    silent = NodeSnapshot(NodeName("n1"), assigned={A: Carried(A1, ONE)}, components={"BIOS": None})
    hidden = NodeSnapshot(NodeName("n2"), power="on")

    assert (NodeName("n1"),) == Snapshot("2026-11-22T09:12:07.310Z", "ann", (silent, hidden)).unread
