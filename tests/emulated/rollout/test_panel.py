"""One machine by hand, from the command line and from a script, on the lab."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rackwave.central import CentralAutomationSystem
from rackwave.core.boot import BootSetting, Lasting
from rackwave.core.log import LogNews
from rackwave.core.observation import Power, Unknown
from rackwave.errors import UsageError
from workplace import PASSWORD, Workplace

pytestmark = pytest.mark.lab(nodes=2, personality="openbmc")


@pytest.fixture
def system(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> Iterator[CentralAutomationSystem]:
    """A system on the workplace's rack."""
    monkeypatch.setenv("LAB_USERNAME", "admin")
    monkeypatch.setenv("LAB_PASSWORD", PASSWORD)
    with CentralAutomationSystem(workplace.inventory, workplace.state) as system:
        yield system


def test_a_host_is_cycled_and_its_log_tells(workplace: Workplace) -> None:
    """A cycle is asked for once, is journalled with who asked, and is news in the log since a mark."""
    mark = workplace.run("log", "r1n01", "--json").json["mark"]
    refused = workplace.run("power", "r1n01", "cycle")  # nobody answers the question
    cycled = workplace.run("power", "r1n01", "cycle", "--yes", "--json")
    news = workplace.run("log", "r1n01", "--since", mark, "--json")
    history = workplace.run("history", "r1n01")
    status = workplace.run("power", "r1n01")

    assert 2 == refused.code
    assert "--yes" in refused.err
    assert (0, True, ["cycle"]) == (cycled.code, cycled.json["succeeded"], cycled.json["acts"]), cycled.err
    assert 1 == workplace.truth()["nodes"]["r1n01"]["resets"]["host"]
    assert 0 < len(news.json["entries"])
    assert {"ok"} == {entry["severity"] for entry in news.json["entries"]}
    assert "power cycle, by " in history.out
    assert "the host is on" in status.out
    assert 0 == workplace.truth()["nodes"]["r1n01"]["sessions_open"]


def test_a_held_node_is_left_alone(workplace: Workplace) -> None:
    """A held node is refused with who holds it and why; --meant does it all the same."""
    workplace.run("hold", "r1n01", "--reason", "memory is being changed")
    refused = workplace.run("power", "r1n01", "off", "--yes")
    meant = workplace.run("power", "r1n01", "off", "--yes", "--meant")

    assert 2 == refused.code
    assert "memory is being changed" in refused.err
    assert 0 == meant.code, meant.err


def test_mistakes_are_told(workplace: Workplace) -> None:
    """Two nodes, a mark that is none, and options that go with nothing are refused, each in a sentence."""
    for words in (
        ("power", "r1n[01-02]"),
        ("log", "r1n01", "--since", "yesterday"),
        ("boot", "r1n01", "--always"),
        ("power", "r1n01", "off", "--yes", "--force-after", "5"),
    ):
        done = workplace.run(*words)

        assert 2 == done.code, (words, done.out, done.err)
        assert "Traceback" not in done.err


def test_a_script_works_one_machine(system: CentralAutomationSystem) -> None:
    """A script reads and works a machine by plain calls."""
    node = system.node("r1n01")
    wished = node.set_boot("pxe")
    boot = node.boot()
    restarted = node.power("reset")
    after = node.boot()
    log, sensors, secure, attributes = node.log(), node.sensors(), node.secure_boot(), node.bios()
    off = node.power("off")

    assert wished.succeeded
    assert restarted.succeeded
    assert isinstance(boot, BootSetting)
    assert isinstance(after, BootSetting)
    assert not isinstance(boot.override, Unknown)
    assert not isinstance(after.override, Unknown)
    assert ("Pxe", Lasting.ONCE, Lasting.NEVER) == (boot.override.target, boot.override.lasting, after.override.lasting)
    assert isinstance(log, LogNews)
    assert not isinstance(sensors, Unknown)
    assert not isinstance(secure, Unknown)
    assert {} == attributes  # bmcweb tells none
    assert node.set_secure_boot(enabled=True).succeeded
    assert Power.OFF is off.power
    assert node.indicate(on=True).succeeded
    assert [] != list(node.media())
    assert not node.insert_media("http://127.0.0.1:9/none.iso").succeeded
    with pytest.raises(UsageError):
        node.power("explode")
    with pytest.raises(UsageError):
        system.node("r1n[01-02]")
