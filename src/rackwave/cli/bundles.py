"""``rackwave bundle``: make, publish and look at bundles, move a lineage back, withdraw one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ..core.bundle import Bundle
from ..core.identity import BundleId
from ..core.manifest import manifest_to_document
from ..core.report import timestamp
from ..core.sbom import bundle_sbom
from ..repository.entry import Entry, State
from .app import Exit, Setting
from .lines import LINE
from .linting import lint_, schema
from .packages import identify, import_
from .registries import pull, push, tags
from .render import json_option, print_json, print_table
from .said import entry_document, publication, say_published
from .upkeep import gc, keep, prune

_STATES = {State.CURRENT: "current", State.ARCHIVE: "in the archive", State.WITHDRAWN: "withdrawn"}


@click.group()
def bundle() -> None:
    """Build, publish and look at bundles."""


for _command in (identify, import_, lint_, schema, push, pull, tags, keep, prune, gc):
    bundle.add_command(_command)


@bundle.command()
@click.argument("source", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("-o", "--out", type=click.Path(path_type=Path, file_okay=False), help="Where it is built.")
@json_option
@click.pass_obj
def build(setting: Setting, source: Path, out: Path | None, as_json: bool) -> None:
    """Build and sign the bundle that the folder SOURCE describes; two builds are bit-identical."""
    built = setting.automation(needs_inventory=False).manager.build(source, out or Path("build") / source.name)
    if as_json:
        print_json({"bundle": str(built.id), "digest": str(built.digest), "directory": str(built.directory)})
    else:
        click.echo(f"{built.id} built in {built.directory}  {built.digest}")


@bundle.command()
@click.argument("built", type=click.Path(path_type=Path, exists=True))
@click.option("--reason", type=LINE, default="", help="Why: a release, a CVE.")
@click.option("--old", is_flag=True, help="It may be older than the current one: then it goes into the archive.")
@click.option("--min-seq", type=click.IntRange(0), help="From now on nothing below it is sent, not even to go back.")
@json_option
@click.pass_obj
def publish(setting: Setting, built: Path, reason: str, old: bool, min_seq: int | None, as_json: bool) -> None:
    """Make the bundle in BUILT its lineage's current one; the one before moves to the archive.

    BUILT is the folder that 'bundle build' wrote, or the file that 'bundle export' wrote.
    """
    manager = setting.automation(needs_inventory=False).manager
    done = manager.publish(built, reason, may_be_old=old, min_seq=min_seq)
    if as_json:
        print_json(publication(done))
    else:
        say_published(done)


@bundle.command()
@click.argument("bundle_id", metavar="BUNDLE")
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), help="The file; default: BUNDLE.tar.")
@json_option
@click.pass_obj
def export(setting: Setting, bundle_id: str, out: Path | None, as_json: bool) -> None:
    """Write BUNDLE as one file, for a site without a line; 'bundle publish' takes it there."""
    path = out or Path(f"{bundle_id}.tar")
    found, size = setting.automation(needs_inventory=False).repository.export(BundleId.parse(bundle_id), path)
    if as_json:
        print_json({"bundle": str(found.id), "digest": str(found.digest), "file": str(path), "bytes": size})
    else:
        click.echo(f"{found.id} is in {path} ({size / 1e6:.1f} MB)")


@bundle.command()
@click.argument("bundle_id", metavar="BUNDLE")
@click.option("--reason", type=LINE, required=True, help="Why, for everybody who deploys it.")
@click.option("--min-seq", type=click.IntRange(0), help="From now on nothing below it is sent, not even to go back.")
@json_option
@click.pass_obj
def revert(setting: Setting, bundle_id: str, reason: str, min_seq: int | None, as_json: bool) -> None:
    """Move a lineage back: make the archived BUNDLE current again, by a signature that says so.

    Nodes are not touched; 'rackwave deploy' brings them there. A node alone goes back by 'rackwave rollback'.
    """
    repository = setting.automation(needs_inventory=False).repository
    _changed(repository.revert(BundleId.parse(bundle_id), reason, min_seq=min_seq), as_json)


@bundle.command()
@click.argument("bundle_id", metavar="BUNDLE")
@click.option("--reason", type=LINE, required=True, help="Why, for everybody who carries it.")
@json_option
@click.pass_obj
def withdraw(setting: Setting, bundle_id: str, reason: str, as_json: bool) -> None:
    """Have BUNDLE, which is not current, never sent again: neither forward nor to go back."""
    repository = setting.automation(needs_inventory=False).repository
    _changed(repository.withdraw(BundleId.parse(bundle_id), reason), as_json)


@bundle.command()
@click.argument("bundle_id", metavar="BUNDLE")
@click.pass_obj
def attest(setting: Setting, bundle_id: str) -> None:
    """Sign on which machines BUNDLE was proven, by what the journal says, and print the statement (in-toto)."""
    automation = setting.automation()
    print_json(automation.stock.attest(BundleId.parse(bundle_id), automation.logbook, automation.fleet.select(None)))


@bundle.command()
@click.argument("bundle_id", metavar="BUNDLE")
@click.pass_obj
def validated(setting: Setting, bundle_id: str) -> None:
    """Print the signed statement on which machines BUNDLE was proven; null where nobody signed one."""
    automation = setting.automation(needs_inventory=False)
    found = automation.bundle(BundleId.parse(bundle_id))
    print_json(automation.stock.validation(found))


@bundle.command()
@click.argument("bundle_id", metavar="BUNDLE")
@click.pass_obj
def sbom(setting: Setting, bundle_id: str) -> None:
    """Print what BUNDLE consists of as a bill of materials (CycloneDX 1.6, JSON)."""
    print_json(bundle_sbom(setting.automation(needs_inventory=False).bundle(BundleId.parse(bundle_id))))


@bundle.command(name="list")
@json_option
@click.pass_obj
def list_bundles(setting: Setting, as_json: bool) -> None:
    """List every published bundle, current and archived."""
    entries = setting.automation(needs_inventory=False).repository.list()
    if as_json:
        print_json([entry_document(entry) for entry in entries])
        return
    print_table(
        ["BUNDLE", "STATE", "PUBLISHED", "PURPOSE"],
        [(str(e.id), str(e.state), timestamp(e.published_at)[:19] + "Z", e.purpose) for e in entries],
    )


@bundle.command()
@click.argument("bundle_id", metavar="BUNDLE")
@json_option
@click.pass_obj
def show(setting: Setting, bundle_id: str, as_json: bool) -> None:
    """Show what BUNDLE (for example A.2) changes."""
    found = setting.automation(needs_inventory=False).bundle(BundleId.parse(bundle_id))
    if as_json:
        print_json(_bundle(found))
        return
    click.echo(f"{found.id}  {found.digest}\n{found.manifest.purpose}\n")
    print_table(
        ["ELEMENT", "KIND", "TARGET", "ACTIVATION", "WAY BACK", "CONTENT"],
        [
            (
                e.name,
                str(e.kind),
                str(e.component or e.selector or ("BIOS attributes" if e.attributes else "-")),
                str(e.activation),
                str(e.reversibility),
                e.version or ", ".join(f"{name}={value}" for name, value in e.attributes.items()),
            )
            for e in found.manifest.elements
        ],
    )


@bundle.command()
@click.argument("bundle_id", metavar="[BUNDLE]", required=False)
@json_option
@click.pass_obj
def verify(setting: Setting, bundle_id: str | None, as_json: bool) -> int:
    """Read and hash every byte of BUNDLE, or of all, against its signature."""
    wanted = BundleId.parse(bundle_id) if bundle_id is not None else None
    checks = setting.automation(needs_inventory=False).repository.verify(wanted)
    if as_json:
        print_json(
            [
                {"bundle": str(c.id), "sound": c.is_sound, "problem": str(c.problem) if c.problem is not None else None}
                for c in checks
            ]
        )
    else:
        for check in checks:
            click.echo(f"{check.id}  {'sound' if check.is_sound else f'NOT SOUND: {check.problem}'}")
    return Exit.DONE if all(check.is_sound for check in checks) else Exit.FAILED


def _changed(entries: Sequence[Entry], as_json: bool) -> None:
    if as_json:
        print_json([entry_document(entry) for entry in entries])
        return
    for entry in entries:
        click.echo(f"{entry.id} is {_STATES[entry.state]}")


def _bundle(found: Bundle) -> dict[str, Any]:
    return {"bundle": str(found.id), "digest": str(found.digest), "manifest": manifest_to_document(found.manifest)}
