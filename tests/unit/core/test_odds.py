"""Shares of nodes, as they are written and as they are refused."""

from __future__ import annotations

import pytest

from rackwave.core.odds import Odds, read_share
from rackwave.errors import UsageError


@pytest.mark.parametrize(
    ("text", "share"), [("3%", 0.03), ("3 %", 0.03), ("0.03", 0.03), ("0", 0.0), ("100%", 1.0), ("1", 1.0)]
)
def test_a_share_is_read(text: str, share: float) -> None:
    """In per cent, or from 0 to 1."""
    assert share == pytest.approx(read_share(text))


@pytest.mark.parametrize("text", ["", "%", "three", "-1%", "101%", "2", "nan", "inf", "nan%"])
def test_what_is_no_share_is_refused(text: str) -> None:
    """Three nodes, or more than all, are no share."""
    with pytest.raises(UsageError):
        read_share(text)


def test_odds_are_shares() -> None:
    """Also where a script says them."""
    with pytest.raises(UsageError, match="fail is a share"):
        Odds(fail=3.0)
