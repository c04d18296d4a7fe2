"""A rack that demands signed records of what a bundle was proven on."""

from __future__ import annotations

import pytest

from workplace import Workplace


@pytest.mark.lab(nodes=2)
def test_a_demanding_rack_gets_only_what_was_proven_on_its_models(workplace: Workplace) -> None:
    """Refused before anything is touched; sent once another rack has proven it; going back needs no record."""
    workplace.make_bundles("A.1")
    assert 0 == workplace.run("trust", "init").code
    assert 0 == workplace.run("deploy", "A.1", "--no-way-back", "all").code
    assert 0 == workplace.run("bundle", "publish", str(workplace.directory / "build" / "A.2")).code
    demanding = workplace.inventory.with_name("demanding.toml")
    demanding.write_text(workplace.inventory.read_text() + "validated = 1\n")
    flags = ("--inventory", str(demanding))

    refused = workplace.run(*flags, "deploy", "A.2", "--nodes", "r1n02")
    assert refused.code != 0
    assert "no signed record" in refused.out + refused.err
    assert {"r1n01": "1.0.0", "r1n02": "1.0.0"} == workplace.installed()

    assert 0 == workplace.run("deploy", "A.2", "--nodes", "r1n01").code
    assert 0 == workplace.run("bundle", "attest", "A.2").code
    assert 0 == workplace.run(*flags, "deploy", "A.2", "--nodes", "r1n02").code
    assert 0 == workplace.run(*flags, "rollback", "A", "--nodes", "r1n02").code
    assert {"r1n01": "2.0.0", "r1n02": "1.0.0"} == workplace.installed()
