"""The keys that sign bundles: made, kept in a file that only their owner can read, used."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from attrs import field, frozen
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner, SSlibKey

from ..core.canonical import canonical_json
from ..errors import TrustError
from .store import replace_file

ENVELOPE_TYPE = "application/vnd.dsse.envelope.v1+json"
_MAX_KEY_FILE = 64 * 1024


@frozen
class PublicKey:
    """The public half of a signing key, in hexadecimal; ``id`` follows from it."""

    public: str

    def __attrs_post_init__(self) -> None:
        try:
            self.key()
        except ValueError as error:
            raise TrustError(f"{self.public[:80]!r} is not an ed25519 public key in hexadecimal") from error

    @property
    def id(self) -> str:
        """What signatures call the key: the sha256 of its canonical form, as TUF and in-toto have it."""
        return self.key().keyid

    def key(self) -> SSlibKey:
        """Return securesystemslib's form of it."""
        return SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.public)))


@frozen
class BundleSigner:
    """Signs payload manifests. Its repr shows the public half only.

    ed25519 is deterministic, so that two builds of one source with one key are bit-identical.
    """

    public_key: PublicKey
    signer: CryptoSigner = field(repr=False)

    def sign(self, payload: bytes, *, payload_type: str) -> bytes:
        """Return a DSSE envelope around *payload*, written canonically."""
        envelope = Envelope(payload, payload_type, {})
        envelope.sign(self.signer)
        document: dict[str, Any] = envelope.to_dict()
        return canonical_json(document)


def generate_key(path: Path, *, password: bytes | None = None) -> BundleSigner:
    """Make a signing key and keep it in *path* (PEM, mode 0600), encrypted where there is a password.

    An existing file is never overwritten: what it signed could not be signed again. The caller
    resolves the password from a reference at the last moment; it is not kept.

    Raises:
        TrustError: the file exists or cannot be written.
    """
    private = Ed25519PrivateKey.generate()
    encryption: KeySerializationEncryption = BestAvailableEncryption(password) if password else NoEncryption()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, pem, mode=0o600, exist_ok=False)
    except FileExistsError as error:
        raise TrustError(
            f"{path} exists already", advice="Keep it: it signs what you publish. Name another file for a new key."
        ) from error
    except OSError as error:
        raise TrustError(f"the key cannot be written to {path}: {error.strerror}") from error
    return _signer(private)


def load_signer(path: Path, *, password: bytes | None = None) -> BundleSigner:
    """Read a signing key.

    Raises:
        TrustError: it is not there, others can read it, the password is missing or wrong, or it is
            no ed25519 key in PEM.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            pem = file.read(_MAX_KEY_FILE)
    except OSError as error:
        raise TrustError(
            f"the signing key {path} cannot be read: {error.strerror}", advice="Make one with 'rackwave trust key'."
        ) from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise TrustError(f"the signing key {path} can be read or written by others", advice=f"Run: chmod 600 {path}")
    try:
        private = load_pem_private_key(pem, password)
    except TypeError as error:  # cryptography's way to say: a password too many or too few
        wanted = "needs its passphrase" if password is None else "is not encrypted, but a passphrase was given"
        raise TrustError(f"the signing key {path} {wanted}") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        # the cause is not shown: it may quote the file
        raise TrustError(
            f"the signing key {path} is no PEM key, or the passphrase is wrong",
            advice="Give the right one and try again.",
        ) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise TrustError(f"the signing key {path} is no ed25519 key", advice="Make one with 'rackwave trust key'.")
    return _signer(private)


def is_encrypted(path: Path) -> bool:
    """Whether the key in *path* wants a passphrase.

    Raises:
        TrustError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return b"ENCRYPTED" in file.read(200)
    except OSError as error:
        raise TrustError(f"the signing key {path} cannot be read: {error.strerror}") from error


def _signer(private: Ed25519PrivateKey) -> BundleSigner:
    signer = CryptoSigner(private)
    return BundleSigner(PublicKey(signer.public_key.keyval["public"]), signer)
