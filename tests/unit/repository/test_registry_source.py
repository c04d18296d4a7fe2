"""Signed metadata through a registry: a machine that only deploys needs a root, once, and an address."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import define
from click.testing import CliRunner

from rackwave.automation import PUBLISHER_KEY, TRUST, Automation
from rackwave.cli.app import cli
from rackwave.core.identity import BundleId
from rackwave.errors import RackwaveError, TrustError
from rackwave.repository.examples import prepare_example
from rackwave.repository.keys import generate_key
from rackwave.repository.metadata.ceremony import Setup, adopt
from rackwave.repository.metadata.memory import HOME, ROOT
from rackwave.repository.trust import KeyringTrust
from rackwave.stock import REGISTRY
from registry_server import NAME, Shelf, serving

A1, A2 = BundleId("A", 1), BundleId("A", 2)


@define
class Two:
    """A publisher and a machine that only deploys, with nothing but a registry between them."""

    publisher: Path
    node: Path
    shelf: Shelf

    def rackwave(self, *words: str) -> str:
        """Run a command at the publisher's."""
        done = CliRunner(env={"RACKWAVE_PASSPHRASE": "a passphrase"}).invoke(
            cli, ["--state", str(self.publisher), *words], standalone_mode=False
        )
        if done.exception is not None:
            raise done.exception
        return done.output

    def automation(self) -> Automation:
        """The node's system, as another command opens it."""
        return Automation(None, self.node)

    def may_deploy(self, bundle: BundleId) -> None:
        """Get *bundle* as ``deploy`` does; TrustError where it must not be."""
        automation = self.automation()
        wanted = asyncio.run(automation.stock.obtain(bundle))
        automation.repository.trust.check_forward(wanted.id, wanted.digest)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    """A.1 and A.2 are published and pushed; the node has adopted the root and has nothing else."""
    with serving() as shelf:
        publisher, node = tmp_path / "publisher", tmp_path / "node"
        publisher.mkdir()
        signer = generate_key(publisher / PUBLISHER_KEY)
        KeyringTrust(()).with_key(signer.public_key, lineages=("*",)).save(publisher / TRUST)
        for state in (publisher, node):
            state.mkdir(exist_ok=True)
            where = f'registry = "{shelf.url.replace("http", "oci")}/{NAME}"\nplain_http = true\n'
            (state / REGISTRY).write_text(where, "utf-8")
        automation = Automation(None, publisher, passphrases=lambda _: b"a passphrase")
        automation.stock.init_trust(Setup())
        for folder in prepare_example("lab-bios", tmp_path / "source"):
            manager = automation.manager
            manager.publish(manager.build(folder, tmp_path / "build" / folder.name))
        adopt(node, publisher / HOME / ROOT)
        both = Two(publisher, node, shelf)
        both.rackwave("bundle", "push", "A.1", "A.2")
        yield both


def test_a_machine_gets_bundles_and_what_is_signed_of_them_from_the_registry(two: Two) -> None:
    """Root by hand, everything else by the address; how trust stands can be shown there, too."""
    two.may_deploy(A2)
    two.may_deploy(A1)

    assert two.automation().repository.verify()[0].is_sound
    assert [2] == [channel.current for channel in two.automation().stock.metadata.status().channels]


def test_what_changed_since_is_sent_and_nothing_else(two: Two) -> None:
    """A push with nothing new sends no file; a withdrawal sends the roles that it concerns and the channel."""
    assert "0 files" in two.rackwave("trust", "push")
    two.rackwave("bundle", "withdraw", "A.1", "--reason", "hangs")

    sent = int(two.rackwave("trust", "push").split()[0])
    assert 0 < sent <= 4 + 1  # timestamp, snapshot, lineage (and its bin), channel


def test_a_withdrawal_reaches_the_machine(two: Two) -> None:
    """Once it was pushed; what the machine verified before does not outlive it."""
    two.may_deploy(A1)
    two.rackwave("bundle", "withdraw", "A.1", "--reason", "hangs")
    two.rackwave("trust", "push")

    with pytest.raises(TrustError, match="withdrawn"):
        two.may_deploy(A1)


def test_rotated_keys_reach_the_machine(two: Two) -> None:
    """A new root is found by way of the old one."""
    two.may_deploy(A2)
    two.rackwave("trust", "rotate", "root")
    two.rackwave("trust", "rotate", "online")
    two.rackwave("trust", "push")

    two.may_deploy(A2)
    assert 3 == two.automation().stock.metadata.status().roles[0].version


def test_a_registry_that_shows_an_old_state_is_caught(two: Two) -> None:
    """The tag is moved back to where it was before the withdrawal."""
    before = dict(two.shelf.manifests)
    two.rackwave("bundle", "withdraw", "A.1", "--reason", "hangs")
    two.rackwave("trust", "push")
    two.may_deploy(A2)
    two.shelf.manifests["metadata"] = before["metadata"]

    with pytest.raises(TrustError, match=r"older|back"):
        two.may_deploy(A2)


@pytest.mark.parametrize("change", ["bytes", "gone", "nonsense", "elsewhere"])
def test_a_registry_that_lies_about_metadata_is_caught(two: Two, change: str) -> None:
    """Other bytes under a digest, a list that is gone or is none, and names that lead out of the folder."""
    if change == "bytes":
        for digest, data in two.shelf.blobs.items():
            if b'"_type":"snapshot"' in data or b'"_type": "snapshot"' in data:
                two.shelf.blobs[digest] = data.replace(b"snapshot", b"snapsh0t")
    elif change == "gone":
        del two.shelf.manifests["metadata"]
    elif change == "nonsense":
        two.shelf.manifests["metadata"] = ("application/vnd.oci.image.index.v1+json", b'{"manifests": 7}')
    else:
        for name, (kind, data) in two.shelf.manifests.items():
            two.shelf.manifests[name] = (kind, data.replace(b"metadata/timestamp.json", b"../../../../timestamp"))

    with pytest.raises(RackwaveError) as caught:
        two.may_deploy(A2)
    assert isinstance(caught.value, TrustError) or "digest" in str(caught.value)
    assert not list(two.node.parent.glob("timestamp*"))


def test_without_the_registry_nothing_goes_forward_and_everything_comes_back(two: Two) -> None:
    """What was verified before may be sent to recover a node; a deployment waits for the registry."""
    two.may_deploy(A2)
    two.shelf.instead = lambda handler: handler.reply(503) or True  # type: ignore[func-returns-value]

    with pytest.raises(TrustError, match=r"503|fetched"):
        two.may_deploy(A2)
    bundle = two.automation().repository.check_sendable(A2)
    assert A2 == bundle.id


def test_a_root_that_is_lost_is_no_way_back_to_a_list_of_keys(two: Two) -> None:
    """Whoever deletes the pinned root and puts a list of keys there is not believed: what was verified is known."""
    two.may_deploy(A2)
    (two.node / HOME / ROOT).unlink()
    signer = generate_key(two.node / PUBLISHER_KEY)
    KeyringTrust(()).with_key(signer.public_key, lineages=("*",)).save(two.node / TRUST)

    with pytest.raises(TrustError, match="no root is trusted here"):
        two.may_deploy(A2)


def test_what_is_needed_to_go_back_is_brought_from_the_registry(two: Two) -> None:
    """The bundle before is not here: it is fetched before anything is planned; one that nobody has is told of later."""
    two.may_deploy(A2)
    automation = two.automation()

    asyncio.run(automation.stock.bring([A1, A2, BundleId("A", 7)]))

    assert ["A.1", "A.2"] == [str(entry.id) for entry in automation.repository.list()]
    assert A1 == automation.repository.check_sendable(A1).id
