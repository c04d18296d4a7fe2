"""What differs between makes of BMC, as data: ``personalities/*.toml``, every rule with its reason.

A personality file holds:

* ``name``, ``story``, and ``[identity]`` with ``vendor`` and ``model``, ``system_id`` and ``manager_id``:
  what Redfish calls the one system and the one manager; ``manager_model``, and ``manager_firmware``: how the
  manager tells its version, ``{version}`` in it.
* ``[timing]``: how long things take, in seconds (see ``Timing``).
* ``[[components]]``: ``name``, ``version``, ``activation`` (what makes a written image run:
  ``immediate``, ``host-reset`` or ``bmc-reset``), ``spare_bank`` (an interrupted write then leaves
  the old image as it was; without one it leaves neither), ``previous`` (the version before), and how this
  make lists it: ``title``, ``software_id``, ``targets`` (what else than its inventory members names it in
  an update's Targets), ``needs_host`` (unreadable while the host is off) and ``[[components.members]]``
  (see ``MemberSpec``); without members it is listed by its name.
* ``[rules.NAME]``: ``value``, ``why`` and ``source`` for every rule of ``Rules`` that differs from its default.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cache
from importlib import resources
from pathlib import Path

import attrs
import cattrs
from attrs import field, frozen

from rackwave.core.bundle import Activation, frozen_map
from rackwave.core.identity import ComponentName
from rackwave.errors import UsageError


class PersonalityError(UsageError):
    """A personality file has a missing, unknown or wrongly typed key."""


class WhenBusy(StrEnum):
    """What a BMC does with a request that would disturb a running update."""

    REFUSE = "refuse"
    ACCEPT = "accept"


class Receipt(StrEnum):
    """How a BMC answers an update that it accepted, and where the task's URI hides (P10)."""

    TASK = "task"
    """202, the Task as body, its monitor as Location."""
    LOCATION = "location"
    """202, no body, the Task as Location."""
    BODY = "body"
    """202, the Task as body, no Location."""
    MESSAGE = "message"
    """202, a body that is no Task; the URI is an argument of its message."""
    NOTHING = "nothing"
    """200 and a message that says Success; there is no task."""


class StartUpdate(StrEnum):
    """Whether a pushed image waits for UpdateService.StartUpdate: never, always (P19), or when its request asks so."""

    NEVER = "never"
    ALWAYS = "always"
    ON_REQUEST = "on-request"


class TaskEnds(StrEnum):
    """When an update's task is Completed: when its image is written (P07), or only when it runs."""

    WRITTEN = "written"
    ACTIVATED = "activated"


class Shows(StrEnum):
    """What of a component a member of the inventory shows."""

    RUNNING = "running"
    STAGED = "staged"
    PREVIOUS = "previous"
    UPLOADED = "uploaded"
    """The image that was last taken, applied or not."""


class WhenEmpty(StrEnum):
    """How a member is listed that has nothing to show: not at all, State Disabled, or as "Not Present"."""

    ABSENT = "absent"
    DISABLED = "disabled"
    NOT_PRESENT = "not-present"


class Oem(StrEnum):
    """Whose extensions beside the standard a BMC shows (see ``redfish/oem.py``)."""

    NONE = "none"
    DELL = "dell"
    HPE = "hpe"
    LENOVO = "lenovo"
    SUPERMICRO = "supermicro"


@frozen
class Timing:
    """How long things take, in seconds of the lab's clock.

    *apply* is how far into POST a staged BIOS image is applied; it is never longer than *post*.
    """

    update: float = 60.0
    post: float = 60.0
    apply: float = 20.0
    bmc_reset: float = 90.0
    power: float = 2.0
    shutdown: float = 10.0


@frozen
class MemberSpec:
    """One member of the FirmwareInventory. ``{version}`` in *id* is the version that it shows."""

    id: str
    shows: Shows = Shows.RUNNING
    title: str = ""
    when_empty: WhenEmpty = WhenEmpty.ABSENT

    def identity(self, version: str) -> str:
        """Return the member's Id while it shows *version*."""
        return self.id.replace("{version}", version)


def keeping(component: ComponentName) -> tuple[MemberSpec, ...]:
    """List *component* as a machine does that can bring back what ran before on it."""
    return MemberSpec(component), MemberSpec(f"Previous-{{version}}-{component}", Shows.PREVIOUS)


@frozen
class ComponentSpec:
    """One updateable part as it leaves the factory."""

    name: ComponentName
    version: str
    activation: Activation
    spare_bank: bool = False
    previous: str | None = None
    title: str = ""
    software_id: str = ""
    targets: tuple[str, ...] = ()
    needs_host: bool = False
    members: tuple[MemberSpec, ...] = ()
    family: str = ""
    """What images for any part of its kind are made for: one for ``NIC`` fits ``NIC.1`` and ``NIC.2``."""
    seconds: float | None = None
    """How long an image of it is programmed; None: as long as any (``Timing.update``)."""


@frozen
class Rules:
    """How this make of BMC behaves. The defaults are what most do; a file says why it differs.

    *page_size* is how many members of a collection come at once (P47); 0: all of them. *task_id* is the
    form of a task's Id. *push_uri* and *multipart_uri* are empty where there is no such way in.
    *listed_targets*, where there are any, are all that Targets may name. *bios_settings* is the last part
    of where BIOS settings are staged; *bios_needs_job*: they are applied only once a job was made for them.
    *events_uri* is where events are sent to whoever opens the stream, empty: nowhere; *events_enabled*: the
    EventService is switched on as the BMC is delivered; *events_kept*: subscriptions outlive a restart of the BMC;
    *events_delivered*: what was subscribed to is sent, which some take and never do. *resets_host*: an update that
    asks for ApplyTime Immediate resets the host itself. *busy_flag*: it has HttpPushUriTargetsBusy for clients to
    claim it with (P09). *system_resets* and *manager_resets* are the ResetTypes that are allowed;
    *reset_action_info*: an ActionInfo tells them, the action does not. *event_log* is what its system event log is
    called over Redfish, under the system or *event_log_at_manager*; *event_log_downward*: it lists the newest entry
    first.
    """

    pull: bool = True
    push: bool = True
    push_names_component: bool = True
    second_write: WhenBusy = WhenBusy.REFUSE
    reset_while_writing: WhenBusy = WhenBusy.ACCEPT
    busy_status: int = 503
    busy_retry_after: float | None = None
    tasks_survive_bmc_reset: bool = True
    task_ids_restart: bool = False
    task_names_image: bool = True
    shows_staged: bool = True
    boot_progress: bool = True
    last_reset_time: bool = True
    bios_attributes: bool = True
    push_needs_length: bool = False
    page_size: int = 0
    session_cap: int = 16
    session_timeout: float = 1800.0
    receipt: Receipt = Receipt.TASK
    tasks: bool = True
    task_id: str = "{number}"
    task_ends: TaskEnds = TaskEnds.WRITTEN
    task_percent: bool = True
    start_update: StartUpdate = StartUpdate.NEVER
    resets_host: bool = False
    push_uri: str = "/redfish/v1/UpdateService/update"
    multipart_uri: str = "/redfish/v1/UpdateService/update-multipart"
    push_needs_targets: bool = False
    listed_targets: tuple[str, ...] = ()
    busy_flag: bool = False
    case_insensitive: bool = False
    bios_settings: str = "Settings"
    bios_needs_job: bool = False
    oem: Oem = Oem.NONE
    reset_action_info: bool = False
    event_log: str = "SEL"
    event_log_at_manager: bool = False
    event_log_downward: bool = False
    events_uri: str = "/redfish/v1/EventService/SSE"
    events_enabled: bool = True
    events_kept: bool = True
    events_delivered: bool = True
    manager_last_reset_time: bool = True
    system_resets: tuple[str, ...] = (
        "On",
        "ForceOff",
        "ForceRestart",
        "GracefulShutdown",
        "GracefulRestart",
        "PowerCycle",
    )
    manager_resets: tuple[str, ...] = ("ForceRestart", "GracefulRestart")


@frozen
class Reason:
    """Why a rule is as it is, and who saw it."""

    why: str
    source: str


@frozen
class Personality:
    """One make of BMC and the machine around it."""

    name: str
    story: str
    vendor: str
    model: str
    components: tuple[ComponentSpec, ...]
    system_id: str = "1"
    manager_id: str = "BMC"
    manager_model: str = ""
    manager_firmware: str = "{version}"
    timing: Timing = Timing()
    rules: Rules = Rules()
    reasons: Mapping[str, Reason] = field(factory=dict, converter=frozen_map)

    def told_firmware(self, version: str | None) -> str | None:
        """Return what the manager tells of the *version* that it runs."""
        return None if version is None else self.manager_firmware.replace("{version}", version)

    def component(self, name: str) -> ComponentSpec | None:
        """Return the component called *name*, None where this machine has none.

        What the inventory calls its running image, where that never changes, names it as well: an image
        for ``UEFI`` is one for BIOS on a make that lists BIOS so.
        """
        by_name = next((spec for spec in self.components if spec.name == name), None)
        if by_name is not None:
            return by_name
        return next(
            (
                spec
                for spec in self.components
                if any(member.shows is Shows.RUNNING and member.id == name for member in spec.members)
            ),
            None,
        )


_converter = cattrs.Converter(forbid_extra_keys=True)
_converter.register_structure_hook(ComponentName, lambda text, _: ComponentName(text))


def _strictly(kind: type) -> Callable[[object, object], object]:
    def check(value: object, _: object) -> object:
        if kind is float and type(value) is int:
            return float(value)
        if type(value) is not kind:
            raise PersonalityError(f"{value!r} is not of type {kind.__name__}")
        return value

    return check


for _kind in (bool, int, float, str):
    _converter.register_structure_hook(_kind, _strictly(_kind))
# The hook of str would take these too, being more general.
for _enum in (Activation, WhenBusy, Receipt, StartUpdate, TaskEnds, Shows, WhenEmpty, Oem):
    _converter.register_structure_hook(_enum, lambda text, enum: enum(text))


def parse_personality(text: str, *, origin: str) -> Personality:
    """Read a personality file's *text*; *origin* names it in errors.

    Raises:
        PersonalityError: it is not TOML, or a key is missing, unknown or of a wrong type.
    """
    try:
        table = tomllib.loads(text)
        rules = table.pop("rules", {})
        identity = table.pop("identity")
        reasons = {
            name: _converter.structure({"why": r["why"], "source": r["source"]}, Reason) for name, r in rules.items()
        }
        values = {name: rule["value"] for name, rule in rules.items()}
        return attrs.evolve(_converter.structure({**table, **identity, "rules": values}, Personality), reasons=reasons)
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError, UsageError, cattrs.BaseValidationError) as error:
        told = "; ".join(cattrs.transform_error(error)) if isinstance(error, cattrs.BaseValidationError) else str(error)
        raise PersonalityError(f"{origin}: {told}", advice="personality.py lists every key.") from error


@cache
def personalities() -> Mapping[str, Personality]:
    """The personalities that the lab ships with, by name."""
    folder = resources.files(__package__).joinpath("personalities")
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)
    known = [parse_personality(file.read_text("utf-8"), origin=file.name) for file in files]
    return frozen_map({personality.name: personality for personality in known})


def load_personality(name: str) -> Personality:
    """Return the personality called *name*, or the one in the file at that path if it ends in ``.toml``.

    Raises:
        PersonalityError: there is none of that name, or the file cannot be used.
    """
    if name.endswith(".toml"):
        try:
            return parse_personality(Path(name).read_text("utf-8"), origin=name)
        except OSError as error:
            raise PersonalityError(f"{name} cannot be read: {error.strerror}") from error
    if name not in personalities():
        raise PersonalityError(
            f"there is no personality {name!r}", advice=f"Known are {', '.join(personalities())}, or give a .toml file."
        )
    return personalities()[name]


def personality_as_dict(personality: Personality) -> dict[str, object]:
    """Tell *personality* as JSON can: what it is, its components, and every rule that a file gave a reason for."""
    rules = attrs.asdict(personality.rules)
    return {
        "personality": personality.name,
        "story": personality.story,
        "vendor": personality.vendor,
        "model": personality.model,
        "components": [
            {"component": str(spec.name), "version": spec.version, "activation": spec.activation.value}
            for spec in personality.components
        ],
        "rules": {
            name: {"value": rules[name], "why": reason.why, "source": reason.source}
            for name, reason in personality.reasons.items()
        },
    }
