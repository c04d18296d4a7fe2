"""Lab images in HPM.1 files."""

from __future__ import annotations

import pytest

from rackwave.core.hpm_image import Device, Prepare, parse_hpm
from rackwave.core.octets import Octets
from rackwave.errors import UsageError
from rackwave_emulators.ipmi.hpm_image import wrap_hpm
from rackwave_emulators.ipmi.version import version_octets


def test_a_file_brings_one_component() -> None:
    """It says for which device and component it is, in which version."""
    octets = wrap_hpm(b"firmware", component=1, version="2.5.7", manufacturer=674)
    found = parse_hpm(Octets.of("x", octets))
    (upload,) = found.uploads

    assert (Device(0x20, 674, 1), Prepare(2)) == (found.device, found.actions[0])
    assert (1, "2.5.7", b"firmware") == (upload.component, upload.version, octets[upload.offset :][: upload.length])


def test_there_are_eight_components() -> None:
    """An image for component 8 cannot be made."""
    with pytest.raises(UsageError):
        wrap_hpm(b"", component=8, version="1.0")


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("1.2", "010200000000"),
        ("2.17.300", "0217012c0000"),
        ("126.99.1.2", "7e9900010002"),
        (None, "ffffffffffff"),
    ],
)
def test_versions_fit_into_six_bytes(text: str | None, octets: str) -> None:
    """A plain version is told in full, a missing one as such."""
    assert octets == version_octets(text).hex()


def test_odd_versions_stay_apart() -> None:
    """What does not fit is told by a checksum, so that different texts are different and equal ones equal (P43)."""
    old, new = (version_octets(f"2022.11-6+deb12u{release}") for release in (1, 2))

    assert old != new
    assert bytes(2) == old[:2]
