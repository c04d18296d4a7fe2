"""A BMC's pinned key: what it was when it was first met, or when a person or a write of ours last accounted for it."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any

from attrs import frozen

from ..errors import UsageError
from .identity import Digest, NodeName


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


class Trust(StrEnum):
    """How a BMC is believed."""

    CA = "ca"
    PIN = "pin"
    PASSWORD = "password"  # noqa: S105 - a word for how, not one to get in with
    """IPMI, where each side proves that it knows the password without sending it (RAKP)."""
    NOBODY = "nobody"
    """Plain HTTP."""


@frozen
class PinStatus:
    """How one node's BMC is believed; *shared_with* are nodes that are pinned to the same key."""

    node: NodeName
    trust: Trust
    pin: Pin | None = None
    shared_with: tuple[NodeName, ...] = ()

    def document(self, timestamp: Callable[[float], str]) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "node": str(self.node),
            "trust": str(self.trust),
            "key": str(self.pin.key) if self.pin is not None else None,
            "ground": str(self.pin.ground) if self.pin is not None else None,
            "since": timestamp(self.pin.at) if self.pin is not None else None,
            "uuid": (self.pin.uuid or None) if self.pin is not None else None,
            "shared_with": [str(node) for node in self.shared_with],
        }


def fingerprint(text: str) -> Digest:
    """Read a fingerprint as people write it: with or without ``sha256:``, in any case, with colons between bytes.

    Raises:
        UsageError: it is none.
    """
    digits = text.strip().lower().removeprefix("sha256:").replace(":", "")
    try:
        return Digest(f"sha256:{digits}")
    except UsageError:
        raise UsageError(
            f"{text!r} is not a fingerprint", advice="It is sha256: and 64 hexadecimal digits, as the refusal names it."
        ) from None
