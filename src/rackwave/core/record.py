"""Takes a parsed JSON object apart, field by field, with errors that name the path of the field."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from enum import StrEnum
from typing import Any, TypeVar

from ..errors import ManifestError, UsageError
from .bundle import AttributeValue
from .moment import ADVICE, moment

MAX_VERSION_LENGTH = 128
MAX_SECONDS = 7 * 24 * 3600.0  # a write that takes longer than a week is a typing error

E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")


class Record:
    """One JSON object while it is read: each field is taken out once, what is left is ``extra``."""

    def __init__(self, value: object, path: str) -> None:
        if not isinstance(value, dict):
            raise bad_field(path or "manifest", "must be a table of named fields")
        self._left: dict[str, Any] = dict(value)
        self._path = path

    def at(self, key: str) -> str:
        """Return the path of the field *key*, for an error."""
        return f"{self._path}.{key}" if self._path else key

    def optional(self, key: str) -> bool:
        """Whether the field is given."""
        return key in self._left

    def take(self, key: str) -> Any:
        """Take the field out, whatever it is."""
        if key not in self._left:
            raise bad_field(self.at(key), "is missing")
        return self._left.pop(key)

    def rest(self) -> dict[str, Any]:
        """Return what nobody asked for."""
        return self._left

    def text(self, key: str, *, may_be_empty: bool = False) -> str:
        """Take a text."""
        value = self.take(key)
        if not isinstance(value, str):
            raise bad_field(self.at(key), f"must be text, not {show_value(value)}")
        if not value.strip() and not may_be_empty:
            raise bad_field(self.at(key), "must not be empty")
        return value

    def version(self, key: str) -> str:
        """Take a version, verbatim, as a BMC reports one."""
        value = self.text(key)
        if len(value) > MAX_VERSION_LENGTH or value != value.strip() or not value.isprintable():
            raise bad_field(self.at(key), f"{show_value(value)} is not a version as a BMC would report it")
        return value

    def integer(self, key: str, *, highest: int) -> int:
        """Take a whole number from 0 to *highest*."""
        value = self.take(key)
        if not isinstance(value, int) or isinstance(value, bool):
            raise bad_field(self.at(key), f"must be a whole number, not {show_value(value)}")
        if not 0 <= value <= highest:
            raise bad_field(self.at(key), f"must be from 0 to {highest}, not {value}")
        return value

    def moment(self, key: str) -> str:
        """Take a date and time with its zone, verbatim."""
        value = self.text(key)
        try:
            moment(value)
        except (ValueError, OverflowError):
            raise bad_field(self.at(key), f"{value!r} is no date and time with a zone", ADVICE) from None
        return value

    def seconds(self, key: str, *, default: float) -> float:
        """Take a positive number of seconds, which may be left out."""
        if key not in self._left:
            return default
        value = self.take(key)
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise bad_field(self.at(key), f"must be a number of seconds, not {show_value(value)}")
        if not 0 < value <= MAX_SECONDS:
            raise bad_field(self.at(key), f"must be more than 0 and at most {MAX_SECONDS:.0f} seconds")
        return float(value)

    def matching(self, key: str, pattern: re.Pattern[str], what: str) -> str:
        """Take a text that is *what*, which means that it matches *pattern*."""
        value = self.text(key)
        if not pattern.fullmatch(value):
            raise bad_field(self.at(key), f"{show_value(value)} is not {what}", f"It must match {pattern.pattern}.")
        return value

    def named(self, key: str, kind: Callable[[str], T]) -> T:
        """Take a name that *kind* checks."""
        value = self.text(key)
        try:
            return kind(value)
        except UsageError as error:
            raise bad_field(self.at(key), str(error), error.advice) from error

    def one_of(self, key: str, enum: type[E]) -> E:
        """Take a member of *enum*."""
        value = self.text(key)
        try:
            return enum(value)
        except ValueError as error:
            known = ", ".join(item.value for item in enum)
            advice = "A newer rackwave may know it; this one will not apply half a bundle."
            raise bad_field(self.at(key), f"{show_value(value)} is not one of {known}", advice) from error

    def among(self, key: str, known: Collection[str], what: str) -> str:
        """Take a text that is one of those *known* as *what*."""
        value = self.text(key)
        if value not in known:
            advice = "A newer rackwave may know it; this one will not apply half a bundle."
            raise bad_field(self.at(key), f"{show_value(value)} is not {what}: {', '.join(known)}", advice)
        return value

    def several(self, key: str, enum: type[E]) -> tuple[E, ...]:
        """Take a list of different members of *enum*, which may be left out."""
        found = []
        for index, value in enumerate(self.texts(key)):
            try:
                found.append(enum(value))
            except ValueError as error:
                known = ", ".join(item.value for item in enum)
                raise bad_field(f"{self.at(key)}[{index}]", f"{show_value(value)} is not one of {known}") from error
        return tuple(found)

    def holds_any(self, key: str, characters: str) -> bool:
        """Whether the field is a text with any of *characters* in it; it is not taken."""
        value = self._left.get(key)
        return isinstance(value, str) and any(character in value for character in characters)

    def texts(self, key: str) -> tuple[str, ...]:
        """Take a list of different texts, which may be left out."""
        if key not in self._left:
            return ()
        values = self.take(key)
        if not isinstance(values, list | tuple):
            raise bad_field(self.at(key), f"must be a list of texts, not {show_value(values)}")
        for index, value in enumerate(values):
            if not isinstance(value, str) or not value:
                raise bad_field(f"{self.at(key)}[{index}]", f"must be text, not {show_value(value)}")
        if len(set(values)) != len(values):
            raise bad_field(self.at(key), "names the same thing twice")
        return tuple(values)

    def attributes(self, key: str) -> Mapping[str, AttributeValue]:
        """Take a table of BIOS attributes, which may be left out."""
        if key not in self._left:
            return {}
        values = self.take(key)
        if not isinstance(values, dict):
            raise bad_field(self.at(key), f"must be a table of attribute names and values, not {show_value(values)}")
        for name, value in values.items():
            if not name or len(name) > 256:
                raise bad_field(self.at(key), f"{show_value(name)} is not an attribute's name")
            if not (value is None or isinstance(value, str | int | bool)):
                raise bad_field(
                    f"{self.at(key)}.{name}", f"must be text, a whole number or true/false, not {show_value(value)}"
                )
        return values

    def records(self, key: str, *, most: int, optional: bool = False) -> list[Record]:
        """Take a list of at most *most* objects."""
        if optional and key not in self._left:
            return []
        values = self.take(key)
        if not isinstance(values, list | tuple):
            raise bad_field(self.at(key), f"must be a list, not {show_value(values)}")
        if len(values) > most:
            raise bad_field(self.at(key), f"holds {len(values)}; {most} are the most")
        return [Record(value, f"{self.at(key)}[{index}]") for index, value in enumerate(values)]


def bad_field(path: str, problem: str, advice: str = "") -> ManifestError:
    """Return the error that says what is wrong with the field at *path*."""
    return ManifestError(f"{path}: {problem}", advice=advice)


def show_value(value: object) -> str:
    """Return *value* for an error: short, whatever it is."""
    match value:
        case dict():
            return "a table"
        case list() | tuple():
            return "a list"
        case None:
            return "null"
        case _:
            shown = repr(value)
            return shown if len(shown) <= 60 else f"{shown[:57]}…"
