from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from workshop import Forgery, Workshop, flip

from rackwave.core.canonical import canonical_json
from rackwave.core.identity import BundleId, Lineage
from rackwave.errors import BundleError, DigestMismatchError, ManifestError, TrustError
from rackwave.repository.keys import BundleSigner, generate_key
from rackwave.repository.layout import MANIFEST_TYPE
from rackwave.repository.repository import BundleRepository
from rackwave.repository.trust import KeyringTrust, open_envelope


def refused(workshop: Workshop, layout: Path) -> TrustError:
    """Publish *layout*, which must fail for lack of trust, explain itself and leave nothing behind."""
    with pytest.raises(TrustError) as caught:
        workshop.repository.publish(layout)

    assert () == workshop.repository.list()
    assert caught.value.advice
    return caught.value


def test_unsigned(workshop: Workshop) -> None:
    """A bundle without a signature is refused."""
    built = workshop.build(1)

    assert "is not signed" in str(refused(workshop, Forgery.of(built.directory).write(built.directory, signed=False)))


def test_signatures_taken_out(workshop: Workshop) -> None:
    """A bundle whose envelope holds no signature is refused."""
    built = workshop.build(1)
    forgery = Forgery.of(built.directory)
    forgery.envelope["signatures"] = []

    assert "is not signed" in str(refused(workshop, forgery.write(built.directory)))


def test_payload_manifest_altered(workshop: Workshop) -> None:
    """A payload manifest that was changed after signing, digests made good, is refused."""
    built = workshop.build(1)
    forgery = Forgery.of(built.directory)
    forgery.payload["annotations"]["org.opencontainers.image.created"] = "1970-01-01T00:00:01Z"

    assert "made for another bundle" in str(refused(workshop, forgery.write(built.directory)))


def test_manifest_document_altered(workshop: Workshop) -> None:
    """A rackwave manifest that was changed after signing is refused, though every digest was made good."""
    built = workshop.build(1)
    forgery = Forgery.of(built.directory)
    forgery.config = forgery.config.replace(b'"1.0.0"', b'"9.9.9"')

    assert "made for another bundle" in str(refused(workshop, forgery.write(built.directory)))


def test_envelope_altered_with_its_payload(workshop: Workshop) -> None:
    """Changing both the manifest and the envelope's copy of it does not help: the signature no longer fits."""
    built = workshop.build(1)
    forgery = Forgery.of(built.directory)
    forgery.payload["annotations"]["org.opencontainers.image.created"] = "1970-01-01T00:00:01Z"
    forgery.envelope["payload"] = base64.b64encode(canonical_json(forgery.payload)).decode()

    assert "altered after it was signed" in str(refused(workshop, forgery.write(built.directory)))


def test_signature_bytes_altered(workshop: Workshop) -> None:
    """A signature with one bit flipped is refused."""
    built = workshop.build(1)
    forgery = Forgery.of(built.directory)
    signature = bytearray(base64.b64decode(forgery.envelope["signatures"][0]["sig"]))
    signature[5] ^= 1
    forgery.envelope["signatures"][0]["sig"] = base64.b64encode(signature).decode()

    assert "altered after it was signed" in str(refused(workshop, forgery.write(built.directory)))


def test_signature_of_another_bundle(workshop: Workshop) -> None:
    """A genuine signature over another bundle of the same lineage is refused."""
    older, newer = workshop.build(1), workshop.build(2)
    forgery = Forgery.of(newer.directory)
    forgery.envelope = Forgery.of(older.directory).envelope

    assert "made for another bundle" in str(refused(workshop, forgery.write(newer.directory)))


def test_signature_of_another_type(workshop: Workshop, signer: BundleSigner) -> None:
    """Something else that the same key signed is no signature of a bundle."""
    built = workshop.build(1)
    forgery = Forgery.of(built.directory)
    forgery.envelope = json.loads(signer.sign(canonical_json(forgery.payload), payload_type="text/plain"))

    assert "no bundle but 'text/plain'" in str(refused(workshop, forgery.write(built.directory)))


def test_unknown_key(workshop: Workshop, tmp_path: Path) -> None:
    """A bundle that a stranger signed is refused and tells which key it was."""
    workshop.signer = generate_key(tmp_path / "stranger.pem")
    error = refused(workshop, workshop.build(1).directory)

    assert f"not known here: {workshop.signer.public_key.id[:12]}" in str(error)


def test_key_of_another_lineage(workshop: Workshop) -> None:
    """A known key that may not sign this lineage is refused and says what it may sign."""
    error = refused(workshop, workshop.build(1, lineage="C").directory)

    assert "may not sign lineage C" in str(error)
    assert "(A B)" in str(error)


@pytest.mark.parametrize("ref", ["A.1", "B.2"])
def test_bundle_offered_as_another(workshop: Workshop, ref: str) -> None:
    """A bundle of lineage B offered as A, or B.1 offered as B.2, is refused though its signature is good."""
    built = workshop.build(1, lineage="B")
    forgery = Forgery.of(built.directory)
    forgery.ref = ref

    assert f"offered as {ref} was signed as B.1" in str(refused(workshop, forgery.write(built.directory)))


def test_damaged_payload(workshop: Workshop) -> None:
    """A payload that was changed under a good signature is refused by its digest."""
    built = workshop.build(1)
    flip(built.directory / "blobs" / "sha256" / built.bundle.manifest.payloads[0].digest.hex)
    with pytest.raises(DigestMismatchError) as caught:
        workshop.repository.publish(built.directory)

    assert caught.value.advice
    assert () == workshop.repository.list()


def test_every_flipped_bit_is_found(workshop: Workshop) -> None:
    """A bit flipped in any blob is found, whichever it is."""
    built = workshop.build(1)
    for path in sorted((built.directory / "blobs" / "sha256").iterdir()):
        flip(path)
        with pytest.raises(BundleError):
            workshop.repository.publish(built.directory)
        flip(path)

    assert not workshop.repository.publish(built.directory).was_published


def test_layers_that_the_manifest_does_not_name(workshop: Workshop, signer: BundleSigner) -> None:
    """A signed bundle whose manifest and layers contradict each other is refused."""
    built = workshop.build(1)
    forgery = Forgery.of(built.directory)
    forgery.payload["layers"][0]["annotations"]["org.opencontainers.image.title"] = "other.bin"
    forgery.envelope = json.loads(signer.sign(canonical_json(forgery.payload), payload_type=MANIFEST_TYPE))
    with pytest.raises(ManifestError, match="not the ones that the bundle carries"):
        workshop.repository.publish(forgery.write(built.directory))


def test_stowaway(workshop: Workshop) -> None:
    """A third part beside the bundle and its signature, which nobody signed, is refused."""
    built = workshop.build(1)
    forgery = Forgery.of(built.directory)
    forgery.index["manifests"].append({**forgery.index["manifests"][0], "annotations": {}})
    with pytest.raises(ManifestError, match="and no more"):
        workshop.repository.publish(forgery.write(built.directory))


def test_trust_withdrawn_later(workshop: Workshop) -> None:
    """A published bundle is verified on each load: once its key is no longer trusted it is not handed out."""
    workshop.publish(1)
    later = BundleRepository(workshop.repository.directory, KeyringTrust(()))
    with pytest.raises(TrustError, match="not known here"):
        later.get(BundleId("A", 1))

    assert [False] == [check.is_sound for check in later.verify()]


def test_second_key_is_enough(workshop: Workshop, tmp_path: Path) -> None:
    """One allowed signature counts, whoever else signed."""
    built = workshop.build(1)
    forgery = Forgery.of(built.directory)
    stranger = generate_key(tmp_path / "stranger.pem")
    other = json.loads(stranger.sign(canonical_json(forgery.payload), payload_type=MANIFEST_TYPE))
    forgery.envelope["signatures"].insert(0, other["signatures"][0])

    assert not workshop.repository.publish(forgery.write(built.directory)).was_published


def test_trust_file_comes_back(tmp_path: Path, signer: BundleSigner) -> None:
    """A trust file is read as it was written, with the fields that others added."""
    trust = KeyringTrust(()).with_key(signer.public_key, lineages=("A", "lab-*"), note="the lab")
    trust.save(tmp_path / "trust.json")
    document = json.loads((tmp_path / "trust.json").read_bytes())
    document["theirs"] = 1
    document["keys"][0]["theirs"] = [2]
    (tmp_path / "trust.json").write_text(json.dumps(document))
    KeyringTrust.load(tmp_path / "trust.json").save(tmp_path / "again.json")

    assert document == json.loads((tmp_path / "again.json").read_bytes())
    assert KeyringTrust.load(tmp_path / "again.json").keys[0].may_sign(Lineage("lab-7"))
    assert not KeyringTrust.load(tmp_path / "again.json").keys[0].may_sign(Lineage("AB"))


def test_key_is_replaced(signer: BundleSigner) -> None:
    """Allowing a key again replaces what it was allowed before."""
    trust = KeyringTrust(()).with_key(signer.public_key, lineages=("A",)).with_key(signer.public_key, lineages=("B",))

    assert [("B",)] == [key.lineages for key in trust.keys]


@pytest.mark.parametrize(
    "change",
    [
        {"keyid": "0" * 64},
        {"public": "0" * 64},
        {"public": "zz"},
        {"keytype": "rsa"},
        {"lineages": "A"},
        {"lineages": [1]},
        {"note": 1},
    ],
)
def test_damaged_trust_file(tmp_path: Path, signer: BundleSigner, change: dict[str, Any]) -> None:
    """A trust file with a wrong entry is refused, not trusted in part."""
    KeyringTrust(()).with_key(signer.public_key, lineages=("A",)).save(tmp_path / "trust.json")
    document = json.loads((tmp_path / "trust.json").read_bytes())
    document["keys"][0] |= change
    (tmp_path / "trust.json").write_text(json.dumps(document))
    with pytest.raises(TrustError):
        KeyringTrust.load(tmp_path / "trust.json")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"keys":{}}', "\xff"])
def test_no_trust_file(tmp_path: Path, text: str) -> None:
    """What is no trust file, or not there, is refused; an empty trust is never made up."""
    (tmp_path / "trust.json").write_text(text, encoding="latin-1")
    with pytest.raises(TrustError):
        KeyringTrust.load(tmp_path / "trust.json")
    with pytest.raises(TrustError, match="cannot be read"):
        KeyringTrust.load(tmp_path / "none.json")


ENVELOPE: dict[str, Any] = {
    "payload": base64.b64encode(b"{}").decode(),
    "payloadType": MANIFEST_TYPE,
    "signatures": [{"keyid": "a" * 64, "sig": base64.b64encode(b"x" * 64).decode()}],
}
GARBAGE = st.none() | st.integers() | st.text(max_size=8) | st.lists(st.text(max_size=3), max_size=2)


@given(
    st.binary(max_size=40)
    | st.fixed_dictionaries(
        {},
        optional={
            "payload": GARBAGE,
            "payloadType": GARBAGE | st.just(MANIFEST_TYPE),
            "signatures": GARBAGE | st.lists(st.dictionaries(st.sampled_from(["keyid", "sig"]), GARBAGE)),
        },
    ).map(lambda change: json.dumps({**ENVELOPE, **change}).encode())
)
@example(json.dumps({**ENVELOPE, "signatures": [{"keyid": None, "sig": ""}]}).encode())
@settings(max_examples=200, deadline=None)
def test_garbage_envelope_gives_only_trust_errors(data: bytes) -> None:
    """Whatever stands where an envelope should be is refused with a TrustError or holds a signature."""
    try:
        opened = open_envelope(data)
    except TrustError:
        return

    assert opened.signatures
    with pytest.raises(TrustError):
        KeyringTrust(()).accept(Lineage("A"), data)
