"""The gate's command: what its exit codes mean, what it is given, and what comes of one that does not work."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from rackwave.core.event import GateAnswer, GateJudged, NodeFinished, NodeResult
from rackwave.core.identity import NodeName, RolloutId
from rackwave.core.policy import Policy
from rackwave.core.rollout import RolloutState
from rackwave.errors import InventoryError
from rackwave.inventory import GateCommand, parse_inventory
from rackwave.metrics_gate import MetricsGate
from values import bundle

A2 = bundle("A.2")
ROLLOUT, NODE = RolloutId("roll1"), NodeName("r1n01")
STATE = RolloutState(
    ROLLOUT,
    A2.id,
    A2.digest,
    ((NODE,), (NodeName("r1n02"),)),
    Policy(),
    "ann",
    0.0,
    0,
    {NODE: NodeFinished(ROLLOUT, NODE, NodeResult.ON_NEW)},  # type: ignore[arg-type]
)


def ask(program: str, *words: str, timeout: float = 20.0) -> GateJudged:
    """Have a program of Python's be the gate."""
    return asyncio.run(MetricsGate(GateCommand((sys.executable, "-c", program, *words), timeout))(STATE))


@pytest.mark.parametrize(
    ("program", "answer", "reason"),
    [
        ("", GateAnswer.GOOD, ""),
        ("print('42 errors'); print('more'); raise SystemExit(1)", GateAnswer.BAD, "42 errors"),
        ("raise SystemExit(1)", GateAnswer.BAD, "it gave no reason"),
        ("import sys; sys.stderr.write('noise'); print('hot'); sys.exit(1)", GateAnswer.BAD, "hot"),
        ("raise SystemExit(2)", GateAnswer.NOT_KNOWN, "exit code 2: nothing said"),
        ("import sys; sys.exit('no server')", GateAnswer.BAD, "no server"),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
            GateAnswer.NOT_KNOWN,
            "exit code -15: nothing said",
        ),
    ],
)
def test_exit_codes_are_answers(program: str, answer: GateAnswer, reason: str) -> None:
    """0 is good, 1 bad with the first line printed, anything else not known."""
    assert GateJudged(ROLLOUT, 0, answer, reason) == ask(program)


def test_it_is_given_the_rollout(tmp_path: Path) -> None:
    """On its standard input, as rollout show prints it; id and wave also where its words ask for them."""
    kept = tmp_path / "given.json"
    ask(
        "import sys; open(sys.argv[3], 'w').write(sys.argv[1] + sys.argv[2] + sys.stdin.read())",
        "{rollout}",
        "{wave}",
        str(kept),
    )
    told = kept.read_text()
    document = json.loads(told.removeprefix("roll10"))

    assert told.startswith("roll10")
    assert ("A.2", 0) == (document["bundle"], document["wave"])
    assert ["on-new", None] == [node["result"] for node in document["nodes"]]


def test_one_that_reads_nothing_does_not_hang_or_end_in_an_error() -> None:
    """It closes its input at once."""
    assert GateAnswer.GOOD is ask("import sys; sys.stdin.close()").answer


def test_what_cannot_be_run_or_does_not_end_is_not_known() -> None:
    """With what was wrong as the reason."""
    missing = asyncio.run(MetricsGate(GateCommand(("/no/such/gate",)))(STATE))
    endless = ask("import time; time.sleep(60)", timeout=0.2)

    assert (GateAnswer.NOT_KNOWN, True) == (missing.answer, "could not be started" in missing.reason)
    assert (GateAnswer.NOT_KNOWN, True) == (endless.answer, "did not end within 0.2 s" in endless.reason)


@pytest.mark.parametrize(
    "lines", ["command = []", 'command = "gate"', 'command = ["x"]\ntimeout = 0', 'command = ["x"]\nshell = true', ""]
)
def test_a_gate_that_cannot_be_used_is_refused(lines: str, tmp_path: Path) -> None:
    """When the inventory is read."""
    text = f'[[nodes]]\nname = "n1"\nbmc = "https://10.0.0.1"\ncredentials = "env:LAB"\n[gate]\n{lines}'
    with pytest.raises(InventoryError, match=r"\[gate\]"):
        parse_inventory(text, tmp_path / "rackwave.toml")
