"""What holds for every command: it says what it does, and a program can read what it says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from rackwave.cli.app import cli
from rackwave.cli.lines import LINE

WITHOUT_JSON = {
    "bundle schema": "prints a JSON Schema as it is",
    "bundle sbom": "prints a CycloneDX document as it is",
    "sbom": "prints a CycloneDX document as it is",
    "bundle validated": "prints an in-toto statement as it is",
    "bundle attest": "prints an in-toto statement as it is",
    "bundle keep": "says that it did it",
    "snapshot": "prints a snapshot as it is",
    "trust key": "says where the key is",
    "trust adopt": "says where the root is",
    "inventory import": "writes an inventory as it is",
    "support-bundle": "says where the file is",
    "lab up": "says when it is ready, and runs",
    "lab image": "writes an image",
    "lab record": "writes a tree",
}
"""Commands that list nothing, each with the reason."""


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Yield every command that does something, by what is typed."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None, name
            yield from leaves(found, (*path, name))
    else:
        yield " ".join(path), command


COMMANDS = dict(leaves(cli))


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_says_what_it_does_and_can_be_read_by_a_program(name: str) -> None:
    """A help of at least a sentence; and ``--json``, or a reason why there is nothing to be read."""
    command = COMMANDS[name]
    options = {option for parameter in command.params for option in parameter.opts}

    assert (command.help or "").strip().split("\n\n")[0].rstrip().endswith((".", ":", "2026"))
    assert ("--json" in options) != (name in WITHOUT_JSON), "give it --json, or say why not"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_what_is_written_for_others_is_one_line(name: str) -> None:
    """A reason stands in tables and in the history."""
    assert all(each.type is LINE for each in COMMANDS[name].params if each.name in ("reason", "evidence"))


def test_every_exception_is_a_command() -> None:
    """No reason outlives its command."""
    assert set() == set(WITHOUT_JSON) - set(COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_says_what_it_is_for(name: str) -> None:
    """No option without a word on it."""
    silent = [
        parameter.opts[-1]
        for parameter in COMMANDS[name].params
        if isinstance(parameter, click.Option) and not parameter.help
    ]

    assert [] == silent


def test_the_help_of_all_commands_imports_none_of_them() -> None:
    """Asking what there is costs no import of adapters, trust or the lab; and every command says something there."""
    program = (
        "import sys\nfrom rackwave.cli.app import cli\ncli.main(['--help'], standalone_mode=False)\n"
        "heavy = ('aiohttp', 'tuf', 'requests', 'sushy', 'rackwave.automation')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    *shown, imported = done.stdout.splitlines()
    listed = dict(line.split(maxsplit=1) for line in shown[shown.index("Commands:") + 1 :] if line.startswith("  "))

    assert "[]" == imported
    assert set(cli.list_commands(click.Context(cli))) == set(listed)
    for name, told in listed.items():
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        assert command.get_short_help_str(200).startswith(told.rstrip(".").removesuffix("..").strip()[:20])
