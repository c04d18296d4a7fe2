"""Draws docs/demo.svg from a run of ``rackwave demo``: ``python docs/draw_demo.py``.

Nothing in it is made up: the lines are those that the demo printed, with a mark where some are left
out. The picture names no font server, so that looking at it asks nobody for anything.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

HERE = Path(__file__).resolve().parent
WIDTH = 104
_LEFT_OUT = "  ⋮"
# With the blanks behind them: some viewers drop those that a piece of text begins with.
_COLOURS = {r"on-new +": "green", r"rolled-back +": "yellow", r"killed the orchestrator \(kill -9\) *": "red"}

# rich's own frame, without its links to web fonts and its title bar.
_FRAME = """<svg class="rich-terminal" viewBox="0 0 {terminal_width} {terminal_height}" \
xmlns="http://www.w3.org/2000/svg">
<title>rackwave demo: twelve machines, one bad flash, one dead host, one killed orchestrator</title>
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
<rect fill="#0c0f14" width="{terminal_width}" height="{terminal_height}" rx="8"/>
<g transform="translate(8, 6)" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def main() -> int:
    """Run the demo, choose lines and write the picture."""
    done = subprocess.run(
        [sys.executable, "-m", "rackwave", "demo"], capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        sys.stderr.write(done.stderr)
        return done.returncode
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    console.print(Text("$ rackwave demo", style="bold"))
    for line in chosen(done.stderr.splitlines()):
        console.print(coloured(line if len(line) < WIDTH else f"{line[: WIDTH - 2]}…"))
    console.print()
    for line in done.stdout.rstrip().splitlines():
        for part in textwrap.wrap(line.rstrip(), WIDTH - 1, replace_whitespace=False) or [""]:
            console.print(coloured(part))
    console.print()
    console.save_svg(str(HERE / "demo.svg"), theme=DIMMED_MONOKAI, code_format=_FRAME, unique_id="demo")
    return 0


def chosen(lines: list[str]) -> Iterator[str]:
    """Yield the demo's own lines and the turns of the story; the rest is left out with a mark."""
    telling = re.compile(r"^--|recovery |recovered on|wave \d|2\. failed|: failed|rollout \w+(:| done)")
    left_out = False
    for line in lines:
        if telling.search(line):
            if left_out:
                yield _LEFT_OUT
            yield line
        left_out = not telling.search(line)


def coloured(line: str) -> Text:
    """Colour the words that tell how it went."""
    text = Text(line, style="dim" if line == _LEFT_OUT else "")
    for words, style in _COLOURS.items():
        text.highlight_regex(words, style=style)
    return text


if __name__ == "__main__":
    sys.exit(main())
