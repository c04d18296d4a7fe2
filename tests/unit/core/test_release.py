"""Which releases of a feed are new for a lineage, and what shows it."""

from __future__ import annotations

import hashlib

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwave.core import release_event as ev
from rackwave.core.announcement import Announcement, severity_of, worst
from rackwave.core.bundle import Activation, Element, ElementKind, Manifest, Reversibility
from rackwave.core.feed import Feed, FeedKind, next_look
from rackwave.core.identity import BundleId, ComponentName, Digest, Lineage
from rackwave.core.release import Ground, news, release_id
from rackwave.core.release_book import ReleaseBook, Stage

A = Lineage("A")
BIOS = ComponentName("BIOS")
FEED = Feed("mirror", FeedKind.CATALOGUE, "https://mirror.example/c.json", A)


def announced(version: str, *, stream: str = "bios", **told: object) -> Announcement:
    """A release of the BIOS, whose package is named by its version."""
    digest = Digest("sha256:" + hashlib.sha256(f"{stream} {version}".encode()).hexdigest())
    plain = Announcement(stream, version, digest, f"{version}.cab", f"{version}.cab", component=BIOS)
    return evolve(plain, **told)  # type: ignore[arg-type]  # fields by name


def manifest(version: str, scheme: str | None = None, seq: int = 1) -> Manifest:
    """A bundle with just a BIOS of *version*."""
    bios = Element(
        "bios",
        ElementKind.BIOS_IMAGE,
        Activation.HOST_RESET,
        Reversibility.REFLASH,
        component=BIOS,
        version=version,
        scheme=scheme,
        payload="bios.bin",
    )
    return Manifest(BundleId(A, seq), "test", (bios,))


def seen(book: ReleaseBook, *releases: Announcement, feed: str = "mirror") -> None:
    """Note in *book* that *releases* were seen."""
    for release in releases:
        book.apply(ev.ReleaseSeen(release_id(A, release.digest), A, feed, release, Ground.LISTED), 0.0)


def test_the_first_release_of_a_lineage_is_new() -> None:
    """Where there is no bundle yet, there is nothing that it could be older than."""
    (proposal,) = news(FEED, [announced("2.0")], book=ReleaseBook(), current=None)

    assert (Ground.FIRST, "2.0") == (proposal.ground, proposal.announced.version)


def test_only_the_newest_counts_and_takes_in_what_lies_between() -> None:
    """From 1.0 to 3.0 past 2.0: what 2.0 fixed is fixed, and its severity is not lost."""
    listed = [
        announced("3.0", severity="low", cves=("CVE-2026-0003",)),
        announced("2.0", severity="critical", cves=("CVE-2026-0002",)),
        announced("1.0", severity="high", cves=("CVE-2026-0001",)),
    ]

    (proposal,) = news(FEED, listed, book=ReleaseBook(), current=manifest("1.0"))

    assert ("3.0", ("2.0",), Ground.LISTED) == (proposal.announced.version, proposal.passes, proposal.ground)
    assert ("critical", ("CVE-2026-0003", "CVE-2026-0002")) == (proposal.announced.severity, proposal.announced.cves)


def test_what_the_lineage_has_is_not_new() -> None:
    """A version that the current bundle brings already is passed over."""
    assert () == news(FEED, [announced("1.0")], book=ReleaseBook(), current=manifest("1.0"))


@pytest.mark.parametrize("event", ["rejected", "published", "superseded"])
def test_what_was_decided_on_never_comes_back(event: str) -> None:
    """Neither the same package nor another box of the same version is proposed again."""
    book, release = ReleaseBook(), announced("2.0")
    seen(book, release)
    if event == "rejected":
        book.apply(ev.ReleaseRejected(release_id(A, release.digest), "no", "me"), 1.0)
    if event == "published":
        book.apply(ev.ReleasePublished(release_id(A, release.digest), BundleId(A, 2), release.digest, "x"), 1.0)
    if event == "superseded":
        seen(book, announced("2.1"))
    boxed_anew = evolve(release, digest=Digest("sha256:" + "b" * 64), name="other.cab")

    assert () == news(FEED, [release], book=book, current=manifest("1.0"))
    assert () == news(FEED, [boxed_anew], book=book, current=manifest("1.0"))


@pytest.mark.parametrize(
    ("scheme", "listed", "installed", "ground"),
    [
        ("dotted", "1.10", "1.9", Ground.DECLARED),
        ("dotted", "1.9", "1.10", None),
        (None, "1.10", "1.9", Ground.UNKNOWN),
        ("dell-bios", "A07", "2.1.0", Ground.UNKNOWN),
    ],
)
def test_newer_is_what_a_declared_scheme_says_and_otherwise_unknown(
    scheme: str | None, listed: str, installed: str, ground: Ground | None
) -> None:
    """No version is taken apart without a scheme; what a scheme calls older is no news."""
    found = news(FEED, [announced(listed)], book=ReleaseBook(), current=manifest(installed, scheme))

    assert ([ground] if ground else []) == [proposal.ground for proposal in found]


def test_an_undated_feed_does_not_make_an_older_one_new() -> None:
    """2.0 was published and dated; the feed now shows 1.5, dated before it, alone."""
    book, newer = ReleaseBook(), announced("2.0", date="2026-05-01")
    seen(book, newer)
    book.apply(ev.ReleasePublished(release_id(A, newer.digest), BundleId(A, 2), newer.digest, "x"), 1.0)

    assert () == news(FEED, [announced("1.5", date="2026-01-01")], book=book, current=manifest("2.0"))
    (proposal,) = news(FEED, [announced("2.5", date="2026-06-01")], book=book, current=manifest("2.0"))
    assert proposal.ground is Ground.DATED


def test_a_feed_takes_what_it_is_read_for() -> None:
    """Devices, vendor and component choose; everything else on a catalogue is passed over."""
    feed = evolve(FEED, vendor="Contoso*", guids=("g1",), component=BIOS)
    fits = announced("1", vendor="Contoso Ltd", targets=("g1", "g2"))

    assert feed.takes(fits)
    assert not feed.takes(evolve(fits, vendor="Other"))
    assert not feed.takes(evolve(fits, targets=("g3",)))
    assert not feed.takes(evolve(fits, component=ComponentName("NIC.1")))


@given(st.permutations(["low", "medium", "high", "critical", "unknown", ""]))
def test_the_worst_word_is_found_wherever_it_stands(words: list[str]) -> None:
    """Publishers' words are ranked, and those that say nothing do not count."""
    assert "critical" == worst(words)
    assert severity_of("Important") is severity_of("high")
    assert severity_of("optional") is None


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 9), unique=True, min_size=1, max_size=8),
    st.integers(0, 9),
    st.sampled_from([None, "dotted"]),
)
def test_at_most_one_release_of_a_stream_is_proposed_and_never_one_that_is_listed_as_older(
    listed: list[int], installed: int, scheme: str | None
) -> None:
    """Whatever a feed lists, newest first: the proposal is its head, and not where the head is what is installed."""
    releases = [announced(f"{number}.0") for number in sorted(listed, reverse=True)]

    found = news(FEED, releases, book=ReleaseBook(), current=manifest(f"{installed}.0", scheme))

    assert len(found) <= 1
    for proposal in found:
        assert proposal.announced.version == releases[0].version
        if proposal.ground in (Ground.LISTED, Ground.DECLARED):
            assert max(listed) > installed


def test_a_feed_that_fails_is_tried_soon_and_then_more_seldom() -> None:
    """From a minute on to a day at most; a healthy one keeps its rhythm, give or take a tenth."""
    waits = [next_look(FEED, failures, 0.5) for failures in range(25)]

    assert 3600.0 == waits[0]
    assert 60.0 == waits[1]
    assert sorted(waits[1:]) == waits[1:]
    assert 24 * 3600.0 == waits[-1]
    assert 3240.0 == pytest.approx(next_look(FEED, 0, 0.0))


def test_a_newer_release_takes_the_place_of_drafts_of_its_stream_alone() -> None:
    """A draft that nobody decided on is superseded; one of another stream stays."""
    book = ReleaseBook()
    old, other = announced("1"), announced("1", stream="nic", component=ComponentName("NIC"))
    seen(book, old, other, announced("2"))

    stages = {record.announced.stream + record.announced.version: record.stage for record in book.of(A)}
    assert {"bios1": Stage.SUPERSEDED, "nic1": Stage.SEEN, "bios2": Stage.SEEN} == stages
