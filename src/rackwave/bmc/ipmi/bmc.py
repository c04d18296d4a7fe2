"""One node's BMC over IPMI: the `Bmc` port."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TypeAlias

from attrs import evolve

from ...core.bundle import AttributeValue
from ...core.identity import ComponentName, NodeName
from ...core.observation import Identity, Lack, Look, Observation, Unknown
from ...core.receipt import Ground, Receipt, Refused
from ...errors import BmcCertificateError, BmcLoginError, BmcUnreachableError, NodeError
from ...ports import Clock, Credentials, Image, Means, ResetKind
from . import completion, device, presence
from .chassis import Boot, Chassis
from .endpoint import Endpoint
from .link import SUITES, Link
from .links import Backend, LazyLink
from .presence import Presence
from .session import Session
from .threads import Threads

Part: TypeAlias = tuple[Callable[[Observation], Awaitable[Observation]], Callable[[Observation, Unknown], Observation]]
"""How to read one part of an observation, and what to put there when it could not be read."""

_NO_SETTINGS = Unknown("IPMI has no BIOS settings")
_NO_MARKER = Unknown("IPMI marks no restarts of the BMC")


class IpmiBmc:
    """Drive one node through IPMI 2.0.

    Usable from one event loop, by one caller at a time. Reads never raise for a BMC that is silent or
    talks nonsense; acts are sent once. Both raise BmcLoginError.

    Args:
        node: the node's name, for messages.
        endpoint: where the BMC listens.
        credentials: called at each login, so that a changed secret is seen.
        clock: for waits between tries and the age of what was read.
        threads: where blocking commands run; one for the whole process.
        cipher_suites: those that may be used, best first; each must be in `link.SUITES`.
        backend: ``native`` (python-ipmi), ``ipmitool``, or ``auto``: the first that is there.
        link: a link instead of the backend's.
        is_there: asks whether a BMC answers at all.
    """

    def __init__(
        self,
        node: NodeName,
        endpoint: Endpoint,
        credentials: Callable[[], Credentials],
        *,
        clock: Clock,
        threads: Threads,
        cipher_suites: tuple[int, ...] = SUITES,
        backend: Backend = "auto",
        link: Link | None = None,
        is_there: Presence = presence.answers,
    ) -> None:
        self._node = node
        self._clock = clock
        self.session = Session(
            node,
            endpoint,
            credentials,
            clock=clock,
            threads=threads,
            link=link or LazyLink(node, endpoint, suites=cipher_suites, backend=backend),
            is_there=is_there,
        )
        self.chassis = Chassis(self.session)

    @property
    def node(self) -> NodeName:
        """Whose BMC it is."""
        return self._node

    async def observe(self, look: Look) -> Observation:
        """Read what *look* asks for; what could not be read is Unknown, with the reason.

        Once the BMC does not answer, nothing more is tried in this look.
        """
        seen = Observation(at=self._clock.now())
        away: Unknown | None = None
        for see, lost in self._parts(look):
            if away is not None:
                seen = lost(seen, away)
                continue
            try:
                seen = await see(seen)
            except (BmcLoginError, BmcCertificateError):
                raise
            except NodeError as error:
                why = Unknown(str(error), Lack.AWAY if isinstance(error, BmcUnreachableError) else Lack.UNREAD)
                seen = lost(seen, why)
                if isinstance(error, BmcUnreachableError):
                    away = why
        return seen

    def _parts(self, look: Look) -> Iterator[Part]:
        """What to read for *look*, what decides first."""
        if look.system:
            yield self._see_system, _lost_system

    async def _see_system(self, seen: Observation) -> Observation:
        status = await self.chassis.status()
        return evolve(seen, power=status.power)

    async def write(self, image: Image, *, completing: Callable[[], Awaitable[None]]) -> Receipt:  # noqa: ARG002
        """Refuse."""
        return Refused(f"{image.component} is not written over IPMI", ground=Ground.UNABLE)

    async def start_update(self, component: ComponentName) -> Receipt:
        """Refuse."""
        return Refused(f"{component} is not written over IPMI", ground=Ground.UNABLE)

    async def check_settings(self, attributes: Mapping[str, AttributeValue]) -> Unknown:  # noqa: ARG002 - the port's
        """Say nothing: IPMI has no BIOS settings."""
        return _NO_SETTINGS

    async def configure(self, attributes: Mapping[str, AttributeValue]) -> Receipt:  # noqa: ARG002 - the port's
        """Refuse: IPMI has no BIOS settings."""
        return Refused("IPMI has no BIOS settings", ground=Ground.UNABLE)

    async def reset_host(self, kind: ResetKind) -> Receipt:
        """Change the host's power, once. A refusal in the state that was asked for is as good as yes (P35)."""
        try:
            return await self.chassis.reset(kind)
        except NodeError as error:
            return completion.receipt_of_error(error, f"Chassis Control for {kind}")

    @property
    def means(self) -> tuple[Means, ...]:
        """By a cold reset."""
        return (Means.IPMI,)

    async def reset_bmc(self, means: Means | None = None) -> Receipt:
        """Restart the BMC, once, and see within half a minute whether it does (P38).

        Accepted: our session is gone, as after a restart. Refused: the BMC said yes, and has not restarted.
        """
        if means not in (None, Means.IPMI):
            return Refused(f"IPMI is no way to restart it by {means}", ground=Ground.UNABLE)
        try:
            return await device.cold_reset(self.session, self._clock)
        except NodeError as error:
            return completion.receipt_of_error(error, device.WAY)

    async def identify(self, *, on: bool) -> Receipt:
        """Switch the identify light."""
        try:
            return await self.chassis.identify(on=on)
        except NodeError as error:
            return completion.receipt_of_error(error, "Chassis Identify")

    async def set_boot(self, boot: Boot) -> Receipt:
        """Set the boot override, for the next boot or for good."""
        try:
            return await self.chassis.set_boot(boot)
        except NodeError as error:
            return completion.receipt_of_error(error, "Set System Boot Options")

    async def park(self) -> None:
        """End the session: the BMC would drop it within a minute without use anyway."""
        await self.session.close()

    async def close(self) -> None:
        """End the session on the BMC and let go of everything."""
        await self.session.close()


def _lost_system(seen: Observation, why: Unknown) -> Observation:
    return evolve(seen, power=why, post=why, health=why, os=why, boot=why, identity=Identity(why, why, why))
