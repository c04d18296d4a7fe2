"""What one machine's BMC sees of its host and its parts, and what it cannot see."""

from __future__ import annotations

from fnmatch import fnmatchcase

from attrs import frozen

from rackwave.core.bundle import Activation
from rackwave.core.identity import ComponentName
from rackwave.core.observation import Post

from .banks import Bank
from .faults import Armory, Incomplete, LinkBreaks, OddVersions, ReadsIncomplete, VersionsNeedHost
from .host import Host, PowerState
from .mortality import Mortality
from .timeline import Timeline
from .updates import Updates


@frozen
class ComponentView:
    """A component as the BMC tells it. *version* None: it cannot be read."""

    name: ComponentName
    version: str | None
    staged: str | None
    activation: Activation
    previous: str | None = None
    uploaded: str | None = None


class Sight:
    """The BMC's view; whoever asks has brought the timeline up to date."""

    __slots__ = ("_armory", "_host", "_incomplete_until", "_mortality", "_timeline", "_updates", "link")

    def __init__(
        self, timeline: Timeline, armory: Armory, *, host: Host, updates: Updates, mortality: Mortality
    ) -> None:
        self._timeline = timeline
        self._armory = armory
        self._host = host
        self._updates = updates
        self._mortality = mortality
        self._incomplete_until = timeline.time
        self.link: LinkBreaks | None = None
        """What broke the link between BIOS and BMC (P15); None: it is whole."""

    def components(self) -> tuple[ComponentView, ...]:
        """Every component as the inventory tells it."""
        return tuple(self._view(bank) for bank in self._updates.banks.values())

    def component(self, name: ComponentName) -> ComponentView | None:
        """One component as the inventory tells it; None: it lists none of this name."""
        bank = self._updates.banks.get(name)
        return None if bank is None else self._view(bank)

    @property
    def host_up(self) -> bool:
        """Whether the host really has booted, whatever the BMC says."""
        return self._host.power is PowerState.ON and self._host.post is Post.COMPLETE

    @property
    def blind(self) -> bool:
        """Whether the BMC cannot tell what it learns from its host: that is dead (P41), or out of reach (P15)."""
        dead = self._mortality.dead
        return self.link is not None or (dead is not None and dead.fault.blind)

    @property
    def recovering(self) -> bool:
        """Whether a service that was restarted does not have all its data yet (P21)."""
        return self._timeline.time < self._incomplete_until

    @property
    def incomplete(self) -> Incomplete | None:
        """How readings are incomplete at the moment (P25); None: they are whole."""
        if self.recovering:
            return Incomplete.MISSING
        fault = self._armory.first(ReadsIncomplete, at=self._timeline.time) if self._armory else None
        return fault.how if fault else None

    def lose_data(self, seconds: float) -> None:
        """Tell less for *seconds*."""
        self._incomplete_until = max(self._incomplete_until, self._timeline.time + seconds)

    def breaking(self) -> LinkBreaks | None:
        """Return the fault by which a reset at this moment breaks the link."""
        now = self._timeline.time
        breaks = self._armory.first(LinkBreaks, at=now)
        if breaks is None or now - self._updates.last_arrival >= breaks.seconds:
            return None
        return self._armory.strike(LinkBreaks, at=now)

    def _view(self, bank: Bank) -> ComponentView:
        return ComponentView(
            name=bank.spec.name,
            version=self._notation(bank, bank.shown or bank.version) if self._readable(bank) else None,
            staged=self._notation(bank, bank.staged.version) if bank.staged and not bank.staged.hidden else None,
            activation=bank.spec.activation,
            previous=self._notation(bank, bank.previous) if bank.previous else None,
            uploaded=bank.uploaded,
        )

    def _readable(self, bank: Bank) -> bool:
        if not bank.readable or (bank.spec.activation is not Activation.BMC_RESET and self.blind):
            return False
        if not self._armory:
            return True
        return self.host_up or not any(  # P45
            fnmatchcase(bank.spec.name, fault.component)
            for fault in self._armory.in_force(VersionsNeedHost, at=self._timeline.time)
        )

    def _notation(self, bank: Bank, version: str) -> str:
        if not self._armory:
            return version
        for fault in self._armory.in_force(OddVersions, at=self._timeline.time):  # P43
            if fnmatchcase(bank.spec.name, fault.component):
                return fault.notation.replace("{version}", version)
        return version
