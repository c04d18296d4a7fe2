"""What a machine runs beside what it should, over the wire."""

from __future__ import annotations

import shutil

import pytest

from rackwave import CentralAutomationSystem
from workplace import Workplace


def test_what_somebody_else_wrote_is_drift_and_what_cannot_be_read_is_not(workplace: Workplace) -> None:
    """One node is brought to A.2 behind our back, one does not answer; the others are level."""
    workplace.make_bundles("A.1", "A.2")
    assert 0 == workplace.run("deploy", "A.1").code
    elsewhere = workplace.directory / "elsewhere"
    shutil.copytree(workplace.state, elsewhere, ignore=shutil.ignore_patterns("journal*", "logins*", "images"))
    theirs = workplace.run("--state", str(elsewhere), "deploy", "A.2", "--nodes", "r1n02", "--no-way-back", "all")
    assert 0 == theirs.code, theirs.err
    before = workplace.writes()
    drifted = workplace.run("drift", "--nodes", "r1n[01-03]", "--json", "--detailed-exit-code")
    workplace.inject("r1n03", {"fault": "reads-incomplete", "lasts": 100000.0})
    unread = workplace.run("drift", "--nodes", "r1n03", "--json", "--detailed-exit-code")
    shown = workplace.run("drift", "--nodes", "r1n[01-02]")

    assert 4 == drifted.code, drifted.err
    assert ["level", "drifted", "level"] == [each["state"] for each in drifted.json]
    assert [{"what": "BIOS", "setting": False, "have": "2.0.0", "want": "1.0.0"}] == drifted.json[1]["differs"]
    assert (5, "unread", []) == (unread.code, unread.json[0]["state"], unread.json[0]["differs"])
    assert unread.json[0]["unread"]
    assert "r1n02  A.1     drifted  BIOS  2.0.0  1.0.0" in shown.out
    assert 3 == workplace.run("drift", "--nodes", "r1n01", "--detailed-exit-code").code
    assert before == workplace.writes()


@pytest.mark.lab(nodes=2)
def test_settings_that_somebody_else_changed_are_told_one_by_one(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the BIOS has stands beside what the bundle says, for the command and for scripts alike."""
    workplace.make_bundles("S.1", "S.2", example="bios-settings")
    assert 0 == workplace.run("deploy", "S.1", "--no-way-back", "all").code
    elsewhere = workplace.directory / "elsewhere"
    shutil.copytree(workplace.state, elsewhere, ignore=shutil.ignore_patterns("journal*", "logins*", "images"))
    theirs = workplace.run("--state", str(elsewhere), "deploy", "S.2", "--nodes", "r1n02", "--no-way-back", "all")
    assert 0 == theirs.code, theirs.err
    for name in ("LAB_USERNAME", "LAB_PASSWORD"):
        monkeypatch.setenv(name, workplace.environment[name])

    told = workplace.run("drift", "--json")
    with CentralAutomationSystem(workplace.inventory, state=workplace.state) as cas:
        seen = [drift for status in cas.status(look=True) for drift in status.drift.values()]

    assert ["level", "drifted"] == [each["state"] for each in told.json], told.err
    assert [
        {"what": "LogicalProc", "setting": True, "have": "Disabled", "want": "Enabled"},
        {"what": "SysProfile", "setting": True, "have": "PerfOptimized", "want": "PerfPerWattOptimizedDapc"},
    ] == told.json[1]["differs"]
    assert [each["differs"] for each in told.json] == [[one.document() for one in drift.deviations] for drift in seen]
