"""Tables for people and JSON for programs; ``--json`` is a promise, the table is not."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.table import Table

F = TypeVar("F", bound=Callable[..., Any])


def json_option(command: F) -> F:
    """Give *command* the flag ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")(command)


def nodes_option(command: F) -> F:
    """Give *command* the option ``--nodes``."""
    return click.option(
        "-n", "--nodes", metavar="NODES", help="Names, labels and ranges: r[1-4]n[01-16],rack=r7; default: all."
    )(command)


def named_option(command: F) -> F:
    """Give *command* the option ``--nodes``, without which it does nothing.

    For what befalls its nodes all at once, without a canary or a budget: it is not for a word left out.
    """
    return click.option(
        "-n", "--nodes", metavar="NODES", required=True, help="Names, labels and ranges, or @all; all at once."
    )(command)


def print_json(document: Any) -> None:
    """Print *document* as JSON."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print aligned columns; the last one is cut to the terminal's width where there is one."""
    from rich.console import Console  # late: only who prints a table pays for it

    width = None if sys.stdout.isatty() else 200
    Console(width=width, highlight=False, soft_wrap=False).print(table(headings, rows))


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Return aligned columns to be shown."""
    from rich.table import Table

    found = Table(box=None, pad_edge=False, header_style="bold")
    last = len(headings) - 1
    for index, heading in enumerate(headings):
        found.add_column(heading, overflow="fold" if index == last else "ignore", no_wrap=index != last)
    for row in rows:
        found.add_row(*(_plain(cell) for cell in row))
    return found


def _plain(text: str) -> str:
    """Keep rich from reading brackets in *text* as markup."""
    return text.replace("[", r"\[")
