"""Whether BIOS attributes can be set on a node, asked before anything starts."""

from __future__ import annotations

from attrs import frozen


@frozen
class SettingsCheck:
    """What speaks against setting some BIOS attributes, a sentence for each.

    *problems* forbid it. *doubts* do not: the BIOS may take it all the same, and reading back tells.
    *needs_reset* names the attributes that come into force only with a reset of the host.
    """

    problems: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    needs_reset: tuple[str, ...] = ()
