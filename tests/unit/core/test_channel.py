from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwave.core.canonical import canonical_json
from rackwave.core.channel import MOST_WAYS_BACK, Channel, first_channel, read_channel
from rackwave.core.identity import BundleId, Digest, Lineage
from rackwave.errors import RackwaveError, TrustError, UsageError

A = Lineage("A")


def digest(seq: int) -> Digest:
    """Some digest for each seq."""
    return Digest(f"sha256:{seq:064x}")


def bundle(seq: int) -> BundleId:
    """The bundle of lineage A with this seq."""
    return BundleId(A, seq)


ACTS = st.lists(
    st.tuples(st.sampled_from(["publish", "revert", "withdraw"]), st.integers(1, 9), st.none() | st.integers(0, 9)),
    max_size=12,
)


@given(ACTS)
@settings(deadline=None, max_examples=200)
def test_whatever_a_publisher_does_can_follow(acts: list[tuple[str, int, int | None]]) -> None:
    """Every channel that a publisher can sign is one that whoever saw those before takes, and comes back as written."""
    seen = [first_channel(bundle(1), digest(1), reason="")]
    for act, seq, floor in acts:
        now = seen[-1]
        try:
            if act == "publish" and seq > now.current:
                seen.append(now.published(bundle(seq), digest(seq), min_seq=floor, reason="r"))
            elif act == "revert":
                seen.append(now.moved_back(bundle(seq), digest(seq), min_seq=floor, reason="r"))
            elif act == "withdraw":
                seen.append(now.without(bundle(seq), digest(seq), reason="r"))
        except RackwaveError:
            continue
    for place, channel in enumerate(seen):
        for before in seen[: place + 1]:
            channel.check_follows(before)

        assert channel == read_channel(canonical_json(channel.document()), A)
        assert channel.why_not(channel.id) is None
        assert all(seq >= channel.min_seq and seq not in channel.withdrawn for seq in channel.rollback_to)


def test_moving_back_is_a_higher_epoch() -> None:
    """The lineage goes back in a new epoch; what was current stays among the ways back."""
    before = first_channel(bundle(1), digest(1), reason="").published(bundle(2), digest(2), reason="")
    after = before.moved_back(bundle(1), digest(1), reason="A.2 hangs")

    assert (2, 1, (2,)) == (after.epoch, after.current, after.rollback_to)
    with pytest.raises(TrustError, match="its epoch was 2 and is now 1"):
        before.check_follows(after)


def test_the_current_bundle_is_neither_withdrawn_nor_gone_back_to() -> None:
    """The current bundle has to be left first."""
    channel = first_channel(bundle(1), digest(1), reason="")
    with pytest.raises(UsageError, match="cannot be withdrawn as such"):
        channel.without(bundle(1), digest(1), reason="")
    with pytest.raises(UsageError, match="is current already"):
        channel.moved_back(bundle(1), digest(1), reason="")


def test_ways_back_are_bounded() -> None:
    """The oldest ways back are dropped once there are very many."""
    channel = first_channel(bundle(1), digest(1), reason="")
    for seq in range(2, MOST_WAYS_BACK + 10):
        channel = channel.published(bundle(seq), digest(seq), reason="")

    assert MOST_WAYS_BACK == len(channel.rollback_to)
    assert channel.why_not(bundle(1)) == "A.1 is not among the bundles that lineage A may be brought to"


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"lineage":"A"}', b"\xff"])
def test_what_is_no_channel(data: bytes) -> None:
    """Whatever is no channel ends in our own error."""
    with pytest.raises(TrustError, match="what is signed as the channel of lineage A is none"):
        read_channel(data, A)


def test_channels_of_two_lineages() -> None:
    """A channel is taken only as that of its own lineage."""
    channel = Channel(Lineage("B"), 1, 1, digest(1))
    with pytest.raises(TrustError, match="is that of lineage B"):
        read_channel(canonical_json(channel.document()), A)
