"""BIOS attributes against the attribute registry: each alone, and as others make them."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest
from recorded import Recorded
from scripted_bmc import ScriptedBmc, client

from rackwave.bmc.redfish.attribute_registry import check, excerpt
from rackwave.core.settings_check import SettingsCheck
from rackwave_emulators.tree import TREES, find_tree, load_tree

DOCUMENT = {
    "RegistryEntries": {
        "Attributes": [
            {
                "AttributeName": "Boot",
                "Type": "Enumeration",
                "Value": [{"ValueName": "Uefi"}, {"ValueName": "Bios"}],
            },
            {"AttributeName": "Cores", "Type": "Integer", "LowerBound": 2, "UpperBound": 64, "ScalarIncrement": 2},
            {"AttributeName": "Turbo", "Type": "Boolean"},
            {"AttributeName": "Tag", "Type": "String", "MinLength": 2, "MaxLength": 4},
            {"AttributeName": "Setup", "Type": "Password", "MinLength": 8},
            {"AttributeName": "Serial", "Type": "String", "ReadOnly": True},
            {"AttributeName": "Fused", "Type": "Boolean", "Immutable": True},
            {"AttributeName": "Odd", "Type": "Date"},
            "nonsense",
            {"Type": "String"},
        ]
    }
}


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("Boot", "Uefi", None),
        ("Boot", "uefi", "Boot cannot be 'uefi', only Uefi, Bios"),
        ("Boot", None, "Boot cannot be None, only Uefi, Bios"),
        ("Cores", 4, None),
        ("Cores", 1, "Cores must be at least 2, not 1"),
        ("Cores", 66, "Cores must be at most 64, not 66"),
        ("Cores", 5, "Cores goes in steps of 2 from 2; 5 is none"),
        ("Cores", True, "Cores must be a whole number, not True"),
        ("Turbo", False, None),
        ("Turbo", "Enabled", "Turbo must be true or false, not 'Enabled'"),
        ("Tag", "abc", None),
        ("Tag", "a", "Tag must have at least 2 characters, not 'a'"),
        ("Tag", "abcde", "Tag must have at most 4 characters, not 'abcde'"),
        ("Tag", 5, "Tag must be a string"),
        ("Setup", "secret", "Setup must have at least 8 characters"),
        ("Serial", "x", "Serial is read-only"),
        ("Fused", True, "Fused is read-only"),
        ("Odd", "x", None),
        ("Legacy", "x", None),
        ("Absent", "x", "Absent is not an attribute of this BIOS"),
    ],
)
def test_registry(name, value, problem):
    """An attribute is checked by its registry before anything is sent; a password is not shown."""
    assert ((problem,) if problem else ()) == check({name: value}, {"Legacy": "y"}, excerpt(DOCUMENT, [name])).problems


def test_without_registry():
    """Without a registry, names and types are those of the attributes in force."""
    current = {"A": "x", "B": 1, "C": None}

    assert SettingsCheck() == check({"A": "y", "B": 2, "C": "z"}, current, None)
    assert ("A is of type str, not int", "D is not an attribute of this BIOS") == check(
        {"A": 5, "D": 1}, current, None
    ).problems


def dependency(to: str, what: str, value: object, *conditions: tuple[Any, ...]) -> dict[str, Any]:
    """A dependency: *what* of *to* is *value* where the conditions (attribute, condition, value[, term]) hold."""
    keys = ("MapFromAttribute", "MapFromCondition", "MapFromValue", "MapTerms")
    terms = [{"MapFromProperty": "CurrentValue", **dict(zip(keys, each, strict=False))} for each in conditions]
    found = {"MapFrom": terms, "MapToAttribute": to, "MapToProperty": what, "MapToValue": value}
    return {"Type": "Map", "DependencyFor": to, "Dependency": found}


def verdict(wanted: dict[str, Any], current: dict[str, Any], *dependencies: dict[str, Any]) -> SettingsCheck:
    """Check against a registry of any strings and these dependencies."""
    entries = [{"AttributeName": name, "Type": "String"} for name in {**wanted, **current}]
    registry = {"RegistryEntries": {"Attributes": entries, "Dependencies": list(dependencies)}}
    return check(wanted, current, excerpt(registry, wanted))


LOCKED = dependency("Delay", "ReadOnly", True, ("Mode", "EQU", "Off"))


def test_locked_by_another():
    """An attribute that another one makes read-only is a problem, and the problem names that one."""
    found = verdict({"Delay": "9"}, {"Mode": "Off", "Delay": "1"}, LOCKED)

    assert SettingsCheck(("Delay is read-only while Mode is Off",)) == found


def test_unlocked_together():
    """It may be set together with the attribute that unlocks it, and not with the one that locks it."""
    assert SettingsCheck() == verdict({"Mode": "On", "Delay": "9"}, {"Mode": "Off", "Delay": "1"}, LOCKED)
    assert verdict({"Mode": "Off", "Delay": "9"}, {"Mode": "On", "Delay": "1"}, LOCKED).problems


def test_a_value_that_is_there_is_not_checked():
    """What has the wanted value already is not set, so that it does not matter that it is locked."""
    assert SettingsCheck() == verdict({"Delay": "1"}, {"Mode": "Off", "Delay": "1"}, LOCKED)


@pytest.mark.parametrize("flag", ["GrayOut", "Hidden"])
def test_hidden_is_a_doubt(flag):
    """A hidden or grayed-out attribute may still take a value: that is said, and forbids nothing."""
    found = verdict({"B": "9"}, {"A": "x", "B": "1"}, dependency("B", flag, True, ("A", "EQU", "x")))

    assert () == found.problems
    assert 1 == len(found.doubts)
    assert "while A is x" in found.doubts[0]


@pytest.mark.parametrize(
    ("second", "locked"),
    [
        (("B", "EQU", "y"), True),  # no term: or
        (("B", "EQU", "n"), True),
        (("B", "EQU", "n", "OR"), True),
        (("B", "EQU", "n", "AND"), False),
        (("B", "NEQ", "n", "AND"), True),
        (("Secret", "EQU", "n", "AND"), False),  # its value is not told: unknown
        (("Secret", "EQU", "n", "OR"), True),
        (("B", "EQU", "y", "OR,AND"), False),  # brackets that nobody can place
        (("B", "LIKE", "y", "AND"), False),
    ],
)
def test_terms(second, locked):
    """Conditions are joined as their terms say, "or" where none says; what cannot be judged locks nothing."""
    found = verdict(
        {"To": "9"}, {"A": "x", "B": "y", "To": "1"}, dependency("To", "ReadOnly", True, ("A", "EQU", "x"), second)
    )

    assert locked == bool(found.problems)


@pytest.mark.parametrize(("sign", "holds"), [("GTR", False), ("GEQ", True), ("LSS", False), ("LEQ", True)])
def test_numbers(sign, holds):
    """Conditions compare numbers."""
    found = verdict({"To": "9"}, {"A": 5, "To": "1"}, dependency("To", "ReadOnly", True, ("A", sign, 5)))

    assert holds == bool(found.problems)


def test_forced_otherwise():
    """A value is a problem where another wanted one makes the BIOS set something else."""
    forced = dependency("Turbo", "CurrentValue", "Off", ("Profile", "EQU", "Quiet"))
    current = {"Profile": "Custom", "Turbo": "On"}

    assert ("Turbo cannot be 'Max' while Profile is Quiet: that makes it 'Off'",) == verdict(
        {"Profile": "Quiet", "Turbo": "Max"}, current, forced
    ).problems
    assert SettingsCheck() == verdict({"Profile": "Quiet", "Turbo": "Off"}, current, forced)
    assert SettingsCheck() == verdict({"Turbo": "Max"}, {"Profile": "Quiet", "Turbo": "On"}, forced)


def test_bounds_by_another():
    """A dependency may move a bound."""
    registry = {
        "RegistryEntries": {
            "Attributes": [{"AttributeName": "Cores", "Type": "Integer", "LowerBound": 2, "UpperBound": 64}],
            "Dependencies": [dependency("Cores", "UpperBound", 8, ("Mode", "EQU", "Few"))],
        }
    }

    assert ("Cores must be at most 8, not 16",) == check(
        {"Cores": 16}, {"Cores": 2, "Mode": "Few"}, excerpt(registry, ["Cores"])
    ).problems
    assert SettingsCheck() == check({"Cores": 16}, {"Cores": 2, "Mode": "Many"}, excerpt(registry, ["Cores"]))


def test_reset_is_told():
    """Which attributes need a reset is told."""
    registry = {"RegistryEntries": {"Attributes": [{"AttributeName": "A", "Type": "String", "ResetRequired": True}]}}

    assert ("A",) == check({"A": "y"}, {"A": "x"}, excerpt(registry, ["A"])).needs_reset


@pytest.mark.parametrize("nonsense", [None, [], "x", {"MapFrom": "x"}, {"MapFrom": [5]}, {"MapToAttribute": "A"}])
def test_nonsense_dependencies(nonsense):
    """Dependencies of any shape raise nothing and lock nothing."""
    registry = {
        "RegistryEntries": {
            "Attributes": [{"AttributeName": "A", "Type": "String"}],
            "Dependencies": [
                nonsense,
                {"Dependency": nonsense},
                {"Dependency": {"MapToAttribute": "A", "MapToProperty": "ReadOnly", "MapToValue": True, "x": nonsense}},
            ],
        }
    }

    assert SettingsCheck() == check({"A": "y"}, {"A": "x"}, excerpt(registry, ["A"]))


def test_of_two_that_give_way_only_the_other_does():
    """Where two attributes may not be alike, setting one is no problem: the other gives way, unless it is wanted."""
    two = [
        dependency("B", "CurrentValue", "2", ("A", "EQU", "1"), ("B", "EQU", "1", "AND")) | {"DependencyFor": "A"},
        dependency("A", "CurrentValue", "2", ("B", "EQU", "1"), ("A", "EQU", "1", "AND")) | {"DependencyFor": "B"},
    ]

    assert SettingsCheck() == verdict({"A": "1"}, {"A": "2", "B": "1"}, *two)
    assert verdict({"A": "1", "B": "1"}, {"A": "2", "B": "2"}, *two).problems


@pytest.mark.parametrize(
    ("tree", "wanted", "said"),
    [
        ("dell-r750", {"SataPortA": "Off"}, SettingsCheck(("SataPortA is read-only while EmbSata is not AtaMode",))),
        ("dell-r750", {"SataPortA": "Off", "EmbSata": "AtaMode"}, None),
        (
            "hpe-dl385g10p",
            {"PostAsrDelay": "Delay20Min"},
            SettingsCheck(("PostAsrDelay is read-only while PostAsr is PostAsrOff",)),
        ),
        (
            "lenovo-sr670v2",
            {"Processors_TurboMode": "Disabled"},
            SettingsCheck(
                doubts=(
                    (
                        "Processors_TurboMode is grayed out while OperatingModes_ChooseOperatingMode is not "
                        "CustomMode; the BIOS may not take it"
                    ),
                )
            ),
        ),
        ("supermicro-821ge", {"QuietBoot_003A": 5}, None),
        ("openbmc-stock", {"Any": 5}, "could not"),
        ("nvidia-gb200", {"Any": 5}, SettingsCheck(("Any is not an attribute of this BIOS",))),
    ],
)
def test_recorded_registries(tree, wanted, said):
    """Six recorded BMCs say through their own registries what would be refused, and each registry is found."""
    if TREES not in os.environ:
        pytest.skip(f"{TREES} names no recorded trees")
    server = ScriptedBmc(documents=Recorded(load_tree(find_tree(tree))))

    async def run():
        async with server:
            bmc = client(server, system="System_0" if tree == "nvidia-gb200" else None)
            found = await bmc.check_settings(wanted)
            requests = len(server.requests)
            await bmc.check_settings(wanted)
            again = len(server.requests) - requests
            await bmc.close()
            return found, again

    found, again = asyncio.run(run())

    assert 1 == again, "what the registry says is kept"
    match said:
        case "could not":
            assert SettingsCheck(("the BIOS names no settings resource, so nothing can be staged",)) == found
        case None:
            assert isinstance(found, SettingsCheck)
        case _:
            assert said == SettingsCheck(found.problems, found.doubts)
