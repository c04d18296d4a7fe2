"""Bundles, observations and attempts as plain values, for tests of the pure core."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve

from rackwave.core.attempt import Attempt, StepRecord
from rackwave.core.bundle import (
    Activation,
    AttributeValue,
    Bundle,
    Element,
    ElementKind,
    Manifest,
    Payload,
    PayloadRole,
    Reversibility,
)
from rackwave.core.event import Outcome
from rackwave.core.goal import Cause, Goal
from rackwave.core.identity import AttemptId, BundleId, ComponentName, Digest, NodeName
from rackwave.core.observation import Component, Health, Look, Observation, Post, Power, TaskPhase, TaskSeen, Unknown
from rackwave.core.receipt import Accepted, Receipt
from rackwave.core.step import ResetBmc, ResetHost, ResetKind, Step, WriteImage

NODE = NodeName("r1n01")
ATTEMPT = AttemptId("abcd")
BIOS, BMC, NIC = ComponentName("BIOS"), ComponentName("BMC"), ComponentName("NIC")
KINDS = {BIOS: ElementKind.BIOS_IMAGE, BMC: ElementKind.BMC_FIRMWARE, NIC: ElementKind.DEVICE_FIRMWARE}
ACTIVATIONS = {BIOS: Activation.HOST_RESET, BMC: Activation.BMC_RESET, NIC: Activation.IMMEDIATE}
SILENT = Unknown("the BMC does not answer")


def digest(text: str) -> Digest:
    """Return a digest that only *text* has."""
    return Digest("sha256:" + text.encode().hex().rjust(64, "0")[-64:])


def image(component: ComponentName, version: str, **more: object) -> Element:
    """Return an element that writes *version* to *component*."""
    element = Element(
        name=component.lower(),
        kind=KINDS[component],
        activation=ACTIVATIONS[component],
        reversibility=Reversibility.REFLASH,
        component=component,
        version=version,
        payload=f"{component.lower()}-{version}.img",
        time_limit=600.0,
    )
    return evolve(element, **more)


def bios_settings(attributes: Mapping[str, AttributeValue]) -> Element:
    """Return an element that sets BIOS *attributes*."""
    return Element(
        name="settings",
        kind=ElementKind.BIOS_SETTINGS,
        activation=Activation.HOST_RESET,
        reversibility=Reversibility.REFLASH,
        attributes=attributes,
    )


def bundle(name: str, *elements: Element) -> Bundle:
    """Return a bundle of *elements* with a payload for each image."""
    payloads = tuple(
        Payload(e.payload, PayloadRole.DATA, digest(e.payload), 4096) for e in elements if e.payload is not None
    )
    return Bundle(Manifest(BundleId.parse(name), f"bundle {name}", elements, payloads), digest(name))


def goal(to: Bundle, cause: Cause = Cause.ROLLOUT, **more: object) -> Goal:
    """Return the goal of bringing a node to *to*."""
    return evolve(Goal(to.id, to.digest, cause), **more)


def well(versions: Mapping[ComponentName, str | Unknown] | None = None, **more: object) -> Observation:
    """Return what a healthy host shows: everything was asked, nothing runs, *versions* are installed."""
    seen = Observation(
        at=0.0,
        power=Power.ON,
        post=Post.COMPLETE,
        health=Health.OK,
        boot="boot-1",
        bmc_boot="bmc-1",
        components={name: Component(name, version, None) for name, version in (versions or {}).items()},
        settings={},
        staged_settings={},
        tasks=(),
    )
    return evolve(seen, **more)


def answer(world: Observation, look: Look) -> Observation:
    """Return of *world* what *look* asks for, as a BMC would."""
    blank = Observation(at=world.at)
    system = {name: getattr(world, name) for name in ("power", "post", "health", "boot", "identity")}
    return evolve(
        blank,
        **(system if look.system else {}),
        bmc_boot=world.bmc_boot if look.bmc else blank.bmc_boot,
        components={
            name: world.components.get(name, Component(name, Unknown("not listed"), None)) for name in look.components
        },
        settings=world.settings if look.settings else blank.settings,
        staged_settings=world.staged_settings if look.settings else blank.staged_settings,
        task=world.task if look.task else blank.task,
        tasks=world.tasks if look.tasks else blank.tasks,
    )


def write(element: Element, expects: str = "1") -> WriteImage:
    """Return the step that writes *element*."""
    assert element.component is not None
    assert element.version is not None
    assert element.payload is not None
    return WriteImage(
        element=element.name,
        component=element.component,
        version=element.version,
        payload=element.payload,
        digest=digest(element.payload),
        size=4096,
        activation=element.activation,
        time_limit=element.time_limit,
        expects=expects,
        kind=element.kind,
    )


def host_reset(boot: str | Unknown = "boot-1", *elements: str) -> ResetHost:
    """Return a restart of a host whose boot was marked *boot*."""
    return ResetHost(ResetKind.FORCE_RESTART, elements, Power.ON, boot)


def bmc_reset(boot: str | Unknown = "bmc-1", *elements: str) -> ResetBmc:
    """Return a restart of a BMC whose boot was marked *boot*."""
    return ResetBmc(elements, boot)


def record(
    number: int,
    step: Step,
    receipt: Receipt | None = None,
    *,
    at: float = 0.0,
    outcome: Outcome | None = None,
    **more: object,
) -> StepRecord:
    """Return step *number* as the journal holds it."""
    return evolve(StepRecord(ATTEMPT, number, at, step, receipt=receipt, acted_at=at, outcome=outcome), **more)


def taken(task: str | None = "/tasks/1") -> Accepted:
    """Return the receipt of a step that the BMC took."""
    return Accepted(task)


def attempt(toward: Goal, *steps: StepRecord, **more: object) -> Attempt:
    """Return an attempt that began at 0 and did *steps*."""
    return evolve(Attempt(ATTEMPT, toward, 0.0, steps=steps), **more)


def running(uri: str = "/tasks/9", image: str | None = None) -> TaskSeen:
    """Return a task that runs."""
    return TaskSeen(uri, TaskPhase.RUNNING, image=image)
