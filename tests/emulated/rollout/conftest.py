"""A workplace on an emulated rack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rackwave_emulators.clock import ScaledClock
from rackwave_emulators.lab import Lab
from rackwave_emulators.redfish.sessions import Account
from workplace import PASSWORD, TIME_SCALE, Workplace


@pytest.fixture
def workplace(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Workplace]:
    """A workplace on a lab of four plain nodes; ``@pytest.mark.lab(nodes=…, personality=…)`` changes that.

    So does a test's own parameter *personality*.
    """
    mark = request.node.get_closest_marker("lab")
    wanted = {"nodes": 4, "personality": "plain", **(mark.kwargs if mark is not None else {})}
    parameters = getattr(getattr(request.node, "callspec", None), "params", {})
    wanted |= {name: value for name, value in parameters.items() if name in wanted}
    with Lab(
        wanted["nodes"],
        personality=wanted["personality"],
        clock=ScaledClock(TIME_SCALE),
        versions={"BIOS": "1.0.0"},
        directory=tmp_path / "lab",
        account=Account(password=PASSWORD),
    ) as lab:
        place = tmp_path / "work"
        place.mkdir()
        yield Workplace(place, lab)
