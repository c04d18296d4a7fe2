"""Commands of the user's that restart a BMC: no shell, a deadline, bounded output, an honest receipt."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import pytest

from rackwave.bmc.hook import CommandHook, HookCommand
from rackwave.core.identity import NodeName
from rackwave.core.receipt import Accepted, Ambiguous, Ground, Receipt, Refused

NODE = NodeName("r1n01")


def run(*words: str, timeout: float = 20.0) -> Receipt:
    """Run a hook for r1n01."""

    async def main() -> Receipt:
        return await CommandHook(HookCommand(words, timeout), action="cycle")(NODE)

    return asyncio.run(main())


def python(program: str, *words: str, timeout: float = 20.0) -> Receipt:
    """Run a Python program as a hook."""
    return run(sys.executable, "-c", program, *words, timeout=timeout)


def test_node_and_action_are_filled_in_and_no_shell_reads_them(tmp_path: Path) -> None:
    """The program gets its words as they stand, quotes, semicolons and all."""
    told = tmp_path / "told"
    receipt = python(f"import sys; open({str(told)!r}, 'w').write(repr(sys.argv[1:]))", "{node}", "{action}; $HOME '")

    assert isinstance(receipt, Accepted)
    assert "(cycle)" in receipt.way
    assert repr(["r1n01", "cycle; $HOME '"]) == told.read_text()


def test_a_program_that_cannot_be_started_did_nothing(tmp_path: Path) -> None:
    """So that another means may be tried."""
    receipt = run(str(tmp_path / "missing"), "{node}")

    assert isinstance(receipt, Refused)
    assert Ground.UNABLE is receipt.ground


def test_a_failure_is_in_doubt_and_says_what_the_program_said() -> None:
    """A program that fails may have failed at its last step."""
    receipt = python("import sys; print('on'); print('no outlet for it', file=sys.stderr); sys.exit(3)")

    assert isinstance(receipt, Ambiguous)
    assert receipt.reason.endswith("ended with status 3: no outlet for it")


def test_output_without_end_is_read_and_forgotten() -> None:
    """Megabytes of output neither block the program nor fill the journal."""
    receipt = python("import sys; sys.stdout.write('x' * 3_000_000); sys.exit(1)")

    assert isinstance(receipt, Ambiguous)
    assert len(receipt.reason) < 300


@pytest.mark.parametrize("child", [False, True], ids=["itself", "its child"])
def test_one_that_hangs_is_killed(tmp_path: Path, child: bool) -> None:
    """Past its deadline the program ends, with what it started, and the act is in doubt."""
    mark = tmp_path / "mark"
    late = f"import time; time.sleep(1.5); open({str(mark)!r}, 'w')"
    begun = time.monotonic()
    receipt = (
        python(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {late!r}])", timeout=0.5)
        if (child)
        else python(late, timeout=0.5)
    )
    took = time.monotonic() - begun
    time.sleep(1.5)

    assert isinstance(receipt, Ambiguous)
    assert took < 1.5
    assert not mark.exists()
