"""Finds the records: those that ship with rackwave, and those that other packages add.

A package adds its own by an entry point of the group ``rackwave.quirks`` that names a package of its own;
every ``*.toml`` in that one is read.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib import resources
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType

from ...errors import QuirkError
from .reader import parse_records
from .record import Record
from .roster import Roster

GROUP = "rackwave.quirks"


@cache
def load_roster() -> Roster:
    """Read every record there is, once a process.

    Raises:
        QuirkError: a file cannot be used; it is named.
    """
    return Roster((*shipped_records(), *added_records(entry_points(group=GROUP))))


def shipped_records() -> tuple[Record, ...]:
    """Read the records that ship with rackwave."""
    return _records_in(f"{__package__}.records", "")


def added_records(points: Iterable[EntryPoint]) -> tuple[Record, ...]:
    """Read what the entry points *points* add, in the order of their names.

    Raises:
        QuirkError: one cannot be loaded, names no package, or has a file that cannot be used.
    """
    found: list[Record] = []
    for point in sorted(points, key=lambda point: point.name):
        where = f"entry point {point.name!r} of {GROUP} ({point.value})"
        try:
            module = point.load()
        except Exception as error:  # whatever a stranger's package raises
            raise QuirkError(
                f"{where} cannot be loaded: {type(error).__name__}: {error}",
                advice="Mend or uninstall the package that it comes from.",
            ) from error
        if not isinstance(module, ModuleType):
            raise QuirkError(f"{where} names no package", advice="It must name the package that holds the .toml files.")
        found.extend(_records_in(module.__name__, f"{where}: "))
    return tuple(found)


def _records_in(package: str, where: str) -> tuple[Record, ...]:
    found: list[Record] = []
    try:
        files = sorted(
            (file for file in resources.files(package).iterdir() if file.name.endswith(".toml")),
            key=lambda file: file.name,
        )
        texts = [(file.name, file.read_text("utf-8")) for file in files]
    except (OSError, UnicodeDecodeError, TypeError) as error:
        raise QuirkError(f"{where}its files cannot be read: {error}") from error
    for name, text in texts:
        found.extend(parse_records(text, origin=f"{where}{name}"))
    return tuple(found)
