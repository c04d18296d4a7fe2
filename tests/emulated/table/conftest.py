"""Print the table of rows and makes, where ``--pathology-table`` asks for it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from emulated.table.verdict import IN_ROLLOUT
from rackwave_emulators.faults import ROWS

_TOLD = pytest.StashKey[dict[str, dict[str, list[str]]]]()
CELLS = "cells"
"""The property of a test's report that holds its make's cells; reports travel between processes."""


def pytest_configure(config: pytest.Config) -> None:
    """Begin with an empty table."""
    config.stash[_TOLD] = {}


class _Collector:
    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, value in report.user_properties:
            if name == CELLS and report.when == "call":
                make, cells = json.loads(str(value))
                self._config.stash[_TOLD][make] = cells


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Listen to the reports of all processes."""
    session.config.pluginmanager.register(_Collector(session.config))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the table."""
    told = config.stash[_TOLD]
    if not told or not config.getoption("pathology_table", default=False):
        return
    terminalreporter.section("pathologies of real BMCs, as a rollout ends on them")
    terminalreporter.write_line(
        "new, old: the node is on that bundle, by the journal and in truth. unknown: set aside for a person. "
        "n/a: the make cannot have it."
    )
    width = 11
    terminalreporter.write_line(f"{'row':5}" + "".join(f"{make:{width}}" for make in told))
    for row in ROWS:
        cells = [" ".join(told[make].get(row, ["-"])) for make in told]
        mark = " *" if row in IN_ROLLOUT else ""
        terminalreporter.write_line(f"{row:5}" + "".join(f"{cell:{width}}" for cell in cells) + mark)
    terminalreporter.write_line("* finished with the rollout's own controls")
    _legend(terminalreporter, told)


def _legend(terminalreporter: Any, told: dict[str, dict[str, list[str]]]) -> None:
    counted: dict[str, int] = {}
    for cells in told.values():
        for marks in cells.values():
            for mark in marks:
                counted[mark] = counted.get(mark, 0) + 1
    terminalreporter.write_line(", ".join(f"{number} {mark}" for mark, number in sorted(counted.items())))


@pytest.fixture
def tell_cells(record_property: Any) -> Any:
    """Hand a make's cells to whoever prints the table."""

    def tell(make: str, cells: dict[str, list[str]]) -> None:
        record_property(CELLS, json.dumps([make, cells]))

    return tell
