"""``rackwave sbom``: what the rack carries, for whoever keeps a list of all that runs somewhere."""

from __future__ import annotations

import click

from .app import Setting
from .render import nodes_option, print_json


@click.command()
@nodes_option
@click.pass_obj
def sbom(setting: Setting, nodes: str | None) -> None:
    """Print what was committed on the nodes as a bill of materials (CycloneDX 1.6, JSON)."""
    automation = setting.automation(read_only=True)
    print_json(automation.stock.sbom(automation.logbook, automation.fleet.select(nodes)))
    automation.records.close()
