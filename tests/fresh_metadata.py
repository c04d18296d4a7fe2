"""Metadata of our packages as their pyproject.toml files declare it now.

An editable install keeps what was declared when it was made: a dependency or an entry point that came later is not
there, although the code is. What differs is laid over it, for this process and for those that it starts.
"""

from __future__ import annotations

import os
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]


def show_as_declared(folder: Path) -> None:
    """Have *folder* tell the truth of those packages whose installed metadata does not."""
    stale = [each for each in (_declared("."), _declared("emulators")) if not _is_installed_so(each)]
    for project in stale:
        _write(folder, project)
    if stale:
        sys.path.insert(0, str(folder))
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))


def _declared(where: str) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((REPOSITORY / where / "pyproject.toml").read_text("utf-8"))["project"]
    return project


def _is_installed_so(project: dict[str, Any]) -> bool:
    try:
        found = distribution(project["name"])
    except PackageNotFoundError:
        return True  # nothing stale is in the way
    asked = sum("extra ==" not in each for each in found.requires or ())
    points = {(each.group, each.name, each.value) for each in found.entry_points if each.group != "console_scripts"}
    return (asked, points) == (len(project["dependencies"]), _points(project))


def _points(project: dict[str, Any]) -> set[tuple[str, str, str]]:
    groups = project.get("entry-points", {})
    return {(group, name, value) for group, named in groups.items() for name, value in named.items()}


def _write(folder: Path, project: dict[str, Any]) -> None:
    place = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    place.mkdir()
    extras = project.get("optional-dependencies", {})
    asked = [*project["dependencies"], *(f'{each}; extra == "{extra}"' for extra in extras for each in extras[extra])]
    requires = "".join(f"Requires-Dist: {each}\n" for each in asked) + "".join(f"Provides-Extra: {e}\n" for e in extras)
    (place / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n{requires}", "utf-8"
    )
    lines = [f"[{group}]\n{name} = {value}\n" for group, name, value in sorted(_points(project))]
    (place / "entry_points.txt").write_text("\n".join(lines), "utf-8")
