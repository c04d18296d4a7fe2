"""One `Bmc` made of two ways to the same BMC: what one cannot do now, the other does.

Rules:

- Reads are merged. The second way is asked only for what the first could not be reached for, or has
  no such thing; never for what the first told in words that we do not understand, for it may tell
  better in a moment (P25). Where neither knows, both reasons are kept.
- Boot markers, settings waiting for a reset and the like are opaque, each way's own: only the first's
  are told, for two ways' words for one boot differ, and a difference would prove a reset (P38).
- The second way's versions are *loose* (`Component`): an equal string proves, another proves nothing.
  Only of a component that the first way, while it answers, does not list for a while (P25) is the
  second the one witness.
- Whether tasks run is known only where the first way tells: a Redfish that is dead may be hiding an
  update of somebody else's. Tasks of the second way are added to it, marked with its name.
- An act goes over the second way only where the first's receipt is `Refused` on the ground AWAY or
  UNABLE, so that it was provably never sent; never after a no, and never after silence (P12).
  That no write is begun while one is open, over whichever way, is the core's rule (core/doubt.py).
- A receipt tells the way: ``IPMI …`` in `Accepted.way`, or in the reason.
- A way that was found dead is left alone for as long as it took to find that, doubled each time it is
  found dead again: its deadline is paid once in a while, not at each look, and one that refuses
  connections at once may be asked at once. An accepted restart of the BMC makes each worth asking again.
- A pinned key that has changed (P32) stops both ways: somebody may be posing as the BMC.
- A refused login or certificate (P32, P34) rests likewise and does not stop the other way; where no
  way is left, it is raised, for a person must act.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from attrs import evolve

from ..core.bundle import Activation, AttributeValue
from ..core.identity import ComponentName, NodeName
from ..core.observation import NOT_ASKED, Component, Identity, Lack, Look, Observation, TaskSeen, Unknown
from ..core.receipt import Accepted, Ambiguous, Ground, Receipt, Refused
from ..core.settings_check import SettingsCheck
from ..core.step import ImageWay
from ..errors import BmcCertificateError, BmcKeyChangedError, BmcLoginError
from ..ports import Announces, Bmc, Clock, Completing, Image, Lists, Means, ResetKind

LONGEST_REST = 120.0
"""The most seconds for which a dead way is left alone. A BMC takes 90 to over 200 s to come back (P36):
it is found in time for any patience that waits for that."""

ABSENT_FOR = 60.0
"""Seconds for which the first way must not have listed a component, each time it answered, before the
second is its one witness: answers lack parts for about 20 s at times (P25)."""

_ASKED_OF_BOTH = frozenset({Lack.AWAY, Lack.ABSENT, Lack.REFUSED})
_MERGED = ("power", "post", "health", "os", "settings")
_NOTHING = Look(system=False)
_OF_SYSTEM = frozenset({"power", "post", "health", "os", "vendor", "model", "serial"})
_NAMES = {Means.REDFISH: "Redfish", Means.IPMI: "IPMI"}

T = TypeVar("T")
Hook = Callable[[NodeName], Awaitable[Receipt]]
"""A command of the user's that restarts the BMC of a node, once."""


class Way:
    """One way to the BMC, and whether it is worth asking now."""

    def __init__(self, means: Means, bmc: Bmc, clock: Clock) -> None:
        self.means = means
        self.bmc = bmc
        self.name = _NAMES[means]
        self._clock = clock
        self._why: Unknown | None = None
        self._until = 0.0
        self._rest = 0.0
        self.refusal: BmcLoginError | BmcCertificateError | None = None

    @property
    def resting(self) -> Unknown | None:
        """Why it is not asked now; None where it is worth a try."""
        if self._why is None or self._clock.monotonic() >= self._until:
            return None
        return self._why

    @property
    def is_dead(self) -> bool:
        """Whether it was dead when it was last tried."""
        return self._why is not None

    def awaken(self) -> None:
        """Have it tried at the next occasion: something has happened that may have mended it."""
        self._until = self._rest = 0.0

    async def observe(self, look: Look) -> Observation:
        """Read what *look* asks for; a way that rests, or does not let us in, tells nothing."""
        if (why := self.resting) is None:
            begun = self._clock.monotonic()
            try:
                seen = await self.bmc.observe(look)
            except BmcKeyChangedError:
                raise
            except (BmcLoginError, BmcCertificateError) as error:
                why = self._shut(error, begun)
            else:
                if not (seen.is_away and seen.is_blank):
                    self._alive()
                    return seen
                self._lay_down(next(why for why in seen.unknowns() if why.lack is Lack.AWAY), begun)
                return seen
        return Observation.blank(self._clock.now(), why.reason, look, lack=why.lack)

    async def act(self, send: Callable[[Bmc], Awaitable[Receipt]]) -> Receipt:
        """Send an act over this way, once, unless it rests."""
        if (why := self.resting) is not None:
            left = self._until - self._clock.monotonic()
            return Refused(f"{self.name} is not tried again yet: {why.reason}", left, Ground.AWAY)
        begun = self._clock.monotonic()
        try:
            receipt = await send(self.bmc)
        except BmcKeyChangedError:
            raise
        except (BmcLoginError, BmcCertificateError) as error:
            # It is raised only where nothing was carried out: a login comes before every act.
            return Refused(self._shut(error, begun).reason, ground=Ground.AWAY)
        if isinstance(receipt, Refused) and receipt.ground is Ground.AWAY:
            self._lay_down(Unknown(receipt.reason, Lack.AWAY), begun)
        elif not isinstance(receipt, Ambiguous):
            self._alive()
        return receipt

    def _alive(self) -> None:
        self._why, self.refusal = None, None
        self.awaken()

    def _shut(self, error: BmcLoginError | BmcCertificateError, begun: float) -> Unknown:
        self.refusal = error
        return self._lay_down(Unknown(error.whole, Lack.REFUSED), begun)

    def _lay_down(self, why: Unknown, begun: float) -> Unknown:
        """Rest for as long as it took since *begun*, or twice as long as the last time."""
        if why.lack is not Lack.REFUSED:
            self.refusal = None
        now = self._clock.monotonic()
        self._rest = min(max(self._rest * 2, now - begun), LONGEST_REST)
        self._until = now + self._rest
        self._why = why
        return why


class FailoverBmc:
    """Drive one node over Redfish and IPMI, or over one of them, with what else can restart its BMC.

    Usable from one event loop, by one caller at a time, as any `Bmc`.
    """

    def __init__(
        self,
        first: Way,
        second: Way | None = None,
        *,
        clock: Clock,
        hooks: Mapping[Means, Hook] | None = None,
    ) -> None:
        self.first = first
        self.second = second
        self._clock = clock
        self._hooks = dict(hooks or {})
        self._lacks: dict[str, Unknown] = {}
        """What the second way has said it has not, so that it is not asked again at each look."""
        self._absent_since: dict[ComponentName, float] = {}
        self._holders: dict[ComponentName, Way] = {}
        """Over which way each component's image went."""

    @property
    def node(self) -> NodeName:
        """Whose BMC it is."""
        return self.first.bmc.node

    @property
    def _ways(self) -> tuple[Way, ...]:
        return (self.first,) if self.second is None else (self.first, self.second)

    @property
    def means(self) -> tuple[Means, ...]:
        """By what the BMC can be restarted: the ways that are not dead, then the hooks."""
        own = tuple(way.means for way in self._ways if not way.is_dead)
        return (*own, *(means for means in Means if means in self._hooks))

    # -- reads ---------------------------------------------------------------------------------

    async def list_components(self) -> frozenset[ComponentName] | Unknown:
        """Return the names of all components, as the first way that can list them says."""
        found: frozenset[ComponentName] | Unknown = Unknown("no way to this BMC lists components by name")
        for way in self._ways:
            if isinstance(way.bmc, Lists) and not way.is_dead:
                found = await way.bmc.list_components()
                if not isinstance(found, Unknown):
                    return found
        return found

    async def observe(self, look: Look) -> Observation:
        """Read what *look* asks for, over the second way where the first cannot tell.

        Raises:
            BmcLoginError: the first way does not let us in, and there is no other that answers.
            BmcCertificateError: as above.
        """
        second = self.second
        if second is None:
            seen = await self.first.observe(look)
            if self.first.refusal is not None:
                raise self.first.refusal
            return seen
        theirs = _unmarked(look.task, second)
        asked = look if theirs is None else evolve(look, task=None)
        seen = Observation(at=self._clock.now())
        if asked != _NOTHING:
            seen = await self.first.observe(asked)
        rest = self._rest_of(look, seen, theirs)
        more = Observation(at=seen.at)
        if rest != _NOTHING:
            more = await second.observe(rest)
            self._remember(more)
        if self.first.refusal is not None and (rest == _NOTHING or second.is_dead):
            raise self.first.refusal
        return self._merged(look, seen, more, second)

    def _rest_of(self, look: Look, seen: Observation, theirs: str | None) -> Look:
        """Return what the second way is to be asked for; *theirs* is its task that is to be followed."""
        missing = {name for name, value in _values(seen).items() if _is_gap(value)} - self._lacks.keys()
        return Look(
            system=not missing.isdisjoint(_OF_SYSTEM),
            components=frozenset(
                name
                for name, component in seen.components.items()
                if _is_gap(component.installed) and _key(name) not in self._lacks
            ),
            settings="settings" in missing,
            task=theirs,
            tasks=look.tasks and "tasks" not in self._lacks,
        )

    def _remember(self, more: Observation) -> None:
        told: dict[str, object] = {**_values(more), "tasks": more.tasks}
        told.update({_key(name): component.installed for name, component in more.components.items()})
        for name, value in told.items():
            if isinstance(value, Unknown) and value.lack is Lack.ABSENT:
                self._lacks[name] = value

    def _merged(self, look: Look, seen: Observation, more: Observation, second: Way) -> Observation:
        mine, other = seen.identity, more.identity
        theirs = _unmarked(look.task, second) is not None
        return evolve(
            seen,
            power=self._better("power", seen.power, more.power),
            post=self._better("post", seen.post, more.post),
            health=self._better("health", seen.health, more.health),
            os=self._better("os", seen.os, more.os),
            settings=self._better("settings", seen.settings, more.settings),
            identity=Identity(
                vendor=self._better("vendor", mine.vendor, other.vendor),
                model=self._better("model", mine.model, other.model),
                serial=self._better("serial", mine.serial, other.serial),
            ),
            components={name: self._component(component, more) for name, component in seen.components.items()},
            task=_marked(more.task, second) if theirs else seen.task,
            tasks=self._tasks(seen, more, second) if look.tasks else seen.tasks,
        )

    def _better(self, name: str, mine: T | Unknown, other: T | Unknown) -> T | Unknown:
        """Return what is known of *name*, or both reasons why nothing is."""
        if not isinstance(mine, Unknown) or not _is_gap(mine):
            return mine
        if other is NOT_ASKED:
            other = self._lacks.get(name, NOT_ASKED)
        if not isinstance(other, Unknown):
            return other
        by = self.second.name if self.second is not None else ""
        return mine if other is NOT_ASKED else Unknown(f"{mine.reason}; {by}: {other.reason}", mine.lack)

    def _component(self, mine: Component, more: Observation) -> Component:
        if not isinstance(mine.installed, Unknown):
            self._absent_since.pop(mine.name, None)
            return mine
        now = self._clock.monotonic()
        since = self._absent_since.get(mine.name)
        if mine.installed.lack is Lack.ABSENT:
            since = self._absent_since.setdefault(mine.name, now)
        installed = self._better(_key(mine.name), mine.installed, more.component(mine.name).installed)
        if isinstance(installed, Unknown):
            return evolve(mine, installed=installed)
        is_witness = mine.installed.lack is Lack.ABSENT and since is not None and now - since >= ABSENT_FOR
        staged = more.component(mine.name).staged
        return Component(mine.name, installed, staged, loose=not is_witness, spare=mine.spare)

    def _tasks(self, seen: Observation, more: Observation, second: Way) -> tuple[TaskSeen, ...] | Unknown:
        theirs = more.tasks if isinstance(more.tasks, tuple) else ()
        marked = tuple(evolve(task, uri=f"{second.means}:{task.uri}") for task in theirs)
        if isinstance(seen.tasks, tuple):
            return (*seen.tasks, *marked)
        if seen.tasks.lack is Lack.ABSENT and isinstance(more.tasks, tuple):
            return marked
        return seen.tasks

    async def check_settings(self, attributes: Mapping[str, AttributeValue]) -> SettingsCheck | Unknown:
        """Say what speaks against staging *attributes*; IPMI knows nothing of them."""
        return self.first.resting or await self.first.bmc.check_settings(attributes)

    async def way_of(self, component: ComponentName, *, activation: Activation) -> ImageWay | Unknown:
        """Return by which way an image would go over: the first of the two that has one."""
        found: ImageWay | Unknown = Unknown(f"neither way to {self.node} tells", Lack.ABSENT)
        for way in self._ways:
            if way.resting is None:
                found = await way.bmc.way_of(component, activation=activation)
            if isinstance(found, ImageWay):
                break
        return found

    # -- acts ----------------------------------------------------------------------------------

    async def write(self, image: Image, *, completing: Completing) -> Receipt:
        """Hand *image* over by the first way that can take it, once."""
        way, receipt = await self._sent(lambda bmc: bmc.write(image, completing=completing))
        if not isinstance(receipt, Refused):
            self._holders[image.component] = way
        return receipt

    async def start_update(self, component: ComponentName) -> Receipt:
        """Begin with the held image, once, over the way that holds it.

        Where this process did not hand it over, that is the first way, unless it holds no images at all:
        what the other may hold for the component is somebody else's.
        """
        holder = self._holders.get(component)
        if holder is None:
            receipt = await self.first.act(lambda bmc: bmc.start_update(component))
            unable = isinstance(receipt, Refused) and receipt.ground is Ground.UNABLE
            if not unable or self.second is None:
                return receipt
            holder = self.second
        return self._told(holder, await holder.act(lambda bmc: bmc.start_update(component)))

    async def switch_bank(self, component: ComponentName, version: str, *, activation: Activation) -> Receipt:
        """Switch *component* to its other bank by the first way that can, once."""
        return await self._act(lambda bmc: bmc.switch_bank(component, version, activation=activation))

    async def configure(self, attributes: Mapping[str, AttributeValue]) -> Receipt:
        """Stage BIOS attributes for the next host reset, once."""
        return await self._act(lambda bmc: bmc.configure(attributes))

    async def reset_host(self, kind: ResetKind) -> Receipt:
        """Change the host's power, once."""
        return await self._act(lambda bmc: bmc.reset_host(kind))

    async def reset_bmc(self, means: Means | None = None) -> Receipt:
        """Restart the BMC, once, by *means*; None: by the first of its own functions that answers."""
        if means is None:
            receipt = await self._act(lambda bmc: bmc.reset_bmc())
        elif (hook := self._hooks.get(means)) is not None:
            receipt = await hook(self.node)
        elif (way := next((way for way in self._ways if way.means is means), None)) is not None:
            way.awaken()  # asked for by name: not to be answered from memory
            receipt = self._told(way, await way.act(lambda bmc: bmc.reset_bmc(means)))
        else:
            return Refused(f"{self.node} has no {means} to restart its BMC by", ground=Ground.UNABLE)
        if not isinstance(receipt, Refused):
            for way in self._ways:
                way.awaken()
        return receipt

    async def _act(self, send: Callable[[Bmc], Awaitable[Receipt]]) -> Receipt:
        _, receipt = await self._sent(send)
        return receipt

    async def _sent(self, send: Callable[[Bmc], Awaitable[Receipt]]) -> tuple[Way, Receipt]:
        """Send an act over the first way that can take it, and say which that was."""
        receipt = await self.first.act(send)
        if not isinstance(receipt, Refused) or not _never_sent(receipt):
            return self.first, receipt
        if self.second is None:
            if self.first.refusal is not None:
                raise self.first.refusal
            return self.first, receipt
        other = self._told(self.second, await self.second.act(send))
        if not isinstance(other, Refused):
            return self.second, other
        if _never_sent(other) and (refusal := self.first.refusal or self.second.refusal) is not None:
            raise refusal
        return self.second, _neither(receipt, other)

    def _told(self, way: Way, receipt: Receipt) -> Receipt:
        """Say in *receipt* which way it is about."""
        if way is self.first:
            return receipt
        match receipt:
            case Accepted(task, words):
                task = None if task is None else f"{way.means}:{task}"
                return evolve(receipt, task=task, way=words if words.startswith(way.name) else f"{way.name} {words}")
            case _ if receipt.reason.startswith(way.name):
                return receipt
            case _:
                return evolve(receipt, reason=f"{way.name}: {receipt.reason}")

    # -- news ----------------------------------------------------------------------------------

    async def listen(self, wake: Callable[[], None]) -> None:
        """Call *wake* when either way tells of news by itself; a way that is dead is not asked."""
        for way in self._ways:
            if isinstance(way.bmc, Announces) and way.resting is None:
                await way.bmc.listen(wake)

    # -- the end -------------------------------------------------------------------------------

    async def park(self) -> None:
        """Let go of the connections, keep the sessions."""
        await asyncio.gather(*(way.bmc.park() for way in self._ways))

    async def close(self) -> None:
        """End the sessions and let go of everything, each way whatever becomes of the other."""
        ended = await asyncio.gather(*(way.bmc.close() for way in self._ways), return_exceptions=True)
        for failure in ended:
            if isinstance(failure, BaseException):
                raise failure


def _neither(first: Refused, second: Refused) -> Refused:
    """Return the refusal of an act that neither way took."""
    waits = [wait for wait in (first.retry_after, second.retry_after) if wait is not None]
    if not _never_sent(second):
        ground = Ground.SAID_NO
    else:
        ground = Ground.AWAY if Ground.AWAY in (first.ground, second.ground) else Ground.UNABLE
    return Refused(f"{first.reason}; {second.reason}", min(waits, default=None), ground)


def _never_sent(receipt: Receipt) -> bool:
    return isinstance(receipt, Refused) and receipt.ground in (Ground.AWAY, Ground.UNABLE)


def _is_gap(value: object) -> bool:
    return isinstance(value, Unknown) and value is not NOT_ASKED and value.lack in _ASKED_OF_BOTH


def _values(seen: Observation) -> dict[str, object]:
    """What the two ways may complete for each other, by name."""
    found: dict[str, object] = {name: getattr(seen, name) for name in _MERGED}
    identity = seen.identity
    return {**found, "vendor": identity.vendor, "model": identity.model, "serial": identity.serial}


def _key(component: ComponentName) -> str:
    return f"component {component}"


def _unmarked(task: str | None, way: Way) -> str | None:
    """Return the way's own word for *task*; None where it is not of that way."""
    mark = f"{way.means}:"
    return task.removeprefix(mark) if task is not None and task.startswith(mark) else None


def _marked(task: TaskSeen | Unknown, way: Way) -> TaskSeen | Unknown:
    return task if isinstance(task, Unknown) else evolve(task, uri=f"{way.means}:{task.uri}")
