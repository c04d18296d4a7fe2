"""How one BMC differs from the standard: one frozen value, and how two of them are laid over one another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from attrs import evolve, field, frozen

from ...core.bundle import frozen_map
from ...core.observation import Post


class UpdateWay(StrEnum):
    """Through which door images go over; AUTO: what the UpdateService offers decides."""

    AUTO = "auto"
    SIMPLE_UPDATE = "SimpleUpdate"
    MULTIPART = "MultipartHttpPush"
    HTTP_PUSH = "HttpPush"


class TargetsSent(StrEnum):
    """Whether an update names its Targets; LISTED: unless the service lists what they may be, and ours is not there."""

    LISTED = "listed"
    ALWAYS = "always"
    NEVER = "never"


class ApplyTime(StrEnum):
    """When an image that went over is applied (DSP0268, Settings.OperationApplyTime)."""

    IMMEDIATE = "Immediate"
    ON_RESET = "OnReset"
    AT_WINDOW = "AtMaintenanceWindowStart"
    IN_WINDOW = "InMaintenanceWindowOnReset"
    ON_START = "OnStartUpdateRequest"


class HttpPushForm(StrEnum):
    """What HttpPushUri takes: the image as the body (DSP0266), or something of the maker's own, not spoken here."""

    RAW = "raw"
    OWN = "own"


class BankSwitch(StrEnum):
    """How a component is told to run what its other bank has; NONE: not at all."""

    NONE = "none"
    SIMPLE_UPDATE = "SimpleUpdate"
    """By SimpleUpdate, whose ImageURI is the inventory's member of that version."""


class TaskWord(StrEnum):
    """What a maker's word for the state of a task means. STAGED: it is written and waits for the reset."""

    RUNNING = "running"
    STAGED = "staged"
    DONE = "done"
    FAILED = "failed"


@frozen
class Naming:
    """How this make lists one component. Every pattern is shell-style; ``{name}`` stands for the component's name.

    A member is the component's where each of *id*, *title* (its Name), *software_id* and *description* that is
    given matches. *staged* are patterns of the Id of the member that shows the version that waits for a reset,
    *previous* of the one that shows what the component's other bank has.
    """

    id: tuple[str, ...] = ()
    title: tuple[str, ...] = ()
    software_id: tuple[str, ...] = ()
    description: tuple[str, ...] = ()
    staged: tuple[str, ...] = ()
    previous: tuple[str, ...] = ()


@frozen
class PostWitness:
    """Where a service without BootProgress tells how far POST is, and what its words mean.

    *property* is a dotted path. It is one of the ComputerSystem; or, where *service* and *action* are given,
    one of the answer to that action of the resource that the Manager links to at the path *service*: a POST
    that changes nothing. A word that is not in *words* is Unknown.
    """

    property: str
    words: Mapping[str, Post] = field(factory=dict, converter=frozen_map)
    service: str = ""
    action: str = ""


@frozen
class BootMarker:
    """What is another after each boot where there is no LastResetTime: the *property* at a dotted path of the system.

    *late*: it moves when POST is through, not when it begins. A host that is seen in POST is in the next boot then.
    """

    property: str
    late: bool = False


@frozen
class Quirks:
    """What is different about one BMC. The defaults are the standard's behaviour (DSP0266, DSP2046).

    *components*: how a component is listed, by its name; ``*`` is for all the others.
    *post*: where POST stands; *boot_marker*: what is another after each boot. They count where the standard's own
    are missing.
    *update_way*, *targets*, *http_push*: how images go over, and whether Targets are sent.
    *apply_time*: when what takes a host reset is to be applied; None: what the service lists decides.
    *start_update*: an upload is only verified, and begins by StartUpdate.
    *claims_push_targets*: a push is claimed before by HttpPushUriTargetsBusy, and released after it (P09).
    *bank_switch*: how a component is brought back from its other bank.
    *update_state*: the path in the UpdateService at which the state of an update stands where there is no task.
    *task_state*: the path in a Task at which its state stands, before TaskState; *task_words*: what words mean there.
    """

    components: Mapping[str, Naming] = field(factory=dict, converter=frozen_map)
    post: PostWitness | None = None
    boot_marker: BootMarker | None = None
    update_way: UpdateWay = UpdateWay.AUTO
    targets: TargetsSent = TargetsSent.LISTED
    http_push: HttpPushForm = HttpPushForm.RAW
    apply_time: ApplyTime | None = None
    start_update: bool = False
    claims_push_targets: bool = False
    bank_switch: BankSwitch = BankSwitch.NONE
    update_state: str = ""
    task_state: str = ""
    task_words: Mapping[str, TaskWord] = field(factory=dict, converter=frozen_map)

    def naming(self, name: str) -> Naming | None:
        """How the component *name* is listed; None: by its name, as the standard leaves it."""
        return self.components.get(name) or self.components.get("*")

    def changed_by(self, other: Quirks, keys: Iterable[str]) -> Quirks:
        """Lay the *keys* of *other* over this one; tables are merged entry by entry."""
        news: dict[str, object] = {}
        for key in keys:
            ours, theirs = getattr(self, key), getattr(other, key)
            news[key] = {**ours, **theirs} if isinstance(theirs, Mapping) else theirs
        return evolve(self, **news)  # type: ignore[arg-type]  # the names are this class's own


PLAIN = Quirks()
"""A BMC that does as the standard says."""
