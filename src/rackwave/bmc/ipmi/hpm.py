"""Firmware over HPM.1 (PICMG HPM.1 R1.0): what there is, what goes on, activation, self test and the way back.

Commands that take long answer 80h and are followed by Get Upgrade Status. How images go over is in
`hpm_upload`.
"""

from __future__ import annotations

from attrs import frozen

from ...core.hpm_version import version_text
from ...core.identity import ComponentName
from ...core.observation import Component, Lack, TaskPhase, TaskSeen, Unknown
from ...core.receipt import Accepted, Ambiguous, Receipt, Refused
from ...errors import BmcAmbiguousError, BmcAnswerError, BmcLoginError, BmcRefusedError, BmcUnreachableError, NodeError
from ...ports import Clock
from . import completion
from .session import Command, Session

CAPABILITIES = Command(0x2C, 0x2E, "Get Target Upgrade Capabilities")
PROPERTIES = Command(0x2C, 0x2F, "Get Component Properties")
ABORT = Command(0x2C, 0x30, "Abort Firmware Upgrade")
INITIATE = Command(0x2C, 0x31, "Initiate Upgrade Action")
BLOCK = Command(0x2C, 0x32, "Upload Firmware Block")
FINISH = Command(0x2C, 0x33, "Finish Firmware Upload")
STATUS = Command(0x2C, 0x34, "Get Upgrade Status")
ACTIVATE = Command(0x2C, 0x35, "Activate Firmware")
SELF_TEST = Command(0x2C, 0x36, "Query Self-test Results")
ROLLBACK_STATUS = Command(0x2C, 0x37, "Query Rollback Status")
ROLLBACK = Command(0x2C, 0x38, "Initiate Manual Rollback")

WAY = "HPM.1"
TASK = "hpm1"
"""The URI of the one task that HPM.1 has: the last command that took long."""

PICMG = b"\x00"
_TICK = 5.0  # seconds in which HPM.1 counts; python-ipmi reads them as single seconds
_LEAST_WAIT = 30.0
POLL = 1.0
"""Seconds between looks at a command that takes long."""
_GENERAL, _CURRENT, _DESCRIPTION, _DEFERRED = 0, 1, 2, 4
CAN_BACK_UP, CAN_PREPARE, CAN_DEFER = 0x03, 0x04, 0x10
"""Bits of a component's general properties."""


@frozen
class Capabilities:
    """Get Target Upgrade Capabilities. *patience* is the longest that the BMC says it takes, in seconds."""

    components: tuple[int, ...]
    self_test: bool
    manual_rollback: bool
    deferred: bool
    patience: float


class Hpm:
    """The firmware of one node's BMC."""

    def __init__(self, session: Session, clock: Clock) -> None:
        self._session = session
        self._clock = clock
        self._names: dict[str, int] = {}
        self._named_in = 0

    # -- what there is --------------------------------------------------------------------------

    async def capabilities(self) -> Capabilities:
        """Read what the BMC can do.

        Raises:
            NodeError: as `Session.ask`; a BMC without HPM.1 refuses with C1h.
        """
        data = await self.ask(CAPABILITIES, least=7)
        flags, *times = data[1:6]
        present = data[6]
        return Capabilities(
            components=tuple(number for number in range(8) if present >> number & 1),
            self_test=bool(flags & 0x01),
            manual_rollback=bool(flags & 0x04),
            deferred=bool(flags & 0x10),
            patience=max(_LEAST_WAIT, max(times, default=0) * _TICK),
        )

    async def component(self, name: ComponentName) -> Component:
        """Read what is installed and what waits in the component called *name*.

        Raises:
            NodeError: as `Session.ask`.
        """
        number = await self.number(name)
        if number is None:
            unknown = Unknown(f"HPM.1 lists no component {name}", Lack.ABSENT)
            return Component(name, unknown, unknown)
        current = version_text(await self._property(number, _CURRENT, 6))
        return Component(
            name, Unknown("the BMC tells no version") if current is None else current, await self._deferred(number)
        )

    async def number(self, name: ComponentName) -> int | None:
        """Return the number of the component called *name*; None: there is none.

        Names are read once a session: a BMC that was flashed may have others.

        Raises:
            NodeError: as `Session.ask`.
        """
        if not self._names or self._named_in != self._session.generation:
            found: dict[str, int] = {}
            for number in (await self.capabilities()).components:
                text = (await self._property(number, _DESCRIPTION, 1)).split(b"\x00")[0]
                found.setdefault(text.decode("ascii", "replace").strip(), number)
            self._names, self._named_in = found, self._session.generation
        return self._names.get(str(name))

    async def _deferred(self, number: int) -> str | Unknown | None:
        try:
            return version_text(await self._property(number, _DEFERRED, 6))
        except BmcRefusedError as error:
            # 83h: no such property, where nothing can be deferred.
            if error.status in (0x83, completion.INVALID_DATA):
                return None
            return Unknown(str(error))

    async def general(self, number: int) -> int:
        """Read the general properties of component *number*: `CAN_BACK_UP` and the like.

        Raises:
            NodeError: as `Session.ask`.
        """
        return (await self._property(number, _GENERAL, 1))[0]

    async def _property(self, number: int, selector: int, least: int) -> bytes:
        return await self.ask(PROPERTIES, bytes([number, selector]), least=least)

    # -- what goes on ---------------------------------------------------------------------------

    async def status(self) -> tuple[int, int]:
        """Read which command was the last to take long, and its completion code (80h: it goes on).

        Raises:
            NodeError: as `Session.ask`.
        """
        data = await self.ask(STATUS, least=2)
        return data[0], data[1]

    async def running(self) -> tuple[TaskSeen, ...]:
        """Return the command that takes long as a task, while it does.

        Raises:
            NodeError: as `Session.ask`.
        """
        try:
            command, code = await self.status()
        except BmcRefusedError as error:
            if error.status in completion.CANNOT:
                return ()  # no HPM.1, no upgrade
            raise
        return (_task(command, code),) if code == completion.IN_PROGRESS else ()

    async def followed(self) -> TaskSeen:
        """Return how the last upload that we finished goes on.

        Raises:
            NodeError: as `Session.ask`.
        """
        command, code = await self.status()
        if command != FINISH.number:
            return TaskSeen(TASK, TaskPhase.VANISHED, message="the BMC knows of no upload any more")
        return _task(command, code)

    async def through(self, command: Command, abilities: Capabilities) -> int:
        """Wait until *command* is through; return how it ended.

        Raises:
            NodeError: it does not end, or the BMC forgets it; as `Session.ask`.
        """
        until = self._clock.monotonic() + abilities.patience
        while self._clock.monotonic() < until:
            await self._clock.sleep(POLL)
            last, code = await self.status()
            if last != command.number:
                message = f"{self._session.node}: the BMC has forgotten {command.name}"
                raise BmcAnswerError(message, node=self._session.node)
            if code != completion.IN_PROGRESS:
                return code
        message = f"{self._session.node}: {command.name} still goes on after {abilities.patience:.0f} s"
        raise BmcUnreachableError(message, node=self._session.node)

    # -- activation and the way back ------------------------------------------------------------

    async def activate(self, number: int) -> Receipt:
        """Have the BMC run what was uploaded. It may restart before it answers: then nobody knows yet.

        HPM.1 activates everything that waits; *number* is the component that is meant.

        Raises:
            NodeError: not sent; as `Session.act`.
        """
        code = await self.act(ACTIVATE)
        if code is None:
            return Ambiguous(f"{ACTIVATE.name} was not answered, as by a BMC that restarts for it")
        if code == completion.STATE and not (await self.general(number)) & CAN_DEFER:
            return Accepted(way=ACTIVATE.name)  # it runs since it was written: such a component never waits
        if code == completion.STATE:
            return Refused("the BMC holds no image that could be activated, or is busy with one", completion.NOT_NOW)
        return completion.receipt_of(code, ACTIVATE.name)

    async def passes_self_test(self) -> bool | Unknown:
        """Whether the firmware that runs says that it is well; Unknown where it has no such test."""
        try:
            data = await self.ask(SELF_TEST, least=2)
        except BmcLoginError:
            raise
        except NodeError as error:
            return Unknown(str(error))
        if data[0] == 0x56:
            return Unknown("the BMC has no self test")
        return data[0] == 0x55

    async def roll_back(self) -> Receipt:
        """Bring back what ran before the last upgrade, once.

        Raises:
            NodeError: not sent; as `Session.act`.
        """
        code = await self.act(ROLLBACK)
        if code is None:
            return Ambiguous(f"{ROLLBACK.name} was not answered")
        receipt = completion.receipt_of(code, ROLLBACK.name)
        return Accepted(TASK, ROLLBACK.name) if code == completion.IN_PROGRESS else receipt

    async def rolled_back(self) -> frozenset[int] | Unknown:
        """Which components were rolled back, by number; Unknown while that goes on, and where it failed."""
        try:
            data = await self.ask(ROLLBACK_STATUS, least=1)
        except BmcLoginError:
            raise
        except NodeError as error:
            return Unknown(str(error))
        return frozenset(number for number in range(8) if data[0] >> number & 1)

    # -- inside ---------------------------------------------------------------------------------

    async def ask(self, command: Command, data: bytes = b"", *, least: int = 0) -> bytes:
        """Ask, and take the group's byte off the answer.

        Raises:
            NodeError: as `Session.ask`.
        """
        answer = await self._session.ask(command, PICMG + data, least=least + 1)
        if answer[:1] != PICMG:
            message = f"{self._session.node}: the answer to {command.name} is not HPM.1's"
            raise BmcAnswerError(message, node=self._session.node)
        return answer[1:]

    async def act(self, command: Command, data: bytes = b"") -> int | None:
        """Send once and return the completion code; None: it was sent, and not answered.

        Raises:
            NodeError: not sent; as `Session.act`.
        """
        try:
            return await self._session.act(command, PICMG + data)
        except BmcAmbiguousError:
            return None


def _task(command: int, code: int) -> TaskSeen:
    what = {INITIATE.number: INITIATE.name, FINISH.number: FINISH.name, ROLLBACK.number: ROLLBACK.name}
    name = what.get(command, f"HPM.1 command {command:02X}h")
    if code == completion.IN_PROGRESS:
        return TaskSeen(TASK, TaskPhase.RUNNING, message=name)
    if code == completion.OK:
        return TaskSeen(TASK, TaskPhase.DONE, message=name, held=command == FINISH.number)
    return TaskSeen(TASK, TaskPhase.FAILED, message=f"{name}: {finish_words(code)}")


def finish_words(code: int) -> str:
    """Say what became of a finished upload."""
    told = {
        0x81: "the image has not as many bytes as was said",
        0x82: "the image does not verify",
        0x83: "the image is not for this component",
    }
    return f"{code:02X}h, {told[code]}" if code in told else completion.words(code)
