"""BIOS attributes of an emulated machine."""

from __future__ import annotations

import pytest

from rackwave.core.bundle import AttributeValue
from rackwave_emulators.bios import REGISTRY, BiosSettings
from rackwave_emulators.refusal import LabRefusal


def settings() -> BiosSettings:
    """Return a machine's settings as they leave the factory."""
    return BiosSettings({attribute.name: attribute for attribute in REGISTRY})


def test_the_factory_values_are_what_the_registry_allows() -> None:
    """Every default fits its own entry of the registry."""
    assert {a.name: "" for a in REGISTRY} == {a.name: a.objection(a.default) for a in REGISTRY if not a.read_only} | {
        a.name: "" for a in REGISTRY if a.read_only
    }


def test_values_wait_for_the_post() -> None:
    """A staged value is pending and not in force until it is applied."""
    bios = settings()
    bios.stage({"BootMode": "Bios", "AcPwrRcvryDelay": 5})

    assert bios.current["BootMode"] == "Uefi"
    assert {"BootMode": "Bios", "AcPwrRcvryDelay": 5} == bios.pending
    assert bios.apply()
    assert ("Bios", 5) == (bios.current["BootMode"], bios.current["AcPwrRcvryDelay"])
    assert {} == bios.pending
    assert not bios.apply()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NoSuch", 1),
        ("SystemMemorySize", "1 TB"),
        ("BootMode", "Legacy"),
        ("BootMode", None),
        ("AcPwrRcvryDelay", 601),
        ("AcPwrRcvryDelay", -1),
        ("AcPwrRcvryDelay", True),
        ("AcPwrRcvryDelay", "60"),
        ("QuietBoot", "Enabled"),
        ("QuietBoot", 1),
        ("AssetTag", "x" * 64),
    ],
)
def test_one_wrong_value_refuses_all(name: str, value: AttributeValue) -> None:
    """A request with one unknown, read-only or ill-fitting attribute stages nothing."""
    bios = settings()

    with pytest.raises(LabRefusal) as refusal:
        bios.stage({"LogicalProc": "Disabled", name: value})

    assert refusal.value.status == 400
    assert {} == bios.pending


def test_defaults_replace_what_waits() -> None:
    """A reset to defaults lets every writable default wait, and forgets what waited before."""
    bios = settings()
    bios.stage({"BootMode": "Bios"})
    bios.apply()
    bios.stage({"QuietBoot": False})
    bios.stage_defaults()
    bios.apply()

    assert settings().current == bios.current
