"""How the host of one machine dies, and what brings it back."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import assert_never

from attrs import define

from rackwave.core.observation import Health

from .faults import Armory, BadHealth, HostDead, RevivedBy
from .timeline import Timeline
from .updates import BIOS, Updates


@define
class Death:
    """How the host died, and with which BIOS."""

    fault: HostDead
    at: float
    bios_version: str
    bios_activations: int
    revived_at: float | None = None

    def as_dict(self) -> dict[str, object]:
        """Tell it as JSON-able values."""
        return {
            "at": self.at,
            "revived_by": self.fault.revived_by.value,
            "power_off": self.fault.power_off,
            "revived_at": self.revived_at,
        }


class Mortality:
    """Whether a host can boot, apart from what its own firmware says."""

    __slots__ = ("_armory", "_timeline", "_updates", "deaths")

    def __init__(self, timeline: Timeline, armory: Armory, updates: Updates) -> None:
        self._timeline = timeline
        self._armory = armory
        self._updates = updates
        self.deaths: list[Death] = []

    @property
    def dead(self) -> Death | None:
        """How the host died, while it is dead."""
        return self.deaths[-1] if self.deaths and self.deaths[-1].revived_at is None else None

    def die(self, fault: HostDead) -> None:
        """Die, unless dead already."""
        if self.dead is None:
            bios = self._updates.banks.get(BIOS)
            version, activations = (bios.version, bios.activations) if bios else ("", 0)
            self.deaths.append(Death(fault, self._timeline.time, version, activations))

    def boots(self) -> bool:
        """Whether the host comes up if it is started now."""
        bios = self._updates.banks.get(BIOS)
        if (bios is not None and bios.corrupt) or any(not fault.boots for fault in self.bad_health()):
            return False
        return self.dead is None or self._revives(self.dead)

    def booted(self) -> None:
        """Note that the host came up."""
        if (death := self.dead) is not None:
            death.revived_at = self._timeline.time

    def levels(self) -> list[Health]:
        """Return how unwell the versions that run make the machine."""
        return [fault.level for fault in self.bad_health()]

    def bad_health(self) -> tuple[BadHealth, ...]:
        """Return the faults of versions that run."""
        faults = self._armory.in_force(BadHealth, at=self._timeline.time)
        return tuple(fault for fault in faults if self._runs(fault)) if faults else ()

    def _revives(self, death: Death) -> bool:
        bios = self._updates.banks.get(BIOS)
        match death.fault.revived_by:
            case RevivedBy.RESTART:
                return True
            case RevivedBy.REFLASH:
                return bios is not None and bios.activations > death.bios_activations
            case RevivedBy.PRIOR:
                return bios is not None and bios.version != death.bios_version
            case RevivedBy.NEVER:
                return False
            case unknown:
                assert_never(unknown)

    def _runs(self, fault: BadHealth) -> bool:
        return any(
            bank.spec.name == fault.component and fnmatchcase(bank.version, fault.version)
            for bank in self._updates.banks.values()
        )
