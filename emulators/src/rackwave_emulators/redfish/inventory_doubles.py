"""The FirmwareInventory of BMCs that list a component several times, or several components once (P44)."""

from __future__ import annotations

import json
from typing import Any, Protocol

from ..faults import Doubles
from ..machine import Machine
from . import paths
from .answers import Answer, RefusalError

_CURRENT, _INSTALLED, _PREVIOUS = "Current-", "Installed-", "Previous-"
_PREFIXES = (_CURRENT, _INSTALLED, _PREVIOUS)


class Reader(Protocol):
    """A BMC whose resources can be read."""

    @property
    def machine(self) -> Machine:
        """Its machine."""

    def read(self, path: str, query: str) -> Answer | None:
        """Return the resource at *path*."""


def listed_name(name: str) -> str:
    """Return what an entry called *name* is an entry of."""
    return next((name.removeprefix(prefix) for prefix in _PREFIXES if name.startswith(prefix)), name)


def listed_path(path: str) -> str:
    """Return the path that the inventory itself has for the entry at *path*."""
    folder, slash, name = path.rpartition("/")
    return folder + slash + listed_name(name)


def member(reader: Reader, how: Doubles, path: str) -> Answer | None:
    """Return the entry at *path* where it is another than the inventory's own; None: it is not.

    Raises:
        RefusalError: it has gone into another entry, or others (404).
    """
    name = path.removeprefix(paths.INVENTORY + "/")
    if name == path or "/" in name:
        return None
    match how:
        case Doubles.TRIO:
            if _tells_status(reader):
                return None
            told = _read(reader, f"{paths.INVENTORY}/{listed_name(name)}")
            if told is None or not name.startswith(_PREFIXES):
                raise RefusalError(404, f"There is no resource at {path}.")
            told.update({"@odata.id": path, "Id": name})
            if name.startswith(_PREVIOUS):
                view = next((view for view in reader.machine.components if view.name == listed_name(name)), None)
                told.update(Version=view.previous if view else None, Active=False, Updateable=False)
            return Answer.of(told)
        case Doubles.COLLAPSED:
            if any(path in group[1:] for group in _groups(reader)):
                raise RefusalError(404, f"There is no resource at {path}.")
            return None
        case Doubles.STAGED:
            return None


def changed(reader: Reader, how: Doubles, path: str, told: dict[str, Any]) -> dict[str, Any]:
    """Return the inventory, or an entry of it, as such a BMC tells it."""
    match how:
        case Doubles.TRIO if path == paths.INVENTORY and not _tells_status(reader):
            names = [entry["@odata.id"].rpartition("/")[2] for entry in told["Members"]]
            previous = {str(view.name) for view in reader.machine.components if view.previous is not None}
            return _listed(
                told, [p + name for name in names for p in _PREFIXES if p is not _PREVIOUS or name in previous]
            )
        case Doubles.COLLAPSED if path == paths.INVENTORY:
            return _listed(told, [group[0].rpartition("/")[2] for group in _groups(reader)])
        case Doubles.STAGED if told.get("Staged") is True:
            return {**told, "Active": True, "Staged": False, "Updateable": True, "Status": _RUNS}
        case _:
            return told


def _tells_status(reader: Reader) -> bool:
    """Whether the make lists its components by status anyhow, as iDRAC does: there is nothing left to double."""
    members = (_read(reader, paths.INVENTORY) or {}).get("Members", ())
    return any(entry["@odata.id"].rpartition("/")[2].startswith(_PREFIXES) for entry in members)


_RUNS = {"State": "Enabled", "Health": "OK"}


def _listed(told: dict[str, Any], names: list[str]) -> dict[str, Any]:
    members = [{"@odata.id": f"{paths.INVENTORY}/{name}"} for name in names]
    return {**told, "Members": members, "Members@odata.count": len(members)}


def _groups(reader: Reader) -> list[list[str]]:
    """Sort the inventory's paths by part and version: NIC1 and NIC2 are the same part."""
    groups: dict[tuple[str, object], list[str]] = {}
    for entry in (_read(reader, paths.INVENTORY) or {}).get("Members", ()):
        path = entry["@odata.id"]
        told = _read(reader, path) or {}
        groups.setdefault((path.rstrip("0123456789"), told.get("Version")), []).append(path)
    return list(groups.values())


def _read(reader: Reader, path: str) -> dict[str, Any] | None:
    answer = reader.read(path, "")
    told = None if answer is None else json.loads(answer.body)
    return told if isinstance(told, dict) else None
