"""Scrubbing: what names a machine becomes a pseudonym of its form everywhere, what decides stays."""

from __future__ import annotations

import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwave_emulators.scrub import SECRET, Scrubber

SYSTEM = "/redfish/v1/Systems/1"


def scrubbed(document: dict[str, Any], key: bytes = b"k") -> dict[str, Any]:
    """Scrub a recording of one document."""
    return Scrubber(key).scrub({SYSTEM: document})[SYSTEM]


@pytest.mark.parametrize(
    ("name", "value", "form"),
    [
        ("SerialNumber", "MXQ302099S", "AAA999999A"),
        ("AssetTag", "rack-7/u12", "aaaa-9/a99"),
        ("MACAddress", "E4:3D:1A:13:27:F0", None),
        ("UUID", "6173ECEC-6EF5-11EE-834A-0A8FC3A58A71", None),
        ("HostName", "db7.example.org", None),
        ("IPAddress", "10.20.30.40", None),
        ("UserName", "jane.doe", None),
    ],
)
def test_what_names_a_machine_becomes_a_pseudonym(name: str, value: str, form: str | None) -> None:
    """Each identifying property gets another value of its form; the same one each time with the same key."""
    once, again, other = (scrubbed({name: value}, key)[name] for key in (b"k", b"k", b"other"))

    assert once == again
    assert value not in (once, other)
    assert once != other
    assert form is None or form == "".join(
        "9" if c in string.digits else "A" if c in string.ascii_uppercase else "a" if c.isalpha() else c for c in once
    )


def test_one_value_has_one_pseudonym_wherever_it_stands() -> None:
    """A serial number is found in a host name, in a link, in another's path and in free text."""
    told = Scrubber(b"k").scrub(
        {
            SYSTEM: {
                "SerialNumber": "MXQ302099S",
                "Oem": {"Name": "ILOMXQ302099S", "Link": {"@odata.id": "/redfish/v1/Chassis/MXQ302099S"}},
            },
            "/redfish/v1/Chassis/MXQ302099S": {"Description": "the chassis of MXQ302099S, port E4:3D:1A:13:27:F0"},
            "/redfish/v1/Ports": {"Name": "e43d1a1327f0"},
        }
    )
    serial = told[SYSTEM]["SerialNumber"]
    chassis = told[f"/redfish/v1/Chassis/{serial}"]
    port = chassis["Description"].rpartition(" ")[2]

    assert f"ILO{serial}" == told[SYSTEM]["Oem"]["Name"]
    assert f"/redfish/v1/Chassis/{serial}" == told[SYSTEM]["Oem"]["Link"]["@odata.id"]
    assert port.startswith("02:")
    assert port.replace(":", "").lower() == told["/redfish/v1/Ports"]["Name"]
    assert "MXQ302099S" not in json.dumps(told)


@pytest.mark.parametrize(
    "document",
    [
        {"Version": "21.80.16.95"},
        {"FirmwareVersion": "6.00.30.00", "Model": "PowerEdge R750", "PartNumber": "0PYXKY"},
        {"SerialNumber": "", "AssetTag": None, "HostName": "localhost", "UUID": None},
        {"DeviceClass": "aa148d2e-6e09-453e-bc6f-63baa5f5ccc4"},
        {"SubnetMask": "255.255.255.0", "Gateway": "0.0.0.0", "MACAddress": "00:00:00:00:00:00"},  # noqa: S104 - nothing binds
        {"Id": "bmc", "Members": [{"@odata.id": "/redfish/v1/Managers/bmc"}], "PowerState": "On"},
        {"MinPasswordLength": 8, "PasswordChangeRequired": False, "Password": None},
    ],
)
def test_what_decides_or_names_nothing_stays(document: dict[str, Any]) -> None:
    """Versions, models, component types, masks, empty values and plain words are as they were."""
    assert document == scrubbed(document)


def test_secrets_are_gone_without_a_pseudonym() -> None:
    """Passwords, tokens, keys and certificates are replaced by a word."""
    document = {"Password": "hunter2", "X-Auth-Token": "abc", "PublicKey": "ssh-rsa AAAA", "CertificateString": "---"}

    assert dict.fromkeys(document, SECRET) == scrubbed(document)


def test_a_short_name_is_replaced_only_where_it_names() -> None:
    """A host called 'bmc' does not turn every other 'bmc' into a host's name."""
    told = scrubbed({"HostName": "bmc", "Id": "bmc", "Links": {"@odata.id": "/redfish/v1/Managers/bmc"}})

    assert "bmc" != told["HostName"]
    assert ("bmc", "/redfish/v1/Managers/bmc") == (told["Id"], told["Links"]["@odata.id"])


def test_a_leak_is_seen() -> None:
    """A last look finds what was collected and still stands in a text."""
    scrubber = Scrubber(b"k")
    told = scrubber.scrub({SYSTEM: {"SerialNumber": "MXQ302099S"}})

    assert [] == scrubber.leaks(json.dumps(told))
    assert ["MXQ302099S"] == scrubber.leaks("forgotten: MXQ302099S")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.uuids().map(str),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=12,
    )
)
def test_anything_keeps_its_shape(value: Any) -> None:
    """Whatever a BMC says, its scrubbed form has the same types in the same places, and no UUID of before."""

    def shape(value: Any) -> Any:
        match value:
            case dict():
                return [shape(inner) for inner in value.values()]
            case list():
                return [shape(inner) for inner in value]
            case _:
                return type(value)

    told = scrubbed({"SerialNumber": "MXQ302099S", "Value": value})

    assert shape(value) == shape(told["Value"])
