"""TOML that Python's own reader gives up on ends in a sentence, whichever of our files it stands in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rackwave.backing import Backing
from rackwave.bmc.quirks.reader import parse_records
from rackwave.errors import RackwaveError
from rackwave.importers import read
from rackwave.inventory.reader import parse_inventory
from rackwave.repository.source import read_source

READERS: dict[str, Callable[[Path, str], object]] = {
    "inventory": lambda path, text: parse_inventory(text, path),
    "quirks": lambda _, text: parse_records(text, origin="mine"),
    "source": lambda path, text: (path / "bundle.toml").write_text(text) and read_source(path),
    "backing": lambda path, text: (path / "backing.toml").write_text(text) and Backing.load(path / "backing.toml"),
    "sidecar": lambda path, text: (
        (path / "x").write_bytes(b"x") and (path / "x.toml").write_text(text) and read(path / "x")
    ),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("text", [f"x = {'9' * 5000}", f"x = {'[' * 5000}"], ids=["number", "nest"])
def test_no_text_ends_in_a_traceback(tmp_path: Path, reader: str, text: str) -> None:
    """A number of five thousand digits and lists within lists are plain ValueErrors and RecursionErrors to tomllib."""
    with pytest.raises(RackwaveError):
        READERS[reader](tmp_path, text)
