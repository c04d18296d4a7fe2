"""Faults as values: parsed, armed, striking."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwave_emulators.faults import (
    FAULTS,
    ROWS,
    AnswerLost,
    Armory,
    Busy,
    FaultError,
    FetchFails,
    FlashFails,
    Label,
    Leaves,
    Moment,
    RequestLost,
    SessionsExpire,
    fault_as_dict,
    parse_fault,
)


def test_a_fault_is_made_of_plain_data() -> None:
    """The dictionary that the control interface receives becomes the value."""
    told = {"fault": "flash-fails", "percent": 70, "leaves": "corrupt", "count": None, "after": 5}

    assert FlashFails(percent=70, leaves=Leaves.CORRUPT, count=None, after=5.0) == parse_fault(told)


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_every_fault_is_told_and_read_back(name: str) -> None:
    """Every fault has defaults, a one-line story and a form that is read back as the same value."""
    fault = parse_fault({"fault": name})

    assert fault == parse_fault(fault_as_dict(fault))
    assert fault.story
    assert "\n" not in fault.story


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"fault": "no-such"},
        {"fault": 3},
        {"fault": "flash-fails", "speed": 3},
        {"fault": "flash-fails", "percent": "40"},
        {"fault": "flash-fails", "percent": 101},
        {"fault": "flash-fails", "percent": True},
        {"fault": "flash-fails", "leaves": "nothing"},
        {"fault": "flash-fails", "count": 0},
        {"fault": "flash-fails", "chance": 1.5},
        {"fault": "flash-fails", "after": -1},
        {"fault": "task-vanishes", "applied": 1},
        {"fault": "host-dead", "revived_by": None},
        {"fault": "bad-health", "level": "ok"},
    ],
)
def test_nonsense_is_refused_by_a_typed_error(told: dict[str, object]) -> None:
    """Whatever is wrong with the data, it is a FaultError with a sentence."""
    with pytest.raises(FaultError) as error:
        parse_fault(told)

    assert str(error.value)


KEYS = st.sampled_from(["fault", "count", "percent", "leaves", "chance", "seed"])
VALUES = st.none() | st.integers() | st.text() | st.booleans() | st.sampled_from(sorted(FAULTS))


@given(st.dictionaries(KEYS, VALUES))
def test_parsing_raises_nothing_else(told: dict[str, object]) -> None:
    """Any data at all is either a fault or a FaultError."""
    try:
        fault = parse_fault(told)
    except FaultError:
        return

    assert FAULTS[fault.id] is type(fault)


def test_a_fault_strikes_as_often_as_it_says() -> None:
    """A count of two is used up by two strikes; null never is."""
    twice, always = Armory(), Armory()
    twice.arm(FlashFails(count=2), at=0)
    always.arm(FlashFails(count=None), at=0)

    assert [True, True, False] == [twice.strike(FlashFails, at=1, component="BIOS") is not None for _ in range(3)]
    assert all(always.strike(FlashFails, at=1, component="BIOS") for _ in range(50))
    assert (0, 1) == (len(twice), len(always))


def test_how_often_each_struck_is_kept() -> None:
    """What struck is counted by id, also what acts by itself, and when the fault is long used up."""
    armory = Armory()
    armory.arm(AnswerLost(count=2), at=0)
    armory.arm(SessionsExpire(), at=0)
    armory.arm(SessionsExpire(at=Moment.WRITE), at=0)
    for _ in range(3):
        armory.strike(AnswerLost, at=0, method="POST")
    armory.wake(Moment.WRITE, at=0)

    assert {"answer-lost": 2, "sessions-expire": 2} == armory.struck
    assert [] == list(armory)


def test_a_fault_strikes_only_what_it_names() -> None:
    """Component, method and path choose the occasion."""
    armory = Armory()
    armory.arm(FlashFails(component="NIC"), at=0)
    armory.arm(AnswerLost(method="POST", path="SimpleUpdate"), at=0)

    assert armory.strike(FlashFails, at=0, component="BIOS") is None
    assert armory.strike(AnswerLost, at=0, method="GET", path="/UpdateService/SimpleUpdate") is None
    assert armory.strike(AnswerLost, at=0, method="POST", path="/Systems/1") is None
    assert armory.strike(RequestLost, at=0, method="POST", path="/UpdateService/SimpleUpdate") is None
    assert armory.strike(AnswerLost, at=0, method="POST", path="/UpdateService/SimpleUpdate") is not None
    assert armory.strike(FlashFails, at=0, component="NIC") is not None


def test_a_fault_waits_for_its_time() -> None:
    """A fault armed for later does not strike before."""
    armory = Armory()
    armory.arm(FlashFails(after=10), at=100)

    assert armory.strike(FlashFails, at=109.9, component="BIOS") is None
    assert armory.strike(FlashFails, at=110, component="BIOS") is not None


def test_chance_is_reproducible() -> None:
    """A fault with a probability strikes at the same occasions whenever its seed is the same."""

    def strikes(seed: int) -> list[bool]:
        armory = Armory()
        armory.arm(FlashFails(count=None, chance=0.5, seed=seed), at=0)
        return [armory.strike(FlashFails, at=0, component="BIOS") is not None for _ in range(64)]

    assert strikes(1) == strikes(1)
    assert strikes(1) != strikes(2)
    assert 16 < sum(strikes(1)) < 48


def test_faults_can_be_cleared_by_id() -> None:
    """Disarming one id leaves the others."""
    armory = Armory()
    armory.arm(FlashFails(), at=0)
    armory.arm(FetchFails(), at=0)
    armory.disarm("flash-fails")

    assert ["fetch-fails"] == [fault.id for fault in armory]
    armory.disarm()
    assert [] == list(armory)


def test_a_fault_waits_for_its_moment() -> None:
    """A fault for the next write does not strike before one, and its *after* counts from there."""
    armory = Armory()
    armory.arm(FlashFails(at=Moment.WRITE, after=10), at=0)

    assert armory.strike(FlashFails, at=100, component="BIOS") is None
    assert 1 == len(armory.wake(Moment.WRITE, at=100))
    assert armory.strike(FlashFails, at=109, component="BIOS") is None
    assert armory.strike(FlashFails, at=110, component="BIOS") is not None


@pytest.mark.parametrize(
    ("request_", "method", "path", "woken"),
    [
        ("GET /TaskService", "GET", "/redfish/v1/TaskService/Tasks/1", True),
        ("GET /TaskService", "POST", "/redfish/v1/TaskService/Tasks/1", False),
        ("/TaskService", "PATCH", "/redfish/v1/TaskService", True),
        ("DELETE", "DELETE", "/redfish/v1/SessionService/Sessions/1", True),
        ("DELETE", "GET", "/redfish/v1", False),
        ("", "GET", "/redfish/v1", True),
    ],
)
def test_a_fault_waits_for_a_request(request_: str, method: str, path: str, woken: bool) -> None:
    """The request is named by its method, a part of its path, or both."""
    armory = Armory()
    armory.arm(Busy(at=Moment.REQUEST, request=request_), at=0)

    assert woken == bool(armory.wake(Moment.REQUEST, at=0, method=method, path=path))


def test_a_fault_is_over_in_its_time() -> None:
    """What lasts ten seconds strikes for ten seconds from when it came into force."""
    armory = Armory()
    armory.arm(Busy(after=5, lasts=10, count=None), at=0)

    assert [False, True, True, False] == [armory.first(Busy, at=at) is not None for at in (4.9, 5, 14.9, 15)]


def test_an_act_comes_as_often_as_it_is_counted() -> None:
    """A fault that acts by itself at each of the next two writes does so twice."""
    armory = Armory()
    armory.arm(SessionsExpire(at=Moment.WRITE, count=2), at=0)

    assert [1, 1, 0] == [len(armory.wake(Moment.WRITE, at=0)) for _ in range(3)]


@pytest.mark.parametrize("row", [f"P{number:02d}" for number in range(1, 51)])
def test_every_row_is_a_fault(row: str) -> None:
    """Each of the fifty rows has a label and a story, names faults that name it, and is injected by its id."""
    known = ROWS[row]

    assert known.label in Label
    assert known.story
    assert all(row in preset.kind.pathologies for preset in known.presets)
    assert known.presets[0].fault == parse_fault({"fault": row})
    assert known.presets[0].fault == parse_fault({"fault": row.lower()})


def test_a_row_stands_for_the_fault_that_has_the_parameters() -> None:
    """Of a row's faults it is the first that has what is given; a row can be disarmed as a whole."""
    armory = Armory()
    armory.arm(parse_fault({"fault": "P47", "size": 2}), at=0)
    armory.arm(parse_fault({"fault": "P47", "how": "short"}), at=0)

    assert ["collections-paged", "expand-lies"] == [fault.id for fault in armory]
    armory.disarm("P47")
    assert [] == list(armory)
