"""What stays of the archive, and why."""

from __future__ import annotations

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from rackwave.core.attempt import Attempt
from rackwave.core.channel import Channel
from rackwave.core.goal import Cause, Goal
from rackwave.core.history import DAY, Assignment, NodeHistory, Recovery
from rackwave.core.identity import AttemptId, BundleId, Digest, Lineage, NodeName, RolloutId
from rackwave.core.manifest import manifest_from_document
from rackwave.core.policy import Policy
from rackwave.core.retention import Need, Retention, Shelved, decide, needs, shelve, ways_back
from rackwave.core.rollout import RolloutState

NOW = 1_000 * DAY
DIGEST = Digest("sha256:" + "0" * 64)
A = Lineage("A")


def bundle(seq: int) -> BundleId:
    """A bundle of lineage A."""
    return BundleId(A, seq)


def shelved(seq: int, *, current: bool = False, age: float = 500, kept: str = "", **more: object) -> Shelved:
    """A bundle that was published *age* days ago."""
    return Shelved(bundle(seq), current, NOW - age * DAY, kept, **more)  # type: ignore[arg-type]


def told(*bundles: Shelved, needed: tuple[Need, ...] = (), **rules: float) -> dict[str, tuple[str, ...]]:
    """The reasons of those that stay."""
    verdicts = decide(bundles, needed, Retention(**rules), now=NOW)  # type: ignore[arg-type]
    return {str(verdict.bundle): verdict.reasons for verdict in verdicts if verdict.stays}


def test_the_last_ones_stay() -> None:
    """The current bundle is not counted among the last of the archive."""
    found = told(*(shelved(seq, current=seq == 5) for seq in range(1, 6)), last=2)

    assert {
        "A.3": ("number 2 of the last 2 of the archive",),
        "A.4": ("number 1 of the last 2 of the archive",),
        "A.5": ("current",),
    } == found


def test_each_lineage_is_counted_by_itself() -> None:
    """A busy lineage does not push another one out."""
    other = Shelved(BundleId(Lineage("B"), 1), False, 0.0)

    assert {"A.2", "B.1"} == set(told(shelved(1), shelved(2), other, last=1))


def test_young_ones_stay() -> None:
    """What was published within the days stays, whatever its number."""
    assert {"A.2", "A.3"} == set(told(shelved(1, age=31), shelved(2, age=29), shelved(3, current=True), days=30))


def test_what_is_kept_by_hand_stays() -> None:
    """Somebody's reason is told."""
    assert {"A.1": ("kept: golden",)} == told(shelved(1, kept="golden"), shelved(2), last=0)


def test_what_cannot_be_read_stays() -> None:
    """Nobody can say what a damaged bundle is needed for."""
    assert {"A.1": ("cannot be read: damaged",)} == told(shelved(1, problem="damaged"), last=0)


def test_why_one_goes() -> None:
    """The reason why a bundle goes names both rules."""
    (verdict,) = decide((shelved(1),), (), Retention(0, 30), now=NOW)

    assert not verdict.stays
    assert (
        "not among the last 0 of the archive, not published in the last 30 days, no node needs it",
    ) == verdict.reasons


def test_stepping_stones_stay() -> None:
    """A bundle that is the only way to a later one stays, and so does the one before it, by component."""
    found = told(
        shelved(1, brings=(("BIOS", "1.0"),)),
        shelved(2, brings=(("BIOS", "1.5"),)),
        shelved(3, brings=(("BIOS", "2.0"),), steps=(("BIOS", ("1.*",)),)),
        shelved(4, brings=(("BMC", "2.0"),)),
        shelved(5, brings=(("BIOS", "3.0"),), steps=(("BIOS", ("2.*",)),), current=True),
        last=0,
    )

    assert {
        "A.2": ("stepping stone to A.3 for BIOS",),
        "A.3": ("stepping stone to A.5 for BIOS",),
        "A.5": ("current",),
    } == found


def test_named_stones_stay() -> None:
    """A bundle that a later one names stays, and so does one for each version to be passed on the way."""
    found = told(
        shelved(1, brings=(("BIOS", "1.0"),)),
        shelved(2, brings=(("BIOS", "1.2"),)),
        shelved(3, brings=(("BIOS", "1.5"),)),
        shelved(4),
        shelved(5, current=True, steps=(("BIOS", ("1.0",)), ("BIOS", ("1.5",))), stones=(bundle(4), bundle(9))),
        last=0,
    )

    assert ["A.1", "A.3", "A.4", "A.5"] == list(found)
    assert ("stepping stone to A.5",) == found["A.4"]


def test_stones_for_patterns_of_components() -> None:
    """A bundle for every network adapter is a stone to one for a single adapter, and the other way round."""
    every = shelved(1, brings=(("NIC.*", "1.0"),))
    single = shelved(2, brings=(("NIC.1", "2.0"),), steps=(("NIC.1", ("1.*",)),))
    later = shelved(3, current=True, steps=(("NIC.*", ("2.0",)),))

    assert ["A.1", "A.2", "A.3"] == list(told(every, single, later, last=0))


def test_what_is_looked_at_of_a_bundle() -> None:
    """Versions, accepted ones and stones are taken from the manifest."""
    manifest = manifest_from_document(
        {
            "lineage": "A",
            "seq": 5,
            "purpose": "a fix",
            "elements": [
                {
                    "name": "bios",
                    "kind": "bios-image",
                    "component": "BIOS",
                    "version": "3.0",
                    "payload": "bios.bin",
                    "activation": "host-reset",
                    "reversibility": "reflash",
                    "accepts": ["2.*", "1.9"],
                    "via": ["1.9", "bundle:A.4"],
                }
            ],
            "payloads": [{"name": "bios.bin", "role": "data", "digest": DIGEST, "size": 1}],
        }
    )
    found = shelve(manifest, is_current=True, published=7.0, kept="golden")

    assert Shelved(bundle(5), True, 7.0, "golden", (("BIOS", "3.0"),), found.steps, (bundle(4),)) == found
    assert (("BIOS", ("2.*", "1.9")), ("BIOS", ("1.9",))) == found.steps


def node(name: str, **facts: object) -> NodeHistory:
    """A node's history."""
    return NodeHistory(NodeName(name), **facts)  # type: ignore[arg-type]


def test_the_journal_needs() -> None:
    """Whatever any node has, had, is being sent or is recovered on is needed, and what a rollout names."""
    held = {A: Assignment(bundle(3), DIGEST, 0.0)}
    before = {A: Assignment(bundle(2), DIGEST, 0.0)}
    attempt = Attempt(AttemptId("abcd"), Goal(bundle(5), DIGEST, Cause.ROLLOUT), 0.0)
    nodes = [
        *(node(name, assigned=held, prior=before) for name in ("r1n02", "r1n01", "r1n03")),
        node("r2n01", attempt=attempt, recovery=Recovery("rollback", bundle(6), bundle(7), ())),
    ]
    rollout = RolloutState(RolloutId("abcd"), bundle(8), DIGEST, (), Policy(), "ann", 0.0)
    found = {str(need.bundle): need.why for need in needs(nodes, [rollout])}

    assert {
        "A.2": "prior of r1n01 and 2 others",
        "A.3": "assigned to r1n01 and 2 others",
        "A.5": "being sent to r2n01",
        "A.6": "in the recovery of r2n01",
        "A.7": "in the recovery of r2n01",
        "A.8": "rollout abcd has not ended",
    } == found


def test_signed_metadata_needs() -> None:
    """What a channel says is current, and what it lists as ways back, is needed."""
    channel = Channel(A, 1, 5, DIGEST, rollback_to=(2, 3))

    assert {bundle(2), bundle(3), bundle(5)} == {need.bundle for need in ways_back(channel)}


@hypothesis_settings(deadline=None)
@given(
    ages=st.lists(st.floats(0, 1000), min_size=1, max_size=12),
    needed=st.sets(st.integers(1, 12)),
    last=st.none() | st.integers(0, 12),
    days=st.none() | st.floats(0, 1000),
)
def test_what_is_needed_never_goes(ages: list[float], needed: set[int], last: int | None, days: float | None) -> None:
    """Whatever the policy, the current bundle and every needed one stay, and a laxer policy keeps no less."""
    bundles = [shelved(seq, current=seq == len(ages), age=age) for seq, age in enumerate(ages, 1)]
    wanted = [Need(bundle(seq), "a node has it") for seq in needed]

    def staying(rules: Retention) -> set[BundleId]:
        return {verdict.bundle for verdict in decide(bundles, wanted, rules, now=NOW) if verdict.stays}

    stays = staying(Retention(last, days))
    laxer = staying(Retention(last + 1 if last is not None else None, days + 1 if days is not None else None))

    assert {bundle(len(ages))} | {bundle(seq) for seq in needed if seq <= len(ages)} <= stays <= laxer
