"""The App network function (06h): who the BMC is, its restarts, its sessions and its accounts (chapters 20, 22)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from .ciphers import SUITES
from .codes import Caller, Code, Command, Commands, CompletionError, Privilege
from .node import Node
from .sessions import Sessions
from .version import WireVersion

NETFN = 0x06
CHANNEL = 1
_THIS_CHANNEL = 0x0E
_SLOTS = 2  # accounts: the anonymous one of slot 1, which is off, and the lab's own in slot 2
_ACCOUNT = 2
_SUITE_BYTES = 16  # how many bytes of the cipher suite records come at a time (22.15)
DEVICE_ID = 0x20
PRODUCT_ID = 0x0001
_MANUFACTURERS: Mapping[str, int] = {
    "Dell": 674,
    "HPE": 47196,
    "Hewlett": 47196,
    "Lenovo": 19046,
    "NVIDIA": 5703,
    "OpenBMC": 49871,
    "Supermicro": 10876,
}
_PASSED = b"\x55\x00"  # Self Test Results (20.4)
_ALREADY_GONE = 0x87  # Close Session: there is no session of this id


def manufacturer(vendor: str) -> int:
    """Return the IANA enterprise number that a BMC of *vendor* tells; 0 means unspecified (20.1)."""
    return next((number for name, number in _MANUFACTURERS.items() if vendor.startswith(name)), 0)


class Application:
    """Answers the App commands of one BMC; *end* is told of a session that is to end after its answer."""

    def __init__(self, node: Node, sessions: Sessions, *, guid: bytes, end: Callable[[int], None]) -> None:
        self._node = node
        self._sessions = sessions
        self._guid = guid
        self._end = end

    def commands(self) -> Commands:
        """Return what the BMC understands of this network function."""
        user, anyone = Privilege.USER, Privilege.NONE
        return {
            (NETFN, 0x01): Command(self._device_id),
            (NETFN, 0x02): Command(self._cold_reset, Privilege.ADMINISTRATOR),
            (NETFN, 0x03): Command(self._cold_reset, Privilege.ADMINISTRATOR),  # there is one kind of restart
            (NETFN, 0x04): Command(lambda *_: _PASSED),
            (NETFN, 0x08): Command(lambda *_: self._guid),
            (NETFN, 0x37): Command(lambda *_: self._guid, anyone),
            (NETFN, 0x38): Command(self._authentication_capabilities, anyone, least=2),
            (NETFN, 0x3B): Command(self._set_privilege, user, least=1),
            (NETFN, 0x3C): Command(self._close_session, Privilege.CALLBACK, least=4),
            (NETFN, 0x3D): Command(self._session_info, user, least=1),
            (NETFN, 0x41): Command(self._channel_access, user, least=2),
            (NETFN, 0x42): Command(self._channel_info, user, least=1),
            (NETFN, 0x44): Command(self._user_access, Privilege.OPERATOR, least=2),
            (NETFN, 0x46): Command(self._user_name, Privilege.OPERATOR, least=1),
            (NETFN, 0x54): Command(self._cipher_suites, anyone, least=3),
        }

    # -- the BMC itself -------------------------------------------------------------------------

    def _device_id(self, _: bytes, __: Caller) -> bytes:
        with self._node.exclusive() as machine:
            told = next((view.version for view in machine.components if view.name == "BMC"), None)
            updating = machine.updating
        version = WireVersion.of(told or "0.0")
        return struct.pack(
            "<BBBBBB3sHBBBB",
            DEVICE_ID,
            0x81,  # has SDRs, revision 1
            version.major | (0x80 if updating else 0),  # bit 7: firmware is being updated
            version.bcd,
            0x02,  # IPMI 2.0
            0xBF,  # sensors, SDRs, SEL, FRU inventory, events both ways, chassis; no bridge
            manufacturer(self._node.vendor).to_bytes(3, "little"),
            PRODUCT_ID,
            *version.auxiliary,
        )

    def _cold_reset(self, _: bytes, __: Caller) -> bytes:
        with self._node.exclusive() as machine:
            machine.reset_bmc()  # under lockdown it says that it did, and does nothing (P38)
        return b""

    # -- sessions -------------------------------------------------------------------------------

    def _authentication_capabilities(self, data: bytes, _: Caller) -> bytes:
        if data[0] & 0x0F not in (CHANNEL, _THIS_CHANNEL):
            raise CompletionError(Code.INVALID_DATA)
        if data[1] & 0x0F not in range(1, 6):
            raise CompletionError(Code.INVALID_DATA)
        extended = bool(data[0] & 0x80)
        # Only sessions of IPMI 2.0, only accounts with names, every message authenticated, no Kg.
        return bytes([CHANNEL, 0x80 if extended else 0x00, 0x04, 0x02 if extended else 0x00]) + bytes(4)

    def _cipher_suites(self, data: bytes, _: Caller) -> bytes:
        if data[0] & 0x0F not in (CHANNEL, _THIS_CHANNEL) or data[1] & 0x3F:
            raise CompletionError(Code.INVALID_DATA)
        records = b"".join(
            bytes([0xC0, suite.number, suite.authentication, 0x40 | suite.integrity, 0x80 | suite.confidentiality])
            for suite in SUITES.values()
        )
        start = (data[2] & 0x3F) * _SUITE_BYTES
        return bytes([CHANNEL]) + records[start : start + _SUITE_BYTES]

    def _set_privilege(self, data: bytes, caller: Caller) -> bytes:
        session = self._sessions.opened_as(caller.session)
        if session is None:
            raise CompletionError(Code.STATE)
        wanted = data[0] & 0x0F
        if wanted == Privilege.CALLBACK or wanted > 5:
            raise CompletionError(Code.INVALID_DATA)
        if wanted > session.limit:
            raise CompletionError(0x81)  # exceeds what the account or the session may have (22.18)
        if wanted:
            session.privilege = Privilege(wanted)
        return bytes([session.privilege])

    def _close_session(self, data: bytes, caller: Caller) -> bytes:
        wanted = int.from_bytes(data[:4], "little")
        if not wanted and len(data) > 4:
            other = self._sessions.by_handle(data[4])
            wanted = 0 if other is None else other.id
        if wanted == caller.session:
            self._end(wanted)
        elif caller.privilege < Privilege.ADMINISTRATOR:
            raise CompletionError(Code.PRIVILEGE)
        elif not wanted or not self._sessions.close(wanted):
            raise CompletionError(_ALREADY_GONE)
        return b""

    def _session_info(self, data: bytes, caller: Caller) -> bytes:
        head = bytes([caller.handle, self._sessions.cap, len(self._sessions)])
        if data[0] not in (0x00, 0xFF):
            return b"\x00" + head[1:]  # other sessions are not told about
        return head + bytes([_ACCOUNT, caller.privilege, 0x10 | CHANNEL])

    # -- channel and accounts -------------------------------------------------------------------

    def _channel_access(self, data: bytes, _: Caller) -> bytes:
        self._check_channel(data[0])
        return bytes([0x02, Privilege.ADMINISTRATOR])  # always available

    def _channel_info(self, data: bytes, _: Caller) -> bytes:
        self._check_channel(data[0])
        # 802.3 LAN, IPMB-1.0 message format, multi-session, number of open sessions, vendor IPMI (IANA 7154)
        return bytes([CHANNEL, 0x04, 0x01, 0x80 | len(self._sessions), 0xF2, 0x1B, 0x00, 0x00, 0x00])

    def _user_access(self, data: bytes, _: Caller) -> bytes:
        self._check_channel(data[0])
        slot = self._slot(data[1])
        # How many slots there are, how many are on, how many names are fixed; link and messaging of this one.
        access = 0x30 | Privilege.ADMINISTRATOR if slot == _ACCOUNT else 0x0F
        return bytes([_SLOTS, 0x40 | 1 if slot == _ACCOUNT else 0x80 | 1, 2, access])

    def _user_name(self, data: bytes, _: Caller) -> bytes:
        name = self._sessions.account_name if self._slot(data[0]) == _ACCOUNT else b""
        return name.ljust(16, b"\x00")

    def _slot(self, told: int) -> int:
        slot = told & 0x3F
        if not 1 <= slot <= _SLOTS:
            raise CompletionError(Code.INVALID_DATA)
        return slot

    def _check_channel(self, told: int) -> None:
        if told & 0x0F not in (CHANNEL, _THIS_CHANNEL):
            raise CompletionError(Code.INVALID_DATA)
