"""Personalities: data with reasons, read strictly."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from rackwave.core.bundle import Activation
from rackwave_emulators.personality import (
    PersonalityError,
    Rules,
    WhenBusy,
    load_personality,
    parse_personality,
    personalities,
)

SMALL = """
name = "small"
story = "one part"
[identity]
vendor = "V"
model = "M"
[[components]]
name = "BIOS"
version = "1"
activation = "host-reset"
"""


def test_the_shipped_personalities_can_be_read() -> None:
    """Plain and openbmc ship with the lab and differ as their makes do."""
    plain, openbmc = load_personality("plain"), load_personality("openbmc")

    assert {"plain", "openbmc"} <= set(personalities())
    assert (True, True) == (plain.rules.pull, plain.rules.push)
    assert (False, True) == (openbmc.rules.pull, openbmc.rules.push)
    assert plain.rules.second_write is WhenBusy.REFUSE
    assert {"BIOS", "BMC", "NIC"} == {spec.name for spec in plain.components}


@pytest.mark.parametrize("name", sorted(personalities()))
def test_every_rule_that_differs_has_a_reason(name: str) -> None:
    """Nobody changes a BMC's habits without saying why and who saw it."""
    personality = personalities()[name]
    usual, own = attrs.asdict(Rules()), attrs.asdict(personality.rules)
    differs = {rule for rule in usual if usual[rule] != own[rule]}

    assert differs <= set(personality.reasons)
    assert all(reason.why and reason.source for reason in personality.reasons.values())


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    """A path that ends in .toml is read as a personality; what it leaves out has its default."""
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    personality = load_personality(str(path))

    assert Rules() == personality.rules
    assert Activation.HOST_RESET is personality.components[0].activation
    assert not personality.components[0].spare_bank


@pytest.mark.parametrize(
    "more",
    [
        '[rules.pull]\nvalue = true\nwhy = "x"',
        '[rules.pull]\nvalue = 1\nwhy = "x"\nsource = "y"',
        '[rules.no_such]\nvalue = true\nwhy = "x"\nsource = "y"',
        '[rules.second_write]\nvalue = "maybe"\nwhy = "x"\nsource = "y"',
        "[timing]\nupdate = true",
        "[timing]\nlunch = 3",
        '[[components]]\nname = "NIC"\nversion = 2\nactivation = "immediate"',
        '[[components]]\nname = "NIC"\nversion = "2"\nactivation = "some day"',
        "[rules",
    ],
)
def test_mistakes_are_told_by_file(more: str) -> None:
    """An unknown key, a wrong type or a rule without a reason is refused, naming the file."""
    with pytest.raises(PersonalityError, match=r"^mine\.toml: "):
        parse_personality(SMALL + more, origin="mine.toml")


def test_an_unknown_name_lists_the_known() -> None:
    """Asking for a personality that does not exist says which do."""
    with pytest.raises(PersonalityError) as error:
        load_personality("nope")

    assert "plain" in error.value.advice
    with pytest.raises(PersonalityError, match="cannot be read"):
        load_personality("/nowhere/x.toml")
