"""Every fault by name, and faults as plain data. A row's id, ``P07``, is as good as a fault's."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

import attrs

from . import control, http, inventory, ipmi, power, queues, tasks, transfer
from .fault import Fault, FaultError
from .rows import ROWS, Preset

_FAMILIES = (tasks, transfer, queues, http, power, inventory, ipmi, control)

FAULTS: Mapping[str, type[Fault]] = types.MappingProxyType(
    {
        kind.id: kind
        for family in _FAMILIES
        for kind in vars(family).values()
        if isinstance(kind, type) and issubclass(kind, Fault) and "id" in vars(kind)
    }
)
"""Every fault, by id."""


def parse_fault(told: Mapping[str, object]) -> Fault:
    """Make a fault of ``{"fault": "flash-fails", "percent": 40, "leaves": "corrupt"}``, or of ``{"fault": "P07"}``.

    A row's id stands for the first of its faults that has all the parameters given.

    Raises:
        FaultError: there is no such fault, or a parameter is unknown, of a wrong type or out of range.
    """
    name = told.get("fault")
    given = {key: value for key, value in told.items() if key != "fault"}
    preset = _preset(name, given.keys())
    fields = {attribute.name for attribute in attrs.fields(preset.kind)}
    if unknown := sorted(given.keys() - fields):
        raise FaultError(f"{name} has no parameter {unknown[0]!r}", advice=f"It has {', '.join(sorted(fields))}.")
    types_by_name = typing.get_type_hints(preset.kind)
    make: Callable[..., Fault] = preset.kind
    try:
        return make(
            **{**preset.parameters, **{key: _parameter(value, types_by_name[key]) for key, value in given.items()}}
        )
    except (ValueError, TypeError) as error:
        raise FaultError(f"{name}: {error.args[0] if error.args else error}") from error


def fault_as_dict(fault: Fault) -> dict[str, object]:
    """Tell *fault* as ``parse_fault`` reads it."""
    return {"fault": fault.id, **attrs.asdict(fault)}


def defaults(preset: Preset) -> dict[str, object]:
    """Return every parameter of a preset's fault with the value it has unless another is given."""
    told = fault_as_dict(preset.fault)
    del told["fault"]
    return told


def _preset(name: object, given: typing.Iterable[str]) -> Preset:
    if isinstance(name, str) and name in FAULTS:
        return Preset(FAULTS[name])
    if isinstance(name, str) and (row := ROWS.get(name.upper())) is not None:
        wanted = set(given)
        fitting = (p for p in row.presets if wanted <= {attribute.name for attribute in attrs.fields(p.kind)})
        return next(fitting, row.presets[0])
    raise FaultError(
        f"there is no fault {name!r}", advice=f"Known are the rows P01 to P{len(ROWS)}, and {', '.join(FAULTS)}."
    )


def _parameter(value: object, wanted: Any) -> object:
    """Check one parameter's type, strictly: true is no number, and a number is no text."""
    for kind in typing.get_args(wanted) or (wanted,):
        if kind is types.NoneType and value is None:
            return None
        if kind is float and type(value) is int:
            return float(value)
        if type(value) is kind:
            return value
        if isinstance(kind, type) and issubclass(kind, StrEnum) and isinstance(value, str):
            return kind(value)
    raise TypeError(f"{value!r} is of a wrong type")
