"""Planning: a level node wants nothing, a roll-back is a rollout to the prior bundle, nothing unread is planned on."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rackwave.core.bundle import Activation, Bundle, ElementKind, Witness
from rackwave.core.decision import Finish, Situation
from rackwave.core.event import AttemptResult, Outcome
from rackwave.core.goal import Cause
from rackwave.core.identity import ComponentName, ComponentPattern
from rackwave.core.observation import Power
from rackwave.core.planner import in_order, plan_node
from rackwave.core.policy import Policy
from rackwave.core.step import ResetBmc, ResetHost, ResetKind, StageSettings, WriteImage
from rackwave.core.turn import decide
from values import (
    BIOS,
    BMC,
    NIC,
    NODE,
    SILENT,
    attempt,
    bios_settings,
    bmc_reset,
    bundle,
    goal,
    host_reset,
    image,
    record,
    taken,
    well,
    write,
)

COMPONENTS = (BIOS, BMC, NIC)
A1 = bundle("A.1", image(BIOS, "1"), image(BMC, "1"), image(NIC, "1"))
A2 = bundle("A.2", image(BIOS, "2"), image(BMC, "2"), image(NIC, "2"))
versions = st.fixed_dictionaries(dict.fromkeys(COMPONENTS, st.sampled_from(["1", "2", "3"])))
modes = st.sampled_from(["Uefi", "Bios"])


@st.composite
def bundles(draw: st.DrawFn) -> Bundle:
    """Return a bundle of some of the components, with or without settings, in any order."""
    names = draw(st.lists(st.sampled_from(COMPONENTS), unique=True))
    activations = st.sampled_from(Activation)
    elements = [image(n, draw(st.sampled_from(["1", "2"])), activation=draw(activations)) for n in names]
    if draw(st.booleans()):
        elements.insert(draw(st.integers(0, len(elements))), bios_settings({"BootMode": draw(modes)}))
    return bundle("A.2", *elements)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(to=bundles(), cause=st.sampled_from(Cause))
def test_a_level_node_plans_to_nothing(to: Bundle, cause: Cause) -> None:
    """Where every component and setting is as the bundle says, there are no steps, and the turn ends at once."""
    elements = to.manifest.elements
    installed = {e.component: e.version for e in elements if e.component is not None and e.version is not None}
    mode = next((dict(e.attributes) for e in elements if e.kind is ElementKind.BIOS_SETTINGS), {"BootMode": "Uefi"})
    seen = well(installed, settings=mode)
    plan = plan_node(NODE, goal(to, cause), to, seen)
    decision = decide(Situation(NODE, attempt(goal(to, cause)), to, Policy(), 1.0, seen))

    assert () == plan.steps
    assert plan.is_level
    assert [e.name for e in in_order(to)] == [note.element for note in plan.notes]
    assert isinstance(decision, Finish)
    assert AttemptResult.LEVEL is decision.result


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(installed=versions, touched=st.frozensets(st.sampled_from(COMPONENTS)), mode=modes)
def test_a_roll_back_is_a_rollout_to_the_prior_bundle(
    installed: dict[ComponentName, str], touched: frozenset[ComponentName], mode: str
) -> None:
    """The same planner plans the same steps; what the failed attempt touched is written again, the rest is skipped."""
    prior = bundle("A.1", *A1.manifest.elements, bios_settings({"BootMode": "Uefi"}))
    seen = well(installed, settings={"BootMode": mode})
    forward = plan_node(NODE, goal(prior), prior, seen)
    untouched = plan_node(NODE, goal(prior, Cause.ROLLBACK), prior, seen)
    back = plan_node(NODE, goal(prior, Cause.ROLLBACK, reassert=touched), prior, seen)
    written = {step.component for step in back.steps if isinstance(step, WriteImage)}

    assert forward.steps == untouched.steps
    assert forward.notes == untouched.notes
    assert {name for name in COMPONENTS if installed[name] != "1"} | touched == written
    assert [step for step in forward.steps if not isinstance(step, (ResetHost, ResetBmc))] == [
        step
        for step in back.steps
        if isinstance(step, StageSettings) or (isinstance(step, WriteImage) and installed[step.component] != "1")
    ]


def test_elements_share_the_reset_that_they_need_and_the_bmc_goes_first() -> None:
    """Each image is written once; then the BMC restarts, then the host, once for both that need it."""
    to = bundle("A.2", image(BIOS, "2"), image(BMC, "2"), bios_settings({"BootMode": "Bios"}))
    plan = plan_node(NODE, goal(to), to, well({BIOS: "1", BMC: "1"}, settings={"BootMode": "Uefi"}))

    assert (
        write(image(BIOS, "2")),
        write(image(BMC, "2")),
        StageSettings("settings", {"BootMode": "Bios"}, {"BootMode": "Uefi"}),
        bmc_reset("bmc-1", "bmc"),
        host_reset("boot-1", "bios", "settings"),
    ) == plan.steps
    assert 1 == plan.resets


def test_what_comes_after_waits_for_the_reset_of_what_it_names() -> None:
    """An element that names another is planned behind it and behind the reset that makes that one effective."""
    to = bundle("A.2", image(BIOS, "2", after=("bmc",)), image(BMC, "2"))
    plan = plan_node(NODE, goal(to), to, well({BIOS: "1", BMC: "1"}))

    assert ["WriteImage", "ResetBmc", "WriteImage", "ResetHost"] == [type(step).__name__ for step in plan.steps]


def test_a_host_that_is_off_is_switched_on_not_restarted() -> None:
    """The activating reset fits the power that was seen."""
    plan = plan_node(NODE, goal(A2), A2, well(dict.fromkeys(COMPONENTS, "1"), power=Power.OFF))

    assert ResetHost(ResetKind.ON, ("bios",), Power.OFF, "boot-1") == plan.steps[-1]


@pytest.mark.parametrize(
    ("to", "why"),
    [
        (bundle("A.2", image(NIC, "2", kind=ElementKind.DRIVER)), "no executor for elements of kind driver"),
        (bundle("A.2", image(BIOS, "2", accepts=("1.9*",))), "BIOS has 1; this image may only follow 1.9* (P17)"),
        (
            bundle("A.2", image(BIOS, "9", via=("1", "2", "bundle:A.1"), scheme="dotted")),
            "BIOS has 1; it must be brought to 2 first: a stepping stone is missing",
        ),
        (
            bundle("A.2", image(BIOS, "9", via=("bundle:A.1",))),
            "BIOS has 1; it must be brought to bundle A.1 first: a stepping stone is missing",
        ),
        (
            bundle("A.2", image(BIOS, "9", accepts=("5*",), via=("5",))),
            "BIOS has 1; this image may only follow 5* (P17); it must be brought to 5 first: a stepping stone is missing",  # noqa: E501
        ),
        (
            bundle("A.2", evolve(image(NIC, "2"), component=None, selector=ComponentPattern("NIC.*"))),
            "NIC.* is a pattern, and nobody has said which parts of this node it fits: deploy the bundle",
        ),
        (bundle("A.2", image(NIC, "2", executor="ansible")), "there is no executor 'ansible' here"),
        (
            bundle("A.2", image(NIC, "2", checks=(Witness.IN_BAND,))),
            "it asks for the witness in-band, and nobody here asks an operating system from within",
        ),
        (bundle("A.2", bios_settings({"NoSuch": 1})), "this BIOS has no attribute NoSuch"),
    ],
)
def test_what_cannot_be_done_is_refused_with_its_reason(to: Bundle, why: str) -> None:
    """The plan says of each element why it cannot be brought level, and has no step for it."""
    plan = plan_node(NODE, goal(to), to, well({BIOS: "1", NIC: "1"}))

    assert () == plan.steps
    assert [why] == [note.text for note in plan.notes]
    assert plan.blocked


@pytest.mark.parametrize("found", ["5.1", "5.2", "10.0"])
def test_past_the_last_stepping_stone_the_way_is_free(found: str) -> None:
    """A version that is the last stone, or newer by its scheme, may be written over, upwards and back."""
    to = bundle("A.2", image(BIOS, "9.0", via=("3.0", "5.1"), scheme="dotted"))

    assert ["WriteImage", "ResetHost"] == [
        type(step).__name__ for step in plan_node(NODE, goal(to), to, well({BIOS: found})).steps
    ]


def test_a_downgrade_is_told_of() -> None:
    """The plan warns of a version that its scheme calls older than what is there; a roll-back means it."""
    to = bundle("A.3", image(BIOS, "9.0", scheme="dotted"))
    seen = well({BIOS: "10.0"})

    assert ["a downgrade: BIOS has 10.0"] == [note.text for note in plan_node(NODE, goal(to), to, seen).notes]
    assert () == plan_node(NODE, goal(to, Cause.ROLLBACK), to, seen).notes
    assert () == plan_node(NODE, goal(to), to, well({BIOS: "8.0"})).notes


@pytest.mark.parametrize(("scheme", "steps"), [("hpe-rom", 0), ("dotted", 2), (None, 2)])
def test_a_version_in_the_vendors_notation_is_installed(scheme: str | None, steps: int) -> None:
    """What the scheme calls the same version is level, though it is written otherwise (P43)."""
    to = bundle("A.2", image(BIOS, "2.0.0", scheme=scheme))
    plan = plan_node(NODE, goal(to), to, well({BIOS: "U32 v2.0.0 (05/21/2018)"}))

    assert steps == len(plan.steps)


def test_what_cannot_be_read_blocks_the_plan() -> None:
    """An unreadable component is neither old nor level: the plan says so and stops."""
    plan = plan_node(NODE, goal(A2), A2, well({BIOS: SILENT, BMC: "2", NIC: "2"}))

    assert () == plan.steps
    assert plan.blocked
    assert "BIOS is unknown (the BMC does not answer)" == plan.notes[0].text


def test_settings_that_a_failed_attempt_left_staged_are_staged_back() -> None:
    """Settings that are right now but would change at the next restart are not level."""
    to = bundle("A.1", bios_settings({"BootMode": "Uefi"}))
    seen = well(settings={"BootMode": "Uefi"}, staged_settings={"BootMode": "Bios"})
    plan = plan_node(NODE, goal(to, Cause.ROLLBACK), to, seen)
    after = evolve(seen, staged_settings={"BootMode": "Uefi"})

    assert StageSettings("settings", {"BootMode": "Uefi"}, {"BootMode": "Uefi"}) == plan.steps[0]
    assert plan_node(NODE, goal(to, Cause.ROLLBACK), to, after).is_level


def test_an_image_that_an_earlier_attempt_left_staged_is_activated_before_another_is_written() -> None:
    """To write over a staged image of ours would start a write while an earlier one is unresolved."""
    toward = goal(A1, Cause.ROLLBACK, reassert=frozenset({BIOS, NIC}))
    inherited = attempt(toward, staged={BIOS: Activation.HOST_RESET})
    seen = well({BIOS: "1", BMC: "1", NIC: "1"})
    first = plan_node(NODE, toward, A1, seen, attempt=inherited)
    restarted = evolve(inherited, steps=(record(1, host_reset(), taken(), outcome=Outcome.DONE),))
    then = plan_node(NODE, toward, A1, evolve(seen, boot="boot-2"), attempt=restarted)

    assert (write(image(NIC, "1")), host_reset("boot-1", "bios")) == first.steps
    assert (write(image(BIOS, "1")), write(image(NIC, "1")), host_reset("boot-2", "bios")) == then.steps


def test_a_reasserted_image_is_level_only_after_its_reset() -> None:
    """The right version proves nothing where it was there before: the write and its reset must have been seen."""
    toward = goal(A1, Cause.RESEND, reassert=frozenset({BIOS}))
    seen = well({BIOS: "1", BMC: "1", NIC: "1"})
    written = attempt(toward, record(1, write(image(BIOS, "1")), taken(), outcome=Outcome.DONE))
    restarted = evolve(written, steps=(*written.steps, record(2, host_reset(), taken(), outcome=Outcome.DONE)))

    assert (write(image(BIOS, "1")), host_reset("boot-1", "bios")) == plan_node(NODE, toward, A1, seen).steps
    assert (host_reset("boot-1", "bios"),) == plan_node(NODE, toward, A1, seen, attempt=written).steps
    assert plan_node(NODE, toward, A1, seen, attempt=restarted).is_level
