"""When a BMC may come back with another key (P32 with P40)."""

from __future__ import annotations

import pytest
from attrs import evolve

from rackwave.core.bundle import Activation, ElementKind
from rackwave.core.event import Acted, AttemptStarted, Identified, Intended, Outcome, Pinned, Recorded, Resolved
from rackwave.core.goal import Cause, Goal
from rackwave.core.identity import AttemptId, BundleId, ComponentName, Digest, NodeName
from rackwave.core.ledger import Ledger
from rackwave.core.observation import Unknown
from rackwave.core.pin import PinGround
from rackwave.core.receipt import Accepted, Ambiguous, Refused
from rackwave.core.repin import WINDOW, why_not_repin, wrote_bmc
from rackwave.core.step import ResetBmc, WriteImage
from values import digest

NODE, ATTEMPT = NodeName("n1"), AttemptId("abcd")
TAKEN = Accepted("/t/1")
KEY = Digest("sha256:" + "1" * 64)
WRITE = WriteImage(
    "bmc", ComponentName("BMC"), "2", "p", digest("p"), 5, Activation.IMMEDIATE, 60.0, "1", ElementKind.BMC_FIRMWARE
)


def history(*, step=WRITE, receipt=TAKEN, outcome=Outcome.DONE, pinned_at=1.0, serial="S1", uuid="U", events=()):
    """A node that was met, pinned and written to: intended at 100, acted at 110, resolved at 120."""
    ledger = Ledger()
    told = [
        (1.0, Identified(NODE, "Acme", "A1", serial)),
        (pinned_at, Pinned(NODE, KEY, PinGround.FIRST_CONTACT, uuid)),
        (99.0, AttemptStarted(NODE, ATTEMPT, Goal(BundleId.parse("A.2"), digest("b"), Cause.ROLLOUT))),
        (100.0, Intended(NODE, ATTEMPT, 1, step)),
    ]
    if receipt is not None:
        told.append((110.0, Acted(NODE, ATTEMPT, 1, receipt)))
        if outcome is not None and not isinstance(receipt, Refused):
            told.append((120.0, Resolved(NODE, ATTEMPT, 1, outcome, "e")))
    for number, (at, event) in enumerate([*told, *events], 1):
        ledger.apply(Recorded(number, at, event))
    return ledger.node(NODE)


@pytest.mark.parametrize(
    ("history", "now", "wrote"),
    [
        (history(), 130.0, True),
        (history(), 120.0 + WINDOW + 1, False),
        (history(receipt=None), 1e6, True),  # killed in the act: it may be under way
        (history(outcome=None), 1e6, True),  # not resolved
        (history(receipt=Ambiguous("lost"), outcome=None), 1e6, True),
        (history(receipt=Refused("no")), 130.0, False),
        (history(outcome=Outcome.NEVER_STARTED), 110.0 + WINDOW + 1, False),
        (history(step=evolve(WRITE, kind=ElementKind.BIOS_IMAGE)), 130.0, False),
        (history(step=evolve(WRITE, kind=None)), 130.0, False),  # an old journal: the activation tells
        (history(step=evolve(WRITE, kind=None, activation=Activation.BMC_RESET)), 130.0, True),
        (
            history(
                events=[
                    (5000.0, Intended(NODE, ATTEMPT, 2, ResetBmc(("bmc",), Unknown("-")))),
                    (5001.0, Acted(NODE, ATTEMPT, 2, Accepted())),
                ]
            ),
            5002.0,
            True,
        ),
    ],
)
def test_whether_we_wrote_the_bmc_just_now(history, now, wrote):
    """A write of the BMC's firmware counts while it is open, and for a while after the last news of it."""
    assert wrote is wrote_bmc(history, now)


@pytest.mark.parametrize(
    ("history", "uuid", "more", "why"),
    [
        (history(), "U", {}, None),
        (history(), "U", {"repin": "never"}, "policy"),
        (history(), "U", {"now": 1e6}, "lately"),
        (history(), "U", {"others": True}, "another node"),
        (history(), "V", {}, "calls itself V, not U"),
        (history(uuid=""), "", {}, "calls itself nothing"),
        (history(serial=""), "U", {}, "serial"),
        (history(pinned_at=115.0), "U", {}, "changed once"),  # one write accounts for one change
        (history(events=[(125.0, Pinned(NODE, KEY, PinGround.OUR_WRITE, "U"))]), "U", {}, "changed once"),
        (history(receipt=Refused("no")), "U", {}, "lately"),
    ],
)
def test_when_a_changed_key_is_a_candidate(history, uuid, more, why):
    """Only after our own write, once, with the UUID on record, and with a serial number to find the machine by."""
    found = why_not_repin(history, uuid, **{"repin": "after-our-write", "now": 130.0, "others": False, **more})

    assert (why is None) == (found is None)
    assert why is None or why in found
