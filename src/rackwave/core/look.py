"""What to look at in a turn: every look costs the BMC requests, so it begins with the cheapest that may do."""

from __future__ import annotations

from .attempt import Attempt
from .bundle import Bundle
from .doubt import first_look
from .observation import NOT_ASKED, Look, Observation
from .step import Flash, ResetBmc, ResetHost


def opening_look(attempt: Attempt, bundle: Bundle) -> Look:
    """Return the cheapest look with which the turn can begin."""
    for record in attempt.open_steps:
        if isinstance(record.step, Flash):
            return first_look(record, record.step)
    if any(isinstance(record.step, (ResetHost, ResetBmc)) for record in attempt.steps):
        # Booting: the host's own word comes first, the inventory once POST is through.
        return Look(bmc=bundle.manifest.resets_bmc)
    return full_look(bundle)


def full_look(bundle: Bundle) -> Look:
    """Return the look that shows every element of *bundle*."""
    manifest = bundle.manifest
    return Look(
        bmc=manifest.resets_bmc,
        components=manifest.image_components,
        spares=manifest.switched_components,
        settings=manifest.has_settings,
    )


def missing_of(look: Look, seen: Observation) -> Look | None:
    """Return what *look* asks for and *seen* does not hold; None where nothing is missing."""
    spares = frozenset(n for n in look.spares if seen.component(n).spare is NOT_ASKED)
    missing = Look(
        system=look.system and seen.power is NOT_ASKED,
        bmc=look.bmc and seen.bmc_boot is NOT_ASKED,
        components=spares | {n for n in look.components if seen.component(n).installed is NOT_ASKED},
        spares=spares,
        settings=look.settings and seen.settings is NOT_ASKED,
    )
    return None if missing == Look(system=False) else missing
