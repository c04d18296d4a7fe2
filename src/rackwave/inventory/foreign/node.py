"""A node as another tool knows it, and how it is written down in ours."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from attrs import field, frozen

from ...core.bundle import frozen_map


@frozen
class ForeignNode:
    """What another tool says of a node that we can use."""

    name: str
    bmc: str
    vendor: str = ""
    model: str = ""
    labels: Mapping[str, str] = field(factory=dict, converter=frozen_map)


def written(nodes: Iterable[ForeignNode], *, credentials: str, origin: str) -> str:
    """Write *nodes* as an inventory; *credentials* is the reference that all of them get."""
    lines = [f"# Imported from {_line(origin)}.", "[defaults]", f"credentials = {_text(credentials)}", ""]
    for node in nodes:
        lines += ["[[nodes]]", f"name = {_text(node.name)}", f"bmc = {_text(node.bmc)}"]
        lines += [f"vendor = {_text(node.vendor)}"] if node.vendor else []
        lines += [f"model = {_text(node.model)}"] if node.model else []
        if node.labels:
            pairs = ", ".join(f"{_text(key)} = {_text(value)}" for key, value in sorted(node.labels.items()))
            lines.append(f"labels = {{ {pairs} }}")
        lines.append("")
    return "\n".join(lines)


def _text(value: str) -> str:
    """Return *value* as a TOML basic string, which is a JSON string but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _line(value: str) -> str:
    return "".join(character if character.isprintable() else " " for character in value)
