"""Recorded Redfish trees: what a real BMC said to every GET, read from a file and served as it was.

A file is JSON, gzipped where its name ends in ``.gz``: ``{"meta": {...}, "resources": {path: document}}``.
``rackwave lab record`` writes such files. They are read-only: a recording cannot know what a write would do.
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from attrs import field, frozen

from rackwave.core.bundle import frozen_map
from rackwave.errors import UsageError

from .redfish import headers, paths
from .redfish.answers import Answer, encode

TREES = "RACKWAVE_TREES"
"""The environment variable that names directories of recordings, as PATH does of programs."""

_SUFFIXES = ("", ".json.gz", ".json")


class TreeError(UsageError):
    """A recorded tree cannot be found or read."""


@frozen
class Tree:
    """A recording: documents by path, and what is known of where they came from."""

    name: str
    meta: Mapping[str, Any] = field(factory=dict, converter=frozen_map)
    resources: Mapping[str, Mapping[str, Any]] = field(factory=dict, converter=frozen_map)
    _by_any_case: Mapping[str, str] = field(init=False, repr=False, eq=False)

    @_by_any_case.default
    def _spellings(self) -> Mapping[str, str]:
        """Where links to one resource are spelt in several ways, the service does not mind the case (iLO)."""
        folded = {_bare(path).lower(): path for path in self.resources}
        exact = {_bare(path) for path in self.resources}
        for link in {_bare(link) for document in self.resources.values() for link in links(document)}:
            if link not in exact and link.lower() in folded:
                return folded
        return {}

    def document(self, path: str) -> Mapping[str, Any] | None:
        """Return the document at *path*, with or without a slash at its end; None: it was not recorded."""
        for spelling in (path, path.rstrip("/"), f"{path}/"):
            if spelling in self.resources:
                return self.resources[spelling]
        known = self._by_any_case.get(_bare(path).lower())
        return None if known is None else self.resources[known]

    def read(self, path: str) -> Answer | None:
        """Answer a GET; None: it was not recorded."""
        document = self.document(path)
        if document is None:
            return None
        raw = encode(document)
        told = headers.of_resource(path, document, raw)
        tag = document.get("@odata.etag")
        told |= {"ETag": tag if isinstance(tag, str) else f'"{zlib.crc32(raw):08x}"', "Allow": headers.READ_ONLY}
        return Answer(HTTPStatus.OK, raw, told)

    @property
    def make(self) -> tuple[str, str]:
        """The vendor and the model, as far as the system or the service root tell them."""
        root = self.document(paths.ROOT) or {}
        vendor = self.system.get("Manufacturer") or root.get("Vendor")
        return str(vendor or "Recorded"), str(self.system.get("Model") or root.get("Product") or self.name)

    @property
    def system(self) -> Mapping[str, Any]:
        """The first ComputerSystem that can be reset, else the first; empty where there is none."""
        members = (self.document(paths.SYSTEMS) or {}).get("Members", [])
        systems = [self.document(link) or {} for link in links(members)]
        return next((one for one in systems if "#ComputerSystem.Reset" in (one.get("Actions") or {})), {}) or next(
            iter(systems), {}
        )


def links(value: object) -> Iterator[str]:
    """Every path that *value* links to by @odata.id, without what follows a #."""
    if isinstance(value, Mapping):
        target = value.get("@odata.id")
        if isinstance(target, str) and target.startswith("/"):
            yield target.partition("#")[0]
        for inner in value.values():
            yield from links(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from links(inner)


def find_tree(name: str, environment: Mapping[str, str] = os.environ) -> Path:
    """Return the file that *name* means: a path, or a recording in a directory that RACKWAVE_TREES names.

    Raises:
        TreeError: there is none.
    """
    if Path(name).is_file():
        return Path(name)
    folders = [Path(folder) for folder in environment.get(TREES, "").split(os.pathsep) if folder]
    for folder in folders:
        for suffix in _SUFFIXES:
            if (path := folder / f"{name}{suffix}").is_file():
                return path
    known = sorted(path.name.partition(".json")[0] for folder in folders for path in folder.glob("*.json*"))
    raise TreeError(
        f"there is no recorded tree {name!r}",
        advice=f"Known are {', '.join(known)}." if known else f"Give a file, or name a directory of them in {TREES}.",
    )


def load_tree(path: Path) -> Tree:
    """Read a recording.

    Raises:
        TreeError: it is none.
    """
    try:
        raw = path.read_bytes()
        told = json.loads(gzip.decompress(raw) if path.name.endswith(".gz") else raw)
        resources = told["resources"]
        meta = told.get("meta", {})
    except (OSError, EOFError, ValueError, KeyError, TypeError, zlib.error) as error:
        raise TreeError(f"{path} is no recorded tree ({type(error).__name__})") from error
    if not isinstance(resources, dict) or not isinstance(meta, dict) or not _is_tree(resources):
        raise TreeError(f"{path} is no recorded tree: its resources are not JSON objects by path")
    return Tree(str(meta.get("name") or path.name.partition(".json")[0]), meta, resources)


def write_tree(path: Path, tree: Tree) -> None:
    """Write a recording; equal trees give equal bytes."""
    told = {"meta": dict(tree.meta), "resources": {at: tree.resources[at] for at in sorted(tree.resources)}}
    raw = json.dumps(told, indent=None if path.name.endswith(".gz") else 1, sort_keys=False).encode()
    path.write_bytes(gzip.compress(raw, mtime=0) if path.name.endswith(".gz") else raw)


def _is_tree(resources: Mapping[Any, Any]) -> bool:
    return all(isinstance(at, str) and isinstance(document, dict) for at, document in resources.items())


def _bare(path: str) -> str:
    return unquote(path).rstrip("/")
