"""``rackwave bundle push|pull|tags``: bundles between the repository and a registry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ..automation import Automation
from ..backing import Backing
from ..core.identity import BundleId
from ..errors import UsageError
from ..repository.address import RegistryAddress
from ..repository.metadata.registry_source import push_metadata
from ..repository.metadata.trust import MetadataTrust
from ..secrets import absolute_reference
from .app import Setting
from .lines import LINE
from .render import json_option, print_json
from .said import publication, say_published

F = TypeVar("F", bound=Callable[..., Any])


def registry_options(command: F) -> F:
    """Give *command* the options that say which registry."""
    for option in (
        click.option("--plain-http", is_flag=True, help="Without TLS: for a registry on this machine, or a lab."),
        click.option("--token-server", metavar="URL", help="Where its tokens come from, if that is another host."),
        click.option("--ca", type=click.Path(path_type=Path, dir_okay=False), help="Who signed its certificate."),
        click.option("--credentials", metavar="REFERENCE", help="env:PREFIX or file:/path/credentials.toml."),
        click.option("-r", "--registry", metavar="ADDRESS", help="oci://host:port/name; else that of registry.toml."),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("bundle_ids", metavar="BUNDLE...", nargs=-1, required=True)
@registry_options
@json_option
@click.pass_obj
def push(setting: Setting, /, bundle_ids: tuple[str, ...], as_json: bool, **where: Any) -> None:
    """Copy bundles into a registry, digest by digest, under their ids; and the signed metadata, where there is some."""
    automation = setting.automation(needs_inventory=False)
    backing = backing_of(automation, **where)
    done = []
    with automation.stock.open_registry(backing) as registry:
        for bundle_id in [BundleId.parse(text) for text in bundle_ids]:
            pushed = automation.repository.push(bundle_id, registry)
            done.append({"bundle": str(pushed.id), "digest": str(pushed.digest), "registry": str(backing.address)})
            if not as_json:
                click.echo(f"{pushed.id} is in {backing.address}  {pushed.digest}")
        trust = automation.repository.trust
        if isinstance(trust, MetadataTrust) and trust.signs:
            push_metadata(trust, registry)  # last: what it names is there
    if as_json:
        print_json(done)


@click.command()
@click.argument("bundle_ids", metavar="[BUNDLE]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every bundle that the registry has and the repository has not.")
@click.option("--reason", type=LINE, default="", help="Why: a release, a CVE.")
@registry_options
@json_option
@click.pass_obj
def pull(
    setting: Setting, /, bundle_ids: tuple[str, ...], every: bool, reason: str, as_json: bool, **where: Any
) -> None:
    """Publish bundles of a registry here, once their signatures have been verified.

    The latest of a lineage becomes current, older ones go to the archive. What broke off goes on where it stopped.
    """
    if bool(bundle_ids) == every:
        raise UsageError("this takes the ids of bundles, or --all")
    automation = setting.automation(needs_inventory=False)
    done = []
    with automation.stock.open_registry(backing_of(automation, **where)) as registry:
        wanted = [BundleId.parse(text) for text in bundle_ids] or automation.repository.lacking(registry)
        for bundle_id in wanted:
            pulled = automation.repository.pull(bundle_id, registry, reason=reason)
            done.append(pulled)
            if not as_json:
                say_published(pulled)
    if as_json:
        print_json([publication(each) for each in done])
    elif not done:
        click.echo("Everything that the registry has is here.")


@click.command()
@registry_options
@json_option
@click.pass_obj
def tags(setting: Setting, /, as_json: bool, **where: Any) -> None:
    """List what a registry says it has. Nothing of it is verified before it is pulled."""
    automation = setting.automation(needs_inventory=False)
    with automation.stock.open_registry(backing_of(automation, **where)) as registry:
        found = sorted(registry.tags())
    if as_json:
        print_json(found)
    else:
        for tag in found:
            click.echo(tag)


def backing_of(
    automation: Automation,
    *,
    registry: str | None,
    credentials: str | None,
    ca: Path | None,
    token_server: str | None,
    plain_http: bool,
) -> Backing:
    """Return the registry that the options name or, where they name none, that of ``registry.toml``."""
    if registry is not None:
        reference = absolute_reference(credentials, Path.cwd()) if credentials is not None else None
        return Backing(RegistryAddress.parse(registry, plain=plain_http), reference, ca, token_server)
    if credentials or ca or token_server or plain_http:
        raise UsageError("these options go with --registry", advice="Without it registry.toml says all of that.")
    return automation.stock.backing()
