"""A BMC's pinned key: what it was when it was first met, or when a person or a write of ours last accounted for it."""

from __future__ import annotations

from enum import StrEnum

from attrs import frozen

from .identity import Digest


class PinGround(StrEnum):
    """Why a key is believed."""

    FIRST_CONTACT = "first-contact"
    ACCEPTED = "accepted"
    """A person said so."""
    OUR_WRITE = "our-write"
    """We had just written the BMC's firmware, and the machine behind the key was the one on record."""


@frozen
class Pin:
    """The key (SHA-256 of its SubjectPublicKeyInfo) that one BMC is believed by.

    *uuid* is the service's, as anybody may read it; it tells a mix-up of machines, not an impostor.
    """

    key: Digest
    ground: PinGround
    at: float
    uuid: str = ""
