"""Finds out by what a state directory trusts: signed metadata once a root is pinned there, else a list of keys."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from .metadata.key_box import AskSecret, KeyBox
from .metadata.memory import HOME, ROOT, SEEN, Memory
from .metadata.source import MetadataSource
from .metadata.trust import MetadataTrust
from .trust import KeyringTrust, Trust

TRUST = "trust.json"
PUBLISHER_KEY = "publisher.pem"


def open_trust(
    state: Path,
    repository: Path,
    ask: AskSecret,
    *,
    now: Callable[[], float] = time.time,
    elsewhere: Callable[[], MetadataSource | None] = lambda: None,
) -> Trust:
    """Return the trust of the repository in *repository*, by what is pinned or listed in *state*.

    *elsewhere* says from where a machine without keys gets its metadata, if not from the repository's own folder.

    What the repository itself holds has no say in it: whoever can write there could choose the weaker of the two.

    Raises:
        TrustError: ``trust.json`` or ``keys.json`` is damaged, or the root that was pinned is gone.
    """
    home = Memory(state / HOME)
    if (state / HOME / ROOT).exists() or (
        state / HOME / SEEN
    ).exists():  # a root that is lost is no way back to the list
        box = KeyBox.load(state, ask)
        source = None if box.keys else elsewhere()
        return MetadataTrust(repository, home, box, source=source, now=now)
    path = state / TRUST
    return KeyringTrust.load(path) if path.exists() else KeyringTrust(())


def retire_list(state: Path) -> None:
    """Move the list of keys of *state* away, once a root is pinned there: nobody should think that it still counts."""
    path = state / TRUST
    if path.exists():
        path.rename(state / f"{TRUST}.retired")
