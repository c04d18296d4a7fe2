"""Bundles leave the archive: what ``core.retention`` says may go is taken out of ``index.json``, then collected.

Nobody publishes meanwhile, and the decision is made from what stands in ``index.json`` under its lock.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from ..core.retention import Shelved, Verdict, shelve
from ..errors import BundleError, StateError
from .entry import Entry, State
from .garbage import Freed, measure, remove, unnamed
from .repository import BundleRepository, published


@frozen
class Pruned:
    """What was decided, and what that freed."""

    verdicts: tuple[Verdict, ...]
    freed: Freed


def prune(
    repository: BundleRepository, decide: Callable[[tuple[Shelved, ...]], tuple[Verdict, ...]], *, dry_run: bool = False
) -> Pruned:
    """Remove the bundles of which *decide* says that they may go. With *dry_run* only say which.

    *decide* is called under the repository's locks, so that what it looks up is as fresh as can be.

    Raises:
        StateError: somebody publishes meanwhile, or what a bundle consists of cannot be read.
    """
    layout = repository.layout
    with layout.alone(), layout.locked() as index:
        known = published(index)
        verdicts = decide(tuple(_shelved(repository, entry) for entry, _ in known))
        going = {verdict.bundle for verdict in verdicts if not verdict.stays}
        gone = {id(descriptor) for entry, descriptor in known if entry.id in going}
        remaining = index.with_entries(tuple(each for each in index.entries if id(each) not in gone))
        garbage = unnamed(layout, remaining)  # before anything is taken away, since it may refuse
        if dry_run:
            return Pruned(verdicts, measure(garbage))
        if gone:
            layout.swap(remaining)
        return Pruned(verdicts, remove(layout, garbage))


def _shelved(repository: BundleRepository, entry: Entry) -> Shelved:
    is_current = entry.state is State.CURRENT
    try:
        manifest = repository.get(entry.id).manifest
    except (BundleError, StateError) as error:
        return Shelved(entry.id, is_current, entry.published_at, entry.kept, problem=str(error))
    return shelve(manifest, is_current=is_current, published=entry.published_at, kept=entry.kept)
