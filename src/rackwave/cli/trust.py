"""``rackwave trust``: say whose bundles are believed, and keep the signatures over them fresh."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from ..automation import PUBLISHER_KEY, TRUST, Automation
from ..core.identity import Lineage
from ..core.report import timestamp
from ..errors import TrustError
from ..repository.keys import generate_key
from ..repository.metadata.ceremony import Setup, adopt, delegate, rotate
from ..repository.metadata.memory import HOME, ROOT
from ..repository.metadata.registry_source import push_metadata
from ..repository.metadata.roles import PROFILES
from ..repository.metadata.status import RoleStatus, TrustStatus
from ..repository.open_trust import retire_list
from ..repository.trust import KeyringTrust
from .app import Setting
from .registries import backing_of, registry_options
from .render import json_option, print_json, print_table

_passphrase = click.option(
    "--passphrase",
    metavar="REFERENCE",
    help="Where the keys' passphrase is: env:NAME or file:/path. Default: RACKWAVE_PASSPHRASE, else it is asked for.",
)


@click.group()
def trust() -> None:
    """Say whose bundles are believed."""


@trust.command()
@click.option("--lineage", "lineages", multiple=True, default=("*",), help="What it may sign; default: everything.")
@click.option("--note", default="", help="Whose key it is.")
@click.pass_obj
def key(setting: Setting, lineages: tuple[str, ...], note: str) -> None:
    """Make a publisher's key in the state directory and trust it, by a list of keys."""
    if (setting.state / HOME / ROOT).exists():
        raise TrustError(
            "signed metadata says here who may sign, not a list of keys",
            advice="See 'rackwave trust delegate' and 'rackwave trust rotate publisher'.",
        )
    signer = generate_key(setting.state / PUBLISHER_KEY)
    path = setting.state / TRUST
    known = KeyringTrust.load(path) if path.exists() else KeyringTrust(())
    known.with_key(signer.public_key, lineages=lineages, note=note).save(path)
    click.echo(f"{signer.public_key.id[:16]}… in {setting.state / PUBLISHER_KEY}; it may sign {', '.join(lineages)}")


@trust.command()
@click.option(
    "--profile",
    type=click.Choice(sorted(PROFILES)),
    default="default",
    show_default=True,
    help="For how long signatures hold: strict has them made again every few hours.",
)
@click.option(
    "--root-keys", type=click.IntRange(1, 16), default=1, show_default=True, help="How many root keys to make."
)
@click.option(
    "--root-key", "root_uris", multiple=True, metavar="URI", help="A root key in an HSM or with a KMS instead."
)
@click.option("--root-threshold", type=click.IntRange(1, 16), default=1, show_default=True, help="How many must sign.")
@click.option("--targets-key", metavar="URI", help="The targets key in an HSM or with a KMS.")
@click.option("--online-key", metavar="URI", help="The key of snapshot and timestamp in an HSM or with a KMS.")
@_passphrase
@json_option
@click.pass_obj
def init(
    setting: Setting,
    profile: str,
    root_keys: int,
    root_uris: tuple[str, ...],
    root_threshold: int,
    targets_key: str | None,
    online_key: str | None,
    passphrase: str | None,
    as_json: bool,
) -> None:
    """Set trust by signed metadata (TUF) up: make the keys, sign what is published, trust the root.

    Root and targets keys are encrypted and may be moved to a medium that lies in a safe; the online key, which
    signs what is the newest, stays. What was trusted by 'rackwave trust key' goes on being published.
    """
    automation = setting.automation(needs_inventory=False, passphrase=passphrase)
    wanted = Setup(profile, root_uris, root_keys, root_threshold, targets_key, online_key)
    left = automation.stock.init_trust(wanted)
    if not as_json:
        for each in left:
            click.echo(f"{each} is not trusted and was left out: publish it again from its source", err=True)
        click.echo(f"signed metadata is set up; others adopt {setting.state / HOME / ROOT}")
    _show(automation, as_json)


@trust.command(name="adopt")
@click.argument("root", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.pass_obj
def adopt_root(setting: Setting, root: Path) -> None:
    """Believe the publisher whose root is in the file ROOT: on a machine that only deploys."""
    pinned = adopt(setting.state, root)
    retire_list(setting.state)
    click.echo(f"the root is trusted, in {pinned}")


@trust.command(name="delegate")
@click.argument("lineages", nargs=-1, required=True, metavar="LINEAGE...")
@click.option(
    "--key", "keys", multiple=True, metavar="PUBLIC", help="Who may: an ed25519 key in hexadecimal. Default: us."
)
@click.option(
    "--threshold", type=click.IntRange(1, 16), default=1, show_default=True, help="How many of them must sign."
)
@_passphrase
@json_option
@click.pass_obj
def delegate_lineages(
    setting: Setting,
    lineages: tuple[str, ...],
    keys: tuple[str, ...],
    threshold: int,
    passphrase: str | None,
    as_json: bool,
) -> None:
    """Say who may sign each LINEAGE; whoever could before and is not named no longer can."""
    automation = setting.automation(needs_inventory=False, passphrase=passphrase)
    delegate(automation.stock.metadata, [Lineage(each) for each in lineages], keys, threshold)
    _show(automation, as_json)


@trust.command(name="rotate")
@click.argument("role", type=click.Choice(["root", "targets", "online", "publisher"]))
@click.option("--key", "uri", metavar="URI", help="The new key in an HSM or with a KMS.")
@_passphrase
@json_option
@click.pass_obj
def rotate_role(setting: Setting, role: str, uri: str | None, passphrase: str | None, as_json: bool) -> None:
    """Give ROLE a new key; what the old one signs from now on is believed by nobody."""
    automation = setting.automation(needs_inventory=False, passphrase=passphrase)
    old = rotate(automation.stock.metadata, role, setting.state / PUBLISHER_KEY, uri=uri)
    if not as_json:
        for each in old:
            click.echo(f"the old {each.name} key {each.id[:12]} signs no more; destroy it: {each.where}")
    _show(automation, as_json)


@trust.command()
@click.option("--targets", is_flag=True, help="Sign the targets role again, too; that takes its key.")
@_passphrase
@json_option
@click.pass_obj
def refresh(setting: Setting, targets: bool, passphrase: str | None, as_json: bool) -> None:
    """Sign again what says which state is the newest, where its key is; fetch and verify it in any case."""
    automation = setting.automation(needs_inventory=False, passphrase=passphrase)
    automation.stock.metadata.refresh(targets=targets)
    _show(automation, as_json)


@trust.command()
@registry_options
@json_option
@click.pass_obj
def push(setting: Setting, /, as_json: bool, **where: Any) -> None:
    """Put the signed metadata into a registry, from which machines that only deploy read it.

    'rackwave bundle push' does it, too; this is for what changed since: a renewal, a bundle that was withdrawn.
    """
    automation = setting.automation(needs_inventory=False)
    backing = backing_of(automation, **where)
    trusted = automation.stock.metadata
    with automation.stock.open_registry(backing) as registry:
        sent = push_metadata(trusted, registry)
    if as_json:
        print_json({"registry": str(backing.address), "files": sent})
    else:
        click.echo(f"{sent} files of metadata were sent to {backing.address}")


@trust.command()
@json_option
@click.pass_obj
def status(setting: Setting, as_json: bool) -> None:
    """Show which signatures hold until when, which keys are where, and what is current in each lineage."""
    _show(setting.automation(needs_inventory=False), as_json)


def _show(automation: Automation, as_json: bool) -> None:
    found = automation.stock.metadata.status()
    if as_json:
        print_json(_document(found))
        return
    now = time.time()
    print_table(
        ["ROLE", "VERSION", "HOLDS FOR", "SIGNATURES", "KEYS"],
        [
            (
                role.name,
                str(role.version),
                _left(role.expires - now),
                f"{role.threshold} of {len(role.keys)}",
                ", ".join(f"{key.name or key.id[:8]} ({key.state})" for key in role.keys),
            )
            for role in found.roles
        ],
    )
    if found.channels:
        print_table(
            ["LINEAGE", "CURRENT", "EPOCH", "FLOOR", "MAY GO BACK TO", "WITHDRAWN"],
            [
                (
                    str(each.lineage),
                    str(each.id),
                    str(each.epoch),
                    str(each.min_seq),
                    _seqs(each.rollback_to),
                    _seqs(tuple(sorted(each.withdrawn))),
                )
                for each in found.channels
            ],
        )


def _left(seconds: float) -> str:
    if seconds <= 0:
        return "EXPIRED"
    return f"{seconds / 86_400:.0f} days" if seconds >= 2 * 86_400 else f"{seconds / 3_600:.0f} hours"


def _seqs(seqs: tuple[int, ...]) -> str:
    return ", ".join(str(seq) for seq in seqs[-8:]) + (f" and {len(seqs) - 8} more" if len(seqs) > 8 else "")


def _document(found: TrustStatus) -> dict[str, Any]:
    return {
        "profile": found.profile,
        "roles": [_role(role) for role in found.roles],
        "channels": [each.document() for each in found.channels],
    }


def _role(role: RoleStatus) -> dict[str, Any]:
    return {
        "role": role.name,
        "version": role.version,
        "expires": timestamp(role.expires),
        "threshold": role.threshold,
        "keys": [{"keyid": key.id, "name": key.name or None, "state": key.state} for key in role.keys],
        "targets": role.targets,
    }
