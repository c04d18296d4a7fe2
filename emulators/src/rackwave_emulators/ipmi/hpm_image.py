"""Lab images in HPM.1 files, for 'ipmitool hpm upgrade' and for rehearsals."""

from __future__ import annotations

from rackwave.core.hpm_image import COMPONENTS, LONGEST_DESCRIPTION, Device, HpmImage, Prepare, Upload, hpm_pieces
from rackwave.errors import UsageError

from .version import version_octets

_PRODUCT = 0x0001  # of the lab's BMCs


def wrap_hpm(
    payload: bytes, *, component: int, version: str, description: str = "rackwave lab image", manufacturer: int = 0
) -> bytes:
    """Return a file that brings *payload*, a lab image or a real one, to one component of a lab's BMC.

    A version that six bytes have no room for is told by its checksum, as the lab's BMCs tell it.

    Raises:
        UsageError: there is no such component number.
    """
    if not 0 <= component < COMPONENTS:
        raise UsageError(f"HPM.1 has no component {component}", advice=f"They are numbered 0 to {COMPONENTS - 1}.")
    told = version_octets(version)
    upload = Upload(component, 0, len(payload), told, description[:LONGEST_DESCRIPTION])
    device = Device(manufacturer=manufacturer, product=_PRODUCT)
    image = HpmImage((Prepare(upload.mask), upload), device, told)
    return b"".join(hpm_pieces(image, lambda _: iter([payload])))
