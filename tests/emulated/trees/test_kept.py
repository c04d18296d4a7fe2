"""What a recorded machine keeps of an earlier version is read as what it can be brought back to."""

from __future__ import annotations

from pathlib import Path

import pytest

from emulated.trees.test_trees import TREES
from rackwave_emulators.clock import ScaledClock
from rackwave_emulators.lab import Lab
from rackwave_emulators.redfish.sessions import Account
from rackwave_emulators.tree import load_tree
from workplace import PASSWORD, Workplace


def test_a_recorded_r750_keeps_its_bios_and_its_bmc(tmp_path: Path) -> None:
    """It lists both as Previous; nobody has an image of either, and adopting it misses none. Nothing is written."""
    path = TREES / "dell-r750.json.gz"
    if not path.is_file():
        pytest.skip("dell-r750 is not in RACKWAVE_TREES")
    account = Account(password=PASSWORD)
    with Lab(1, tree=load_tree(path), directory=tmp_path / "lab", account=account, clock=ScaledClock()) as lab:
        place = tmp_path / "work"
        place.mkdir()
        workplace = Workplace(place, lab)
        workplace.make_bundles("A.2")
        done = workplace.run("adopt", "A", "--json")

        assert 0 == done.code, done.out + done.err
        assert [{"component": "BIOS", "version": "1.8.2"}] == done.json["nodes"][0]["kept"]
        assert [] == done.json["nodes"][0]["missing"]
        assert 0 == workplace.writes()
