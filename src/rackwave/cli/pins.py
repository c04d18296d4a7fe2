"""``rackwave pin``: which keys pinned BMCs are believed by."""

from __future__ import annotations

from collections.abc import Sequence

import click

from ..automation import Automation
from ..core.pin import PinStatus
from ..core.report import timestamp
from .app import Setting
from .render import json_option, nodes_option, print_json, print_table


@click.group()
def pin() -> None:
    """Look at the keys that BMCs with tls = "pin" are believed by, accept a new one, or forget one."""


@pin.command(name="list")
@nodes_option
@json_option
@click.pass_obj
def list_pins(setting: Setting, nodes: str | None, as_json: bool) -> None:
    """List how each node's BMC is believed, and by which key where it is pinned."""

    async def work(automation: Automation) -> tuple[PinStatus, ...]:
        return automation.pins.status(nodes)

    _show(setting.run(work, read_only=True), as_json=as_json)


@pin.command()
@click.argument("node")
@click.option("--fingerprint", required=True, help="The key that the BMC shows, as the refusal names it: sha256:….")
@json_option
@click.pass_obj
def accept(setting: Setting, node: str, fingerprint: str, as_json: bool) -> None:
    """Believe NODE's BMC by this key from now on, and by no other.

    Compare it first with what the BMC itself says, on its console or over a way that you trust:
    whoever has this key gets NODE's password.
    """

    async def work(automation: Automation) -> tuple[PinStatus, ...]:
        return await automation.pins.accept(node, fingerprint)

    _show(setting.run(work), as_json=as_json)


@pin.command()
@click.argument("nodes")
@json_option
@click.pass_obj
def forget(setting: Setting, nodes: str, as_json: bool) -> None:
    """Meet the BMCs of NODES as for the first time: the next key that they show is pinned."""

    async def work(automation: Automation) -> tuple[PinStatus, ...]:
        return await automation.pins.forget(nodes)

    _show(setting.run(work), as_json=as_json)


def _show(pins: Sequence[PinStatus], *, as_json: bool) -> None:
    if as_json:
        print_json([each.document(timestamp) for each in pins])
        return
    print_table(
        ["NODE", "BELIEVED BY", "KEY", "SINCE", "NOTE"],
        [
            (
                str(each.node),
                str(each.trust),
                each.pin.key if each.pin else "-",
                timestamp(each.pin.at) if each.pin else "-",
                _note(each),
            )
            for each in pins
        ],
    )


def _note(status: PinStatus) -> str:
    shared = (
        f"the same key as {', '.join(status.shared_with)}: it tells none of them apart" if status.shared_with else ""
    )
    ground = str(status.pin.ground) if status.pin else ""
    return "; ".join(word for word in (ground, shared) if word)
