"""What sushy-tools 2.2 serves from its templates, brought to what the schemas say (DSP8010, its service validator)."""

from __future__ import annotations

from typing import Any

_TYPES = {
    "#Chassis.v1_5_0.Chassis": "#Chassis.v1_7_0.Chassis",  # its UUID came with 1.7
}

_NUMBERS = frozenset({"SensorNumber", "TotalCores", "TotalThreads"})
"""Told as strings by the templates."""

_DROPPED = frozenset({"@Redfish.Copyright"})
"""For mock-ups alone (DSP0266, "Redfish.Copyright")."""


def as_schemas_say(value: Any) -> Any:
    """Return the document *value* without what no schema allows; it is changed nowhere else."""
    if isinstance(value, list):
        return [as_schemas_say(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: _member(name, inner) for name, inner in value.items() if name not in _DROPPED}


def _member(name: str, value: Any) -> Any:
    if name == "@odata.type":
        return _TYPES.get(value, value)
    if name in _NUMBERS and isinstance(value, str) and value.isdigit():
        return int(value)
    return as_schemas_say(value)
