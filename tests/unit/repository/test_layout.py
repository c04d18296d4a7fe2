from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from rackwave.core.identity import Digest
from rackwave.errors import ManifestError, StateError
from rackwave.repository.layout import INDEX_TYPE, Descriptor, ImageLayout, LayoutIndex

DIGEST = Digest("sha256:" + "a" * 64)
ENTRY = {"mediaType": INDEX_TYPE, "digest": str(DIGEST), "size": 3, "annotations": {"a": "b"}, "urls": ["kept"]}


def test_index_comes_back(tmp_path: Path) -> None:
    """What is swapped in is what is read, with the fields that others wrote."""
    layout = ImageLayout(tmp_path / "new")
    entry = Descriptor.from_document(ENTRY, "it")
    with layout.locked() as before:
        layout.swap(LayoutIndex((entry,), {"annotations": {"theirs": "kept"}}))
    after = layout.index()

    assert () == before.entries
    assert [ENTRY] == [found.document() for found in after.entries]
    assert {"annotations": {"theirs": "kept"}} == dict(after.extra)
    assert {"imageLayoutVersion": "1.0.0"} == json.loads((tmp_path / "new" / "oci-layout").read_bytes())


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    """A folder that is not there, or is empty, holds nothing, and looking does not make it."""
    assert () == ImageLayout(tmp_path).index().entries
    assert () == ImageLayout(tmp_path / "none").index().entries
    assert not (tmp_path / "none").exists()


def test_folder_that_is_something_else(tmp_path: Path) -> None:
    """A folder with somebody's files in it, or a file, is not taken for an empty repository."""
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(StateError, match=r"holds 'thesis\.tex'"):
        ImageLayout(tmp_path).index()
    with pytest.raises(StateError, match="is not a folder"):
        ImageLayout(tmp_path / "thesis.tex").index()


def test_lost_index(tmp_path: Path) -> None:
    """A layout whose index.json was removed is damaged, not empty."""
    layout = ImageLayout(tmp_path)
    with layout.locked():
        layout.swap(LayoutIndex())
    (tmp_path / "index.json").unlink()
    with pytest.raises(StateError, match=r"has lost its index\.json") as caught:
        layout.index()

    assert "backup" in caught.value.advice


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schemaVersion":1,"manifests":[]}', '{"schemaVersion":2}', "\xff"])
def test_damaged_index(tmp_path: Path, text: str) -> None:
    """An index.json that cannot be read is an error with advice, never an empty repository."""
    (tmp_path / "index.json").write_text(text, encoding="latin-1")
    with pytest.raises(StateError) as caught:
        ImageLayout(tmp_path).index()

    assert caught.value.advice


@pytest.mark.parametrize(
    "change",
    [
        {"digest": "sha256:x"},
        {"digest": None},
        {"size": -1},
        {"size": True},
        {"size": 2**50},
        {"mediaType": 1},
        {"annotations": {"a": 1}},
        {"annotations": []},
    ],
)
def test_damaged_descriptor(change: dict[str, Any]) -> None:
    """A descriptor with a wrong field is refused by name."""
    with pytest.raises(ManifestError, match=r"^it"):
        Descriptor.from_document({**ENTRY, **change}, "it")


def test_writers_wait_for_each_other(tmp_path: Path) -> None:
    """Of many who add an entry at once, none overwrites another's."""
    layout = ImageLayout(tmp_path)

    def add(number: int) -> None:
        entry = Descriptor(INDEX_TYPE, DIGEST, number)
        with layout.locked() as index:
            layout.swap(index.with_entries((*index.entries, entry)))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set(range(16)) == {entry.size for entry in layout.index().entries}
