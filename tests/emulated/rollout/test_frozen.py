"""Two orchestrators race, and one is stopped between its check and its request: it must not act when it wakes up."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from processes import to_its_end
from rackwave.bmc.redfish.transport import Timeouts
from workplace import Workplace

PROGRAM = str(Path(__file__).with_name("frozen_in_the_act.py"))
MUCH_LATER = str(Timeouts().longest + 120.0)


@pytest.mark.parametrize(
    ("personality", "place"),
    [
        *(("plain", "check"), ("openbmc", "wire")),
        *(pytest.param(*each, marks=pytest.mark.long) for each in (("plain", "wire"), ("openbmc", "check"))),
    ],
)
def test_who_was_overtaken_sends_nothing_more(workplace: Workplace, place: str, personality: str) -> None:
    """The other takes the lease over and finishes; whoever wakes up then is refused, and each image was taken once."""
    workplace.make_bundles("A.1")
    workplace.run("deploy", "A.1")
    workplace.publish("A.2")
    workplace.inject("r1n03", {"fault": "flash-fails"})
    stopped = workplace.start("stop-at", place, "deploy", "A.2", program=PROGRAM)
    try:
        _, status = os.waitpid(stopped.pid, os.WUNTRACED)
        refused = workplace.run("deploy", "A.2")
        other = workplace.run("later", MUCH_LATER, "deploy", "A.2", program=PROGRAM)
        between = workplace.truth()
    finally:
        stopped.send_signal(signal.SIGCONT)
    _, err = to_its_end(stopped)
    truth = workplace.truth()

    assert os.WIFSTOPPED(status)
    assert 5 == refused.code, refused.err
    assert 4 == other.code, other.err
    assert 5 == stopped.returncode, err
    assert "taken over" in err
    assert {"r1n01": "2.0.0", "r1n02": "2.0.0", "r1n03": "1.0.0", "r1n04": "2.0.0"} == workplace.installed()
    assert between["totals"]["flashes"] == truth["totals"]["flashes"]
    assert (0, 0) == (truth["totals"]["double_flashes"], truth["totals"]["sessions_open"])


def test_who_was_overtaken_sends_nothing_more_over_ipmi(workplace: Workplace) -> None:
    """The same for a rack that is reached by IPMI alone: no upload is begun, and none of the other's is aborted."""
    lines = workplace.inventory.read_text().splitlines()
    kept = [line.replace('ipmi = "', 'bmc = "ipmi://') for line in lines if not line.startswith("bmc = ")]
    workplace.inventory.write_text("\n".join(kept) + "\n")
    for station in workplace.lab.stations:  # what a machine logged at its last start is all that IPMI knows of POST
        station.machine.reset_host("ForceRestart")
    workplace.make_bundles("A.1")
    workplace.wait_until(lambda: workplace.run("deploy", "A.1").code == 0)
    workplace.publish("A.2")
    stopped = workplace.start("stop-at", "check", "deploy", "A.2", program=PROGRAM)
    try:
        _, status = os.waitpid(stopped.pid, os.WUNTRACED)
        other = workplace.run("later", MUCH_LATER, "deploy", "A.2", program=PROGRAM)
        between = workplace.truth()
    finally:
        stopped.send_signal(signal.SIGCONT)
    _, err = to_its_end(stopped)
    truth = workplace.truth()

    assert os.WIFSTOPPED(status)
    assert (0, 5) == (other.code, stopped.returncode), (other.err, err)
    assert {"2.0.0"} == set(workplace.installed().values())
    assert between["totals"]["flashes"] == truth["totals"]["flashes"]
    assert 0 == truth["totals"]["double_flashes"]
