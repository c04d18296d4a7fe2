"""What holds firmware in a machine: what it runs, what waits, and what is wrong with it."""

from __future__ import annotations

from enum import StrEnum

from attrs import define, frozen

from rackwave.core.bundle import Activation
from rackwave.core.identity import ComponentName, Digest

from .personality import ComponentSpec

BIOS = ComponentName("BIOS")
"""The component whose staged image is applied in the course of POST, and without which no host boots."""


class Needs(StrEnum):
    """What a staged image needs to run."""

    NOTHING = "nothing"
    HOST_RESET = "host-reset"
    BMC_RESET = "bmc-reset"
    AC_CYCLE = "ac-cycle"


NEEDS = {
    Activation.IMMEDIATE: Needs.NOTHING,
    Activation.HOST_RESET: Needs.HOST_RESET,
    Activation.BMC_RESET: Needs.BMC_RESET,
}


@frozen
class Staged:
    """An image that is written and waits for what it *needs*.

    *void*: its activation will change nothing (P16). *hidden*: the BMC does not tell of it.
    """

    version: str
    digest: Digest
    record: int
    void: bool = False
    needs: Needs = Needs.HOST_RESET
    hidden: bool = False


@define
class Bank:
    """One component: what it runs, what waits, and what is wrong with it.

    *shown* lags behind *version* (P46). *previous* ran before, *uploaded* was taken last, applied or not.
    """

    spec: ComponentSpec
    version: str
    digest: Digest | None = None
    staged: Staged | None = None
    previous: str | None = None
    previous_digest: Digest | None = None
    uploaded: str | None = None
    corrupt: bool = False
    readable: bool = True
    shown: str | None = None
    activations: int = 0


@frozen
class Corruption:
    """A component that was broken, when and how."""

    at: float
    component: ComponentName
    why: str
