"""``rackwave discover`` and ``rackwave inventory``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from .. import errors
from ..core.identity import NodeName
from ..inventory import load_inventory
from ..inventory.foreign import ForeignNode, read_ansible, read_netbox, written
from .app import Setting
from .render import json_option, print_json, print_table

_READERS: dict[str, Callable[[str], tuple[tuple[ForeignNode, ...], tuple[str, ...]]]] = {
    "ansible": read_ansible,
    "netbox": read_netbox,
}


@click.command()
@click.argument("ranges", nargs=-1, metavar="[RANGE]...")
@click.option("--ssdp", is_flag=True, help="Also ask this network segment, by multicast.")
@click.option(
    "--seconds", type=click.FloatRange(0.1, 60), default=3.0, show_default=True, help="How long SSDP listens."
)
@click.option("--toml", "as_toml", is_flag=True, help="Print [[nodes]] tables for an inventory.")
@json_option
def discover(ranges: tuple[str, ...], ssdp: bool, seconds: float, as_toml: bool, as_json: bool) -> None:
    """Find BMCs: in RANGEs (10.0.0.0/28, 10.0.[1-4].[1-16], host:port) and, with --ssdp, on this segment.

    Only what is named is asked, for its Redfish service root; nobody logs in, and certificates are not verified.
    """
    from ..discovery import Found, addresses, document_of, search, sweep, tables_of  # late: it imports aiohttp

    if not ranges and not ssdp:
        raise errors.UsageError("nothing was named to be asked", advice="Give addresses or a network, or --ssdp.")
    hosts = addresses(ranges)

    async def look() -> tuple[Found, ...]:
        heard = await search(seconds=seconds) if ssdp else ()
        swept = await sweep(hosts)
        known = {found.url for found in swept}
        return (*swept, *(found for found in heard if found.url not in known))

    found = asyncio.run(look())
    if not found:
        asked = [f"{len(hosts)} addresses"] if len(hosts) > 1 else list(hosts)
        asked += ["this network segment"] if ssdp else []
        click.echo(f"No Redfish service answers at {' or on '.join(asked)}.", err=True)
    if as_json:
        print_json([document_of(each) for each in found])
    elif as_toml:
        click.echo(tables_of(found))
    else:
        print_table(
            ["BMC", "VENDOR", "PRODUCT", "REDFISH", "UUID"],
            [[each.url, each.vendor, each.product, each.version, each.uuid] for each in found],
        )


@click.group()
def inventory() -> None:
    """Look at the inventory, or make one from another tool's."""


@inventory.command(name="list")
@json_option
@click.pass_obj
def list_(setting: Setting, as_json: bool) -> None:
    """List the nodes as they were read: ranges expanded, defaults filled in. No BMC is asked."""
    found = load_inventory(setting.inventory)
    if as_json:
        print_json([_document(managed) for managed in found.nodes])
        return
    print_table(
        ["NODE", "BMC", "VENDOR", "MODEL", "LABELS", "CREDENTIALS"],
        [
            [
                str(managed.name),
                managed.bmc_url,
                managed.node.vendor,
                managed.node.model,
                ", ".join(f"{key}={value}" for key, value in sorted(managed.node.labels.items())),
                managed.credentials,
            ]
            for managed in found.nodes
        ],
    )


@inventory.command(name="import")
@click.argument("kind", type=click.Choice(sorted(_READERS)))
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--credentials", required=True, help="The reference that all nodes get, for example env:BMC.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write here; it must not exist.")
def import_(kind: str, file: Any, credentials: str, output: Path | None) -> None:
    """Make an inventory from FILE (- for standard input).

    ansible: what 'ansible-inventory --list' prints. netbox: what /api/dcim/devices/ answers.
    Nodes that cannot be taken over are named on standard error.
    """
    nodes, left_out = _READERS[kind](file.read())
    wrong = {node.name: why for node in nodes if (why := _objection(node)) is not None}
    taken = [node for node in nodes if node.name not in wrong]
    for line in (*left_out, *(f"{name}: {why}" for name, why in wrong.items())):
        click.echo(f"left out: {line}", err=True)
    if not taken:
        raise errors.InventoryError("None of its nodes can be taken over.", advice="The lines above say why.")
    text = written(taken, credentials=credentials, origin=f"{kind}, {file.name}")
    if output is None:
        sys.stdout.write(text)
        return
    try:
        with output.open("x", encoding="utf-8") as made:
            made.write(text)
    except FileExistsError:
        raise errors.UsageError(f"{output} is there already", advice="Name another; nothing is overwritten.") from None
    click.echo(f"{len(taken)} nodes in {output}, {len(nodes) + len(left_out) - len(taken)} left out")


def _objection(node: ForeignNode) -> str | None:
    """Say why *node* cannot stand in an inventory of ours; None where it can."""
    try:
        NodeName(node.name)
    except errors.UsageError as error:
        return str(error)
    if "@" in node.bmc or "{" in node.bmc:
        return "its address has credentials or a placeholder in it"
    return None


def _document(managed: Any) -> dict[str, Any]:
    return {
        "node": str(managed.name),
        "bmc": managed.bmc_url,
        "vendor": managed.node.vendor or None,
        "model": managed.node.model or None,
        "labels": dict(managed.node.labels),
        "credentials": managed.credentials,
    }
