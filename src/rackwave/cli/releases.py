"""``rackwave release``: what vendors publish, on its way to a bundle."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import click

from ..automation import Automation
from ..core.due import Due
from ..core.feed import Feed
from ..core.identity import Digest, Lineage
from ..core.release_book import ReleaseRecord, Stage
from ..core.report import timestamp
from ..releases import FeedLook, Releases
from .app import Exit, Setting
from .lines import LINE
from .render import json_option, nodes_option, print_json, print_table


@click.group()
def release() -> None:
    """Have bundles made of what vendors release: read feeds, look at drafts, approve them.

    The feeds stand in feeds.toml in the state directory.
    """


@release.command()
@click.option("--once", is_flag=True, help="Look at each feed once and end.")
@click.option("--feed", metavar="NAME", help="Only this one; with --once.")
@json_option
@click.pass_obj
def watch(setting: Setting, once: bool, feed: str | None, as_json: bool) -> None:
    """Look at the feeds in their rhythm; draft what is new, and publish what a feed's policy allows."""
    if feed is not None and not once:
        raise click.UsageError("--feed goes with --once")
    fetching = _Fetching(quiet=as_json)

    async def work(automation: Automation) -> tuple[FeedLook, ...]:
        releases = automation.releases
        if once:
            return await releases.look(feed, fetching=fetching)

        def tell(look: FeedLook) -> None:
            if as_json:
                click.echo(json.dumps(_look(look, releases), ensure_ascii=False))
            else:
                _say_look(look, releases)

        await releases.watch(tell, fetching=fetching)
        return ()

    async def whole() -> int:
        async with setting.automation(needs_inventory=False) as automation:
            looks = await work(automation)
            if as_json and once:
                print_json([_look(look, automation.releases) for look in looks])
            elif once:
                for look in looks:
                    _say_look(look, automation.releases)
            return Exit.FAILED if any(look.problem for look in looks) else Exit.DONE

    if code := asyncio.run(whole()):
        sys.exit(code)


@release.command()
@json_option
@click.pass_obj
def feeds(setting: Setting, as_json: bool) -> None:
    r"""List the feeds, and which of them cannot be read.

    A feed in feeds.toml:

    \b
      [[feeds]]
      name = "nic-drops"
      kind = "folder"        # or lvfs, catalogue, oci
      where = "drops"        # a URL, oci://host:port/name, or a path relative to feeds.toml
      lineage = "A"
      policy = "draft"       # or automatic
    """
    releases = setting.automation(needs_inventory=False, read_only=True).releases
    troubles = releases.troubles()
    if as_json:
        print_json([_feed(each, troubles.get(each.name)) for each in releases.feeds])
        return
    print_table(
        ["FEED", "KIND", "LINEAGE", "POLICY", "WHERE"],
        [(each.name, each.kind, each.lineage, each.policy, _where(each)) for each in releases.feeds],
    )
    for each in releases.feeds:
        if each.name in troubles:
            problem, since = troubles[each.name]
            click.echo(f"{each.name} cannot be read since {timestamp(since)}: {problem}")


@release.command(name="list")
@click.option("--all", "every", is_flag=True, help="Also those that were published, rejected or superseded.")
@click.option("--lineage", metavar="NAME", help="Only those of one lineage.")
@json_option
@click.pass_obj
def list_(setting: Setting, every: bool, lineage: str | None, as_json: bool) -> None:
    """List releases: what waits for whom."""
    releases = setting.automation(needs_inventory=False, read_only=True).releases
    found = releases.list(Lineage(lineage) if lineage is not None else None)
    shown = [record for record in found if every or not record.stage.is_final]
    if as_json:
        print_json([document(record) for record in shown])
        return
    print_table(
        ["RELEASE", "STAGE", "BUNDLE", "WHAT", "SEVERITY", "FEED", "SINCE"],
        [
            (
                record.id,
                record.stage,
                str(record.bundle or ""),
                f"{record.announced.component or record.announced.name} {record.announced.version}",
                record.announced.severity or "not said",
                record.feed,
                timestamp(record.since),
            )
            for record in shown
        ],
    )


@release.command()
@click.argument("release_id", metavar="RELEASE")
@json_option
@click.pass_obj
def show(setting: Setting, release_id: str, as_json: bool) -> None:
    """Show all that is known of RELEASE, and what speaks against it."""
    record = setting.automation(needs_inventory=False, read_only=True).releases.find(release_id)
    if as_json:
        print_json(document(record))
    else:
        _show(record)


@release.command()
@click.argument("release_id", metavar="RELEASE")
@click.option("--manifest", metavar="DIGEST", help="Of the draft that you looked at: no other is published.")
@click.option("--despite", is_flag=True, help="Although something speaks against it.")
@json_option
@click.pass_obj
def approve(setting: Setting, release_id: str, manifest: str | None, despite: bool, as_json: bool) -> None:
    """Sign the draft of RELEASE and publish it: it becomes its lineage's current bundle."""

    async def whole() -> ReleaseRecord:
        async with setting.automation(needs_inventory=False) as automation:
            digest = Digest(manifest) if manifest is not None else None
            return await automation.releases.approve(release_id, manifest=digest, despite=despite)

    record = asyncio.run(whole())
    if as_json:
        print_json(document(record))
    elif record.stage is Stage.PUBLISHED:
        click.echo(f"{record.bundle} is current. What it takes: rackwave plan {record.bundle}")
    else:
        _show(record)
    if record.stage is not Stage.PUBLISHED:
        sys.exit(Exit.WAITING)


@release.command()
@click.argument("release_id", metavar="RELEASE")
@click.option("--reason", type=LINE, required=True, help="Why, for whoever asks later.")
@json_option
@click.pass_obj
def reject(setting: Setting, release_id: str, reason: str, as_json: bool) -> None:
    """Have nothing made of RELEASE, for good."""

    async def whole() -> ReleaseRecord:
        async with setting.automation(needs_inventory=False) as automation:
            return await automation.releases.reject(release_id, reason)

    record = asyncio.run(whole())
    if as_json:
        print_json(document(record))
    else:
        click.echo(f"{record.id} is rejected.")


@release.command()
@nodes_option
@json_option
@click.pass_obj
def due(setting: Setting, nodes: str | None, as_json: bool) -> None:
    """Say for which nodes maintenance is due: newer bundles were published than the ones that they carry."""

    async def work(automation: Automation) -> tuple[Due, ...]:
        return automation.releases.due([node.name for node in automation.fleet.select(nodes)])

    found = setting.run(work, read_only=True)
    if as_json:
        print_json([_due(each) for each in found])
        return
    if not found:
        click.echo("Every node carries the current bundle of its lineages.")
        return
    print_table(
        ["LINEAGE", "NODES", "CARRY", "DUE", "SINCE", "SEVERITY", "FIXES", "WHICH"],
        [
            (
                each.lineage,
                str(len(each.nodes)),
                str(each.carries),
                str(each.bundles[-1]),
                timestamp(each.since),
                each.severity or "not said",
                ", ".join(each.cves) or "not said",
                _some(each.nodes),
            )
            for each in found
        ],
    )


def document(record: ReleaseRecord) -> dict[str, Any]:
    """Return *record* as it is printed by ``--json``."""
    told = record.announced
    return {
        "release": record.id,
        "lineage": record.lineage,
        "feed": record.feed,
        "stage": record.stage.value,
        "bundle": str(record.bundle) if record.bundle is not None else None,
        "manifest": record.manifest,
        "replaces": str(record.replaces) if record.replaces is not None else None,
        "component": told.component,
        "version": told.version,
        "passes": list(record.passes),
        "ground": record.ground,
        "package": {"name": told.name, "digest": told.digest, "size": told.size},
        "vendor": told.vendor,
        "severity": told.severity,
        "cves": list(told.cves),
        "summary": told.summary,
        "date": told.date,
        "url": told.url,
        "faults": list(record.faults),
        "objections": list(record.objections),
        "notes": list(record.notes),
        "waits": record.waits,
        "reason": record.reason,
        "by": record.by,
        "seen": timestamp(record.seen_at),
        "since": timestamp(record.since),
    }


def _show(record: ReleaseRecord) -> None:
    told = record.announced
    click.echo(f"{record.id}: {told.component or told.name} {told.version} for lineage {record.lineage}")
    over = f", in the place of {record.replaces}" if record.replaces is not None else ""
    becomes = f" as {record.bundle}{over}" if record.bundle is not None else ""
    click.echo(f"{record.stage}{becomes}, since {timestamp(record.since)}")
    rows = (
        ("from", f"feed {record.feed}, seen {timestamp(record.seen_at)}; newer: {record.ground}"),
        ("package", f"{told.name}  {told.digest}"),
        ("severity", told.severity or "not said"),
        ("fixes", ", ".join(told.cves) or "not said"),
        ("says", told.summary),
        ("takes in", ", ".join(record.passes)),
        ("details", told.url),
        ("manifest", str(record.manifest or "")),
        ("reason", record.reason),
        ("by", record.by),
        ("waits for", record.waits),
    )
    for heading, text in rows:
        if text:
            click.echo(f"  {heading:11}{text}")
    for heading, texts in (("FAULT", record.faults), ("AGAINST IT", record.objections), ("note", record.notes)):
        for text in texts:
            click.echo(f"  {heading}: {text}")
    if record.stage is Stage.DRAFT and not record.faults:
        despite = " --despite" if record.objections else ""
        click.echo(f"\nrackwave release approve {record.id} --manifest {record.manifest}{despite}")


def _say_look(look: FeedLook, releases: Releases) -> None:
    if look.problem:
        click.echo(f"{look.feed.name}: CANNOT BE READ: {look.problem}", err=True)
        return
    click.echo(f"{look.feed.name}: {look.listed} releases listed, {len(look.new)} new")
    for text in look.passed_over:
        click.echo(f"  {text}")
    for record in _open(look, releases):
        told = record.announced
        what = f"{told.component or told.name} {told.version}"
        match record.stage:
            case Stage.PUBLISHED:
                click.echo(f"  {record.id}: {what} is published as {record.bundle}")
            case Stage.DRAFT:
                click.echo(f"  {record.id}: {what} is drafted as {record.bundle} and waits for {record.waits}")
            case _:
                click.echo(f"  {record.id}: {what} is {record.stage}: {record.reason}")


def _open(look: FeedLook, releases: Releases) -> list[ReleaseRecord]:
    """Return what the look brought and what is still open of its feed."""
    mine = [record for record in releases.list() if record.feed == look.feed.name]
    return [record for record in mine if record.id in look.new or not record.stage.is_final]


def _look(look: FeedLook, releases: Releases) -> dict[str, Any]:
    return {
        "feed": look.feed.name,
        "listed": look.listed,
        "new": list(look.new),
        "problem": look.problem,
        "passed_over": list(look.passed_over),
        "releases": [document(record) for record in _open(look, releases)],
    }


def _feed(feed: Feed, trouble: tuple[str, float] | None) -> dict[str, Any]:
    return {
        "name": feed.name,
        "kind": feed.kind.value,
        "where": feed.where,
        "tag": feed.tag,
        "lineage": feed.lineage,
        "policy": feed.policy.value,
        "component": feed.component,
        "floor": feed.floor.value if feed.floor is not None else None,
        "every": feed.every,
        "problem": trouble[0] if trouble is not None else "",
        "problem_since": timestamp(trouble[1]) if trouble is not None else None,
    }


def _due(due: Due) -> dict[str, Any]:
    return {
        "lineage": due.lineage,
        "carries": str(due.carries),
        "due": str(due.bundles[-1]),
        "bundles": [str(each) for each in due.bundles],
        "since": timestamp(due.since),
        "severity": due.severity,
        "cves": list(due.cves),
        "releases": [record.id for record in due.releases],
        "nodes": list(due.nodes),
    }


def _where(feed: Feed) -> str:
    return f"{feed.where}:{feed.tag}" if feed.tag else feed.where


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{', '.join(names[:5])}{more}"


class _Fetching:
    """Says how far a package has come: in place on a terminal, else once in a while."""

    _RARELY = 10.0

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._said = 0.0

    def __call__(self, record: ReleaseRecord, got: int, size: int | None) -> None:
        is_whole = size is not None and got >= size
        now = time.monotonic()
        if self._quiet or (now - self._said < (0.2 if sys.stderr.isatty() else self._RARELY) and not is_whole):
            return
        if is_whole and not self._said and not sys.stderr.isatty():
            return  # it came at once
        self._said = now
        of = f" of {size / 2**20:.1f}" if size is not None else ""
        end = "\r" if sys.stderr.isatty() and not is_whole else "\n"
        click.echo(f"{record.id}: {got / 2**20:.1f}{of} MiB of {record.announced.name}{end}", nl=False, err=True)
