"""The command group, what its commands share, and how errors become exit codes.

Exit codes: 0 done (also when nothing was to do), 1 failed, 2 usage, 3 nothing was to do (only under
--detailed-exit-code), 4 some nodes rolled back or quarantined, 5 waiting for something.
"""

from __future__ import annotations

import ast
import asyncio
import gc
import importlib
import importlib.util
import os
import sys
from collections.abc import Awaitable, Callable
from enum import IntEnum
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
from attrs import frozen

from .. import errors

if TYPE_CHECKING:
    from ..automation import Automation

T = TypeVar("T")

DEFAULT_INVENTORY = Path("rackwave.toml")

_GARBAGE_AFTER = 20_000
"""Objects made, less those freed, until the collector looks for cycles. What a rollout makes, it keeps:
at Python's default the searches took 0.4 s of the 2.4 s that 100 nodes cost, at this 0.07 s, for the same peak."""

_COMMANDS = {
    "bundle": ("bundles", "bundle"),
    "trust": ("trust", "trust"),
    "adopt": ("adopt", "adopt"),
    "plan": ("rollouts", "plan"),
    "deploy": ("rollouts", "deploy"),
    "rollout": ("rollouts", "rollout"),
    "simulate": ("simulations", "simulate"),
    "rollback": ("recovering", "rollback"),
    "recover": ("recovering", "recover"),
    "request": ("requests", "request"),
    "snapshot": ("snapshots", "snapshot"),
    "restore": ("snapshots", "restore"),
    "status": ("nodes", "status"),
    "drift": ("drift", "drift"),
    "history": ("nodes", "history"),
    "readmit": ("nodes", "readmit"),
    "release": ("releases", "release"),
    "discover": ("inventories", "discover"),
    "inventory": ("inventories", "inventory"),
    "pin": ("pins", "pin"),
    "inspect": ("inspect", "inspect"),
    "locate": ("inspect", "locate"),
    "support-bundle": ("inspect", "support_bundle"),
    "sbom": ("bill", "sbom"),
    "hold": ("holds", "hold"),
    "unhold": ("holds", "unhold"),
    "power": ("panel", "power"),
    "reset-bmc": ("panel", "reset_bmc"),
    "boot": ("panel", "boot"),
    "sensors": ("panel", "sensors"),
    "log": ("panel", "log"),
    "doctor": ("doctor", "doctor"),
    "quirk": ("quirks", "quirk"),
    "watch": ("watch", "watch"),
    "demo": ("demo", "demo"),
}
"""Where each command lives: imported when it is called, since ``--help`` should not cost half a second."""


class Exit(IntEnum):
    """What the exit codes mean."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOTHING_TO_DO = 3
    SOME_FAILED = 4
    WAITING = 5


class _LazyGroup(click.Group):
    """Finds commands by name: ours in this package, others through the entry points ``rackwave.cli``.

    Its help reads what each says of itself from the source, without importing any: they import all of rackwave.
    """

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        names = self.list_commands(ctx)
        width = formatter.width - 6 - max(len(name) for name in names)
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, click.Command(name, help=_told(name)).get_short_help_str(width)) for name in names]
            )

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return sorted({*_COMMANDS, *(point.name for point in entry_points(group="rackwave.cli"))})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name in _COMMANDS:
            module, name = _COMMANDS[cmd_name]
            found = getattr(importlib.import_module(f".{module}", __package__), name)
        else:
            points = [point for point in entry_points(group="rackwave.cli") if point.name == cmd_name]
            if not points:
                return None
            found = points[0].load()
        return found if isinstance(found, click.Command) else None


def _told(command: str) -> str:
    """Return the docstring of the function behind a command; empty where there is no source to read."""
    if command in _COMMANDS:
        module, name = f"{__package__}.{_COMMANDS[command][0]}", _COMMANDS[command][1]
    else:
        (point,) = [point for point in entry_points(group="rackwave.cli") if point.name == command][:1]
        module, name = point.module, point.attr
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return ""
    tree = ast.parse(Path(spec.origin).read_text("utf-8"))
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    return ast.get_docstring(found[0]) or "" if found else ""


@frozen
class Setting:
    """What every command is told: where the inventory and our state are."""

    inventory: Path
    state: Path

    def automation(
        self, *, needs_inventory: bool = True, read_only: bool = False, passphrase: str | None = None
    ) -> Automation:
        """Compose the system; commands on bundles alone do without an inventory.

        *passphrase* refers to the one that keys are encrypted with; without it the environment is looked at, and
        whoever sits at the terminal is asked.
        """
        from ..automation import Automation  # late: it imports every adapter
        from ..secrets import Passphrases

        missing = not self.inventory.exists()
        if missing and needs_inventory:
            raise errors.InventoryError(
                f"there is no inventory at {self.inventory}",
                advice="Name one with --inventory, or start a lab that writes one: 'rackwave lab up'.",
            )
        return Automation(
            None if missing else self.inventory,
            self.state,
            read_only=read_only,
            passphrases=Passphrases(passphrase, prompt=_ask if sys.stdin.isatty() else None),
        )

    def run(self, work: Callable[[Automation], Awaitable[T]], *, read_only: bool = False) -> T:
        """Do *work* with a composed system and close it."""

        async def whole() -> T:
            async with self.automation(read_only=read_only) as automation:
                return await work(automation)

        return asyncio.run(whole())


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="rackwave")
@click.option(
    "-i",
    "--inventory",
    envvar="RACKWAVE_INVENTORY",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT_INVENTORY,
    show_default=True,
    help="Which nodes there are and how they are reached.",
)
@click.option(
    "-s",
    "--state",
    envvar="RACKWAVE_STATE",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".rackwave"),
    show_default=True,
    help="Where journal, repository and keys are kept.",
)
@click.pass_context
def cli(ctx: click.Context, inventory: Path, state: Path) -> None:
    """Keep racks of unlike machines in a known, validated state.

    Bundles of firmware and settings go out in waves; what fails is rolled back, what dies is brought
    back, and a killed run is gone on with by the same command.
    """
    ctx.obj = Setting(inventory, state)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit; operators' mistakes end in a sentence, never in a traceback."""
    _open_standard_streams()
    gc.set_threshold(_GARBAGE_AFTER, *gc.get_threshold()[1:])
    try:
        code = cli.main(arguments, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        sys.exit(130)
    except errors.RackwaveError as error:
        show_error(error)
        sys.exit(exit_code(error))
    except ExceptionGroup as group:
        known, unknown = group.split(errors.RackwaveError)
        if unknown is not None:
            raise
        failures = _flat(known)
        for failure in failures:
            show_error(failure)
        sys.exit(max(exit_code(failure) for failure in failures))
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output went away: no second complaint at exit
        sys.exit(Exit.FAILED)
    except OSError as error:
        # What the parts did not foresee of disks and networks is still the operator's to mend.
        where = f"{error.filename}: " if error.filename is not None else ""
        click.echo(f"Error: {where}{error.strerror or str(error) or type(error).__name__}", err=True)
        sys.exit(Exit.FAILED)
    sys.exit(code if isinstance(code, int) else 0)


def _open_standard_streams() -> None:
    """Have all three standard streams open: a journal that got the number of one would be written to as such."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 (for good)


def exit_code(error: errors.RackwaveError) -> Exit:
    """Return the exit code that *error* stands for."""
    match error:
        case errors.UsageError() | errors.InventoryError():
            return Exit.USAGE
        case errors.LeaseError():
            return Exit.WAITING
        case _:
            return Exit.FAILED


def show_error(error: errors.RackwaveError) -> None:
    """Print what happened and what to try next."""
    click.echo(f"Error: {error}", err=True)
    if isinstance(error, errors.PlanRefusedError):
        for reason in error.reasons:
            click.echo(f"  {reason}", err=True)
    if error.advice:
        click.echo(error.advice, err=True)


def _ask(what: str) -> str:
    """Ask whoever sits at the terminal for the passphrase of *what*; it is not shown."""
    answer: str = click.prompt(f"Passphrase of the {what}", hide_input=True, err=True)
    return answer


def _flat(group: BaseException | None) -> list[errors.RackwaveError]:
    if isinstance(group, BaseExceptionGroup):
        return [error for inner in group.exceptions for error in _flat(inner)]
    return [group] if isinstance(group, errors.RackwaveError) else []
