"""How long the soak is: a short one or, by options, as long as one likes."""

from __future__ import annotations

import pytest

from rig import Shelf
from soak.season import shelf_in

SHORT = "1-2"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    parser.addoption("--seeds", default=SHORT, help="seeds of the soak, for example 1-50 or 3,17")
    parser.addoption("--soak-nodes", type=int, default=40, help="nodes of a season")
    parser.addoption("--wire-seeds", default="1", help="seeds of the soak over the wire")
    parser.addoption("--wire-nodes", type=int, default=16, help="nodes of a season over the wire")


def seeds_of(text: str) -> list[int]:
    """Read a list of numbers and ranges."""
    spans = [part.partition("-") for part in text.split(",")]
    return [seed for first, _, last in spans for seed in range(int(first), int(last or first) + 1)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each season a test of its own."""
    for name, option, default in (("seed", "--seeds", SHORT), ("wire_seed", "--wire-seeds", "1")):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, seeds_of(str(metafunc.config.getoption(option, default=default))))


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """The bundles of all seasons."""
    return shelf_in(tmp_path_factory.mktemp("shelf"))
