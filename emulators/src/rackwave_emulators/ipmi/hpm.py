"""HPM.1 firmware upgrades (PICMG HPM.1 R1.0): group extension 2Ch, commands 2Eh to 38h.

Component *n* is the *n*-th of the machine's personality, up to eight. An upload is an update of the
machine like any other, so what the lab tells of writes and double flashes counts these too:

* Initiate accepts the write, Finish hands in its image (a lab image, or a real one that ``images`` knows), and
  is in progress (80h) while the machine programs it. The wire tells no attempt, so all belong to attempt ``""``.
* A finished image is *deferred*: it waits for Activate, or for the restart that its component needs anyway.
  Activate restarts the BMC if an image waits for that; what waits for the host ("payload cold reset
  required") stays deferred until somebody restarts the host.
* Manual rollback brings back what ran before: a bank switch and a restart of the BMC where there is a spare
  bank, else the BMC's own copy is written again and deferred. It concerns the components that were uploaded
  since the last Activate before; if there are none, the one that was written last, by whatever face.
* Answers get lost, so what is repeated is done once: a block of the number just taken, Initiate before any
  block, Finish of what was just finished.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
from pathlib import Path
from typing import assert_never

from attrs import define, field

from rackwave.core.bundle import Activation
from rackwave.core.hpm_image import COMPONENTS
from rackwave.core.identity import ComponentName

from ..images import ImageError, ImageFacts, read_image
from ..machine import ComponentView, Machine
from ..refusal import LabRefusal
from ..updates import MachineTask, TaskState
from .codes import Caller, Code, Command, Commands, CompletionError, Privilege, refusal_code
from .node import Node
from .version import version_octets

NETFN = 0x2C
_PICMG = 0x00
_FINISH, _ACTIVATE, _ROLLBACK = 0x33, 0x35, 0x38
_IN_PROGRESS = 0x80
# Completion codes that mean another thing with every command.
_BAD_MASK, _BAD_ACTION = 0x81, 0x82
_BAD_COMPONENT, _BAD_PROPERTY = 0x82, 0x83
_SIZE_MISMATCH, _DOES_NOT_VERIFY, _WRONG_COMPONENT = 0x81, 0x82, 0x83
_ROLLBACK_FAILED = 0x81
_OUT_OF_SPACE = 0xC4
_BACK_UP, _PREPARE, _UPLOAD = 0, 1, 2
_TICK = 5  # seconds in which HPM.1 counts
_SELF_TEST, _MANUAL_ROLLBACK, _DEFERRED = 0x01, 0x04, 0x10
_KEEPS_BACKUP, _TAKES_PREPARATION, _ACTIVATION_DEFERRED, _NEEDS_HOST_RESET = 0x01, 0x04, 0x10, 0x20
_PASSED = b"\x55\x00"
_NAME = 12
_LARGEST = 64 << 20  # 64 MiB: at 1 KiB a block that is 65,536 datagrams already
_ENDED_WELL = (TaskState.COMPLETED, TaskState.PENDING)  # pending: written, and waits for its reset
_UNFINISHED = (TaskState.NEW, TaskState.RUNNING)


@define
class _Upload:
    """An image on its way. *block* is the number of the last block taken, None before the first."""

    component: int
    task: MachineTask
    touched: float
    octets: bytearray = field(factory=bytearray, repr=False)
    block: int | None = None


@define
class _Long:
    """The last command that took, or takes, its time."""

    command: int
    tasks: tuple[MachineTask, ...]
    component: int = -1
    length: int = -1

    def code(self) -> int:
        """Return how it ended, or that it has not."""
        if any(task.state in _UNFINISHED for task in self.tasks):
            return _IN_PROGRESS
        return next((code for task in self.tasks if (code := _failure(task))), Code.OK)


class Hpm:
    """Answers the HPM.1 commands of one BMC; *patience* is how long it waits for the next block, in lab seconds."""

    def __init__(self, node: Node, *, patience: float) -> None:
        self._node = node
        self._patience = patience
        with node.exclusive() as machine:
            self._names = tuple(spec.name for spec in machine.personality.components[:COMPONENTS])
        self._upload: _Upload | None = None
        self._long: _Long | None = None
        self._uploaded: set[ComponentName] = set()
        self._activated = False
        self._rolled_back = 0
        self._rollback: _Long | None = None

    def commands(self) -> Commands:
        """Return what the BMC understands of this network function."""
        admin = Privilege.ADMINISTRATOR
        return {
            (NETFN, 0x2E): Command(self._capabilities, least=1),
            (NETFN, 0x2F): Command(self._property, least=3),
            (NETFN, 0x30): Command(self._abort, admin, least=1),
            (NETFN, 0x31): Command(self._initiate, admin, least=3),
            (NETFN, 0x32): Command(self._block, admin, least=3),
            (NETFN, _FINISH): Command(self._finish, admin, least=6),
            (NETFN, 0x34): Command(self._status, least=1),
            (NETFN, _ACTIVATE): Command(self._activate, admin, least=1),
            (NETFN, 0x36): Command(self._self_test, least=1),
            (NETFN, 0x37): Command(self._rollback_status, least=1),
            (NETFN, _ROLLBACK): Command(self._roll_back, admin, least=1),
        }

    def forget(self) -> None:
        """The BMC restarted: what was under way is not any more. What was rolled back stays known."""
        self._upload = self._long = self._rollback = None

    # -- what there is --------------------------------------------------------------------------

    def _capabilities(self, data: bytes, _: Caller) -> bytes:
        self._check(data)
        with self._node.exclusive() as machine:
            timing = machine.personality.timing
        writing, away = _ticks(timing.update), _ticks(timing.bmc_reset)
        present = (1 << len(self._names)) - 1
        return bytes([0x00, _SELF_TEST | _MANUAL_ROLLBACK | _DEFERRED, writing, 1, writing, away, present])

    def _property(self, data: bytes, _: Caller) -> bytes:
        self._check(data)
        if data[1] >= len(self._names):
            raise CompletionError(_BAD_COMPONENT)
        name = self._names[data[1]]
        with self._node.exclusive() as machine:
            view = _view(machine, name)
        match data[2]:
            case 0:
                return bytes([_general(view)])
            case 1:
                return version_octets(view.version)
            case 2:
                return name.encode("ascii", "replace")[: _NAME - 1].ljust(_NAME, b"\x00")
            case 3:
                return version_octets(view.previous)
            case 4:
                return version_octets(view.staged)
            case _:
                raise CompletionError(_BAD_PROPERTY)

    # -- upload ---------------------------------------------------------------------------------

    def _abort(self, data: bytes, _: Caller) -> bytes:
        self._check(data)
        if self._upload is not None:
            self._drop("the client aborted the upgrade")
        return b""

    def _initiate(self, data: bytes, _: Caller) -> bytes:
        self._check(data)
        mask, action = data[1], data[2]
        if not mask or mask >> len(self._names):
            raise CompletionError(_BAD_MASK)
        if action in (_BACK_UP, _PREPARE):
            return b""  # the BMC keeps a copy of what runs anyway, and has nothing to prepare
        if action != _UPLOAD:
            raise CompletionError(_BAD_ACTION)
        if mask.bit_count() != 1:
            raise CompletionError(_BAD_MASK)
        component = mask.bit_length() - 1
        with self._node.exclusive() as machine:
            if self._upload is not None:
                if self._upload.component == component and self._upload.block is None:
                    return b""
                raise CompletionError(Code.STATE)
            name = self._names[component]
            task = machine.begin_update(name, f"{name}.hpm", source="hpm")
            self._upload = _Upload(component, task, machine.time)
            machine.after(self._patience, self._look_for_silence)
        if self._activated:
            self._activated = False
            self._uploaded.clear()
        return b""

    def _block(self, data: bytes, _: Caller) -> bytes:
        self._check(data)
        upload = self._upload
        if upload is None:
            raise CompletionError(Code.STATE)
        number = data[1]
        with self._node.exclusive() as machine:
            upload.touched = machine.time
        if number == upload.block:
            return b""  # our answer was lost and the block came again
        if number != (0 if upload.block is None else (upload.block + 1) & 0xFF):
            raise CompletionError(Code.INVALID_DATA)
        if len(upload.octets) + len(data) > _LARGEST:
            raise CompletionError(_OUT_OF_SPACE)
        upload.block = number
        upload.octets += data[2:]
        return b""

    def _finish(self, data: bytes, _: Caller) -> bytes:
        self._check(data)
        component, length = data[1], int.from_bytes(data[2:6], "little")
        upload, long = self._upload, self._long
        if upload is None:
            if long is None or (long.command, long.component, long.length) != (_FINISH, component, length):
                raise CompletionError(Code.STATE)
            return self._answer(long)
        if component != upload.component:
            raise CompletionError(_WRONG_COMPONENT)
        if length != len(upload.octets):
            self._drop(f"{len(upload.octets)} bytes came of {length}")
            raise CompletionError(_SIZE_MISMATCH)
        self._upload = None
        with self._node.exclusive() as machine:
            facts, problem = _verified(machine, bytes(upload.octets))
            machine.image_received(upload.task, facts, error=problem)
            self._uploaded.add(self._names[component])
            self._long = _Long(_FINISH, (upload.task,), component, length)
            return self._answer(self._long)

    def _status(self, data: bytes, _: Caller) -> bytes:
        self._check(data)
        with self._node.exclusive() as machine:
            machine.advance()
            if self._long is None:
                return bytes([0x00, Code.OK])
            return bytes([self._long.command, self._long.code()])

    # -- activation and the way back ------------------------------------------------------------

    def _activate(self, data: bytes, _: Caller) -> bytes:
        self._check(data)
        with self._node.exclusive() as machine:
            waiting = [view for view in machine.components if view.staged is not None]
            if not waiting or self._upload is not None:
                raise CompletionError(Code.STATE)
            if any(view.activation is Activation.BMC_RESET for view in waiting):
                machine.reset_bmc()
        self._activated = True
        self._long = _Long(_ACTIVATE, ())
        return b""

    def _self_test(self, data: bytes, _: Caller) -> bytes:
        self._check(data)
        return _PASSED  # a BMC that answers has passed; the lab's never fail it

    def _roll_back(self, data: bytes, _: Caller) -> bytes:
        self._check(data)
        if self._rollback is not None and self._rollback.code() == _IN_PROGRESS:
            raise CompletionError(_IN_PROGRESS)
        with self._node.exclusive() as machine:
            last = machine.last_written
            numbers = [number for number, name in enumerate(self._names) if name in (self._uploaded or (last,))]
            if self._upload is not None or not numbers:
                raise CompletionError(Code.STATE)
            tasks = tuple(self._bring_back(machine, self._names[number]) for number in numbers)
            self._rolled_back = sum(1 << number for number in numbers)
            self._long = self._rollback = _Long(_ROLLBACK, tasks)
            self._restart_when_written()
            return self._answer(self._long)

    def _rollback_status(self, data: bytes, _: Caller) -> bytes:
        self._check(data)
        with self._node.exclusive() as machine:
            machine.advance()
            code = Code.OK if self._rollback is None else self._rollback.code()
        if not self._rolled_back:
            return bytes([0x00])  # none occurred
        if code == _IN_PROGRESS:
            raise CompletionError(_IN_PROGRESS)
        if code:
            raise CompletionError(_ROLLBACK_FAILED)
        return bytes([self._rolled_back])

    def _bring_back(self, machine: Machine, name: ComponentName) -> MachineTask:
        try:
            return machine.roll_back(name)
        except LabRefusal as refusal:
            code = refusal_code(refusal)
            raise CompletionError(_ROLLBACK_FAILED if code == Code.NOT_PRESENT else code) from refusal

    def _restart_when_written(self) -> None:
        """Restart the BMC for a bank switch, once nothing is being written that this would break off."""
        rollback = self._rollback
        if rollback is None:
            return  # it has restarted already
        with self._node.exclusive() as machine:
            if rollback.code() == _IN_PROGRESS:
                machine.after(1.0, self._restart_when_written)
                return
            switched = (_view(machine, name) for name in self._names)
            if any(view.staged is not None and view.activation is Activation.BMC_RESET for view in switched):
                with contextlib.suppress(LabRefusal):  # it is away already, or somebody else writes: later then
                    machine.reset_bmc()

    # -- inside ---------------------------------------------------------------------------------

    def _answer(self, long: _Long) -> bytes:
        code = long.code()
        if code:
            raise CompletionError(code)
        return b""

    def _look_for_silence(self) -> None:
        """Give up an upload whose client is gone, or no update would ever begin again."""
        upload = self._upload
        if upload is None:
            return
        with self._node.exclusive() as machine:
            left = upload.touched + self._patience - machine.time
            if left > 0:
                machine.after(left, self._look_for_silence)
            else:
                self._drop("no more blocks came")

    def _drop(self, why: str) -> None:
        upload, self._upload = self._upload, None
        if upload is not None:
            with self._node.exclusive() as machine:
                machine.transfer_failed(upload.task, why)

    @staticmethod
    def _check(data: bytes) -> None:
        if data[0] != _PICMG:
            raise CompletionError(Code.INVALID_COMMAND)


def _view(machine: Machine, name: ComponentName) -> ComponentView:
    return next(view for view in machine.components if view.name == name)


def _general(view: ComponentView) -> int:
    always = _KEEPS_BACKUP | _TAKES_PREPARATION  # without the second, ipmitool refuses images that prepare
    match view.activation:
        case Activation.IMMEDIATE:
            return always
        case Activation.HOST_RESET:
            return always | _ACTIVATION_DEFERRED | _NEEDS_HOST_RESET
        case Activation.BMC_RESET:
            return always | _ACTIVATION_DEFERRED
        case unknown:
            assert_never(unknown)


def _failure(task: MachineTask) -> int:
    """Say in HPM.1's words why *task* failed; 0: it did not."""
    if task.state in _ENDED_WELL:
        return 0
    last = task.messages[-1].message_id.rpartition(".")[2] if task.messages else ""
    return {
        "VerificationFailed": _DOES_NOT_VERIFY,
        "NoTargetsDetermined": _WRONG_COMPONENT,
        "UpdateInProgress": int(Code.BUSY),
    }.get(last, int(Code.UNSPECIFIED))


def _verified(machine: Machine, octets: bytes) -> tuple[ImageFacts | None, str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "image")
        path.write_bytes(octets)
        try:
            facts = read_image(path)
        except ImageError as error:
            return None, str(error)
        machine.backend.keep_image(path, facts)
        return facts, ""


def _ticks(seconds: float) -> int:
    return min(math.ceil(seconds / _TICK) + 1, 0xFF)
