"""Who may sign which lineage, and whether a signature is theirs.

A bundle is signed with ed25519 over the raw bytes of its payload manifest, in a DSSE envelope
(https://github.com/secure-systems-lab/dsse). ``Trust`` is the seam: ``KeyringTrust`` goes by a list of
keys, ``metadata.trust.MetadataTrust`` by TUF, with thresholds, expiry and roll-back floors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Protocol

from attrs import field, frozen
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError

from ..core.bundle import frozen_map
from ..core.canonical import parse_json
from ..core.channel import Channel
from ..core.identity import BundleId, Digest, Lineage
from ..errors import ManifestError, TrustError
from .keys import PublicKey
from .layout import MANIFEST_TYPE
from .store import replace_file

MAX_ENVELOPE = 8 * 1024 * 1024  # a manifest of at most 4 MiB, in base64
MAX_TRUST_FILE = 1024 * 1024
_MAX_SIGNATURES = 16

MOVED = "Do not use it. Publish each bundle from the layout that was built for it."
_TAMPERED = "Do not use it. Fetch or build the bundle again, and find out who changed it."


class Trust(Protocol):
    """Decides whose bundles are believed, and what may be sent."""

    @property
    def signs(self) -> bool:
        """Whether what is published here is signed here; else it must be signed already, as what is stored is."""
        ...

    def accept(self, lineage: Lineage, envelope: bytes) -> bytes:
        """Return the payload of a build's *envelope* if whoever signed it may publish in *lineage*.

        Raises:
            TrustError: unsigned, altered, by a key that is not known or not allowed for *lineage*.
        """
        ...

    def verify(self, bundle: BundleId, payload: bytes, envelope: bytes | None) -> None:
        """Refuse a stored *payload* manifest that is not what was signed as *bundle*.

        Raises:
            TrustError: it is not.
        """
        ...

    def check_sendable(self, bundle: BundleId) -> None:
        """Refuse what must not be sent to a node, not even to recover it.

        Raises:
            TrustError: it was withdrawn, or lies below the floor of its lineage.
        """
        ...

    def check_forward(self, bundle: BundleId, digest: Digest) -> None:
        """Refuse what must not be deployed now.

        Raises:
            TrustError: as ``check_sendable``, or what is known is not fresh enough to go forward by.
        """
        ...

    def enter(self, bundle: BundleId, payload: bytes, digest: Digest, *, reason: str, min_seq: int | None) -> None:
        """Have everybody believe that *bundle*, accepted before, is published and current.

        Raises:
            TrustError: a key to sign that with is missing, or the bundle was withdrawn.
        """
        ...

    def move_back(self, bundle: BundleId, digest: Digest, *, reason: str, min_seq: int | None) -> Channel:
        """Have everybody believe that the archived *bundle* is current again.

        Raises:
            TrustError: it may not be, or a key is missing.
        """
        ...

    def withdraw(self, bundle: BundleId, digest: Digest, *, reason: str) -> Channel:
        """Have nobody send *bundle* any more.

        Raises:
            TrustError: a key is missing.
        """
        ...


@frozen
class TrustedKey:
    """A public key and the lineages that it may sign, as shell-style patterns; *note* says whose it is."""

    key: PublicKey
    lineages: tuple[str, ...]
    note: str = ""
    extra: Mapping[str, Any] = field(factory=dict, converter=frozen_map)

    def may_sign(self, lineage: Lineage) -> bool:
        """Whether the key is allowed for *lineage*."""
        return any(fnmatchcase(lineage, pattern) for pattern in self.lineages)

    def document(self) -> dict[str, Any]:
        """Write it as plain JSON values."""
        note = {"note": self.note} if self.note else {}
        return {
            "keyid": self.key.id,
            "keytype": "ed25519",
            "public": self.key.public,
            "lineages": list(self.lineages),
            **note,
            **self.extra,
        }


@frozen
class KeyringTrust:
    """Trust by a list of public keys, kept in ``trust.json``. One signature by one allowed key is enough."""

    keys: tuple[TrustedKey, ...]
    extra: Mapping[str, Any] = field(factory=dict, converter=frozen_map)

    @classmethod
    def load(cls, path: Path) -> KeyringTrust:
        """Read ``trust.json``.

        Raises:
            TrustError: it is not there, or is no list of keys.
        """
        try:
            with path.open("rb") as file:
                data = file.read(MAX_TRUST_FILE + 1)
        except OSError as error:
            raise TrustError(
                f"the trust file {path} cannot be read: {error.strerror}",
                advice="Create a key with 'rackwave trust key', or copy the publisher's trust.json here.",
            ) from error
        try:
            document = parse_json(data[:MAX_TRUST_FILE], what=str(path))
        except ManifestError as error:
            raise TrustError(str(error)) from error
        match document:
            case {"keys": list(entries), **rest}:
                keys = tuple(_trusted_key(entry, f"{path}: keys[{place}]") for place, entry in enumerate(entries))
                return cls(keys, rest)
            case _:
                raise TrustError(f"{path} is not a trust file: it has no list of keys")

    def save(self, path: Path) -> None:
        """Write ``trust.json``, whole or not at all."""
        document = {**self.extra, "keys": [key.document() for key in self.keys]}
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n", mode=0o644)

    def with_key(self, key: PublicKey, *, lineages: tuple[str, ...], note: str = "") -> KeyringTrust:
        """Return a trust in which *key* may sign *lineages*, and no others."""
        others = tuple(trusted for trusted in self.keys if trusted.key.id != key.id)
        return KeyringTrust((*others, TrustedKey(key, lineages, note)), self.extra)

    def accept(self, lineage: Lineage, envelope: bytes) -> bytes:
        """Return the payload of *envelope* if one of the keys that may sign *lineage* signed it.

        Raises:
            TrustError: unsigned, altered, by a key that is not known or not allowed for *lineage*.
        """
        opened = open_envelope(envelope)
        known = [trusted for trusted in self.keys if trusted.key.id in opened.signatures]
        if not known:
            signers = ", ".join(keyid[:12] for keyid in opened.signatures)
            raise TrustError(
                f"the bundle is signed by a key that is not known here: {signers}",
                advice="If the publisher is yours, add their public key to trust.json.",
            )
        allowed = [trusted for trusted in known if trusted.may_sign(lineage)]
        if not allowed:
            signers = ", ".join(f"{trusted.key.id[:12]} ({' '.join(trusted.lineages)})" for trusted in known)
            raise TrustError(
                f"the bundle's key may not sign lineage {lineage}; it may sign only its own: {signers}",
                advice="Sign with a key of this lineage, or allow the key for it in trust.json.",
            )
        try:
            opened.verify([trusted.key.key() for trusted in allowed], threshold=1)
        except VerificationError as error:
            raise TrustError(
                "the bundle was altered after it was signed, or its signature was", advice=_TAMPERED
            ) from error
        return opened.payload

    @property
    def signs(self) -> bool:
        """Publishing takes the bundle's own signature alone."""
        return True

    def verify(self, bundle: BundleId, payload: bytes, envelope: bytes | None) -> None:
        """Refuse *payload* unless *envelope* is a signature over it by a key that may sign its lineage."""
        check_signed(self, bundle.lineage, payload, envelope)

    def check_sendable(self, bundle: BundleId) -> None:
        """Allow everything: a list of keys knows of no floor, and withdraws nothing."""

    def check_forward(self, bundle: BundleId, digest: Digest) -> None:
        """Allow everything: a list of keys does not expire."""

    def enter(self, bundle: BundleId, payload: bytes, digest: Digest, *, reason: str, min_seq: int | None) -> None:
        """Do nothing: the bundle's own signature is all that is looked at; a floor cannot be kept.

        Raises:
            TrustError: *min_seq* is given.
        """
        del bundle, payload, digest, reason
        if min_seq is not None:
            raise _wants_metadata("a floor below which nothing is sent")

    def move_back(self, bundle: BundleId, digest: Digest, *, reason: str, min_seq: int | None) -> Channel:
        """Refuse: nothing signed would say so.

        Raises:
            TrustError: always.
        """
        del bundle, digest, reason, min_seq
        raise _wants_metadata("moving a lineage back")

    def withdraw(self, bundle: BundleId, digest: Digest, *, reason: str) -> Channel:
        """Refuse: nothing signed would say so.

        Raises:
            TrustError: always.
        """
        del bundle, digest, reason
        raise _wants_metadata("withdrawing a bundle")


def check_signed(trust: Trust, lineage: Lineage, payload: bytes, envelope: bytes | None) -> None:
    """Refuse *payload* unless *envelope* is a signature over it by somebody who may publish in *lineage*.

    Raises:
        TrustError: unsigned, altered, by the wrong key, or made for another bundle.
    """
    if envelope is None:
        raise unsigned()
    if trust.accept(lineage, envelope) != payload:
        raise TrustError("the signature beside the bundle was made for another bundle", advice=MOVED)


def open_envelope(data: bytes) -> Envelope:
    """Read a DSSE envelope over a payload manifest; nothing is verified yet.

    Raises:
        TrustError: it is none, or nobody signed it.
    """
    if len(data) > MAX_ENVELOPE:
        raise TrustError(f"the bundle's signature is larger than {MAX_ENVELOPE} bytes", advice=_TAMPERED)
    try:
        document = parse_json(data, what="the bundle's signature")
        del document["signatures"][_MAX_SIGNATURES:]  # a bound on the work; nobody signs so often
        envelope = Envelope.from_dict(document)
        if not all(isinstance(keyid, str) for keyid in envelope.signatures):
            raise TypeError("a keyid is no text")  # noqa: TRY301 - told as what from_dict does not check
    except (ManifestError, KeyError, TypeError, ValueError, AttributeError) as error:
        # what from_dict raises on garbage: it takes fields, decodes base64 and calls methods unchecked
        raise TrustError("the bundle's signature is not a DSSE envelope", advice=_TAMPERED) from error
    if envelope.payload_type != MANIFEST_TYPE:
        raise TrustError(f"what was signed is no bundle but {envelope.payload_type!r}", advice=_TAMPERED)
    if not envelope.signatures:
        raise unsigned()
    return envelope


def unsigned() -> TrustError:
    """Return the error for a bundle that nobody signed."""
    return TrustError(
        "the bundle is not signed",
        advice="Build it again where the publisher's key is ('rackwave trust key' makes one).",
    )


def _wants_metadata(what: str) -> TrustError:
    return TrustError(
        f"{what} takes signed metadata, and this repository is trusted by a list of keys",
        advice="Set it up with 'rackwave trust init'; bundles that are published stay so.",
    )


def _trusted_key(entry: Any, what: str) -> TrustedKey:
    match entry:
        case {"keyid": str(keyid), "keytype": "ed25519", "public": str(public), "lineages": list(lineages), **rest}:
            note = rest.pop("note", "")
        case _:
            raise TrustError(f"{what}: needs keyid, keytype ed25519, public and lineages")
    if not isinstance(note, str) or not all(isinstance(lineage, str) for lineage in lineages):
        raise TrustError(f"{what}: lineages and note must be text")
    key = PublicKey(public)
    if key.id != keyid:
        raise TrustError(f"{what}: the keyid is not the id of this key", advice="Copy the entry again, whole.")
    return TrustedKey(key, tuple(lineages), note, rest)
