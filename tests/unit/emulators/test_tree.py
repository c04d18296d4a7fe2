"""Recorded trees: found, read, written, and looked up as their service would."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from rackwave.errors import UsageError
from rackwave_emulators.record import credentials_of
from rackwave_emulators.tree import Tree, TreeError, find_tree, load_tree, write_tree

ROOT = "/redfish/v1"
SMALL = Tree("small", {"name": "small"}, {ROOT: {"Id": "Root", "Systems": {"@odata.id": f"{ROOT}/Systems"}}})


@pytest.mark.parametrize("name", ["small.json", "small.json.gz"])
def test_a_tree_is_written_and_read(name: str, tmp_path: Path) -> None:
    """What was written is read again, gzipped or not, and equal trees are equal files."""
    first, second = tmp_path / name, tmp_path / f"again-{name}"
    write_tree(first, SMALL)
    write_tree(second, load_tree(first))

    assert SMALL == load_tree(first)
    assert first.read_bytes() == second.read_bytes()


def test_a_name_is_looked_for_in_the_directories_of_trees(tmp_path: Path) -> None:
    """A path is taken as it is; a name is found in RACKWAVE_TREES; an unknown one lists the known."""
    path = tmp_path / "small.json.gz"
    write_tree(path, SMALL)
    environment = {"RACKWAVE_TREES": f"/nowhere:{tmp_path}"}

    assert path == find_tree(str(path), {})
    assert path == find_tree("small", environment)
    with pytest.raises(TreeError) as error:
        find_tree("large", environment)
    assert "small" in error.value.advice


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"resources": []}', b'{"resources": {"/a": 1}}', b"\xff"])
def test_what_is_no_tree_is_refused(raw: bytes, tmp_path: Path) -> None:
    """A file that is no recording, zipped or not, is refused by name."""
    for path, content in ((tmp_path / "x.json", raw), (tmp_path / "x.json.gz", gzip.compress(raw))):
        path.write_bytes(content)
        with pytest.raises(TreeError, match=r"x\.json"):
            load_tree(path)
    (tmp_path / "torn.json.gz").write_bytes(gzip.compress(raw)[:-4])
    with pytest.raises(TreeError):
        load_tree(tmp_path / "torn.json.gz")


def test_case_matters_only_where_the_recording_says_so() -> None:
    """A service whose own links are spelt in several ways is served so; any other is exact."""
    bios = f"{ROOT}/Systems/1/Bios"
    strict = Tree("strict", {}, {ROOT: {"Bios": {"@odata.id": bios}}, bios: {"Id": "Bios"}})
    lenient = Tree("lenient", {}, {ROOT: {"Bios": {"@odata.id": bios.lower() + "/"}}, bios: {"Id": "Bios"}})

    assert strict.document(f"{bios}/") is not None
    assert strict.document(bios.lower()) is None
    assert lenient.document(bios.lower()) is not None
    assert lenient.read(bios.upper()) is not None


def test_an_answer_has_the_recorded_etag() -> None:
    """The ETag header is the one that was recorded, else one of the content; nothing but reading is allowed."""
    tree = Tree("t", {}, {ROOT: {"@odata.etag": 'W/"7"'}, f"{ROOT}/x": {"Id": "x"}})
    root, other = tree.read(ROOT), tree.read(f"{ROOT}/x")

    assert root is not None
    assert other is not None
    assert ('W/"7"', "GET, HEAD") == (root.headers["ETag"], root.headers["Allow"])
    assert other.headers["ETag"].startswith('"')
    assert {"Id": "x"} == json.loads(other.body)


def test_credentials_are_references(tmp_path: Path) -> None:
    """env: and file: resolve; anything else is refused and not repeated, since it may be the password itself."""
    path = tmp_path / "credentials.toml"
    path.write_text('username = "u"\npassword = "hunter2"\n')
    path.chmod(0o600)

    assert "hunter2" == credentials_of("env:BMC", {"BMC_USERNAME": "u", "BMC_PASSWORD": "hunter2"}).password
    assert "hunter2" == credentials_of(f"file:{path}").password
    for wrong in ("hunter2", "env:NOT_THERE", f"file:{tmp_path}/none"):
        with pytest.raises(UsageError) as error:
            credentials_of(wrong, {})
        assert "hunter2" not in str(error.value)
    path.chmod(0o644)
    with pytest.raises(UsageError, match="read by others"):
        credentials_of(f"file:{path}")
