"""What the commands on bundles say of a publication, as a sentence and as JSON."""

from __future__ import annotations

from typing import Any

import click

from ..core.report import timestamp
from ..repository.entry import Entry, State
from ..repository.repository import Publication


def say_published(done: Publication) -> None:
    """Print what publishing did."""
    if done.was_published:
        click.echo(f"{done.entry.id} was published already")
    elif done.entry.state is State.ARCHIVE:
        click.echo(f"{done.entry.id} is in the archive")
    else:
        tail = f"; {done.archived} is in the archive" if done.archived is not None else ""
        click.echo(f"{done.entry.id} is current{tail}")


def publication(done: Publication) -> dict[str, Any]:
    """Return what publishing did as JSON values."""
    archived = str(done.archived) if done.archived is not None else None
    return {**entry_document(done.entry), "archived": archived, "was_published": done.was_published}


def entry_document(entry: Entry) -> dict[str, Any]:
    """Return a published bundle as JSON values."""
    return {
        "bundle": str(entry.id),
        "state": str(entry.state),
        "digest": str(entry.digest),
        "published": timestamp(entry.published_at),
        "purpose": entry.purpose,
        "reason": entry.reason,
        "kept": entry.kept or None,
    }
