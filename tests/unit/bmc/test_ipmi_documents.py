"""What is read from IPMI's bytes: endpoints, versions, FRU, SDRs, cipher suites, HPM.1 files, completion codes."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("pyipmi.interfaces.rmcpplus")

from rackwave.bmc.ipmi import completion
from rackwave.bmc.ipmi.endpoint import Endpoint
from rackwave.bmc.ipmi.fru import Areas, areas_of, identity_of
from rackwave.bmc.ipmi.health import health_of_reading
from rackwave.bmc.ipmi.hpm_file import read_hpm_file
from rackwave.bmc.ipmi.native import suite_numbers
from rackwave.bmc.ipmi.sensors import Conversion, Reading, Sensor, sensors_of
from rackwave.core.hpm_image import Device, Prepare, Upload
from rackwave.core.hpm_version import can_be_told, version_text
from rackwave.core.observation import Health, Identity, Unknown
from rackwave.core.receipt import Accepted, Ambiguous, Ground, Refused
from rackwave.errors import PackageFormatError, UsageError
from rackwave_emulators.ipmi.fru import fru_inventory
from rackwave_emulators.ipmi.hpm_image import wrap_hpm
from rackwave_emulators.ipmi.sensors import SENSORS, sensor_records
from rackwave_emulators.ipmi.version import version_octets


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bmc1", Endpoint("bmc1", 623)),
        ("10.0.0.1:9623", Endpoint("10.0.0.1", 9623)),
        ("[fe80::1]:624", Endpoint("fe80::1", 624)),
        ("[::1]", Endpoint("::1", 623)),
        ("2001:db8::7", Endpoint("2001:db8::7", 623)),
    ],
)
def test_endpoints(text: str, expected: Endpoint) -> None:
    """A host may have a port, and an IPv6 address stands in brackets where it has one."""
    assert expected == Endpoint.parse(text)
    assert expected == Endpoint.parse(str(expected))


@pytest.mark.parametrize("text", ["", ":623", "bmc1:", "bmc1:x", "bmc1:0", "bmc1:70000", "[::1", "[::1]623"])
def test_what_is_no_endpoint(text: str) -> None:
    """What cannot be an endpoint is said to be none; a colon with nothing behind it means the usual port."""
    if text == "bmc1:":
        assert Endpoint("bmc1") == Endpoint.parse(text)
        return
    with pytest.raises(UsageError, match="no IPMI endpoint"):
        Endpoint.parse(text)


@pytest.mark.parametrize("version", ["1.0.0", "2.5.7", "12.34.56789", "2.1.7.12", "0.0.0"])
def test_a_version_that_can_be_told(version: str) -> None:
    """What fits in six bytes reads as it was written."""
    assert can_be_told(version)
    assert version == version_text(version_octets(version))


@pytest.mark.parametrize("version", ["2.0", "2022.11-6+deb12u2", "1.100.0", "0.0.7", "2.1.0.0", "v1.0.0", "127.0.0"])
def test_a_version_that_cannot(version: str) -> None:
    """What would read as another version, or as none, is known beforehand."""
    assert not can_be_told(version)


def test_odd_versions() -> None:
    """No version is None; bytes that are none, and a checksum in a version's place, are Unknown."""
    assert None is version_text(b"\xff" * 6)
    for octets in (b"", b"\x01\x0a" + bytes(4), version_octets("2022.11-6+deb12u2")):
        assert isinstance(version_text(octets), Unknown)


def test_a_fru_inventory() -> None:
    """The product area says who the machine is."""
    octets = fru_inventory(manufacturer="Contoso", model="Plain 1", serial="S1", uuid="u", name="n")

    assert Identity("Contoso", "Plain 1", "S1") == identity_of(areas_of(octets))


@pytest.mark.parametrize("octets", [b"", b"\x01", bytes(8), b"\x01\x00\x00\xff\xff\x00\x00\x00", b"\xff" * 64])
def test_a_fru_inventory_that_is_none(octets: bytes) -> None:
    """Rubbish has no areas, and a machine without them is Unknown."""
    assert Areas() == areas_of(octets)
    assert isinstance(identity_of(areas_of(octets)).serial, Unknown)


def test_a_boards_serial_number_is_not_the_machines() -> None:
    """Without a product area the chassis tells the serial number; the board never does."""
    areas = Areas(board=("Contoso", "Board", "B-1"))

    assert Identity("Contoso", "Board", Unknown("the FRU inventory has no serial number")) == identity_of(areas)
    assert "C-1" == identity_of(Areas(chassis=("part", "C-1"))).serial


def test_packed_fru_fields() -> None:
    """BCD plus and 6-bit ASCII are read, and what cannot be printed is left out (FRU specification, chapter 13)."""
    # 6-bit ASCII's own example there: "IPMI" is 29 dc a6
    area = bytes([1, 3, 25]) + b"\x42\x12\x3a" + b"\x83\x29\xdc\xa6" + b"\xc2A\x07" + b"\xc1"
    inventory = b"\x01\x00\x00\x00\x01\x00\x00\xfe" + area.ljust(24, b"\x00")

    assert ("123", "IPMI", "A") == areas_of(inventory).product


def test_the_labs_sdrs() -> None:
    """Every sensor of the lab is found under its name; the record that is no sensor is none."""
    found = [sensor for record in sensor_records() for sensor in sensors_of(record)]

    assert [sensor.name for sensor in SENSORS] == [sensor.name for sensor in found]
    assert [int(sensor.number) for sensor in SENSORS] == [sensor.number for sensor in found]


@pytest.mark.parametrize(
    ("conversion", "raw", "expected"),
    [
        (Conversion(1, 0, 0, 0, 0), 200, 200.0),
        (Conversion(1, 0, 0, 0, 2), 0xF6, -10.0),
        (Conversion(1, 0, 0, 0, 1), 0xF5, -10.0),
        (Conversion(2, 5, 1, -1, 0), 10, 7.0),
        (Conversion(-1, 100, 0, 0, 0), 40, 60.0),
    ],
)
def test_conversions(conversion: Conversion, raw: int, expected: float) -> None:
    """A raw reading becomes a value by the record's factors (36.3)."""
    assert pytest.approx(expected) == conversion.value(raw)


def test_shared_records() -> None:
    """One compact record may stand for several sensors, side by side."""
    record = bytearray(next(r for r in sensor_records() if r[3] == 0x02))
    record[5 + 18] = 3

    assert [1, 2, 3] == [sensor.number for sensor in sensors_of(bytes(record))]


@pytest.mark.parametrize(
    ("kind", "event_type", "states", "expected"),
    [
        (0x01, 0x01, 0b000000, Health.OK),
        (0x01, 0x01, 0b001000, Health.WARNING),
        (0x01, 0x01, 0b011000, Health.CRITICAL),
        (0x04, 0x01, 0b000011, Health.WARNING),  # a fan, of which there are others
        (0x04, 0x01, 0b000111, Health.CRITICAL),
        (0x0C, 0x6F, 0b000010, Health.CRITICAL),
        (0x08, 0x6F, 0b000010, Health.WARNING),
        (0x18, 0x07, 0b000100, Health.CRITICAL),
        (0x18, 0x07, 0b000001, Health.OK),
        (0x08, 0x0B, 0b000010, Health.WARNING),
        (0x25, 0x6F, 0b111111, Health.OK),  # presence says nothing of health
    ],
)
def test_health_of_a_sensor(kind: int, event_type: int, states: int, expected: Health) -> None:
    """What a sensor's states mean for the machine as a whole."""
    assert expected is health_of_reading(Reading(Sensor(1, kind, event_type, "x"), None, states))


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        (b"", frozenset()),
        (b"\xc0\x03\x01\x41\x81\xc0\x11\x03\x44\x81", frozenset({3, 17})),
        (b"\xc1\x80\x12\x34\x56\x01\x41\x81\xc0\x03\x01\x41\x81", frozenset({3})),
        (b"\xc0\x00\x00\x40\x80", frozenset({0})),
        (b"\xc0", frozenset()),
        (b"\x01\x02\x03\x04", frozenset()),
    ],
)
def test_cipher_suite_records(records: bytes, expected: frozenset[int]) -> None:
    """Standard suites are found among a maker's own; what is no record is skipped."""
    assert expected == suite_numbers(records)


def test_an_hpm_file(tmp_path: Path) -> None:
    """A file's actions and device are read; its firmware stays in it."""
    path = tmp_path / "image"
    path.write_bytes(wrap_hpm(b"firmware" * 99, component=1, version="2.1.0", manufacturer=674))
    package = read_hpm_file(path, component=0)
    (upload,) = package.uploads

    assert Device(0x20, 674, 1, (0, 0)) == package.device
    assert Prepare(2) == package.actions[0]
    assert (1, 792, "2.1.0") == (upload.component, upload.length, upload.version)
    assert b"firmware" * 99 == path.read_bytes()[upload.offset : upload.offset + upload.length]


def test_bare_firmware(tmp_path: Path) -> None:
    """Bytes that are no HPM.1 file are the firmware of the component that they are meant for."""
    path = tmp_path / "image"
    path.write_bytes(b"firmware")

    assert (Prepare(4), Upload(2, 0, 8)) == read_hpm_file(path, component=2).actions


@pytest.mark.parametrize("cut", [9, 34, 60, -1])
def test_a_cut_hpm_file(tmp_path: Path, cut: int) -> None:
    """A file that is cut short anywhere is damaged."""
    path = tmp_path / "image"
    path.write_bytes(wrap_hpm(b"firmware" * 99, component=1, version="2.1.0")[:cut])

    with pytest.raises(PackageFormatError):
        read_hpm_file(path, component=1)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (0x00, Accepted(way="x")),
        (0x80, Accepted(way="x")),
        (0xC0, Refused("x was answered with C0h, busy", 10.0)),
        (0xC1, Refused("x was answered with C1h, it has no such command", ground=Ground.UNABLE)),
        (0xD4, Refused("x was answered with D4h, the account may not do that")),
        (0xD5, Refused("x was answered with D5h, not in the present state", 10.0)),
        (0xC3, Ambiguous("x was answered with C3h, it timed out")),
        (0xFF, Ambiguous("x was answered with FFh, an unspecified error")),
        (0x91, Refused("x was answered with 91h")),
    ],
)
def test_completion_codes(code: int, expected: object) -> None:
    """An act is judged by its completion code; one that may have been carried out is ambiguous."""
    assert expected == completion.receipt_of(code, "x")
