"""What is written for others to read is one line, wherever it is asked for."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from rackwave.cli.app import cli
from rackwave.cli.lines import LINE


@pytest.mark.parametrize("text", ["two\nlines", "\x1b[2Jgone", "x" * 501])
def test_what_would_break_a_table_or_a_terminal_is_refused(text: str) -> None:
    """As a mistake of the command line, before anything is opened."""
    done = CliRunner().invoke(cli, ["hold", "r1n01", "--reason", text])

    assert (2, True) == (done.exit_code, "one line of at most 500 characters" in done.output)


def test_a_line_is_kept_as_it_is() -> None:
    """Accents, quotation marks and all."""
    assert 'memory is "swapped" — ça ira' == LINE.convert('memory is "swapped" — ça ira', None, click.Context(cli))
