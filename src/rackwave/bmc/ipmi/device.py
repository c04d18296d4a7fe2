"""The BMC itself: who it is, and its restart with the proof of it (IPMI 2.0, chapter 20)."""

from __future__ import annotations

from attrs import frozen

from ...core.receipt import Accepted, Ambiguous, Receipt, Refused
from ...errors import BmcUnreachableError, NodeError, SecretError
from ...ports import Clock
from . import completion
from .session import GET_DEVICE_ID, Command, Session

COLD_RESET = Command(0x06, 0x02, "Cold Reset")
WAY = "IPMI Cold Reset"

VERIFY_FOR = 30.0
"""Seconds in which a BMC that restarts is gone; they take one to ten until they begin."""
_VERIFY_EVERY = 2.0


@frozen
class DeviceId:
    """Get Device ID (20.1): *version* is the firmware's, ``1.02``; *manufacturer* an IANA enterprise number."""

    device: int
    version: str
    updating: bool
    manufacturer: int
    product: int
    revision: tuple[int, int]
    """The version as it is told: the minor number in BCD, so that it sorts."""


async def device_id(session: Session) -> DeviceId:
    """Read who the BMC is.

    Raises:
        NodeError: as `Session.ask`.
    """
    data = await session.ask(GET_DEVICE_ID, least=11)
    return DeviceId(
        device=data[0],
        version=f"{data[2] & 0x7F}.{data[3]:02x}",  # the minor version is in BCD
        updating=bool(data[2] & 0x80),
        manufacturer=int.from_bytes(data[6:9], "little") & 0xF_FFFF,
        product=int.from_bytes(data[9:11], "little"),
        revision=(data[2] & 0x7F, data[3]),
    )


async def cold_reset(session: Session, clock: Clock) -> Receipt:
    """Restart the BMC, once, and see whether it does.

    BMCs under lockdown say yes and do nothing (P38). A BMC that restarts forgets its sessions, so ours is
    the witness: it still lives after half a minute where nothing has happened.

    Raises:
        NodeError: not sent; as `Session.act`.
    """
    receipt = completion.receipt_of(await session.act(COLD_RESET), WAY)
    if not isinstance(receipt, Accepted):
        return receipt
    until = clock.monotonic() + VERIFY_FOR
    while True:
        await clock.sleep(_VERIFY_EVERY)
        lives = await _lives(session)
        if lives is False:
            return receipt
        if clock.monotonic() >= until:
            break
    if lives is None:
        return Ambiguous(f"{WAY} was accepted, and nothing shows whether the BMC restarted")
    return Refused(
        f"{WAY} was accepted, and {VERIFY_FOR:.0f} s later the BMC has not restarted (P38: is it locked down?)"
    )


async def _lives(session: Session) -> bool | None:
    """Whether the BMC has not restarted since the session began; None: nobody knows."""
    try:
        lives = await session.still_lives()
        if lives is not None:
            return lives
        await session.ask(GET_DEVICE_ID)  # each command is a session of its own: only silence tells
    except BmcUnreachableError:
        return False
    except (NodeError, SecretError):  # the restart was sent: whatever is told now does not take it back
        return None
    return None
