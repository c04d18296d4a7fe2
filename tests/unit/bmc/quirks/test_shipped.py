"""The records that ship, and those that other packages add."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from rackwave.bmc.quirks.shipped import GROUP, added_records, load_roster, shipped_records
from rackwave.errors import QuirkError

RECORD = """
[[quirk]]
id = "theirs"
match = { vendor = "Acme" }
differs = { start_update = true }
why = "it is so"
since = "1.0"
source = "measured"
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a package ``acme_quirks`` that can be imported."""
    folder = tmp_path / "acme_quirks"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "acme_quirks", raising=False)
    return folder


def point(value: str) -> EntryPoint:
    """An entry point that names *value*."""
    return EntryPoint("acme", value, GROUP)


def test_shipped_records_load():
    """What ships can be read, and every record has an id of its own."""
    records = shipped_records()

    assert {record.id for record in records} == {record.id for record in load_roster().records}
    assert {"dell.toml", "hpe.toml", "lenovo.toml", "supermicro.toml", "openbmc.toml", "nvidia.toml"} == {
        record.origin for record in records
    }


def test_a_package_adds_its_own(package: Path):
    """Every .toml file of the package that an entry point names is read, and told by where it came from."""
    (package / "rack.toml").write_text(RECORD)

    (record,) = added_records([point("acme_quirks")])

    assert "theirs" == record.id
    assert "entry point 'acme' of rackwave.quirks (acme_quirks): rack.toml" == record.origin


def test_a_broken_file_of_theirs_is_named(package: Path):
    """A third party's file that cannot be used is an error that names entry point, file, record and key."""
    (package / "rack.toml").write_text(RECORD.replace("start_update", "colour"))

    with pytest.raises(QuirkError, match=r"'acme' of rackwave\.quirks.*rack\.toml, quirk 'theirs': .*'colour'"):
        added_records([point("acme_quirks")])


def test_a_file_of_theirs_that_is_no_text(package: Path):
    """Bytes that are no UTF-8 are an error that names the entry point."""
    (package / "rack.toml").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(QuirkError, match="entry point 'acme' of"):
        added_records([point("acme_quirks")])


@pytest.mark.parametrize("value", ["no_such_package_anywhere", "json:loads"])
def test_an_entry_point_that_leads_nowhere(value: str):
    """An entry point that cannot be loaded, or is no package, is an error that names it."""
    with pytest.raises(QuirkError, match=r"entry point 'acme' of rackwave\.quirks"):
        added_records([point(value)])


def test_a_package_that_fails_to_import(package: Path):
    """Whatever a stranger's package raises becomes one error that names it."""
    (package / "__init__.py").write_text("raise SystemError('boom')")

    with pytest.raises(QuirkError, match="SystemError: boom"):
        added_records([point("acme_quirks")])
