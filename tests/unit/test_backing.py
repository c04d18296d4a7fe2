"""A registry stands behind the repository: what is not here is pulled from it before a plan is made."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from rackwave.automation import PUBLISHER_KEY, TRUST, Automation
from rackwave.backing import Backing
from rackwave.core.identity import BundleId
from rackwave.errors import BundleNotFoundError, SecretError, UsageError
from rackwave.repository.examples import prepare_example
from rackwave.repository.keys import generate_key
from rackwave.repository.trust import KeyringTrust
from rackwave.stock import REGISTRY
from registry_server import NAME, Shelf, serving

A1, A2 = BundleId("A", 1), BundleId("A", 2)
INVENTORY = """\
[[nodes]]
name = "r1n01"
bmc = "https://127.0.0.1:1"
credentials = "env:LAB"
"""


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    """A registry."""
    with serving() as shelf:
        yield shelf


@pytest.fixture
def station(tmp_path: Path, shelf: Shelf) -> Path:
    """A state directory with an empty repository, backed by a registry that has A.1 and A.2."""
    maker, state = tmp_path / "maker", tmp_path / "state"
    for folder in (maker, state):
        folder.mkdir()
    KeyringTrust(()).with_key(generate_key(maker / PUBLISHER_KEY).public_key, lineages=("*",)).save(maker / TRUST)
    shutil.copy(maker / TRUST, state / TRUST)
    (state / REGISTRY).write_text(f'registry = "{shelf.url.replace("http", "oci")}/{NAME}"\nplain_http = true\n')
    automation = Automation(None, maker)
    backing = Backing.load(state / REGISTRY)
    assert backing is not None
    with automation.stock.open_registry(backing) as registry:
        for source in prepare_example("lab-bios", tmp_path / "source")[:2]:
            entry = automation.manager.publish(automation.manager.build(source, tmp_path / source.name)).entry
            automation.repository.push(entry.id, registry)
    (tmp_path / "rackwave.toml").write_text(INVENTORY)
    return state


def plan(station: Path, bundle: BundleId) -> None:
    """Plan for a node whose BMC is not there; only where the bundle comes from is looked at."""

    async def whole() -> None:
        async with Automation(station.parent / "rackwave.toml", station, read_only=True) as automation:
            await automation.plan(bundle, "r1n01")

    asyncio.run(whole())


def test_a_plan_pulls_what_is_not_here(station: Path, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundle of a plan comes from the registry, once, verified and published here with the reason."""
    monkeypatch.setenv("LAB_USERNAME", "ann")
    monkeypatch.setenv("LAB_PASSWORD", "secret")
    plan(station, A2)
    (entry,) = Automation(None, station).repository.list()

    assert (A2, f"pulled from {Backing.load(station / REGISTRY).address}") == (entry.id, entry.reason)  # type: ignore[union-attr]

    shelf.asked.clear()
    plan(station, A2)

    assert [] == shelf.asked


def test_what_the_registry_does_not_have_either(station: Path) -> None:
    """The error names the registry."""
    with pytest.raises(BundleNotFoundError, match=r"oci://.* has no A\.9"):
        plan(station, BundleId("A", 9))


def test_what_a_registry_lacks_is_known(station: Path, shelf: Shelf) -> None:
    """Tags that name no bundle are passed over."""
    shelf.manifests["latest"] = shelf.manifests["A.1"]
    automation = Automation(None, station)
    with automation.stock.open_registry(automation.stock.backing()) as registry:
        assert (A1, A2) == automation.repository.lacking(registry)
        automation.repository.pull(A2, registry)
        assert (A1,) == automation.repository.lacking(registry)


def test_no_registry_is_named(tmp_path: Path) -> None:
    """Without registry.toml the error says how to name one."""
    with pytest.raises(UsageError) as caught:
        Automation(None, tmp_path).stock.backing()

    assert "--registry" in caught.value.advice


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("registry = 1", "registry must be text"),
        ('credentials = "env:X"', "names no registry"),
        ('registry = "oci://host/x"\ncredential = "env:X"', "credential is not a field"),
        ('registry = "https://host/x"', "not the address"),
        ('registry = "oci://host/x"\nca = 1', "ca must be text"),
        ("registry = ", "cannot be read"),
        ('registry = "oci://host/x"\nplain_http = "yes"', "plain_http must be true or false"),
        ('registry = "oci://host/x"\n' + "#" * 65_536, "larger than 64 KiB"),
        ('registry = "oci://ann:hunter2@host/x"', "not shown"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, text: str, words: str) -> None:
    """What is wrong with registry.toml is said by field, and no password is shown."""
    (tmp_path / REGISTRY).write_text(text)
    with pytest.raises(UsageError, match=words) as caught:
        Backing.load(tmp_path / REGISTRY)

    assert "hunter2" not in caught.value.whole


def test_a_password_in_place_of_a_reference(tmp_path: Path) -> None:
    """A password that stands where a reference should is refused and not repeated."""
    (tmp_path / REGISTRY).write_text('registry = "oci://host/x"\ncredentials = "hunter2"')
    with pytest.raises(SecretError) as caught:
        Backing.load(tmp_path / REGISTRY)

    assert "hunter2" not in caught.value.whole


def test_a_whole_file(tmp_path: Path) -> None:
    """Paths are relative to the file, and the reference is kept, not what it leads to."""
    (tmp_path / REGISTRY).write_text(
        'registry = "oci://host:5000/x"\ncredentials = "file:login.toml"\nca = "ca.pem"\ntoken_server = "https://auth/t"'
    )
    found = Backing.load(tmp_path / REGISTRY)
    assert found is not None

    assert ("oci://host:5000/x", f"file:{tmp_path / 'login.toml'}", tmp_path / "ca.pem", "https://auth/t") == (
        str(found.address),
        found.credentials,
        found.ca,
        found.token_server,
    )


def test_a_bundle_that_lost_its_image_is_brought_whole_again(station: Path) -> None:
    """It is listed, so that nobody would look for it elsewhere; a roll-back would fail for it."""
    automation = Automation(None, station)
    bundle = asyncio.run(automation.stock.obtain(A1))
    image = automation.repository.payload_path(bundle, bundle.manifest.payloads[0].name)
    image.unlink()
    assert "no blob" in (Automation(None, station).repository.why_not_sendable(A1) or "")

    asyncio.run(Automation(None, station).stock.bring([A1]))

    assert Automation(None, station).repository.why_not_sendable(A1) is None
