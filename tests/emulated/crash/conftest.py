"""How much of the crash matrix is run: a sample of it or, with ``--every-crash``, all."""

from __future__ import annotations

import pytest

from emulated.table.stage import Workshop

SHARDS = {"sample": 2, "every": 24}
"""Into how many tests the points of one matrix are dealt."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.addoption("--every-crash", action="store_true", help="kill at every point, not at a sample of them")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Deal the points out."""
    if "shard" in metafunc.fixturenames:
        much = "every" if metafunc.config.getoption("every_crash", default=False) else "sample"
        metafunc.parametrize("shard", [f"{much}-{index}" for index in range(SHARDS[much])])


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """The bundles, made once for all runs."""
    return Workshop(tmp_path_factory.mktemp("bundles"))
