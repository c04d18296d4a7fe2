"""What it takes to bring one node level with one bundle, and why not where it does not.

Rules:
- Elements are taken in the manifest's order, each after those it names in ``after``.
- An element that is level is skipped, unless its component is to be reasserted.
- Elements that the same reset makes effective share it; the BMC's reset comes before the host's.
- ``Unknown`` plans nothing: the element is blocked, and the plan with it.
- What this attempt has written already is not planned again, only what still makes it effective.
- Where an element's way back is its component's other bank, a roll-back switches to it rather than write, if the bank
  has the version. What a machine keeps is nobody's signed image: forward goes only what we send.
"""

from __future__ import annotations

from typing import TypeAlias, assert_never

from attrs import frozen

from .attempt import Attempt, StepRecord
from .bundle import Activation, Bundle, Element, ElementKind, Witness
from .event import Outcome
from .goal import Cause, Goal
from .identity import NodeName
from .notation import in_words_of
from .observation import NOT_ASKED, Component, Lack, Observation, Power, Unknown
from .receipt import Refused
from .step import ResetBmc, ResetHost, ResetKind, StageSettings, StartUpdate, Step, SwitchBank, Write, WriteImage
from .stones import refused_way
from .version import compare

EXECUTABLE_KINDS = frozenset(
    {ElementKind.BIOS_IMAGE, ElementKind.BIOS_SETTINGS, ElementKind.BMC_FIRMWARE, ElementKind.DEVICE_FIRMWARE}
)
"""The kinds that an executor exists for; others are refused at planning, by name."""

EXECUTOR = "bmc"
"""The name of the one executor that there is: it works through the machine's BMC."""


@frozen
class Level:
    """Nothing is to be done; *evidence* says what was seen."""

    evidence: str


@frozen
class Wants:
    """This step would bring it closer."""

    step: Write | StartUpdate | StageSettings


@frozen
class Staged:
    """It is written and waits for a reset."""

    activation: Activation


@frozen
class Coming:
    """The reset that makes it effective was sent; the effect is not seen yet. *since* is epoch seconds.

    *unread*: it cannot be read whether it is there. *number* is the step that brought it.
    """

    since: float
    why: str
    unread: bool = False
    number: int = 0


@frozen
class Blocked:
    """Something that decides could not be read."""

    why: str


@frozen
class Impossible:
    """It cannot be brought level by this bundle."""

    why: str


Standing: TypeAlias = Level | Wants | Staged | Coming | Blocked | Impossible


@frozen
class Note:
    """One line of the plan's report: why *element* has no step, or what stands in the way.

    *blocks*: the plan cannot be carried out while this holds. *refused*: and it will not pass by itself.
    """

    element: str
    text: str
    blocks: bool = False
    refused: bool = False


@frozen
class NodePlan:
    """The steps for one node, in order, and the report of what is not done and why."""

    node: NodeName
    goal: Goal
    steps: tuple[Step, ...]
    notes: tuple[Note, ...]

    @property
    def blocked(self) -> bool:
        """Whether something must be cleared before the plan can be carried out."""
        return any(note.blocks for note in self.notes)

    @property
    def is_level(self) -> bool:
        """Whether there is nothing to do, and nothing in the way of saying so."""
        return not self.steps and not self.blocked

    @property
    def resets(self) -> int:
        """How often the host is restarted."""
        return sum(isinstance(step, ResetHost) for step in self.steps)


def plan_node(
    node: NodeName, goal: Goal, bundle: Bundle, seen: Observation, *, attempt: Attempt | None = None
) -> NodePlan:
    """Plan the way of *node* to *goal* from what was *seen* and what *attempt* did already."""
    seen = in_words_of(bundle, seen, attempt)
    steps: list[Step] = []
    notes: list[Note] = []
    waiting: dict[str, Activation] = {}
    for element in in_order(bundle):
        if any(name in waiting for name in element.after):
            steps.extend(_resets(waiting, seen))
            waiting = {}
        match standing(element, bundle, goal, seen, attempt):
            case Level(evidence):
                notes.append(Note(element.name, evidence))
            case Wants(step):
                if goal.cause is Cause.ROLLOUT and isinstance(step, Write) and _is_downgrade(element, step):
                    notes.append(Note(element.name, f"a downgrade: {step.component} has {step.expects}"))
                if not goal.writes:
                    notes.append(Note(element.name, "not level, and this goal writes nothing", blocks=True))
                    continue
                steps.append(step)
                if element.activation is not Activation.IMMEDIATE:
                    waiting[element.name] = element.activation
            case Staged(activation):
                waiting[element.name] = activation
            case Coming(_, why):
                notes.append(Note(element.name, why))
            case Blocked(why):
                notes.append(Note(element.name, why, blocks=True))
            case Impossible(why):
                notes.append(Note(element.name, why, blocks=True, refused=True))
            case other:
                assert_never(other)
    steps.extend(_resets(waiting, seen))
    return NodePlan(node, goal, tuple(steps), tuple(notes))


def _is_downgrade(element: Element, step: Write) -> bool:
    return compare(element.scheme, step.expects, step.version) == 1


def in_order(bundle: Bundle) -> tuple[Element, ...]:
    """Return the elements so that each stands after those it names, otherwise in the manifest's order."""
    left = list(bundle.manifest.elements)
    done: set[str] = set()
    order: list[Element] = []
    while left:
        ready = next((e for e in left if all(name in done for name in e.after)), left[0])
        left.remove(ready)
        done.add(ready.name)
        order.append(ready)
    return tuple(order)


def standing(element: Element, bundle: Bundle, goal: Goal, seen: Observation, attempt: Attempt | None) -> Standing:
    """Say how far *element* is on this node."""
    if element.kind not in EXECUTABLE_KINDS:
        return Impossible(f"no executor for elements of kind {element.kind}")
    if Witness.IN_BAND in element.checks:
        return Impossible("it asks for the witness in-band, and nobody here asks an operating system from within")
    if element.executor not in (None, EXECUTOR):
        return Impossible(f"there is no executor {element.executor!r} here")
    if element.kind is ElementKind.BIOS_SETTINGS:
        return _settings_standing(element, seen, attempt)
    return _image_standing(element, bundle, goal, seen, attempt)


def _image_standing(
    element: Element, bundle: Bundle, goal: Goal, seen: Observation, attempt: Attempt | None
) -> Standing:
    component, version, payload_name = element.component, element.version, element.payload
    if element.selector is not None:
        return Impossible(
            f"{element.selector} is a pattern, and nobody has said which parts of this node it fits: deploy the bundle"
        )
    if component is None or version is None or (payload_name is None and not element.switches):
        return Impossible("the manifest names no component, version or payload")
    installed = seen.component(component).against(version)
    write = attempt.last_write(component) if attempt is not None else None
    if attempt is not None and write is not None:
        return _written_standing(element, write, attempt, seen, reassert=component in goal.reassert)
    if attempt is not None and (waits := attempt.staged.get(component)) is not None and not attempt.activated(waits):
        # Our image of an earlier attempt waits there unresolved. To write over it would be a double flash.
        return Staged(waits)
    if attempt is not None and component in attempt.held and not attempt.activated(Activation.BMC_RESET):
        # The BMC may hold an image of ours from an earlier attempt. None is uploaded beside it: a restart of the
        # BMC drops it (what was uploaded lies in its memory), or else begins with it, and is seen either way.
        return Staged(Activation.BMC_RESET)
    if isinstance(installed, Unknown) and component not in goal.reassert:
        return Blocked(f"{component} is {installed}")
    if installed == version and component not in goal.reassert:
        return Level(f"{component} has {version}")
    found = installed if isinstance(installed, str) else ""
    if component not in goal.reassert and (refused := refused_way(element, found)) is not None:
        return Impossible(f"{component} has {found}; {refused}")
    if (switched := _other_bank(element, seen.component(component), version, goal, found)) is not None:
        return switched
    assert payload_name is not None  # noqa: S101 - without one it is brought back from the other bank or not at all
    payload = bundle.manifest.payload(payload_name)
    return Wants(
        WriteImage(
            element=element.name,
            component=component,
            version=version,
            payload=payload_name,
            digest=payload.digest,
            size=payload.size,
            activation=element.activation,
            time_limit=element.time_limit,
            expects=found,
            kind=element.kind,
        )
    )


def _other_bank(element: Element, component: Component, version: str, goal: Goal, found: str) -> Standing | None:
    """How *component* is brought to *version* by its other bank; None: an image is to be written."""
    is_kept = element.payload is None
    if not element.switches or (not is_kept and (goal.cause is Cause.ROLLOUT or found in ("", version))):
        return None
    if component.spare == version:
        return Wants(
            SwitchBank(
                element.name, component.name, version, element.activation, element.time_limit, found, element.kind
            )
        )
    if not is_kept:
        return None
    if isinstance(component.spare, Unknown) and component.spare.lack is not Lack.ABSENT:
        return Blocked(f"there is no image of {component.name} {version}, and its other bank is {component.spare}")
    if found == version:  # what was written over it broke off, and may have left it damaged
        return Impossible(f"{component.name} reads {version} after a write that failed, and there is no image of that")
    other = f"its other bank has {component.spare}" if isinstance(component.spare, str) else "it has no other bank"
    return Impossible(f"{component.name} has {found}; there is no image of {version}, and as far as is known {other}")


def _written_standing(
    element: Element, write: StepRecord, attempt: Attempt, seen: Observation, *, reassert: bool
) -> Standing:
    """Where an image stands that this attempt has handed over."""
    if write.outcome is None:
        return Blocked("its write is not resolved")
    if write.outcome is Outcome.HELD:
        start = attempt.last_start(write)
        if start is None and (held := _held_standing(element, write, seen)) is not None:
            return held
        write = start or write
        if write.outcome is None:
            return Blocked("its start is not resolved")
    if write.outcome not in (Outcome.DONE, Outcome.STAGED, Outcome.HELD):
        return Impossible(write.evidence)
    assert element.component is not None  # noqa: S101 - an image element has one; told to the type checker
    component = seen.component(element.component)
    installed = component.against(element.version or "")
    standing = _effect_standing(
        element,
        write,
        attempt,
        seen,
        has_it=installed if isinstance(installed, Unknown) else installed == element.version,
        # A new version that is there proves itself; the same version again does not.
        proves_itself=not reassert,
        name=str(element.component),
        found=str(installed),
    )
    if isinstance(standing, Level) and reassert and isinstance(component.staged, str):
        # The version is the one of before, and what was written again has not taken its place (P15, P37).
        return Coming(write.last_at, f"{component.staged} still waits in {component.name}", number=write.number)
    return standing


def _held_standing(element: Element, write: StepRecord, seen: Observation) -> Standing | None:
    """Where an image stands that the BMC holds; None: it is in the component already, whoever began."""
    step = write.step
    assert isinstance(step, WriteImage)  # noqa: S101 - only a write is held
    installed = seen.component(step.component).installed
    if isinstance(installed, Unknown) and step.expects:
        return Blocked(f"{step.component} is {installed}")
    if installed == step.version and step.expects not in ("", step.version):
        return None
    found = installed if isinstance(installed, str) else ""
    if step.expects and found != step.expects:
        return Impossible(f"{step.component} has {found}, not {step.expects}, since its image was handed over")
    return Wants(
        StartUpdate(
            element=element.name,
            component=step.component,
            version=step.version,
            activation=step.activation,
            time_limit=step.time_limit,
            expects=found,
        )
    )


def _settings_standing(element: Element, seen: Observation, attempt: Attempt | None) -> Standing:
    if isinstance(seen.settings, Unknown):
        return Blocked(f"BIOS settings are {seen.settings}")
    settings = seen.settings
    missing = sorted(name for name in element.attributes if name not in settings)
    if missing:
        return Impossible(f"this BIOS has no attribute {', '.join(missing)}")
    now = {name: settings[name] for name in element.attributes}
    wrong = sorted(name for name, value in element.attributes.items() if now[name] != value)
    pending = seen.staged_settings
    if not wrong:
        # What an attempt that failed has staged would come into force at some later restart.
        if not isinstance(pending, Unknown) and any(pending.get(n, v) != v for n, v in element.attributes.items()):
            if _last_staging(element, attempt) is not None:
                return Impossible(
                    "other BIOS settings wait for the next restart, and staging over them changed nothing"
                )
            return Wants(StageSettings(element.name, element.attributes, now))
        return Level(f"{len(now)} BIOS settings as wanted")
    staged = _last_staging(element, attempt)
    if attempt is not None and staged is not None:
        return _effect_standing(
            element,
            staged,
            attempt,
            seen,
            has_it=False,
            proves_itself=True,
            name="BIOS settings",
            found=", ".join(f"{name}={now[name]}" for name in wrong),
        )
    if not isinstance(pending, Unknown) and all(
        pending.get(n) == v for n, v in element.attributes.items() if n in wrong
    ):
        return Staged(element.activation)
    return Wants(StageSettings(element.name, element.attributes, now))


def _last_staging(element: Element, attempt: Attempt | None) -> StepRecord | None:
    """Return when *attempt* last staged the settings of *element*, as far as they were taken or may have been."""
    for record in reversed(attempt.steps if attempt is not None else ()):
        if (
            isinstance(record.step, StageSettings)
            and record.step.element == element.name
            and not isinstance(record.receipt, Refused)
            and record.outcome is not Outcome.NEVER_STARTED
        ):
            return record
    return None


def _effect_standing(
    element: Element,
    record: StepRecord,
    attempt: Attempt,
    seen: Observation,
    *,
    has_it: bool | Unknown,
    proves_itself: bool,
    name: str,
    found: str,
) -> Standing:
    """Where a change stands that was taken over: waiting for its reset, coming, or there."""
    if has_it is True and proves_itself:
        return Level(f"{name} has {element.version}" if element.version else f"{name} as wanted")
    if element.activation is Activation.IMMEDIATE:
        if has_it is True:
            return Level(f"{name} was written again")
        return Coming(record.last_at, f"{name} reads {found}", isinstance(has_it, Unknown), record.number)
    resets = [
        reset
        for reset in attempt.resets_after(record.number)
        if isinstance(reset.step, ResetHost if element.activation is Activation.HOST_RESET else ResetBmc)
    ]
    if not resets:
        return Staged(element.activation)
    if not any(was_effective(reset, seen) for reset in resets):
        return Coming(resets[-1].last_at, "its reset has not been seen to happen", number=record.number)
    is_host = element.activation is Activation.HOST_RESET
    is_read = not isinstance(has_it, Unknown)
    if is_host and is_read and _wants_another(attempt.resets_after(record.number), element.name):
        return Staged(element.activation)
    if has_it is True:
        return Level(f"{name} has {element.version}, written again and restarted")
    return Coming(resets[-1].last_at, f"{name} reads {found}", isinstance(has_it, Unknown), record.number)


def is_mending(reset: StepRecord, element: str) -> bool:
    """Whether *reset* restarted the BMC for an *element* that wants its host's restart (P15)."""
    return isinstance(reset.step, ResetBmc) and element in reset.step.elements


def _wants_another(resets: tuple[StepRecord, ...], element: str) -> bool:
    """Whether the host is to be restarted once more: the BMC was restarted for *element* since it was."""
    last = next((r for r in reversed(resets) if isinstance(r.step, ResetHost) or is_mending(r, element)), None)
    return last is not None and is_mending(last, element) and last.outcome is Outcome.DONE


def was_effective(reset: StepRecord, seen: Observation) -> bool:
    """Whether *seen* shows another boot than the one that *reset* was to end.

    Where the BMC has no such marker, an accepted reset must do as proof.
    """
    if reset.outcome is not None:
        return reset.outcome is Outcome.DONE
    if isinstance(reset.step, ResetHost) and reset.step.kind is ResetKind.FORCE_OFF:
        return seen.power is Power.OFF  # it ends a boot and begins none
    if isinstance(reset.step, ResetHost):
        before, after = reset.step.boot, seen.boot
    elif isinstance(reset.step, ResetBmc):
        before, after = reset.step.boot, seen.bmc_boot
    else:
        return False
    if isinstance(before, Unknown):
        return reset.was_accepted
    if after is NOT_ASKED or isinstance(after, Unknown):
        return False
    return after != before


def is_unmarked(reset: StepRecord) -> bool:
    """Whether *reset* cannot be told from the boot before it, for want of a marker."""
    return isinstance(reset.step, (ResetHost, ResetBmc)) and isinstance(reset.step.boot, Unknown)


def host_reset(seen: Observation, elements: tuple[str, ...]) -> ResetHost:
    """Return the reset that fits the host's power: on where it is off, else a forced restart."""
    if seen.power is Power.OFF:
        return ResetHost(ResetKind.ON, elements, Power.OFF, seen.boot)
    power = seen.power if isinstance(seen.power, Power) else Power.ON
    return ResetHost(ResetKind.FORCE_RESTART, elements, power, seen.boot)


def _resets(waiting: dict[str, Activation], seen: Observation) -> list[Step]:
    """Return the resets that make *waiting* effective, the BMC's first: the host needs a BMC that is back."""
    steps: list[Step] = []
    bmc = tuple(name for name, activation in waiting.items() if activation is Activation.BMC_RESET)
    host = tuple(name for name, activation in waiting.items() if activation is Activation.HOST_RESET)
    if bmc:
        steps.append(ResetBmc(bmc, seen.bmc_boot))
    if host:
        steps.append(host_reset(seen, host))
    return steps
