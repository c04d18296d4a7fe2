"""What was found at one address, without a login."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from attrs import frozen


@frozen
class Found:
    """A Redfish service. What its root does not tell without a login is empty."""

    url: str
    vendor: str = ""
    product: str = ""
    uuid: str = ""
    version: str = ""
    how: str = ""

    @property
    def name(self) -> str:
        """A name for the inventory, until a person gives it a better one."""
        return "bmc-" + re.sub(r"[^A-Za-z0-9]+", "-", urlsplit(self.url).netloc).strip("-")


def document_of(found: Found) -> dict[str, Any]:
    """Return *found* as JSON values."""
    told = {"vendor": found.vendor, "product": found.product, "uuid": found.uuid, "redfish": found.version}
    return {"url": found.url, **{name: value or None for name, value in told.items()}, "how": found.how}


def tables_of(services: Iterable[Found]) -> str:
    """Write *services* as ``[[nodes]]`` tables; names and credentials are for a person to mend."""
    lines = []
    for found in services:
        what = " ".join(word for word in (found.vendor, found.product, found.uuid) if word)
        lines += ["[[nodes]]", f'name = "{found.name}"', f'bmc = "{found.url}"']
        lines += [f"# {_printable(what)}", ""] if what else [""]
    return "\n".join(lines)


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
