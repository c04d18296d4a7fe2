"""Blobs that no bundle names any more: found by following every entry of ``index.json``, and removed.

- Whoever adds blobs holds ``ImageLayout.in_use`` until ``index.json`` names them; collecting needs
  ``ImageLayout.alone``. The kernel lets go of both when their holder dies.
- What cannot be read may name anything: then nothing is removed.
- A blob is removed by one ``unlink``, so that a kill leaves fewer to be removed and harms none.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import frozen

from ..core.canonical import parse_json
from ..core.identity import Digest
from ..errors import BundleError, BundleNotFoundError, ManifestError, StateError
from .depot import MAX_DOCUMENT
from .layout import Descriptor, ImageLayout, LayoutIndex
from .store import sync_folder, writing_to

_NAME = re.compile(r"[0-9a-f]{64}")


@frozen
class Freed:
    """How many blobs were removed and how many bytes they had, with what was left of broken transfers."""

    blobs: int
    size: int


def collect(layout: ImageLayout, *, dry_run: bool = False) -> Freed:
    """Remove every blob that nothing in ``index.json`` leads to. With *dry_run* only count them.

    Raises:
        StateError: somebody publishes meanwhile, or what a bundle consists of cannot be read.
    """
    with layout.alone():
        garbage = unnamed(layout, layout.index())
        return measure(garbage) if dry_run else remove(layout, garbage)


def unnamed(layout: ImageLayout, index: LayoutIndex) -> tuple[Path, ...]:
    """Return the blobs to which nothing in *index* leads, for whoever is alone with the layout.

    Raises:
        StateError: what a bundle consists of cannot be read.
    """
    named = _named(layout, index)
    folder = layout.blobs.folder
    paths = folder.iterdir() if folder.is_dir() else ()
    return tuple(path for path in paths if _NAME.fullmatch(path.name) and path.name not in named)


def measure(garbage: tuple[Path, ...]) -> Freed:
    """Say how much that is."""
    return Freed(len(garbage), sum(path.stat().st_size for path in garbage))


def remove(layout: ImageLayout, garbage: tuple[Path, ...]) -> Freed:
    """Remove it, and what is left of broken transfers, for whoever is alone with the layout."""
    with writing_to(layout.directory):
        freed = measure(garbage)
        layout.blobs.sweep()
        broken = layout.blobs.remove_partial()
        for path in garbage:
            path.unlink()
        if garbage:
            sync_folder(layout.blobs.folder)
    return Freed(freed.blobs, freed.size + broken)


def _named(layout: ImageLayout, index: LayoutIndex) -> set[str]:
    """Return the digests of all that *index* leads to, also where others wrote it."""
    found: set[str] = set()
    followed: set[str] = set()  # apart: what a signature names as its subject is found before it is followed
    pending = list(index.entries)
    while pending:
        document = pending.pop()
        if document.digest.hex in followed:
            continue
        followed.add(document.digest.hex)
        content = _content(layout, document)
        for key in ("config", "subject"):
            with suppress(ManifestError):
                found.add(Descriptor.from_document(content.get(key), key).digest.hex)
        for key in ("layers", "blobs"):
            found.update(blob.digest.hex for blob in _listed(content, key, document.digest))
        pending += _listed(content, "manifests", document.digest)
    return found | followed


def _content(layout: ImageLayout, document: Descriptor) -> dict[str, Any]:
    try:
        content = parse_json(layout.blobs.read(document.digest, MAX_DOCUMENT), what=str(document.digest))
    except BundleNotFoundError:
        raise _unreadable(layout, document.digest, "it is gone") from None
    except ManifestError:
        return {}  # something of somebody else's that is no manifest and names nothing
    except BundleError as error:
        raise _unreadable(layout, document.digest, str(error)) from error
    return content if isinstance(content, dict) else {}


def _listed(content: dict[str, Any], key: str, digest: Digest) -> list[Descriptor]:
    values = content.get(key) or []
    if not isinstance(values, list):
        return []
    return [Descriptor.from_document(value, f"{digest}: {key}[{place}]") for place, value in enumerate(values)]


def _unreadable(layout: ImageLayout, digest: Digest, why: str) -> StateError:
    return StateError(
        f"nobody can say what {digest} in {layout.directory} consists of: {why}; nothing was removed",
        advice="'rackwave bundle verify' names the bundle; publish it again, from its source or from a registry.",
    )
