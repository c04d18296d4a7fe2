"""Which of the fifty rows were seen by a raw client, and how: every test here names its row and what was seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rackwave_emulators.faults import ROWS, parse_fault
from rackwave_emulators.lab import Lab

_SEEN = pytest.StashKey[dict[str, list[str]]]()
_PATHOLOGY = pytest.StashKey[tuple[str, str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option for the table."""
    parser.addoption(
        "--pathology-table", action="store_true", help="Tell which rows were seen; fail where one was not."
    )


def pytest_configure(config: pytest.Config) -> None:
    """Begin with nothing seen."""
    config.addinivalue_line("markers", "pathology(row, seen): the row that is shown, and what a raw client sees of it")
    config.stash[_SEEN] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Note the rows of tests that passed."""
    report: Any = yield
    marker = item.get_closest_marker("pathology")
    if call.when == "call" and report.passed and marker is not None:
        row, seen = marker.args
        found = item.config.stash[_SEEN].setdefault(row, [])
        if seen not in found:
            found.append(seen)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where a row is missing, if the table was asked for."""
    if session.config.getoption("pathology_table", default=False) and _missing(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the table, if it was asked for."""
    if not config.getoption("pathology_table", default=False):
        return
    seen = config.stash[_SEEN]
    terminalreporter.section("pathologies of real BMCs, as a raw client sees them")
    for row in ROWS.values():
        told = f"yes: {'; '.join(seen[row.id])}" if row.id in seen else "NO"
        terminalreporter.write_line(f"{row.id}  {row.label:7}  {row.story}")
        terminalreporter.write_line(f"     seen by a raw client: {told}")
    missing = _missing(config)
    terminalreporter.write_line(f"{len(ROWS) - len(missing)} of {len(ROWS)} rows seen")
    if missing:
        terminalreporter.write_line(f"missing: {', '.join(missing)}", red=True)


def _missing(config: pytest.Config) -> list[str]:
    return [row for row in ROWS if row not in config.stash[_SEEN]]


@pytest.fixture
def arm() -> Callable[..., None]:
    """Arm the first node of a lab with a row, or with a fault, and parameters."""

    def inject(lab: Lab, name: str, **parameters: object) -> None:
        lab["r1n01"].arm(parse_fault({"fault": name, **parameters}))

    return inject
