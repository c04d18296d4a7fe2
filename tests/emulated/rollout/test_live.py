"""``rackwave status --watch``: what another process does shows as it is journalled."""

from __future__ import annotations

import json
import signal

from processes import said_until, to_its_end
from workplace import Workplace


def test_what_another_process_does_shows_line_by_line(workplace: Workplace) -> None:
    """A node goes from no bundle to A.1 under our eyes; SIGINT ends it without an error."""
    workplace.make_bundles("A.1")
    watching = workplace.start("status", "--nodes", "r1n[01-02]", "--watch", "--every", "0.2", "--json")
    first = [json.loads(line) for line in said_until(watching, lambda line: "r1n02" in line)]
    assert 0 == workplace.run("deploy", "A.1", "--canary", "0").code
    later = [json.loads(line) for line in said_until(watching, lambda line: '"r1n02", "state": "assigned"' in line)]
    watching.send_signal(signal.SIGINT)
    _, err = to_its_end(watching)

    assert ["unassigned", "unassigned"] == [each["state"] for each in first]
    assert {"A": "A.1"} == later[-1]["assigned"]
    assert (0, "") == (watching.returncode, err)


def test_one_look_anew_asks_the_bmcs_too(workplace: Workplace) -> None:
    """In words, with --look, and a word that makes no sense alone is refused."""
    looking = workplace.start("status", "--nodes", "r1n01", "--look", "--watch", "--every", "0.2")
    (line,) = said_until(looking, lambda line: "r1n01" in line)
    looking.send_signal(signal.SIGTERM)
    to_its_end(looking)

    assert "state unassigned" in line
    assert "power on" in line
    assert 0 == looking.returncode
    assert 2 == workplace.run("status", "--every", "1").code
