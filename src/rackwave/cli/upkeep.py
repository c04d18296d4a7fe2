"""``rackwave bundle keep|prune|gc``: what stays in the archive, and what makes room."""

from __future__ import annotations

import click

from ..core.identity import BundleId
from ..core.retention import Retention
from ..errors import UsageError
from ..repository.garbage import Freed, collect
from .app import Setting
from .lines import LINE
from .render import json_option, print_json, print_table

_dry_run = click.option("--dry-run", is_flag=True, help="Only say what would go.")


@click.command()
@click.argument("bundle_id", metavar="BUNDLE")
@click.option("--reason", type=LINE, default="", help="Why it must stay.")
@click.option("--no-longer", is_flag=True, help="Let it go by the policy again.")
@click.pass_obj
def keep(setting: Setting, bundle_id: str, reason: str, no_longer: bool) -> None:
    """Have BUNDLE stay in the archive, whatever 'bundle prune' is told."""
    if no_longer == bool(reason):
        raise UsageError("this takes --reason, or --no-longer")
    entry = setting.automation(needs_inventory=False).repository.keep(BundleId.parse(bundle_id), reason)
    click.echo(f"{entry.id} {'is kept' if entry.kept else 'may go'}")


@click.command()
@click.option("--keep-last", type=click.IntRange(min=0), metavar="N", help="Keep the last N of each lineage's archive.")
@click.option("--keep-days", type=click.FloatRange(min=0), metavar="D", help="Keep what was published in D days.")
@click.option("--beyond-signed", is_flag=True, help="Also what signed metadata lists as a way back and no node needs.")
@_dry_run
@json_option
@click.pass_obj
def prune(
    setting: Setting,
    keep_last: int | None,
    keep_days: float | None,
    beyond_signed: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Remove what nobody needs from the archive, and say why each bundle stays or goes.

    What a node may have to be rolled back to stays, whatever the options say.
    """
    if keep_last is None and keep_days is None:
        raise UsageError("this takes --keep-last, or --keep-days, or both", advice="What fits either of them stays.")
    automation = setting.automation(needs_inventory=False, read_only=True)
    retention = Retention(keep_last, keep_days)
    pruned = automation.stock.prune(retention, automation.logbook, dry_run=dry_run, beyond_signed=beyond_signed)
    automation.records.close()
    if as_json:
        bundles = [
            {"bundle": str(each.bundle), "stays": each.stays, "reasons": list(each.reasons)} for each in pruned.verdicts
        ]
        print_json({"bundles": bundles, **_freed(pruned.freed)})
        return
    goes = "would go" if dry_run else "gone"
    print_table(
        ["BUNDLE", "", "WHY"],
        [(str(each.bundle), "stays" if each.stays else goes, "; ".join(each.reasons)) for each in pruned.verdicts],
    )
    _say(pruned.freed, dry_run=dry_run)


@click.command()
@_dry_run
@json_option
@click.pass_obj
def gc(setting: Setting, dry_run: bool, as_json: bool) -> None:
    """Remove the bytes that no bundle names any more: of what was pruned, or of broken transfers."""
    freed = collect(setting.automation(needs_inventory=False).repository.layout, dry_run=dry_run)
    if as_json:
        print_json(_freed(freed))
    else:
        _say(freed, dry_run=dry_run)


def _freed(freed: Freed) -> dict[str, int]:
    return {"blobs": freed.blobs, "bytes": freed.size}


def _say(freed: Freed, *, dry_run: bool) -> None:
    done = "would be removed" if dry_run else "removed"
    click.echo(f"{freed.blobs} blobs and {freed.size / 1e6:.1f} MB {done}")
