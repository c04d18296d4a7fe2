"""NetBox: the JSON of ``/api/dcim/devices/``, one page of it or a list of devices."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator, Mapping
from typing import Any

from ...errors import InventoryError
from .node import ForeignNode

_LABELS = {
    "site": ("site", "slug"),
    "location": ("location", "slug"),
    "rack": ("rack", "name"),
    "role": ("role", "slug"),
}
_OLD_ROLE = ("device_role", "slug")  # before NetBox 4.0


def read_netbox(text: str) -> tuple[tuple[ForeignNode, ...], tuple[str, ...]]:
    """Return the devices that have an out-of-band address, and a line for each that was left out.

    Raises:
        InventoryError: it is not such JSON, or only one page of several.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InventoryError(
            f"That is no JSON: {error}.", advice="Save what /api/dcim/devices/?limit=0 answers."
        ) from error
    if isinstance(document, Mapping) and document.get("next"):
        raise InventoryError(
            "That is one page of several.", advice="Ask with ?limit=0, or import the pages joined into one list."
        )
    devices = document.get("results") if isinstance(document, Mapping) else document
    if not isinstance(devices, list) or not all(isinstance(device, Mapping) for device in devices):
        raise InventoryError("That holds no list of devices.", advice="Save what /api/dcim/devices/?limit=0 answers.")
    nodes, left_out = [], []
    for number, device in enumerate(devices, 1):
        name = _text(device, "name") or f"device number {number}"
        bmc = _address(device)
        if bmc is None or not _text(device, "name"):
            left_out.append(f"{name}: no {'name' if bmc is not None else 'out-of-band address'}")
            continue
        nodes.append(
            ForeignNode(
                name,
                bmc,
                vendor=_text(device, "device_type", "manufacturer", "name"),
                model=_text(device, "device_type", "model"),
                labels=dict(_labels(device)),
            )
        )
    return tuple(nodes), tuple(left_out)


def _address(device: Mapping[str, Any]) -> str | None:
    """The out-of-band address as a URL; NetBox writes it with its prefix length."""
    try:
        address = ipaddress.ip_interface(_text(device, "oob_ip", "address")).ip
    except ValueError:
        return None
    return f"https://[{address}]" if address.version == 6 else f"https://{address}"


def _labels(device: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for label, path in _LABELS.items():
        value = _text(device, *path) or (_text(device, *_OLD_ROLE) if label == "role" else "")
        if value:
            yield label, value
    tags = device.get("tags")
    for tag in tags if isinstance(tags, list) else ():
        if slug := _text(tag, "slug"):
            yield f"tag-{slug}", "yes"


def _text(value: Any, *path: str) -> str:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value.strip() if isinstance(value, str) else ""
