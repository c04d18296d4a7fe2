"""The fifty rows of the catalogue of pathologies.

A row is told by its story, its label, and the ways it can be brought about: a fault with parameters,
the first of them by default.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping

from attrs import field, frozen

from . import control, http, inventory, ipmi, power, queues, tasks, transfer
from .fault import Fault, Label


@frozen
class Preset:
    """A way to bring a row about: a fault, and the parameters in which it differs from its defaults."""

    kind: type[Fault]
    parameters: Mapping[str, object] = field(factory=dict)

    @property
    def fault(self) -> Fault:
        """The fault itself."""
        make: Callable[..., Fault] = self.kind
        return make(**self.parameters)


@frozen
class Row:
    """One pathology of real BMCs."""

    id: str
    label: Label
    story: str
    presets: tuple[Preset, ...]


def _row(row_id: str, label: Label, story: str, *presets: type[Fault] | Preset) -> Row:
    return Row(row_id, label, story, tuple(p if isinstance(p, Preset) else Preset(p) for p in presets))


def _with(kind: type[Fault], **parameters: object) -> Preset:
    return Preset(kind, types.MappingProxyType(parameters))


_WIRE, _MACHINE, _CONTROL = Label.WIRE, Label.MACHINE, Label.CONTROL

ROWS: Mapping[str, Row] = types.MappingProxyType(
    {
        row.id: row
        for row in (
            _row("P01", _MACHINE, "the update task is gone after the BMC rebooted", tasks.TaskVanishes),
            _row(
                "P02", _MACHINE, "the task is purged the moment it succeeds, the vendor's job stays", tasks.TaskPurged
            ),
            _row(
                "P03",
                _MACHINE,
                "a vanished task is no success: nothing was staged",
                _with(tasks.TaskVanishes, applied=False),
            ),
            _row("P04", _MACHINE, "a GET on a task just created answers 404 for some seconds", tasks.TaskLate),
            _row(
                "P05",
                _MACHINE,
                "a running task says New, or a vendor's own word",
                tasks.TaskWord,
                _with(tasks.TaskWord, word="Downloading"),
            ),
            _row("P06", _MACHINE, "Completed, 100 %, and Critical: it failed", tasks.CompletedCritical),
            _row("P07", _MACHINE, "Completed means staged: nothing is applied until a reset", transfer.StagedOnly),
            _row("P08", _MACHINE, "power and further work are refused while a task runs", tasks.PowerRefusedInTask),
            _row(
                "P09",
                _WIRE,
                "a GET deletes the task monitor; HttpPushUriTargetsBusy must be claimed and released",
                tasks.MonitorConsumed,
                tasks.PushClaim,
            ),
            _row(
                "P10",
                _WIRE,
                "the 202 has no usable Location",
                *(_with(tasks.LocationHidden, where=where) for where in tasks.HiddenIn),
            ),
            _row(
                "P11",
                _MACHINE,
                "the task waits in UserIntervention or Suspended for ever",
                *(_with(tasks.TaskWaits, state=state) for state in tasks.Waiting),
            ),
            _row(
                "P12",
                _WIRE,
                "the update was accepted and the answer lost",
                _with(http.AnswerLost, path="UpdateService"),
            ),
            _row("P13", _WIRE, "chunked uploads are refused; Content-Length is needed", transfer.ChunkedRefused),
            _row("P14", _MACHINE, "the update reboots the host unasked", transfer.RebootsUnasked),
            _row(
                "P15", _MACHINE, "a power cycle too soon after the upload breaks the BIOS-BMC link", transfer.LinkBreaks
            ),
            _row(
                "P16",
                _MACHINE,
                "success without a change, or an error though the change took",
                transfer.CompletedUnapplied,
                transfer.ErrorThoughApplied,
            ),
            _row(
                "P17", _MACHINE, "a direct jump is refused; stepping-stone versions are needed", transfer.SteppingStones
            ),
            _row("P18", _MACHINE, "403: the feature needs a licence", transfer.LicenceMissing),
            _row("P19", _MACHINE, "one upload creates two tasks, Verify and Update", tasks.TwoTasks),
            _row(
                "P20",
                _WIRE,
                "the BMC cannot fetch the image",
                *(_with(transfer.FetchFails, because=why) for why in transfer.FetchTrouble),
            ),
            _row("P21", _MACHINE, "the job queue is stuck; clearing it leaves reads incomplete", queues.QueueStuck),
            _row(
                "P22",
                _WIRE,
                "'already committed' with a job pending; 503 with Retry-After for minutes",
                queues.Busy,
                queues.JobPending,
            ),
            _row("P23", _MACHINE, "the lifecycle controller is 'in use' for half a day", queues.InUse),
            _row(
                "P24",
                _WIRE,
                "error bodies that nobody can read",
                *(_with(queues.GarbledError, body=body) for body in queues.ErrorBody),
            ),
            _row(
                "P25",
                _MACHINE,
                "data sources unavailable, properties missing for some 20 s",
                *(
                    _with(queues.ReadsIncomplete, how=how)
                    for how in (queues.Incomplete.MISSING, queues.Incomplete.UNAVAILABLE)
                ),
            ),
            _row("P26", _WIRE, "the session cap is reached: 503 on login until sessions expire", queues.SessionsTaken),
            _row(
                "P27",
                _WIRE,
                "the keep-alive connection is dropped in mid-use",
                http.KeepAliveDropped,
                _with(http.RequestLost, method="*"),
                _with(http.AnswerLost, method="GET"),
            ),
            _row(
                "P28",
                _WIRE,
                "If-Match is required, or odd tags mismatch",
                *(_with(http.EtagTrouble, how=how) for how in http.Etags),
            ),
            _row("P29", _WIRE, "If-Match on an action fails for good", http.IfMatchOnAction),
            _row("P30", _WIRE, "session login answers 404 or 5xx", http.LoginFails, _with(http.LoginFails, status=404)),
            _row("P31", _WIRE, "the session expires in mid-rollout: 401 on a poll", http.SessionsExpire),
            _row(
                "P32",
                _WIRE,
                "the BMC's certificate changes",
                *(_with(http.CertificateChanges, to=to) for to in http.Certificate),
            ),
            _row("P33", _MACHINE, "the BMC's clock is years off", http.ClockOff),
            _row("P34", _MACHINE, "the account is locked after too many failed logins", http.AccountLocks),
            _row(
                "P35",
                _MACHINE,
                "409 just after power-off, in that state already, or during POST",
                *(_with(power.PowerRefused, when=when) for when in power.RefusedWhen),
            ),
            _row("P36", _MACHINE, "one good answer after a BMC reset proves nothing: it flaps", power.BmcFlaps),
            _row(
                "P37",
                _MACHINE,
                "an AC drain is needed, and may cut no power on twin chassis",
                transfer.NeedsAcCycle,
                power.AcStays,
            ),
            _row("P38", _MACHINE, "'mc reset cold' reports success under lockdown and nothing happens", power.Lockdown),
            _row(
                "P39",
                _WIRE,
                "Redfish is dead while IPMI still answers, and the reverse",
                *(_with(http.RedfishDead, how=how) for how in http.Silence),
                ipmi.IpmiSilent,
            ),
            _row(
                "P40", _MACHINE, "the flash factory-resets the BMC: accounts gone, certificate new", power.FactoryReset
            ),
            _row(
                "P41",
                _MACHINE,
                "a node that does not boot cannot be read from its host, and can be flashed",
                _with(power.HostDead, revived_by=power.RevivedBy.REFLASH, blind=True),
            ),
            _row(
                "P42",
                _MACHINE,
                "PowerState says Off while the host runs, or cycle is not supported",
                power.PowerLies,
                power.CycleUnsupported,
            ),
            _row("P43", _CONTROL, "version strings do not compare, or the newer sorts lower", inventory.OddVersions),
            _row(
                "P44",
                _WIRE,
                "several entries for one component, or one for several",
                *(_with(inventory.InventoryDoubles, how=how) for how in inventory.Doubles),
            ),
            _row(
                "P45",
                _MACHINE,
                "NIC versions are null until the host is up; NetworkAdapters 400 while off",
                inventory.VersionsNeedHost,
            ),
            _row("P46", _MACHINE, "the inventory lags minutes behind the flash", inventory.InventoryLags),
            _row(
                "P47",
                _WIRE,
                "collections are paged, or $expand lies",
                inventory.CollectionsPaged,
                *(_with(inventory.ExpandLies, how=how) for how in inventory.Expand),
            ),
            _row(
                "P48",
                _CONTROL,
                "a stale inventory plans a second update",
                _with(inventory.InventoryLags, seconds=600.0),
            ),
            _row(
                "P49",
                _CONTROL,
                "success is recorded before the new image has booted",
                _with(power.BadHealth, boots=False, version="2*"),
            ),
            _row("P50", _CONTROL, "two controllers flash one node", control.RogueWriter),
        )
    }
)
"""Every pathology, by id."""
