"""Which records concern a BMC, and what they come to together."""

from __future__ import annotations

import pytest

from rackwave.bmc.quirks import Facts, Quirks, Record, Roster, TargetsSent
from rackwave.bmc.quirks.quirks import Naming
from rackwave.bmc.quirks.record import Fit, Match, Range
from rackwave.errors import QuirkError


def record(name: str, match: Match, differs: Quirks, *keys: str, origin: str = "acme.toml") -> Record:
    """Make a record of which only *match* and *differs* are of interest."""
    return Record(name, match, differs, keys, why="w", since="s", source="s", origin=origin)


@pytest.mark.parametrize(
    ("match", "facts", "fit"),
    [
        (Match(vendor="Acme*"), Facts(vendor=("ACME Inc.",)), Fit.YES),
        (Match(vendor="Acme*"), Facts(vendor=("Other", "acme")), Fit.YES),
        (Match(vendor="Acme*"), Facts(vendor=("Other",)), Fit.NO),
        (Match(vendor="Acme*"), Facts(vendor=()), Fit.NO),
        (Match(vendor="Acme*"), Facts(), Fit.UNSURE),
        (Match(vendor="Acme*", model="A1"), Facts(vendor=("Acme",)), Fit.UNSURE),
        (Match(vendor="Acme*", model="A1"), Facts(vendor=("Other",)), Fit.NO),
        (Match(vendor="Acme*", model="A1"), Facts(vendor=("Acme",), model="A2"), Fit.NO),
        (Match(manager="iLO ?"), Facts(manager="iLO 5"), Fit.YES),
        (Match(product="X"), Facts(product=""), Fit.NO),
        (Match(ipmi=674), Facts(ipmi=674), Fit.YES),
        (Match(ipmi=674), Facts(ipmi=11), Fit.NO),
        (Match(ipmi=674), Facts(), Fit.UNSURE),
        (Match(vendor="A", firmware=Range(below="2.30")), Facts(vendor=("A",), firmware="2.9"), Fit.YES),
        (Match(vendor="A", firmware=Range(below="2.30")), Facts(vendor=("A",), firmware="2.30.0"), Fit.NEAR),
        (Match(vendor="A", firmware=Range(at_least="2.30")), Facts(vendor=("A",), firmware="2.30"), Fit.YES),
        (Match(vendor="A", firmware=Range(at_least="2.30")), Facts(vendor=("A",), firmware="2.4"), Fit.NEAR),
        (Match(vendor="A", firmware=Range(below="3")), Facts(vendor=("A",), firmware="GB200-24.12"), Fit.NEAR),
        (Match(vendor="A", firmware=Range(below="3")), Facts(vendor=("A",), firmware=""), Fit.NEAR),
        (Match(vendor="A", firmware=Range(below="3")), Facts(vendor=("A",)), Fit.UNSURE),
        (Match(vendor="A", firmware=Range(below="3")), Facts(vendor=("B",), firmware="1"), Fit.NO),
        (Match(vendor="A", firmware=Range(below="3", form="iLO 5 v*")), Facts(("A",), firmware="iLO 5 v2.72"), Fit.YES),
        (Match(vendor="A", firmware=Range(below="3", form="iLO 5 v*")), Facts(("A",), firmware="2.72"), Fit.NEAR),
    ],
)
def test_fit(match: Match, facts: Facts, fit: Fit):
    """Every part must hold; what is not known yet leaves it open, and what does not compare is no match."""
    assert fit is match.fit(facts)[0]


def test_what_cannot_be_compared_says_so():
    """A firmware that is no dotted number matches no range, and the reason names both."""
    _, why = Match(vendor="A", firmware=Range(at_least="1.0", below="3")).fit(Facts(("A",), firmware="24.12-8"))

    assert "firmware '24.12-8' cannot be compared with at least 1.0 and below 3" == why


def test_the_more_specific_wins():
    """Records are merged key by key, the more specific later, tables entry by entry."""
    roster = Roster(
        (
            record(
                "model",
                Match(vendor="Acme", model="A1"),
                Quirks(targets=TargetsSent.NEVER, components={"BIOS": Naming(id=("Rom",))}),
                "targets",
                "components",
            ),
            record(
                "vendor",
                Match(vendor="Acme"),
                Quirks(
                    targets=TargetsSent.ALWAYS,
                    start_update=True,
                    components={"BIOS": Naming(id=("1",)), "BMC": Naming(id=("2",))},
                ),
                "targets",
                "start_update",
                "components",
            ),
            record("other", Match(vendor="Other"), Quirks(claims_push_targets=True), "claims_push_targets"),
        )
    )

    chosen = roster.select(Facts(vendor=("Acme",), model="A1"))

    assert ["vendor", "model"] == [record.id for record in chosen.records]
    assert (
        Quirks(
            targets=TargetsSent.NEVER,
            start_update=True,
            components={"BIOS": Naming(id=("Rom",)), "BMC": Naming(id=("2",))},
        )
        == chosen.quirks
    )


def test_a_later_file_wins_among_equals():
    """Of two records as specific as one another the one read later has the last word: third parties' come last."""
    roster = Roster(
        (
            record("ours", Match(vendor="A"), Quirks(targets=TargetsSent.NEVER), "targets"),
            record("theirs", Match(vendor="A*"), Quirks(targets=TargetsSent.ALWAYS), "targets"),
        )
    )

    assert TargetsSent.ALWAYS is roster.select(Facts(vendor=("A",))).quirks.targets


def test_near_and_unsure_are_told():
    """What fails by its firmware alone is near, what is not decided yet is unsure, and neither changes anything."""
    roster = Roster(
        (
            record("old", Match(vendor="A", firmware=Range(below="2")), Quirks(start_update=True), "start_update"),
            record("model", Match(vendor="A", model="x"), Quirks(start_update=True), "start_update"),
        )
    )

    chosen = roster.select(Facts(vendor=("A",), firmware="2.1"))

    assert Quirks() == chosen.quirks
    assert [("old", "firmware '2.1' is not below 2")] == [(near.record.id, near.why) for near in chosen.near]
    assert [("model", "its model is not known")] == [(near.record.id, near.why) for near in chosen.unsure]


def test_two_records_of_one_id():
    """An id is used once, whichever files the two are in; both are named."""
    with pytest.raises(QuirkError, match=r"theirs\.toml: there is a quirk 'x' already, in acme\.toml"):
        Roster(
            (
                record("x", Match(vendor="A"), Quirks(), origin="acme.toml"),
                record("x", Match(vendor="B"), Quirks(), origin="theirs.toml"),
            )
        )
