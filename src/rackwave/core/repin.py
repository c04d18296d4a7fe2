"""When a BMC may come back with another key than the pinned one (P32 with P40).

A changed key stops everything, but for one case: we have just written the BMC's firmware, which on
many makes makes a new certificate. Then the new key is a *candidate*, and only that, where

1. the write is open or ended less than `WINDOW` seconds ago, and the pin is older than the write:
   each write accounts for one change of the key, not for two;
2. the service root, which is read without credentials, names the UUID that it named before;
3. no other node of ours is pinned to that key: machines that swapped addresses are no change of key;
4. and, once logged in, the machine has the serial number that was recorded when it was first met.

What this is worth: 2 and 3 find mistakes, such as another machine at the address. They do not find an
impostor, who can repeat what anybody may read. Against one who sits on the management network in that
very window there is only the policy ``repin = "never"``, with which a person accepts each new key.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from .attempt import StepRecord
from .history import NodeHistory
from .step import Write

Repin: TypeAlias = Literal["after-our-write", "never"]

WINDOW = 1800.0
"""Seconds after the last news of our write. BMCs took 90 to over 200 s to come back (P36), in two boots at
worst; some make their new key only at the first request after that. It bounds how long an impostor has."""


def wrote_bmc(history: NodeHistory, now: float) -> bool:
    """Whether we have written the firmware of the node's BMC just now, or may still be at it."""
    if _bmc_writes_open(history):
        return True
    return history.bmc_written is not None and now - history.bmc_written < WINDOW


def _bmc_writes_open(history: NodeHistory) -> tuple[StepRecord, ...]:
    steps = history.attempt.open_steps if history.attempt is not None else ()
    return tuple(record for record in steps if isinstance(record.step, Write) and record.step.writes_bmc)


def why_not_repin(history: NodeHistory, uuid: str, *, repin: Repin, now: float, others: bool) -> str | None:
    """Return why the key that the node's BMC shows is no candidate for its new pin; None where it is one.

    *uuid* is what the service calls itself behind it; *others*: whether another node is pinned to it.
    """
    pin = history.pin
    if pin is None:
        return None
    if repin == "never":
        return 'the policy is that a person accepts each new key (repin = "never")'
    if not wrote_bmc(history, now):
        return "rackwave has not written this BMC's firmware lately"
    began = min((record.at for record in _bmc_writes_open(history)), default=history.bmc_write_began)
    if began is None or pin.at >= began:
        return "the key has changed once since rackwave wrote this BMC's firmware"
    if others:
        return "another node is pinned to that key"
    if history.identity is None or not history.identity.serial:
        return "no serial number was recorded by which the machine could be found again"
    if not pin.uuid or pin.uuid != uuid:
        return f"its service calls itself {uuid or 'nothing'}, not {pin.uuid or 'anything that was recorded'}"
    return None
