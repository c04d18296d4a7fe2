"""Reads fenced blocks out of our pages and does what they show.

A line ``<!-- word: argument -->`` just above a block says what is to be done with it; without one

    console     runs: each ``$`` line is a command, which must end with 0, and what follows it is what
                it prints: every line shown must come, in this order; ``…`` stands for anything
    python      runs, in the same folder
    text        is prose

``$ rackwave lab up`` starts a lab that lives as long as the page is run.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from attrs import frozen

from processes import said_until

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md")))

_MARK = re.compile(r"<!-- ([a-z]+)(?:: (.*?))? -->")
_EXPORT = re.compile(r"export ([A-Z_]+)=(\S*)")
_PATIENCE = 120


@frozen
class Block:
    """One fenced block. *line* is where its content starts."""

    page: Path
    line: int
    language: str
    mark: str
    argument: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(REPOSITORY)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of *page*."""
    above, start, language, content = "", 0, "", []
    for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
        if start and line == "```":
            mark = _MARK.fullmatch(above)
            yield Block(
                page,
                start,
                language,
                mark[1] if mark else "",
                (mark[2] or "") if mark else "",
                "".join(f"{one}\n" for one in content),
            )
            start, above = 0, ""
        elif start:
            content.append(line)
        elif line.startswith("```"):
            start, language, content = number + 1, line.removeprefix("```").strip(), []
        else:
            above = line
    assert not start, f"{page}:{start}: the block has no end"


class Terminal:
    """A folder in which pages are followed, with the sources of the bundles in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._labs: list[subprocess.Popen[bytes]] = []
        self._environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "COLUMNS": "200",
        }
        for name in ("RACKWAVE_INVENTORY", "RACKWAVE_STATE"):
            self._environment.pop(name, None)
        (folder / "bundles").symlink_to(REPOSITORY / "bundles")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for lab in self._labs:
            assert lab.stdin is not None
            lab.stdin.close()
            lab.wait(_PATIENCE)

    def follow(self, block: Block) -> None:
        """Do what *block* shows; AssertionError where something else comes of it."""
        if block.language == "python":
            self._run_python(block)
            return
        for line, command, expected in _commands(block):
            shown = self._run(command, f"{block.page.name}:{line}")
            _compare(expected, shown, f"{block.page.name}:{line}: {command}")

    def _run(self, command: str, where: str) -> str:
        if export := _EXPORT.fullmatch(command):
            self._environment[export[1]] = export[2]
            return ""
        if command.startswith("rackwave lab up"):
            return self._start_lab(command)
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
        )

        assert 0 == done.returncode, f"{where}: {command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def _run_python(self, block: Block) -> None:
        script = self.folder / f"line_{block.line}.py"
        script.write_text(block.text, "utf-8")
        self._run(f"{sys.executable} -W error {script}", str(block))

    def _start_lab(self, command: str) -> str:
        # --with-parent ends it with us, whatever becomes of us.
        lab = subprocess.Popen(
            [*command.split(), "--with-parent"],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._labs.append(lab)
        said = said_until(lab, lambda line: line.startswith(b"ready"), _PATIENCE)
        assert lab.stdout is not None
        lab.stdout.close()
        return b"".join(said).decode()


def _commands(block: Block) -> Iterator[tuple[int, str, list[str]]]:
    """Yield line, command and expected lines."""
    found: list[tuple[int, str, list[str]]] = []
    for number, line in enumerate(block.text.splitlines(), block.line):
        if line.startswith("$ "):
            found.append((number, line.removeprefix("$ "), []))
        else:
            assert found, f"{block}: a console starts with a command"
            found[-1][2].append(line)
    yield from found


def _compare(expected: list[str], shown: str, where: str) -> None:
    """Every expected line must come, in this order; blanks count as one, ``…`` as anything."""
    rest = iter([" ".join(line.split()) for line in shown.splitlines()])
    for line in expected:
        pattern = re.compile(".*".join(re.escape(part) for part in " ".join(line.split()).split("…")))

        assert any(pattern.fullmatch(one) for one in rest), f"{where}\nnever printed: {line}\nprinted:\n{shown}"
