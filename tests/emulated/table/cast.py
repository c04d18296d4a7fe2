"""Who plays what: every way to bring a row of the catalogue about, and how it is put on a rollout's way.

Each fault of each row gets a node of its own, and the bundle that meets it: one with a BIOS image for most,
one with BMC firmware where the BMC's restart is the matter, one with NIC firmware, one with BIOS settings.
A row that a make cannot have is said to be so with the reason; it is counted, not left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum

import attrs
import pytest
from attrs import field, frozen

from rackwave.core.bundle import AttributeValue
from rackwave_emulators.faults import (
    ROWS,
    AccountLocks,
    AcStays,
    BadHealth,
    BmcFlaps,
    Busy,
    CertificateChanges,
    ChunkedRefused,
    CollectionsPaged,
    CycleUnsupported,
    EtagTrouble,
    ExpandLies,
    FactoryReset,
    Fault,
    FetchFails,
    FetchTrouble,
    GarbledError,
    IfMatchOnAction,
    InventoryDoubles,
    InventoryLags,
    IpmiSilent,
    JobPending,
    KeepAliveDropped,
    Label,
    LinkBreaks,
    LocationHidden,
    Lockdown,
    Moment,
    MonitorConsumed,
    NeedsAcCycle,
    OddVersions,
    PowerLies,
    PowerRefused,
    PowerRefusedInTask,
    PushClaim,
    ReadsIncomplete,
    RedfishDead,
    RefusedWhen,
    RogueWriter,
    Row,
    SessionsExpire,
    StagedOnly,
    SteppingStones,
    TaskLate,
    TaskPurged,
    TaskWaits,
    TaskWord,
    TwoTasks,
    VersionsNeedHost,
    fault_as_dict,
)
from rackwave_emulators.personality import Personality, Rules

MAKES = ("plain", "idrac", "ilo5", "ilo6", "xcc", "supermicro", "openbmc", "hgx")
_LONG = ("ilo6", "xcc", "supermicro", "hgx")
"""Makes that ``nox -s pathologies`` and ``nox -s long`` play: in a run of all tests others stand for them."""


def sometimes(make: str) -> object:
    """*make* as a parameter of a test, marked where it need not be played each time."""
    return pytest.param(make, marks=pytest.mark.long) if make in _LONG else make


OLD, NEW = "1.0.0", "2.0.0"


class Reach(StrEnum):
    """By which ways the node's BMC is reached."""

    REDFISH = "redfish"
    BOTH = "both"
    IPMI = "ipmi"


class Carries(StrEnum):
    """What the bundle brings that meets the fault."""

    BIOS = "bios"
    BMC = "bmc"
    NIC = "nic"
    SETTINGS = "settings"


@frozen
class Part:
    """One node's part: a row of the catalogue, brought about by *faults*, of which the first is the row's.

    *avoided* says why the fault never strikes our client, where it does not; *not_here* why the make cannot have it.
    *stranger* settings wait on the machine before anything begins.
    """

    row: str
    name: str
    faults: tuple[Fault, ...]
    carries: Carries = Carries.BIOS
    avoided: str = ""
    not_here: str = ""
    stranger: Mapping[str, AttributeValue] = field(factory=dict)

    @property
    def key(self) -> str:
        """Row and fault, as the list of misses names them."""
        return f"{self.row} {self.name}"


COLOURING = (
    *(AccountLocks, BadHealth, CollectionsPaged, CycleUnsupported, EtagTrouble, InventoryDoubles, OddVersions),
    *(PowerLies, PowerRefusedInTask, PushClaim, ReadsIncomplete, VersionsNeedHost, ExpandLies, IpmiSilent),
)
"""Faults that colour what is told for as long as they last, so that the lab does not count them as struck."""


OF_REDFISH = (TaskPurged, TaskLate, TaskWord, TaskWaits, TwoTasks)
"""Faults of the machine that only its Redfish tasks show; HPM.1 has none."""


@frozen
class _Staging:
    """How a fault is put on: parameters that differ, what else it takes, and where it cannot be."""

    carries: Carries = Carries.BIOS
    given: Mapping[str, object] = field(factory=dict)
    also: tuple[Fault, ...] = ()
    cannot: Callable[[Rules], str] = lambda _: ""
    avoids: Callable[[Rules, Fault], str] = lambda *_: ""
    stranger: Mapping[str, AttributeValue] = field(factory=dict)


def _without_tasks(rules: Rules) -> str:
    return "" if rules.tasks else "this make has no update tasks"


def _without_pull(rules: Rules) -> str:
    return "" if rules.pull else "this make fetches nothing: images are pushed to it"


def _without_settings(rules: Rules) -> str:
    return "" if rules.bios_attributes else "this make has no BIOS attributes, and updates need no If-Match"


def _when_power_is_refused(_: Rules, fault: Fault) -> str:
    match fault:
        case PowerRefused(when=RefusedWhen.JUST_OFF):
            return ""
        case PowerRefused(when=RefusedWhen.POST):
            return "no reset is sent into a POST"
        case _:
            return "power is looked at before it is changed"


def _what_is_served(_: Rules, fault: Fault) -> str:
    match fault:
        case FetchFails(because=FetchTrouble.QUERY):
            return "our URLs have no query"
        case FetchFails(because=FetchTrouble.RANGE):
            return "our image server sends ranges"
        case _:
            return ""


_PLAYED: Mapping[type[Fault], _Staging] = {
    TaskPurged: _Staging(cannot=_without_tasks),
    TaskLate: _Staging(cannot=_without_tasks),
    TaskWord: _Staging(cannot=_without_tasks),
    MonitorConsumed: _Staging(cannot=_without_tasks, avoids=lambda *_: "tasks are followed, not their monitors"),
    LocationHidden: _Staging(cannot=_without_tasks),
    TaskWaits: _Staging(cannot=_without_tasks),
    TwoTasks: _Staging(cannot=_without_tasks),
    # A BIOS waits for its reset anyway; that a BMC's own image does is news.
    StagedOnly: _Staging(Carries.BMC),
    ChunkedRefused: _Staging(avoids=lambda *_: "uploads have a Content-Length"),
    PushClaim: _Staging(avoids=lambda rules, _: "images are fetched, not pushed" if rules.pull else ""),
    SteppingStones: _Staging(given={"versions": f"{OLD} 1.5.0 {NEW}"}),
    FetchFails: _Staging(given={"extension": ".exe"}, cannot=_without_pull, avoids=_what_is_served),
    Busy: _Staging(given={"at": Moment.WRITE}),
    GarbledError: _Staging(given={"path": "UpdateService"}),
    JobPending: _Staging(Carries.SETTINGS, cannot=_without_settings, stranger={"SriovGlobalEnable": "Enabled"}),
    ReadsIncomplete: _Staging(given={"at": Moment.WRITTEN}),
    EtagTrouble: _Staging(Carries.SETTINGS, cannot=_without_settings),
    IfMatchOnAction: _Staging(avoids=lambda *_: "actions are sent without If-Match"),
    SessionsExpire: _Staging(given={"at": Moment.WRITE, "after": 5.0}),
    # A connection that stands goes on with the certificate it has seen.
    CertificateChanges: _Staging(given={"at": Moment.WRITE}, also=(KeepAliveDropped(at=Moment.WRITE),)),
    BmcFlaps: _Staging(Carries.BMC),
    AcStays: _Staging(also=(NeedsAcCycle(),)),
    Lockdown: _Staging(Carries.BMC),
    RedfishDead: _Staging(given={"at": Moment.WRITE}),
    FactoryReset: _Staging(Carries.BMC, {"at": Moment.WRITTEN}),
    # Power goes off and on again only where there is no restart.
    PowerRefused: _Staging(given={"seconds": 60.0}, also=(CycleUnsupported(),), avoids=_when_power_is_refused),
    LinkBreaks: _Staging(given={"seconds": 900.0}),
    AccountLocks: _Staging(avoids=lambda *_: "one refused login is the last"),
    PowerLies: _Staging(given={"at": Moment.WRITE}),
    BadHealth: _Staging(given={"version": NEW}),
    InventoryLags: _Staging(given={"component": "BIOS"}),
    VersionsNeedHost: _Staging(Carries.NIC),
    ExpandLies: _Staging(avoids=lambda *_: "$expand is not used"),
    RogueWriter: _Staging(given={"at": Moment.WRITE, "after": 1.0}),
}


def _without_redfish(fault: Fault, carries: Carries) -> str:
    """Say why a node that is reached by IPMI alone cannot have *fault*."""
    if carries is Carries.SETTINGS:
        return "IPMI sets no BIOS attributes"
    if isinstance(fault, OF_REDFISH) or (fault.label is Label.WIRE and not fault.id.startswith("ipmi-")):
        return "a matter of Redfish, which this node is not reached by"
    return ""


def parts(make: Personality, reach: Reach = Reach.REDFISH) -> Iterator[Part]:
    """Return every part that there is for *make*, those that it cannot have included."""
    for row in ROWS.values():
        for preset in row.presets:
            staging = _PLAYED.get(preset.kind, _Staging())
            fault = attrs.evolve(preset.fault, **staging.given)
            yield Part(
                row=row.id,
                name=_named(preset.fault, row),
                faults=(fault, *staging.also),
                carries=staging.carries,
                avoided=staging.avoids(make.rules, fault),
                not_here=(reach is Reach.IPMI and _without_redfish(fault, staging.carries))
                or staging.cannot(make.rules),
                stranger=staging.stranger,
            )


def _named(fault: Fault, row: Row) -> str:
    """The fault's id and the words in which it differs from the row's others of its kind."""
    alike = [fault_as_dict(preset.fault) for preset in row.presets if preset.kind is type(fault)]
    told = fault_as_dict(fault)
    words = [str(told[name]) for name in told if len({str(other[name]) for other in alike}) > 1]
    return " ".join((fault.id, *words))
