"""A recorded tree as the documents of a scripted BMC, so that every request is counted and no lab is needed."""

from __future__ import annotations

from typing import Any

from rackwave_emulators.tree import Tree


class Recorded(dict[str, Any]):
    """Looks resources up as their service would: by any spelling where that one does not mind."""

    def __init__(self, tree: Tree) -> None:
        super().__init__()
        self._tree = tree

    def __contains__(self, path: object) -> bool:
        return super().__contains__(path) or self._tree.document(str(path)) is not None

    def __getitem__(self, path: str) -> Any:
        return super().__getitem__(path) if super().__contains__(path) else self._tree.document(path)
