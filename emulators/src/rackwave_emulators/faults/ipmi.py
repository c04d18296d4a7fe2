"""What goes wrong on a BMC's IPMI port."""

from __future__ import annotations

from enum import StrEnum

from attrs import frozen

from .fault import Fault, Label


class Side(StrEnum):
    """Which datagram is lost: the client's, before the BMC acts on it, or the BMC's answer."""

    REQUEST = "request"
    ANSWER = "answer"


@frozen(kw_only=True)
class IpmiPacketLost(Fault):
    """A datagram is lost on its way. A lossy network is *count* null and a *chance* for each side."""

    id = "ipmi-packet-lost"
    story = "a datagram to or from the IPMI port is lost"
    label = Label.WIRE

    side: Side = Side.REQUEST


@frozen(kw_only=True)
class IpmiSilent(Fault):
    """The IPMI port does not answer at all; the host, and Redfish, go on. *until_restart*: as for redfish-dead."""

    id = "ipmi-silent"
    story = "IPMI is dead while Redfish still answers"
    label = Label.WIRE
    pathologies = ("P39",)

    count: int | None = None
    until_restart: bool = False


@frozen(kw_only=True)
class IpmiSessionsDropped(Fault):
    """The BMC forgets its IPMI sessions and is silent to whoever goes on with one."""

    id = "ipmi-sessions-dropped"
    story = "the BMC forgets its IPMI sessions in mid-use"
    label = Label.WIRE
    pathologies = ("P31",)
