"""One bundle for "BIOS" on every make that the lab knows, whatever that one calls it and whatever it tells of POST."""

from __future__ import annotations

import pytest

from rackwave_emulators.images import make_image
from workplace import Workplace

BMC_BUNDLE = """
lineage = "M"
seq = 1
purpose = "BMC firmware 99.1.0"

[[elements]]
name = "bmc"
kind = "bmc-firmware"
component = "BMC"
version = "99.1.0"
payload = "bmc.img"
activation = "bmc-reset"
reversibility = "reflash"
"""


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


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(name, marks=pytest.mark.lab(nodes=1, personality=name))
        for name in ("idrac", "ilo5", "ilo6", "xcc", "supermicro", "hgx")
    ],
)
def test_a_bundle_for_the_bmc_fits_every_make(workplace: Workplace, make: str) -> None:
    """A BMC's own firmware goes out on a make, whose BMC restarts and may list everything anew, each image once."""
    source = workplace.directory / "source" / "M.1"
    source.mkdir(parents=True)
    make_image(source / "bmc.img", component="BMC", version="99.1.0", size=1 << 16)
    (source / "bundle.toml").write_text(BMC_BUNDLE, "utf-8")
    workplace.build(source)
    workplace.publish("M.1")

    done = workplace.run("deploy", "M.1", "--no-way-back", "all", "--json")
    again = workplace.run("deploy", "M.1", "--no-way-back", "all", "--detailed-exit-code")
    truth = workplace.truth()

    assert 0 == done.code, done.out + done.err
    assert 3 == again.code, again.out + again.err
    assert {"99.1.0"} == {node["installed"]["BMC"]["version"] for node in truth["nodes"].values()}
    assert (1, 0, 0) == tuple(truth["totals"][key] for key in ("flashes", "double_flashes", "sessions_open"))
