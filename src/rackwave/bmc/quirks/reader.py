"""Reads files of records. Whatever is wrong with one is an error that names the file, the record and the key."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from typing import Any

import cattrs
from attrs import fields

from ...core.observation import Post
from ...errors import QuirkError
from .quirks import ApplyTime, BankSwitch, HttpPushForm, Quirks, TargetsSent, TaskWord, UpdateWay
from .record import Match, Range, Record, dotted

_KEYS = ("id", "match", "differs", "why", "since", "source")
_ADVICE = "docs/quirks.md lists every key of a record."


class _BadValueError(ValueError):
    """A value that a record may not have; the message says why."""


_converter = cattrs.Converter(forbid_extra_keys=True)


def _strictly(kind: type) -> Callable[[object, object], object]:
    def check(value: object, _: object) -> object:
        if type(value) is not kind:
            raise _BadValueError(f"{value!r} is no {kind.__name__}")
        return value

    return check


for _kind in (bool, int, str):
    _converter.register_structure_hook(_kind, _strictly(_kind))


def _word(value: object, enum: Any) -> object:
    try:
        return enum(value)
    except ValueError:
        raise _BadValueError(f"{value!r} is none of {', '.join(enum)}") from None


# The hook of str would take these too, being more general.
for _enum in (UpdateWay, TargetsSent, ApplyTime, HttpPushForm, BankSwitch, TaskWord, Post):
    _converter.register_structure_hook(_enum, _word)


def _strings(value: object, _: object) -> tuple[str, ...]:
    """Take a list of texts; one text stands for a list of it."""
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not all(isinstance(item, str) and item for item in found):
        raise _BadValueError(f"{value!r} is no list of texts")
    return tuple(found)


_converter.register_structure_hook_func(lambda kind: kind == tuple[str, ...], _strings)


def parse_records(text: str, *, origin: str) -> tuple[Record, ...]:
    """Read the *text* of a file of records; *origin* names it in errors.

    Raises:
        QuirkError: it is not TOML, or a key of a record is missing, unknown or of a wrong type.
    """
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, or a number of thousands of digits
        raise QuirkError(f"{origin} is no TOML: {error}", advice=_ADVICE) from error
    found = table.pop("quirk", None)
    if table or not isinstance(found, list) or not found or not all(isinstance(item, dict) for item in found):
        raise QuirkError(f"{origin} holds something else than [[quirk]] tables", advice=_ADVICE)
    return tuple(_record(item, number, origin) for number, item in enumerate(found, 1))


def _record(item: dict[str, Any], number: int, origin: str) -> Record:
    name = item.get("id")
    where = f"{origin}, quirk {name!r}" if isinstance(name, str) and name else f"{origin}, quirk {number}"
    for key in _KEYS:
        if key not in item:
            raise QuirkError(f"{where}: it has no {key!r}", advice=_ADVICE)
        if key not in ("match", "differs") and not (isinstance(item[key], str) and item[key].strip()):
            raise QuirkError(f"{where}: {key!r} is no text", advice=_ADVICE)
    for key in item:
        if key not in _KEYS:
            raise QuirkError(f"{where}: unknown key {key!r}", advice=_ADVICE)
    match = _part(item["match"], Match, where, "match")
    differs = _part(item["differs"], Quirks, where, "differs")
    if not match.weight:
        raise QuirkError(f"{where}: 'match' is empty, so that it would concern everything", advice=_ADVICE)
    if match.firmware is not None:
        _check(match.firmware, where)
    return Record(
        id=item["id"],
        match=match,
        differs=differs,
        keys=tuple(attribute.name for attribute in fields(Quirks) if attribute.name in item["differs"]),
        why=item["why"],
        since=item["since"],
        source=item["source"],
        origin=origin,
    )


def _part(value: object, kind: Any, where: str, key: str) -> Any:
    if not isinstance(value, dict) or not value:
        raise QuirkError(f"{where}: {key!r} is no table with something in it", advice=_ADVICE)
    try:
        return _converter.structure(value, kind)
    except (cattrs.BaseValidationError, ValueError, TypeError, KeyError) as error:
        raise QuirkError(f"{where}: {'; '.join(_told(error, key))}", advice=_ADVICE) from error


def _told(error: BaseException, key: str) -> list[str]:
    """Say what is wrong, with the dotted path of each key."""

    def say(problem: BaseException, _: type | None) -> str:
        match problem:
            case cattrs.ForbiddenExtraKeysError():
                return f"unknown key {', '.join(repr(extra) for extra in sorted(problem.extra_fields))}"
            case KeyError():
                return f"it has no {problem.args[0]!r}"
            case _:
                return str(problem) or type(problem).__name__

    if not isinstance(error, cattrs.BaseValidationError):
        return [f"{key}: {say(error, None)}"]
    return [told.replace("$", key, 1) for told in cattrs.transform_error(error, path="$", format_exception=say)]


def _check(firmware: Range, where: str) -> None:
    bounds = (firmware.at_least, firmware.below)
    if not any(bounds) or firmware.form.count("*") != 1:
        raise QuirkError(f"{where}: match.firmware needs at_least or below, and one * in its form", advice=_ADVICE)
    for bound in bounds:
        if bound and dotted(bound) is None:
            raise QuirkError(f"{where}: match.firmware: {bound!r} is no dotted number", advice=_ADVICE)
