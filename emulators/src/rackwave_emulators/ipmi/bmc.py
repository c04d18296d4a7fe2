"""One BMC's IPMI face: from the bytes of a datagram to those of its answer, without a socket."""

from __future__ import annotations

import random
from collections.abc import Callable

from attrs import asdict, define

from rackwave.ports import Clock

from ..refusal import LabRefusal
from . import wire
from .application import Application
from .chassis import Chassis
from .codes import Caller, Code, Command, CompletionError, Privilege, refusal_code
from .hpm import Hpm
from .lan import Lan
from .node import Node
from .sessions import OPENING, TIMEOUT, Credentials, Session, Sessions
from .storage import Storage

_SESSION_CAP = 15
_GROUPS = (0x2C, 0x2D)  # their data begin with the body whose extension it is, in requests and answers


@define
class IpmiCounters:
    """What came over the wire: datagrams, those that were read as requests, and those that were dropped."""

    datagrams: int = 0
    requests: int = 0
    dropped: int = 0

    def clear(self) -> None:
        """Start again from zero."""
        self.datagrams = self.requests = self.dropped = 0


class IpmiBmc:
    """Answers datagrams for *node*."""

    def __init__(
        self,
        node: Node,
        credentials: Callable[[], Credentials],
        clock: Clock,
        chance: random.Random,
        *,
        session_cap: int = _SESSION_CAP,
        session_timeout: float = TIMEOUT,
    ) -> None:
        self._node = node
        self._boot = node.bmc_boot()
        self._ending: int | None = None
        self.counters = IpmiCounters()
        # The specification gives a GUID its least significant byte first (20.8); clients only hash and show it.
        guid = bytes.fromhex(node.uuid.replace("-", ""))[::-1]
        self.sessions = Sessions(credentials, clock, chance, guid=guid, cap=session_cap, timeout=session_timeout)
        self._witness = node.witness
        self._hpm = Hpm(node, patience=session_timeout)
        self._commands: dict[tuple[int, int], Command] = {
            **Application(node, self.sessions, guid=guid, end=self._end).commands(),
            **Chassis(node).commands(),
            **Storage(node, self._witness).commands(),
            **Lan(node).commands(),
            **self._hpm.commands(),
        }

    def answer(self, datagram: bytes) -> bytes | None:
        """Answer one datagram; None: a BMC says nothing to it."""
        self.counters.datagrams += 1
        answer = self._answer(datagram) if self._is_up() else None
        if answer is None:
            self.counters.dropped += 1
        return answer

    def truth(self) -> dict[str, int]:
        """Tell what came over the wire, and how many sessions there are and were."""
        return {
            "sessions_open": len(self.sessions),
            "sessions_opened": self.sessions.opened,
            **asdict(self.counters),
        }

    def _is_up(self) -> bool:
        alive = self._node.is_up()
        if not alive or self._boot != self._node.bmc_boot():
            self._boot = self._node.bmc_boot()
            self.sessions.forget()
            self._hpm.forget()
        return alive

    def _answer(self, datagram: bytes) -> bytes | None:
        match wire.parse(datagram):
            case wire.Ping(tag):
                return wire.pong(tag)
            case wire.Sessionless(payload):
                answer = self._command(payload, Caller())
                return None if answer is None else wire.sessionless(answer)
            case wire.Packet(session=0) as packet:
                return self._outside(packet)
            case wire.Packet() as packet:
                return self._inside(packet)
            case None:
                return None

    def _outside(self, packet: wire.Packet) -> bytes | None:
        if packet.encrypted or packet.authenticated or packet.sequence:
            return None
        if packet.kind == wire.PAYLOAD_IPMI:
            kind, answer = packet.kind, self._command(packet.payload, Caller())
        elif packet.kind in OPENING:
            act, kind = OPENING[packet.kind]
            answer = act(self.sessions, packet.payload)
        else:
            return None
        return None if answer is None else wire.rmcp_plus(wire.framed(wire.Packet(kind, 0, 0, answer)))

    def _inside(self, packet: wire.Packet) -> bytes | None:
        session = self.sessions.opened_as(packet.session)
        if session is None or session.keys is None or not (packet.encrypted and packet.authenticated):
            return None
        signed = packet.signed(session.suite.code_length)
        if signed is None or session.keys.sign(signed[0]) != signed[1] or not session.admits(packet.sequence):
            return None
        payload = session.keys.decrypt(packet.payload)
        if payload is None or packet.kind != wire.PAYLOAD_IPMI:
            return None
        caller = Caller(session.id, session.handle, session.privilege, session.limit)
        answer = self._command(payload, caller)
        if answer is None:
            return None
        sealed = self._seal(session, answer)
        if self._ending is not None:
            self.sessions.close(self._ending)
            self._ending = None
        return sealed

    def _seal(self, session: Session, payload: bytes) -> bytes | None:
        if session.keys is None:
            return None
        packet = wire.framed(
            wire.Packet(
                kind=wire.PAYLOAD_IPMI,
                session=session.console,
                sequence=session.next_sequence(),
                payload=session.keys.encrypt(payload, self.sessions.random(16)),
                encrypted=True,
                authenticated=True,
            )
        )
        return wire.rmcp_plus(packet) + session.keys.sign(packet.body + packet.trailer)

    def _end(self, session_id: int) -> None:
        """Have a session end once the answer under its keys is made."""
        self._ending = session_id

    def _command(self, payload: bytes, caller: Caller) -> bytes | None:
        message = wire.parse_message(payload)
        if message is None:
            return None
        self.counters.requests += 1
        code, data = self._run(message, caller)
        if message.netfn in _GROUPS:
            data = message.data[:1] + data
        return message.answer(code, data)

    def _run(self, message: wire.Message, caller: Caller) -> tuple[int, bytes]:
        command = self._commands.get((message.netfn, message.command))
        if command is None:
            # A stranger learns nothing about which commands there are.
            return (Code.INVALID_COMMAND if caller.session else Code.PRIVILEGE), b""
        if message.lun:
            return Code.INVALID_FOR_LUN, b""
        if command.privilege is not Privilege.NONE and caller.privilege < command.privilege:
            return Code.PRIVILEGE, b""
        if len(message.data) < command.least:
            return Code.LENGTH, b""
        try:
            data = command.act(message.data, caller)
        except CompletionError as end:
            return end.code, end.data
        except LabRefusal as refusal:
            return refusal_code(refusal), b""
        if command.privilege >= Privilege.OPERATOR:
            self._witness.catch_up()  # so that what the command did is dated now, and not when it shows
        return Code.OK, data
