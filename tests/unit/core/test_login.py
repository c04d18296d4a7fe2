"""When a login must not even be tried (P34)."""

from __future__ import annotations

import pytest

from rackwave.core.event import LoginRefused, Readmitted, Recorded, SessionOpened
from rackwave.core.identity import NodeName
from rackwave.core.ledger import Ledger
from rackwave.core.login import BUDGET, WINDOW, RefusedLogin, why_not_log_in

NODE = NodeName("n1")


@pytest.mark.parametrize(
    ("refused", "fingerprint", "now", "may"),
    [
        ((), "a", 0.0, True),
        ((RefusedLogin("a", 0.0),), "a", 10.0, False),
        ((RefusedLogin("a", 0.0),), "a", 1e9, False),  # the same secret: never again
        ((RefusedLogin("a", 0.0),), "b", 10.0, True),
        ((RefusedLogin("a", 0.0), RefusedLogin("b", 5.0)), "c", 10.0, False),  # two lately: the budget is used up
        ((RefusedLogin("a", 0.0), RefusedLogin("b", 5.0)), "c", WINDOW + 1.0, True),
        ((RefusedLogin("a", 0.0), RefusedLogin("b", 5.0)), "c", WINDOW + 6.0, True),
        ((RefusedLogin("a", 0.0, way="ipmi"), RefusedLogin("b", 5.0, way="ipmi")), "a", 10.0, True),  # another way's
        ((RefusedLogin("a", 9e9), RefusedLogin("b", 9e9)), "c", 10.0, False),  # our clock was set back
    ],
)
def test_what_may_be_tried(refused, fingerprint, now, may):
    """The same credentials are never tried again, and of others no more than the budget within the window."""
    assert may == (why_not_log_in(refused, fingerprint, now) is None)


def test_the_budget_is_below_every_lock_out():
    """The strictest makes lock or block at the third failure."""
    assert 2 == BUDGET


@pytest.mark.parametrize("wipes", [SessionOpened(NODE, "/s/1"), Readmitted(NODE, "looked", "operator")])
def test_what_wipes_the_slate(wipes):
    """A login that worked, or a person who readmitted the node, makes refusals forgotten."""
    ledger = Ledger()
    ledger.apply(Recorded(1, 1.0, LoginRefused(NODE, "a", "HTTP 401")))
    before = ledger.node(NODE).refused_logins
    ledger.apply(Recorded(2, 2.0, wipes))

    assert (RefusedLogin("a", 1.0, "HTTP 401"),) == before
    assert () == ledger.node(NODE).refused_logins


def test_a_login_over_redfish_says_nothing_of_ipmi():
    """A session over Redfish leaves what IPMI refused on record: each run would try it once more otherwise."""
    ledger = Ledger()
    ledger.apply(Recorded(1, 1.0, LoginRefused(NODE, "a", "no", "ipmi")))
    ledger.apply(Recorded(2, 2.0, SessionOpened(NODE, "/s/1")))

    assert why_not_log_in(ledger.node(NODE).refused_logins, "a", 3.0, "ipmi") is not None
