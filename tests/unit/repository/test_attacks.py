"""What an attacker on the way, in the repository, or with some of the keys can try: all of it is refused in words.

Each attack is tried on a machine that deployed A.1 and A.2 before, and each leaves it able to recover to A.1.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from bastion import A1, A2, A3, DAY, PASSPHRASE, START, Bastion, ask, drip
from tuf.api.metadata import MetaFile, Root, Timestamp

from rackwave.core.identity import BundleId
from rackwave.core.waves import GoOn, Stop, Wait
from rackwave.errors import BundleNotFoundError, StateError, TrustError
from rackwave.repository.keys import generate_key
from rackwave.repository.metadata.ceremony import Setup, adopt, delegate, rotate
from rackwave.repository.metadata.key_box import KeyBox
from rackwave.repository.metadata.source import LocalSource
from rackwave.repository.open_trust import open_trust
from rackwave.repository.repository import BundleRepository
from rackwave.secrets import ReferencedSecrets
from rackwave.serving.certificate import own_certificate
from rackwave.stock import Stock
from rackwave_emulators.clock import VirtualClock


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A publisher of A.1 and A.2, and a node's machine that verified both."""
    bastion = Bastion(tmp_path_factory.mktemp("template"))
    bastion.init()
    bastion.publish(1)
    bastion.publish(2)
    bastion.offer()
    bastion.adopt()
    bastion.deploy(A1)
    bastion.deploy(A2)
    return bastion.place


@pytest.fixture
def bastion(template: Path, tmp_path: Path) -> Bastion:
    """A copy of the template, to be attacked."""
    shutil.copytree(template, tmp_path / "place", symlinks=True)
    return Bastion(tmp_path / "place")


def backdate(signed: Any) -> None:
    """Have something signed expire before now."""
    signed.expires = datetime.fromtimestamp(START - 1, UTC)


def test_without_an_attack_all_is_well(bastion: Bastion) -> None:
    """What is signed can be deployed, and gone back to."""
    bastion.deploy(A2)
    bastion.recover(A1)
    bastion.publish(3)
    bastion.offer()

    bastion.deploy(A3)


# -- in the repository, or on the way, without a key --------------------------------------------------


def test_tampered_target(bastion: Bastion) -> None:
    """Another payload manifest under the name of one that was signed is refused, whoever asks."""
    payload = BundleRepository(bastion.offered, bastion.node()).payload_manifest(A2)
    with pytest.raises(TrustError, match=r"A\.2 is not what was signed: it is sha256:[0-9a-f]+, and sha256:"):
        bastion.node().verify(A2, payload.replace(b"bios.bin", b"evil.bin"), None)


def test_digest_mismatch(bastion: Bastion) -> None:
    """An index that names other content for a bundle than is signed is refused."""
    index = json.loads((bastion.offered / "index.json").read_bytes())
    first, second = index["manifests"]
    first["digest"], first["size"], second["digest"], second["size"] = (
        second["digest"], second["size"], first["digest"], first["size"],
    )  # fmt: skip
    (bastion.offered / "index.json").write_text(json.dumps(index))

    with pytest.raises(TrustError, match=r"A\.2 is not what was signed"):
        bastion.deploy(A2)


def test_tampered_channel(bastion: Bastion) -> None:
    """A channel whose bytes were changed is refused."""
    for path in (bastion.offered / "tuf/targets/channels").iterdir():
        path.write_bytes(path.read_bytes().replace(b'"epoch":1', b'"epoch":9'))

    assert "channels/A.json: other bytes than were signed" in bastion.refused()


def test_tampered_timestamp(bastion: Bastion) -> None:
    """A timestamp whose expiry was moved is refused."""
    bastion.edit("timestamp", lambda signed: signed.update(expires="2099-01-01T00:00:00Z", version=99))

    assert "not signed by whom it should be: timestamp was signed by 0/1 keys" in bastion.refused()


@pytest.mark.parametrize("role", ["snapshot", "targets", "lineage.A"])
def test_tampered_metadata(bastion: Bastion, role: str) -> None:
    """Metadata that was changed is refused by its hash, which the metadata above it signs."""
    bastion.publish(3)
    bastion.trust.refresh(targets=True)  # nothing of what is offered is known to the node yet
    bastion.offer()
    bastion.edit(role, lambda signed: signed.update(expires="2099" + signed["expires"][4:]))

    assert "other bytes than were signed" in bastion.refused()


def test_mix_and_match(bastion: Bastion) -> None:
    """An old snapshot beside a new timestamp is refused, also under the new one's name."""
    old = bastion.newest("snapshot").read_bytes()
    bastion.publish(3)
    bastion.offer()
    bastion.newest("snapshot").write_bytes(old)

    assert "other bytes than were signed" in bastion.refused()


def test_mix_and_match_of_a_lineage(bastion: Bastion) -> None:
    """A lineage's old metadata beside a new snapshot is refused."""
    old = bastion.newest("lineage.A").read_bytes()
    bastion.publish(3)
    bastion.offer()
    bastion.newest("lineage.A").write_bytes(old)

    assert "lineage A: other bytes than were signed" in bastion.refused()


def test_withheld_metadata(bastion: Bastion) -> None:
    """A snapshot that is held back is told as missing."""
    bastion.publish(3)
    bastion.offer()
    bastion.newest("snapshot").unlink()

    assert "something is missing: there is no metadata/" in bastion.refused()


def test_withheld_repository(bastion: Bastion) -> None:
    """A repository without its signed metadata is refused: it is never fallen back to a list of keys."""
    shutil.rmtree(bastion.offered / "tuf")
    (bastion.place / "node" / "trust.json").write_text('{"keys": []}')

    assert "something is missing: there is no metadata/timestamp.json" in bastion.refused()
    assert type(bastion.node()) is type(open_trust(bastion.place / "node", bastion.offered, ask))


def test_endless_data(bastion: Bastion) -> None:
    """A timestamp without an end is cut off at its limit."""

    class Endless(LocalSource):
        def fetch(self, path: str, max_length: int) -> Iterator[bytes]:
            if path == "metadata/timestamp.json":
                return iter(lambda: b" " * 4096, b"")
            return super().fetch(path, max_length)

    said = bastion.refused(source=Endless(bastion.offered / "tuf"))
    assert "larger than it may be: metadata/timestamp.json is larger than the 16384 bytes it may have" in said


def test_slow_drip(bastion: Bastion) -> None:
    """Forty bytes a second do not keep a refresh alive: there is one deadline for all of it."""

    def tick() -> None:
        bastion.ticks += 1.0

    class Drip(LocalSource):
        def fetch(self, path: str, max_length: int) -> Iterator[bytes]:
            return drip(tick) if path == "metadata/timestamp.json" else super().fetch(path, max_length)

    said = bastion.refused(source=Drip(bastion.offered / "tuf"))
    assert "comes too slowly: metadata/timestamp.json: 2440 bytes came, and the 60 s for all are over" in said
    assert 61.0 == bastion.ticks


def test_garbage(bastion: Bastion) -> None:
    """A timestamp that is none is refused without a traceback."""
    bastion.newest("timestamp").write_bytes(b"\x00{")

    assert "the repository's metadata: cannot be used: " in bastion.refused()


# -- an old state, shown as the present one ------------------------------------------------------------


def test_rolled_back_repository(bastion: Bastion, tmp_path: Path) -> None:
    """The whole of an older state, every signature good and unexpired, is refused once a newer was seen."""
    shutil.copytree(bastion.offered, tmp_path / "old")
    bastion.publish(3)
    bastion.offer()
    bastion.deploy(A3)
    shutil.rmtree(bastion.offered)
    shutil.copytree(tmp_path / "old", bastion.offered)

    assert "older than what was seen before" in bastion.refused()


def test_rolled_back_repository_with_wiped_metadata(bastion: Bastion) -> None:
    """The same where the node's cache of metadata was wiped: the versions are remembered apart from it."""
    old = (bastion.metadata / "timestamp.json").read_bytes()
    bastion.publish(3)
    bastion.offer()
    bastion.deploy(A3)
    (bastion.metadata / "timestamp.json").write_bytes(old)
    shutil.rmtree(bastion.memory.metadata)

    assert "timestamp metadata went back from version" in bastion.refused()


def test_stale_repository_after_everything_was_wiped(bastion: Bastion) -> None:
    """With all memory gone nothing is believed; with a root adopted again a stale state passes till it expires."""
    old = (bastion.metadata / "timestamp.json").read_bytes()
    bastion.time += 1.0
    bastion.publish(3)
    bastion.offer()
    bastion.deploy(A3)
    (bastion.metadata / "timestamp.json").write_bytes(old)
    shutil.rmtree(bastion.memory.home)
    with pytest.raises(TrustError, match="no root is trusted here") as caught:
        bastion.deploy(A2)
    assert "rackwave trust adopt" in caught.value.advice

    bastion.adopt()
    for bundle in (A1, A2):
        bastion.deploy(bundle)  # unexpired, and nobody here remembers better
    bastion.time = START + 7 * DAY + 1
    assert "timestamp metadata has expired" in bastion.refused()


def test_rolled_back_root(bastion: Bastion) -> None:
    """A repository that shows the root from before a rotation cannot make anybody forget the newer one."""
    old = (bastion.metadata / "timestamp.json").read_bytes()
    rotate(bastion.trust, "online", bastion.state / "publisher.pem")
    bastion.offer()
    bastion.deploy(A2)
    for path in bastion.metadata.glob("[2-9].root.json"):
        path.unlink()
    (bastion.metadata / "timestamp.json").write_bytes(old)

    assert "not signed by whom it should be: timestamp was signed by 0/1 keys" in bastion.refused()


def test_rolled_back_root_with_wiped_metadata(bastion: Bastion) -> None:
    """The same where the node's cache of metadata was wiped."""
    shutil.copytree(bastion.offered, bastion.place / "old")
    rotate(bastion.trust, "root", bastion.state / "publisher.pem")
    bastion.offer()
    bastion.deploy(A2)
    shutil.rmtree(bastion.offered)
    shutil.copytree(bastion.place / "old", bastion.offered)
    shutil.rmtree(bastion.memory.metadata)

    assert "root metadata went back from version 2, which was seen here, to 1" in bastion.refused()


def test_rolled_back_snapshot(bastion: Bastion) -> None:
    """Whoever has the online key cannot point a new timestamp at an old snapshot."""
    version = bastion.version("snapshot") - 1
    data = (bastion.metadata / f"{version}.snapshot.json").read_bytes()

    def point(timestamp: Timestamp) -> None:
        timestamp.version += 1
        timestamp.snapshot_meta = MetaFile.from_data(version, data, ["sha256"])

    bastion.sign("timestamp", point, bastion.signer("online"))

    assert "New snapshot version must be >=" in bastion.refused()


def test_rolled_back_lineage(bastion: Bastion) -> None:
    """Whoever has the online key cannot list a lineage's old metadata in a new snapshot."""
    version = bastion.version("lineage.A") - 1
    bastion.list_anew({"lineage.A": (version, (bastion.metadata / f"{version}.lineage.A.json").read_bytes())})

    assert f"Expected lineage.A.json version {version}" in bastion.refused()


def test_removed_lineage(bastion: Bastion) -> None:
    """Whoever has the online key cannot drop a lineage from the snapshot."""
    online = bastion.signer("online")
    version = bastion.version("snapshot") + 1

    def drop(snapshot: Any) -> None:
        snapshot.version = version
        del snapshot.meta["lineage.A.json"]

    data = bastion.sign("snapshot", drop, online, name=f"{version}.snapshot.json")

    def point(timestamp: Timestamp) -> None:
        timestamp.version += 1
        timestamp.snapshot_meta = MetaFile.from_data(version, data, ["sha256"])

    bastion.sign("timestamp", point, online)

    assert "New snapshot is missing info for 'lineage.A.json'" in bastion.refused()


def test_publisher_builds_on_no_old_state(bastion: Bastion) -> None:
    """A publisher whose repository was set back does not sign what is old as the newest."""
    shutil.copytree(bastion.state / "repository", bastion.place / "old")
    bastion.publish(3)
    shutil.rmtree(bastion.state / "repository")
    shutil.copytree(bastion.place / "old", bastion.state / "repository")
    with pytest.raises(TrustError, match="metadata went back from version"):
        bastion.publish(4)

    assert ["A.1", "A.2"] == [str(entry.id) for entry in bastion.repository.list()]


def test_publisher_builds_on_nothing_unsigned(bastion: Bastion) -> None:
    """What somebody planted in the publisher's own repository is not signed along with the next bundle."""
    bastion.offer()
    path = bastion.state / "repository/tuf/metadata" / bastion.newest("lineage.A").name
    path.write_bytes(path.read_bytes().replace(b"bundles/A/2.json", b"bundles/A/6.json"))
    with pytest.raises(TrustError, match=r"lineage\.A metadata is not signed by whom it should be"):
        bastion.publish(3)


# -- by the wrong keys ---------------------------------------------------------------------------------


def test_wrong_key(bastion: Bastion) -> None:
    """A timestamp that a stranger signed is refused."""
    bastion.sign("timestamp", lambda signed: setattr(signed, "version", 99), bastion.stranger())

    assert "timestamp was signed by 0/1 keys" in bastion.refused()


def test_root_of_a_stranger(bastion: Bastion) -> None:
    """A next root that its own new keys signed, but not the present ones, is refused."""
    stranger = bastion.stranger()

    def take_over(root: Root) -> None:
        root.version += 1
        root.roles["root"].keyids.clear()
        root.add_key(stranger.public_key, "root")

    bastion.sign("root", take_over, stranger, name="2.root.json")

    assert "root was signed by 0/1 keys" in bastion.refused()


def test_one_of_two(tmp_path: Path) -> None:
    """Where two root keys must sign, a next root with one signature is refused."""
    bastion = Bastion(tmp_path)
    bastion.init(Setup(root_keys=2, root_threshold=2))
    bastion.publish(1)
    bastion.offer()
    bastion.adopt()
    bastion.deploy(A1)
    bastion.sign("root", lambda root: setattr(root, "version", 2), bastion.signer("root-1"), name="2.root.json")

    assert "root was signed by 1/2 keys" in bastion.refused(A1)


def test_one_of_two_cannot_be_signed_here(bastion: Bastion) -> None:
    """A publisher with one of two keys of a lineage publishes nothing, and nothing is half-written."""
    other = generate_key(bastion.place / "other.pem").public_key
    ours = bastion.signer("publisher").public_key.keyval["public"]
    before = sorted(path.name for path in (bastion.state / "repository/tuf/metadata").iterdir())
    with pytest.raises(TrustError, match=r"lineage\.A needs 2 of 2 keys to sign it, and 1 are here; away: "):
        delegate(bastion.trust, [A1.lineage], [ours, other.public], 2)

    assert before == sorted(path.name for path in (bastion.state / "repository/tuf/metadata").iterdir())


def test_rotated_away_key(bastion: Bastion) -> None:
    """What a key signs after it was rotated away is refused, from the moment the new root is seen."""
    old = bastion.signer("online")
    rotate(bastion.trust, "online", bastion.state / "publisher.pem")
    bastion.offer()
    bastion.sign("timestamp", lambda signed: setattr(signed, "version", signed.version + 1), old)

    assert "timestamp was signed by 0/1 keys" in bastion.refused()


def test_rotated_away_publisher(bastion: Bastion) -> None:
    """A bundle that was built with a publisher's key from before a rotation is not published."""
    built = bastion.build(3)
    rotate(bastion.trust, "publisher", bastion.state / "publisher.pem")
    with pytest.raises(TrustError, match="signed by a key that is not known here") as caught:
        bastion.repository.publish(built.directory)

    assert caught.value.advice
    bastion.publish(3)  # built anew, with the new key


def test_delegatee_outside_its_path(bastion: Bastion) -> None:
    """Whoever may sign lineage A cannot sign a bundle of B."""
    bastion.publish(1, "B")
    bastion.offer()
    payload = BundleRepository(bastion.offered, bastion.node()).payload_manifest(BundleId("B", 1))
    bastion.sign_target("bundles/B/2.json", payload)

    with pytest.raises(TrustError, match=r"B\.2 is not signed: the metadata of lineage B does not name it"):
        bastion.node().verify(BundleId("B", 2), payload, None)


def test_channel_of_another_lineage(bastion: Bastion) -> None:
    """The channel of B, signed as that of A, is refused."""
    bastion.sign_channel(lineage="B")

    assert "what is signed as the channel of lineage A is that of lineage B" in bastion.refused()


def test_unsigned_bundle(bastion: Bastion) -> None:
    """A bundle that nobody signed is not published, though the publisher's keys are all there."""
    from workshop import Forgery

    built = bastion.build(3)
    Forgery.of(built.directory).write(built.directory, signed=False)
    with pytest.raises(TrustError, match="the bundle is not signed"):
        bastion.repository.publish(built.directory)


def test_envelope_of_another_lineage(bastion: Bastion) -> None:
    """A bundle of a lineage that is another publisher's is not published by us."""
    theirs = generate_key(bastion.place / "theirs.pem")
    delegate(bastion.trust, [BundleId("C", 1).lineage], [theirs.public_key.public], 1)
    with pytest.raises(TrustError, match="signed by a key that is not known here"):
        bastion.publish(1, "C")


def test_bundle_that_the_metadata_does_not_name(bastion: Bastion) -> None:
    """A bundle that lies in the repository, its own signature good, but that is no target, is refused."""
    payload = BundleRepository(bastion.offered, bastion.node()).payload_manifest(A2)
    with pytest.raises(TrustError, match=r"A\.7 is not signed: the metadata of lineage A does not name it"):
        bastion.node().verify(BundleId("A", 7), payload, None)


# -- too late ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["targets", "lineage.A"])
def test_expired_targets(bastion: Bastion, role: str) -> None:
    """Expired targets of the publisher's, or of a lineage, are refused."""
    version = bastion.version(role) + 1

    def expire(signed: Any) -> None:
        signed.version = version
        backdate(signed)

    key = "targets" if role == "targets" else "publisher"
    data = bastion.sign(role, expire, bastion.signer(key), name=f"{version}.{role}.json")
    bastion.list_anew({role: (version, data)})

    assert f"the repository's {role} metadata has expired" in bastion.refused()


def test_expired_root(bastion: Bastion) -> None:
    """An expired root is refused, and the root keys are named."""

    def expire(root: Root) -> None:
        root.version += 1
        backdate(root)

    bastion.sign("root", expire, bastion.signer("root"), name="2.root.json")

    assert "the repository's root metadata has expired" in bastion.refused()


def test_expired_snapshot(bastion: Bastion) -> None:
    """An expired snapshot under a fresh timestamp is refused."""
    version = bastion.version("snapshot") + 1

    def expire(snapshot: Any) -> None:
        snapshot.version = version
        backdate(snapshot)

    data = bastion.sign("snapshot", expire, bastion.signer("online"), name=f"{version}.snapshot.json")

    def point(timestamp: Timestamp) -> None:
        timestamp.version += 1
        timestamp.snapshot_meta = MetaFile.from_data(version, data, ["sha256"])

    bastion.sign("timestamp", point, bastion.signer("online"))

    assert "the repository's snapshot metadata has expired" in bastion.refused()


def test_expired_timestamp(bastion: Bastion, caplog: pytest.LogCaptureFixture) -> None:
    """A timestamp that nobody renewed stops deployments, not recovery, which says by what it goes on."""
    bastion.time = START + 7 * DAY + 1
    said = bastion.refused()

    assert "the repository's timestamp metadata has expired; this machine's clock says 2027-01-22" in said
    assert "what was verified before is used to recover with" in caplog.text


def test_clock_set_back(bastion: Bastion) -> None:
    """A clock that stands before the last verification is refused: expired metadata would pass by it."""
    bastion.time = START - 3600

    assert "this machine's clock says 2027-01-15 07:00 UTC, but metadata was verified here at" in bastion.refused()


def test_clock_set_forward(bastion: Bastion) -> None:
    """A clock that runs ahead shows as expiry; the error says what the clock says, and nothing is remembered by it."""
    bastion.time = START + 400 * DAY
    said = bastion.refused()
    bastion.time = START

    assert "has expired; this machine's clock says 2028-02-19" in said
    bastion.deploy(A2)


# -- back, but not as the publisher wants it -----------------------------------------------------------


def test_epoch_lowered(bastion: Bastion) -> None:
    """A channel of an earlier epoch is refused, even in new metadata under good signatures."""
    bastion.repository.revert(A1, "A.2 hangs")
    bastion.offer()
    bastion.deploy(A1)
    bastion.sign_channel(epoch=1)

    assert "the channel of lineage A went back: its epoch was 2 and is now 1" in bastion.refused(A1)


def test_replayed_channel(bastion: Bastion) -> None:
    """An old channel of the same epoch, signed anew, is refused."""
    old = json.loads(next((bastion.offered / "tuf/targets/channels").iterdir()).read_bytes())
    bastion.publish(3)
    bastion.offer()
    bastion.deploy(A3)
    bastion.sign_channel(**{**old, "current": 2, "rollback_to": [1]})

    assert "its current bundle within epoch 1 was 3 and is now 2" in bastion.refused()


def test_floor_lowered(bastion: Bastion) -> None:
    """A channel with a lower floor is refused, whatever its epoch."""
    bastion.publish(3, min_seq=1)
    bastion.offer()
    bastion.deploy(A3)
    bastion.sign_channel(epoch=9, min_seq=0)

    assert "its floor (min_seq) was 1 and is now 0" in bastion.refused()


def test_below_the_floor(bastion: Bastion) -> None:
    """What lies below the floor is sent no more: neither deployed, nor gone back to, nor made current again."""
    bastion.publish(3, min_seq=2)
    bastion.offer()
    with pytest.raises(TrustError, match=r"A\.1 lies below the floor of its lineage, A\.2"):
        bastion.deploy(A1)
    with pytest.raises(TrustError, match=r"A\.1 lies below the floor"):
        bastion.recover(A1)
    with pytest.raises(TrustError, match=r"A\.1 lies below the floor"):
        bastion.repository.revert(A1, "please")
    with pytest.raises(TrustError, match="the floor of lineage A is 2 and is never lowered to 1"):
        bastion.publish(4, min_seq=1)

    bastion.recover(A2)


def test_withdrawn(bastion: Bastion) -> None:
    """What was withdrawn is sent no more, but what it consists of is known to whoever has to leave it."""
    bastion.publish(3)
    bastion.repository.withdraw(A2, "bricks R1b")
    bastion.offer()
    assert r"A.2 was withdrawn by its publisher" in bastion.refused()
    with pytest.raises(TrustError, match="was withdrawn"):
        bastion.recover(A2)
    with pytest.raises(TrustError, match="was withdrawn"):
        bastion.publish(2)

    assert A2 == BundleRepository(bastion.offered, bastion.node()).get(A2).id


def test_what_a_rollout_under_way_is_told(bastion: Bastion) -> None:
    """A withdrawn bundle goes to no further machine; metadata that cannot be had is waited for."""
    digest = bastion.repository.get(A2).digest

    def told() -> GoOn | Wait | Stop:
        clock = VirtualClock(start=bastion.time)
        stock = Stock(bastion.state, clock=clock, secret_store=ReferencedSecrets(), passphrases=ask, by="test")
        return asyncio.run(stock.forward(A2, digest))

    assert GoOn() == told()
    timestamp = bastion.state / "repository" / "tuf" / "metadata" / "timestamp.json"
    data = timestamp.read_bytes()
    timestamp.write_text("{")
    assert isinstance(told(), Wait)
    timestamp.write_bytes(data)
    bastion.publish(3)
    bastion.repository.withdraw(A2, "bricks R1b")
    assert Stop("A.2 was withdrawn by its publisher") == told()


def test_withdrawal_taken_back(bastion: Bastion) -> None:
    """A channel that forgets a withdrawal is refused."""
    bastion.publish(3)
    bastion.repository.withdraw(A2, "bricks R1b")
    bastion.offer()
    bastion.deploy(A3)
    bastion.sign_channel(withdrawn={}, rollback_to=[1, 2])

    assert "no longer says that A.2 was withdrawn" in bastion.refused()


def test_lost_memory_is_told(bastion: Bastion) -> None:
    """Damaged memory of what was seen is no reason to begin anew."""
    (bastion.memory.home / "seen.json").write_text("{")
    with pytest.raises(StateError, match=r"seen\.json is damaged"):
        bastion.deploy(A2)


def test_another_root_is_not_adopted_over_ours(bastion: Bastion, tmp_path: Path) -> None:
    """Whoever is believed is not replaced by a file that somebody sends."""
    other = Bastion(tmp_path / "other")
    other.init()
    with pytest.raises(TrustError, match="another root is trusted here already"):
        adopt(bastion.place / "node", other.state / "trust" / "root.json")


def test_key_that_is_away(bastion: Bastion) -> None:
    """A key that lies in a safe is asked for by its name and place."""
    (bastion.state / "keys/targets.pem").unlink()
    with pytest.raises(TrustError, match=r"targets needs 1 of 1 keys to sign it, and 0 are here; away: targets"):
        bastion.publish(1, "B")
    with pytest.raises(BundleNotFoundError):
        bastion.repository.get(BundleId("B", 1))

    bastion.publish(3)  # a lineage that is known does not need it


def test_wrong_passphrase(bastion: Bastion) -> None:
    """A wrong passphrase signs nothing and leaves nothing behind, and is not in the error."""
    box = KeyBox.load(bastion.state, lambda what: b"battery staple")
    trust = bastion.trust
    trust.author.keys = box
    with pytest.raises(TrustError, match="or the passphrase is wrong") as caught:
        trust.author.delegate([BundleId("B", 1).lineage], trust_keyring(bastion))

    assert "staple" not in caught.value.whole
    bastion.publish(3)


def trust_keyring(bastion: Bastion) -> Any:
    """The publisher's key, for a delegation."""
    from rackwave.repository.metadata.author import Keyring

    return Keyring((bastion.signer("publisher").public_key,))


def test_statement_about_a_bundle(bastion: Bastion) -> None:
    """What the publisher states about a bundle is read by whoever deploys it; one about something else is refused."""
    digest = bastion.repository.get(A2).digest
    about = {"subject": [{"name": "A.2", "digest": {"sha256": digest.hex}}], "predicate": {"models": ["R1"]}}
    bastion.trust.attest(A2, digest, "validated-on", about)
    bastion.offer()
    assert about == bastion.node().statement(A2, digest, "validated-on")
    assert bastion.node().statement(A1, bastion.repository.get(A1).digest, "validated-on") is None

    bastion.trust.attest(A2, digest, "validated-on", {"subject": [{"digest": {"sha256": "0" * 64}}]})
    bastion.offer()
    with pytest.raises(TrustError, match="is about something else"):
        bastion.node().statement(A2, digest, "validated-on")


def test_provenance(bastion: Bastion) -> None:
    """From which bytes a bundle was made is stated by whoever published it."""
    bundle = bastion.repository.get(A2)
    found = bastion.node().statement(A2, bundle.digest, "provenance")

    assert found is not None
    assert "https://slsa.dev/provenance/v1" == found["predicateType"]
    assert [(each.name, each.digest.hex) for each in bundle.manifest.payloads] == [
        (each["name"], each["digest"]["sha256"])
        for each in found["predicate"]["buildDefinition"]["resolvedDependencies"]
    ]


def softhsm() -> Path | None:
    """Debian's software HSM, where it and what speaks to it are installed."""
    library = Path("/usr/lib/softhsm/libsofthsm2.so")
    tools = shutil.which("softhsm2-util") and shutil.which("pkcs11-tool") and find_spec("pkcs11")
    return library if library.exists() and tools else None


def tls_client(directory: Path) -> ssl.SSLObject:
    """A TLS connection to a server in memory, which says nothing."""
    cert, key = own_certificate(directory, {"localhost"}, time.time())
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(cert, key)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context(cafile=str(cert)).wrap_bio(back, there, server_hostname="localhost")
    server = server_side.wrap_bio(there, back, server_side=True)
    for side in (client, server, client, server):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    with suppress(ssl.SSLWantReadError):
        client.read(1)  # the session tickets
    return client


@pytest.mark.skipif(softhsm() is None, reason="needs softhsm2, opensc and python-pkcs11")
def test_targets_key_in_an_hsm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The targets key may lie in an HSM: it signs by its URI and PIN, and what it signed is believed."""
    library = str(softhsm())
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(f"directories.tokendir = {tmp_path / 'tokens'}\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))
    monkeypatch.setenv("PYKCS11LIB", library)
    pin = PASSPHRASE.decode()
    make = ["--keypairgen", "--key-type", "EC:prime256v1", "--id", "02", "--label", "targets"]
    for command in (
        ["softhsm2-util", "--init-token", "--free", "--label", "rack", "--pin", pin, "--so-pin", pin],
        ["pkcs11-tool", "--module", library, "--token-label", "rack", "--login", "--pin", pin, *make],
    ):
        subprocess.run(command, check=True, capture_output=True)
    client = tls_client(tmp_path)
    bastion = Bastion(tmp_path / "place")
    bastion.init(Setup(targets_uri="hsm:2?label=rack"))
    bastion.publish(1)
    bastion.offer()
    bastion.adopt()

    bastion.deploy(A1)
    assert "external" in [key.state for role in bastion.trust.status().roles for key in role.keys]
    with pytest.raises(ssl.SSLWantReadError):  # what the library leaves behind is not taken for an error of TLS
        client.read(1)


def test_site_without_keys(bastion: Bastion, tmp_path: Path) -> None:
    """A machine without keys takes in a bundle that somebody carried there if the metadata names it, and no other."""
    site = tmp_path / "site"
    site.mkdir()
    shutil.copytree(bastion.offered / "tuf", site / "tuf")
    repository = BundleRepository(site, bastion.node())
    repository.publish(bastion.place / "out-A.2")
    with pytest.raises(TrustError, match=r"A\.3 is not signed: the metadata of lineage A does not name it"):
        repository.publish(bastion.build(3).directory)

    assert ["A.2"] == [str(entry.id) for entry in repository.list()]
