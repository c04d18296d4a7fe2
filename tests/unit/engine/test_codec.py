"""Events survive the way to disk and back, whatever they hold."""

import json
from typing import get_args

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwave.core.bundle import Activation
from rackwave.core.event import Acted, AttemptStarted, Event, Intended, RolloutStarted
from rackwave.core.goal import Cause, Goal
from rackwave.core.identity import AttemptId, BundleId, ComponentName, Digest, Lineage, NodeName, ReleaseId, RolloutId
from rackwave.core.observation import Power, Unknown
from rackwave.core.policy import Policy
from rackwave.core.receipt import Accepted, Ambiguous, Refused
from rackwave.core.step import ResetBmc, ResetHost, ResetKind, StageSettings, StartUpdate, WriteImage
from rackwave.engine.codec import EventCodec
from rackwave.errors import StateError

_NODE = NodeName("r1n01")
_ATTEMPT = AttemptId("abcd1234")
_DIGEST = Digest("sha256:" + "0f" * 32)

_text = st.text(max_size=20)
_digests = st.binary(min_size=32, max_size=32).map(lambda raw: Digest(f"sha256:{raw.hex()}"))
_values = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _text
_attributes = st.dictionaries(_text, _values, max_size=4)
_boots = _text | st.builds(Unknown, _text)
_names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
st.register_type_strategy(NodeName, _names.map(NodeName))
st.register_type_strategy(ComponentName, _names.map(ComponentName))
st.register_type_strategy(Digest, _digests)
st.register_type_strategy(AttemptId, st.from_regex(r"[a-z0-9]{4,32}", fullmatch=True).map(AttemptId))
st.register_type_strategy(RolloutId, st.from_regex(r"[a-z0-9]{4,32}", fullmatch=True).map(RolloutId))
st.register_type_strategy(Lineage, st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,20}", fullmatch=True).map(Lineage))
st.register_type_strategy(ReleaseId, st.from_regex(r"[A-Za-z]{1,9}-[0-9a-f]{10}", fullmatch=True).map(ReleaseId))
st.register_type_strategy(BundleId, st.builds(BundleId, st.just(Lineage("A")), st.integers(0, 10**9)))
st.register_type_strategy(Policy, st.builds(Policy, poll=st.floats(0, 1e6), retries=st.integers(0, 9)))
st.register_type_strategy(float, st.floats(0, 1e9, allow_nan=False))
st.register_type_strategy(StageSettings, st.builds(StageSettings, _text, _attributes, _attributes))
st.register_type_strategy(
    ResetHost,
    st.builds(ResetHost, st.sampled_from(ResetKind), st.lists(_text).map(tuple), st.sampled_from(Power), _boots),
)

_CODEC = EventCodec()


def _there_and_back(event: Event) -> Event:
    kind, document = _CODEC.encode(event)
    return _CODEC.decode(kind, json.loads(json.dumps(document, allow_nan=False)))


@pytest.mark.parametrize("kind", get_args(Event), ids=lambda kind: kind.__name__)
def test_every_event_survives(kind: type[Event]) -> None:
    """Every kind of event is the same after JSON, with its fields of the same types."""

    @settings(max_examples=15, deadline=None)
    @given(st.from_type(kind))
    def check(event: Event) -> None:
        back = _there_and_back(event)

        assert event == back
        for field in attrs.fields(kind):
            assert type(getattr(event, field.name)) is type(getattr(back, field.name))

    check()


@pytest.mark.parametrize(
    "step",
    [
        WriteImage("bios", ComponentName("BIOS"), "1.2", "p", _DIGEST, 5, "host-reset", 60.0, "1.1"),  # type: ignore[arg-type]  # the enum's value
        StartUpdate("bios", ComponentName("BIOS"), "1.2", Activation.HOST_RESET, 60.0, "1.1"),
        StageSettings("s", {"A": None, "B": True, "C": 1, "D": "x"}, {}),
        ResetHost(ResetKind.ON, ("bios",), Power.OFF, Unknown("no answer")),
        ResetHost(ResetKind.FORCE_RESTART, (), Power.ON, "2026-01-01"),
        ResetBmc((), "x"),
    ],
)
def test_steps_keep_their_type(step: object) -> None:
    """A step is tagged with its class, and its nested unions are told apart."""
    event = Intended(_NODE, _ATTEMPT, 3, step)  # type: ignore[arg-type]  # a list of unlike steps
    _, document = _CODEC.encode(event)

    assert type(step).__name__ == document["step"]["type"]
    assert event == _there_and_back(event)


@pytest.mark.parametrize("receipt", [Accepted("/t", "SimpleUpdate"), Refused("busy", 3.0), Ambiguous("lost", False)])
def test_receipts_keep_their_type(receipt: Accepted | Refused | Ambiguous) -> None:
    """Each receipt comes back as what it was."""
    event = Acted(_NODE, _ATTEMPT, 1, receipt)

    assert event == _there_and_back(event)


def test_form_on_disk() -> None:
    """Ids are plain strings and sets are sorted, so that the journal can be read by eye and compared."""
    components = frozenset({ComponentName("B"), ComponentName("A")})
    goal = Goal(BundleId.parse("A.2"), _DIGEST, Cause.RESEND, components)

    assert (
        "AttemptStarted",
        {
            "node": "r1n01",
            "attempt": "abcd1234",
            "goal": {
                "bundle": "A.2",
                "digest": str(_DIGEST),
                "cause": "resend",
                "reassert": ["A", "B"],
                "restart": False,
                "writes": True,
            },
            "rollout": None,
            "rung": None,
        },
    ) == _CODEC.encode(AttemptStarted(_NODE, _ATTEMPT, goal))


def test_waves_come_back_as_tuples() -> None:
    """Nested tuples of names are tuples of names again."""
    event = RolloutStarted(RolloutId("abcd"), BundleId.parse("A.2"), _DIGEST, ((_NODE,), ()), Policy(), "me")
    back = _there_and_back(event)

    assert event == back
    assert isinstance(back, RolloutStarted)
    assert isinstance(back.waves[0][0], NodeName)


def test_unknown_kind_names_the_version() -> None:
    """A kind that a newer version wrote stops the reading and names that version."""
    with pytest.raises(StateError, match=r"'Teleported' written by rackwave 9\.9"):
        _CODEC.decode("Teleported", {}, written_by="9.9")


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"node": "not a name!", "attempt": "abcd1234", "number": 1, "receipt": {"type": "Accepted"}},
        {"node": "n", "attempt": "abcd1234", "number": 1, "receipt": {"type": "Gone"}},
        {"node": "n", "attempt": "abcd1234", "number": 1, "receipt": "Accepted"},
        {"node": "n", "attempt": "abcd1234", "number": None, "receipt": {"type": "Accepted"}},
        [],
    ],
)
def test_document_that_does_not_fit(document: dict[str, object]) -> None:
    """A damaged document is a StateError, never some other exception."""
    with pytest.raises(StateError, match="'Acted'"):
        _CODEC.decode("Acted", document)


def test_fields_of_other_versions() -> None:
    """Fields with a default may be missing, and unknown ones are passed over."""
    document = {"node": "n", "attempt": "abcd1234", "number": 1, "receipt": {"type": "Accepted", "new": 1}, "more": 2}

    assert Acted(NodeName("n"), _ATTEMPT, 1, Accepted()) == _CODEC.decode("Acted", document)
