"""Finds out by what a state directory trusts: signed metadata once a root is pinned there, else a list of keys."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from .metadata.key_box import AskSecret, KeyBox
from .metadata.memory import HOME, ROOT, Memory
from .metadata.trust import MetadataTrust
from .trust import KeyringTrust, Trust

TRUST = "trust.json"
PUBLISHER_KEY = "publisher.pem"


def open_trust(state: Path, repository: Path, ask: AskSecret, *, now: Callable[[], float] = time.time) -> Trust:
    """Return the trust of the repository in *repository*, by what is pinned or listed in *state*.

    What the repository itself holds has no say in it: whoever can write there could choose the weaker of the two.

    Raises:
        TrustError: ``trust.json`` or ``keys.json`` is damaged.
    """
    if (state / HOME / ROOT).exists():
        return MetadataTrust(repository, Memory(state / HOME), KeyBox.load(state, ask), now=now)
    path = state / TRUST
    return KeyringTrust.load(path) if path.exists() else KeyringTrust(())
