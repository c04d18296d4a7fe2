"""One bundle for "BIOS" on every make that the lab knows, whatever that one calls it and whatever it tells of POST."""

from __future__ import annotations

import pytest

from workplace import Workplace


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(name, marks=pytest.mark.lab(nodes=2, personality=name))
        for name in ("idrac", "ilo5", "ilo6", "xcc", "supermicro", "hgx")
    ],
)
def test_a_bundle_for_bios_fits_every_make(workplace: Workplace, make: str) -> None:
    """Each image is written once, to the member that is meant, and POST is judged by what that make tells of it."""
    workplace.make_bundles("A.1")
    first = workplace.run("deploy", "A.1", "--json")
    workplace.publish("A.2")

    done = workplace.run("deploy", "A.2", "--json")
    truth = workplace.truth()

    assert 0 == first.code, first.out + first.err
    assert 0 == done.code, done.out + done.err
    assert {"on-new"} == {node["result"] for node in done.json["nodes"]}
    assert {"2.0.0"} == set(workplace.installed().values())
    assert (2, 0, 0) == tuple(truth["totals"][key] for key in ("flashes", "double_flashes", "sessions_open"))
