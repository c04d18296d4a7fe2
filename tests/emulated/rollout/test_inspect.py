"""Looking at nodes without touching them, lighting their LED, and what is handed on."""

from __future__ import annotations

import json
import tarfile
from typing import Any

import pytest

from workplace import PASSWORD, Workplace


def capabilities(done: Any) -> dict[str, Any]:
    """What the one inspected node can do, by name."""
    return {each["capability"]: each["value"] for each in done.json[0]["capabilities"]}


@pytest.mark.lab(nodes=1)
def test_inspect_touches_nothing(workplace: Workplace) -> None:
    """What the BMC can do and which way an image would go are shown; nothing is written, reset or left open."""
    before = workplace.truth()["nodes"]["r1n01"]
    done = workplace.run("inspect", "r1n01", "--json")
    people = workplace.run("inspect", "r1n01")
    after = workplace.truth()["nodes"]["r1n01"]
    components = {each["component"]: each for each in done.json[0]["components"]}

    assert 0 == done.code, done.err
    assert "SimpleUpdate" in capabilities(done)["update-ways"]
    assert "ForceRestart" in capabilities(done)["resets"]
    assert components["BIOS"]["way"].startswith("SimpleUpdate")
    assert "1.0.0" == components["BIOS"]["version"]
    assert "update-ways" in people.out
    same = ("writes", "resets", "bios", "bios_pending", "power")
    assert [before[name] for name in same] == [after[name] for name in same]
    assert 0 == after["sessions_open"]


@pytest.mark.lab(nodes=1)
@pytest.mark.parametrize("fault", [{"fault": "redfish-dead"}, {"fault": "garbled-error", "count": None}])
def test_inspect_of_a_bmc_in_trouble_is_no_traceback(workplace: Workplace, fault: dict[str, Any]) -> None:
    """A BMC that is silent or talks nonsense is told of in words."""
    workplace.inject("r1n01", fault)
    done = workplace.run("inspect", "r1n01", "--json")

    assert "Traceback" not in done.err
    assert isinstance(done.json, list)


@pytest.mark.lab(nodes=2)
def test_locate_lights_and_dims(workplace: Workplace) -> None:
    """The LED of the named node is lit, and switched off again with --off; each is said."""
    lit = workplace.run("locate", "r1n02")
    states = [workplace.lab[name].identifying() for name in ("r1n01", "r1n02")]
    dimmed = workplace.run("locate", "r1n02", "--off", "--json")

    assert (0, 0) == (lit.code, dimmed.code), lit.err + dimmed.err
    assert "r1n02: the light is on\n" == lit.out
    assert [{"node": "r1n02", "lit": False, "problem": None}] == dimmed.json
    assert [False, True] == states
    assert not workplace.lab["r1n02"].identifying()


@pytest.mark.lab(nodes=1)
def test_a_support_bundle_holds_no_secret(workplace: Workplace) -> None:
    """It holds status, history, inspection and documents, and neither the password nor any token."""
    workplace.make_bundles("A.1")
    workplace.run("deploy", "A.1")
    path = workplace.directory / "it.tar.gz"
    done = workplace.run("support-bundle", "r1n01", "--output", str(path))
    again = workplace.run("support-bundle", "r1n01", "--output", str(path))

    assert 0 == done.code, done.err
    assert 2 == again.code
    with tarfile.open(path) as archive:
        texts = {name.rpartition("/")[2]: archive.extractfile(name).read().decode() for name in archive.getnames()}  # type: ignore[union-attr]
    assert {"versions.json", "status.json", "history.json", "inspect.json", "redfish.json", "log.json"} <= set(texts)
    assert not [name for name, text in texts.items() if PASSWORD in text]
    assert "A.1 is committed" in texts["history.json"]
    assert [] == json.loads(texts["missing.json"])
    assert 0 == workplace.truth()["totals"]["sessions_open"]
