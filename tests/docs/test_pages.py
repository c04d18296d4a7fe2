"""README.md and docs/ are true: what they show is run."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from importlib.metadata import requires
from pathlib import Path

import jsonschema
import pytest

from pages import PAGES, REPOSITORY, Block, Terminal, blocks
from rackwave.bmc.quirks.reader import parse_records
from rackwave.bmc.quirks.shipped import GROUP
from rackwave.importers import read
from rackwave.inventory import load_inventory
from rackwave.repository.source import read_source

ALL = [block for page in PAGES for block in blocks(page)]
README = REPOSITORY / "README.md"


def marked(mark: str) -> list[Block]:
    """Every block under this mark."""
    found = [block for block in ALL if block.mark == mark]
    assert found, f"no page has a block marked {mark}"
    return found


@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(b.language in ("console", "python") for b in blocks(page))], ids=str
)
def test_following_a_page_gives_what_it_shows(page: Path, tmp_path: Path) -> None:
    """Every console and Python block of a page works, in order, in one folder, and prints what is shown."""
    with Terminal(tmp_path) as terminal:
        for block in blocks(page):
            if block.language in ("console", "python"):
                terminal.follow(block)


def test_every_block_is_checked_by_something() -> None:
    """No block of any page goes unread: its language or its mark says what is done with it."""
    checked = {"inventory", "source", "sidecar", "schema", "run", "test", "quirk", "packaging"}
    strays = [
        str(block) for block in ALL if block.language not in ("console", "python", "text") and block.mark not in checked
    ]

    assert [] == strays


def test_the_quickstart_is_two_single_lines() -> None:
    """README has one command to see it work, which ends in 'rackwave demo', and one that runs the tests."""
    (run,) = [block for block in marked("run") if block.page == README]
    (test,) = [block for block in marked("test") if block.page == README]

    assert (1, 1) == (run.text.count("\n"), test.text.count("\n"))
    assert run.text.endswith("rackwave demo\n")
    assert test.text.endswith("nox -s tests\n")


@pytest.mark.parametrize("block", marked("inventory"), ids=str)
def test_inventories_that_are_shown_are_read(block: Block, tmp_path: Path) -> None:
    """An inventory on a page is one that rackwave takes."""
    path = tmp_path / "rackwave.toml"
    path.write_text(block.text, "utf-8")

    assert load_inventory(path).nodes


@pytest.mark.parametrize("block", marked("quirk"), ids=str)
def test_quirks_that_are_shown_are_read(block: Block) -> None:
    """A record on a page is one that rackwave takes."""
    assert parse_records(block.text, origin=str(block))


def test_the_entry_point_that_is_shown_is_the_one_that_is_read() -> None:
    """The group that a page names for other packages' records is the one that is looked at."""
    (block,) = marked("packaging")

    assert [GROUP] == list(tomllib.loads(block.text)["project"]["entry-points"])


@pytest.mark.parametrize("block", marked("source"), ids=str)
def test_sources_that_are_shown_are_read(block: Block, tmp_path: Path) -> None:
    """A bundle's source on a page is one that can be built, once its files are there."""
    (tmp_path / "bundle.toml").write_text(block.text, "utf-8")
    table = tomllib.loads(block.text)
    for name in [item.get("payload", item.get("path")) for item in (*table["elements"], *table.get("payloads", []))]:
        if name is not None:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(b"some bytes")

    assert table["lineage"] == read_source(tmp_path).document["lineage"]


@pytest.mark.parametrize("block", marked("sidecar"), ids=str)
def test_sidecars_that_are_shown_are_read(block: Block, tmp_path: Path) -> None:
    """A sidecar on a page describes a file, once it has that file's digest."""
    path = tmp_path / "firmware.bin"
    path.write_bytes(b"some bytes")
    text = re.sub(r"[0-9a-f]{64}", hashlib.sha256(b"some bytes").hexdigest(), block.text)
    path.with_name("firmware.bin.toml").write_text(text, "utf-8")

    assert tomllib.loads(text)["component"] == read(path).images[0].component


@pytest.mark.parametrize("block", marked("schema"), ids=str)
def test_json_that_is_shown_matches_its_schema(block: Block) -> None:
    """A document on a page is one that the schema named above it allows."""
    schema = json.loads((REPOSITORY / "src/rackwave/schemas" / f"{block.argument}.schema.json").read_text("utf-8"))

    jsonschema.validate(json.loads(block.text), schema)


def test_json_md_describes_every_schema() -> None:
    """Each schema that is shipped has an example in docs/json.md."""
    shipped = {path.name.removesuffix(".schema.json") for path in (REPOSITORY / "src/rackwave/schemas").glob("*.json")}

    assert shipped == {block.argument for block in marked("schema")}


def test_every_dependency_has_a_reason() -> None:
    """docs/dependencies.md names exactly what pyproject.toml asks for."""
    told = set(re.findall(r"^\| `([^`]+)` \|", (REPOSITORY / "docs/dependencies.md").read_text("utf-8"), re.MULTILINE))
    asked = {
        re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower()
        for package in ("rackwave", "rackwave-emulators")
        for requirement in requires(package) or ()
    }

    assert asked - {"rackwave"} == {name.lower() for name in told}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    """Every relative link of a page names a file that is there."""
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8"))

    assert [] == [target for target in targets if not (page.parent / target).exists()]


def test_adrs_are_numbered_without_gaps() -> None:
    """Decision records are numbered from 0001, each number once, and each says context, options, decision and cost."""
    records = sorted((REPOSITORY / "docs/adr").glob("[0-9]*.md"))

    assert [f"{n:04d}" for n in range(1, len(records) + 1)] == [record.name[:4] for record in records]
    for record in records:
        headings = re.findall(r"^## (.*)$", record.read_text("utf-8"), re.MULTILINE)

        assert ["Context", "Options", "Decision", "Cost"] == headings, record.name
