"""Where the private keys of the roles are: in files, encrypted or not, in an HSM, with a KMS.

``keys.json`` in the state directory says it, and holds no secret: for each key its public half, its
place, and what it is called. A place is ``file:`` and a path (from the state directory on), or a URI
of securesystemslib (``hsm:2?label=rack``, ``awskms:…``, ``gcpkms:…``, ``azurekms:…``, ``hv:…``). A key that is not
where it should be is simply away: root and targets keys may lie on a medium in a safe.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen
from securesystemslib.exceptions import UnsupportedLibraryError
from securesystemslib.signer import (
    SIGNER_FOR_URI_SCHEME,
    AWSSigner,
    AzureSigner,
    GCPSigner,
    HSMSigner,
    Key,
    Signer,
    VaultSigner,
)

from ...core.bundle import frozen_map
from ...core.canonical import parse_json
from ...errors import ManifestError, RackwaveError, TrustError, UsageError
from ..keys import generate_key, is_encrypted, load_signer
from ..store import replace_file
from .signer_apart import SignerApart, apart

KEYS = "keys.json"
MAX_KEYS_FILE = 1024 * 1024
_FILE = "file:"

AskSecret = Callable[[str], bytes]
"""Returns the passphrase, or the PIN, of what it is told; it is asked at the last moment and nothing is kept."""


@frozen
class PlacedKey:
    """A key and where its private half is."""

    name: str
    where: str
    key: Key
    extra: Mapping[str, Any] = field(factory=dict, converter=frozen_map)

    @property
    def id(self) -> str:
        """The key's id, as signatures name it."""
        return self.key.keyid

    def document(self) -> dict[str, Any]:
        """Write it as plain JSON values."""
        return {**self.extra, "name": self.name, "where": self.where, "keyid": self.id, "key": self.key.to_dict()}


@frozen
class KeyBox:
    """The keys that this machine knows the places of, and the profile under which they sign."""

    state: Path
    ask: AskSecret = field(repr=False, eq=False)
    keys: tuple[PlacedKey, ...] = ()
    profile: str = "default"
    extra: Mapping[str, Any] = field(factory=dict, converter=frozen_map)

    @classmethod
    def load(cls, state: Path, ask: AskSecret) -> KeyBox:
        """Read ``keys.json``; where there is none, the box is empty.

        Raises:
            TrustError: it is damaged.
        """
        path = state / KEYS
        try:
            with path.open("rb") as file:
                data = file.read(MAX_KEYS_FILE)
        except FileNotFoundError:
            return cls(state, ask)
        except OSError as error:
            raise TrustError(f"{path} cannot be read: {error.strerror}") from error
        try:
            match parse_json(data, what=str(path)):
                case {"profile": str(profile), "keys": list(entries), **rest}:
                    return cls(state, ask, tuple(_placed(entry) for entry in entries), profile, rest)
                case _:
                    raise ManifestError(f"{path} has no list of keys")  # noqa: TRY301 - told like the rest
        except (ManifestError, KeyError, TypeError, ValueError, AttributeError) as error:
            # what Key.from_dict raises on garbage
            raise TrustError(f"{path} cannot be used: {error}", advice="Restore it from a backup.") from error

    def save(self) -> None:
        """Write ``keys.json``, whole or not at all."""
        document = {**self.extra, "profile": self.profile, "keys": [key.document() for key in self.keys]}
        self.state.mkdir(parents=True, exist_ok=True)
        replace_file(self.state / KEYS, json.dumps(document, indent=2).encode() + b"\n", mode=0o644)

    def with_key(self, key: PlacedKey) -> KeyBox:
        """Return the box with one more key."""
        return evolve(self, keys=(*(each for each in self.keys if each.id != key.id), key))

    def without(self, keyids: Iterable[str]) -> KeyBox:
        """Return the box without some keys, which signed what is not signed any longer."""
        gone = set(keyids)
        return evolve(self, keys=tuple(key for key in self.keys if key.id not in gone))

    def find(self, keyid: str) -> PlacedKey | None:
        """Return the key with this id, None where its place is not known here."""
        return next((key for key in self.keys if key.id == keyid), None)

    def generate(self, name: str, path: Path, *, password: bytes | None) -> PlacedKey:
        """Make an ed25519 key in *path*, encrypted where there is a password.

        Raises:
            TrustError: the file exists or cannot be written.
        """
        return self.place_file(name, path, generate_key(path, password=password).signer.public_key)

    def place_file(self, name: str, path: Path, key: Key) -> PlacedKey:
        """Say that the private half of *key* lies in *path*."""
        shown = path.relative_to(self.state) if path.is_relative_to(self.state) else path.absolute()
        return PlacedKey(name, f"{_FILE}{shown}", key)

    def path(self, key: PlacedKey) -> Path | None:
        """Return the file that the private half of *key* lies in, None where it lies in none."""
        return self.state / key.where.removeprefix(_FILE) if key.where.startswith(_FILE) else None

    def state_of(self, key: PlacedKey) -> str:
        """Say how *key* can be used: ``here``, ``encrypted``, ``away`` or ``external``."""
        path = self.path(key)
        if path is None:
            return "external"
        if not path.exists():
            return "away"
        return "encrypted" if is_encrypted(path) else "here"

    def signs_by_itself(self, keyid: str) -> bool:
        """Whether the key with this id can sign now without anybody being asked."""
        key = self.find(keyid)
        return key is not None and self.state_of(key) in ("here", "external")

    def signer(self, keyid: str) -> Signer:
        """Return what signs with the key of this id.

        Raises:
            TrustError: its place is not known, it is away, the passphrase is wrong, or its library is missing.
            SecretError: the passphrase does not resolve.
        """
        key = self.find(keyid)
        if key is None:
            raise TrustError(
                f"the key {keyid[:12]} is not known on this machine", advice="Do this where that key is kept."
            )
        path = self.path(key)
        if path is not None:
            if not path.exists():
                raise TrustError(
                    f"the {key.name} key {keyid[:12]} is away: there is no {path}",
                    advice="Bring back the medium that it lies on, or put the file back for the time of this command.",
                )
            password = self.ask(f"{key.name} key") if is_encrypted(path) else None
            signer: Signer = load_signer(path, password=password).signer
            if signer.public_key.keyid != keyid:
                raise TrustError(f"{path} holds another key than {keyid[:12]}, the {key.name} key that {KEYS} names")
            return signer
        with _translated(key.where):
            return SignerApart.from_priv_key_uri(key.where, key.key, self._asker(key.name))

    def _asker(self, name: str) -> Callable[[str], str]:
        return lambda what: self.ask(f"{name} key's {what}").decode()

    def import_uri(self, name: str, uri: str) -> PlacedKey:
        """Look the public half of a key in an HSM or with a KMS up.

        Raises:
            UsageError: nothing is known of such URIs.
            TrustError: it cannot be reached, or its library is missing.
        """
        scheme, _, rest = uri.partition(":")
        with _translated(uri):
            match scheme:
                case "hsm":
                    keyid, _, query = rest.partition("?")
                    label = query.removeprefix("label=") if query else None
                    found = apart(
                        lambda: HSMSigner.import_(
                            hsm_keyid=int(keyid) if keyid else None,
                            token_label=label,
                            secrets_handler=self._asker(name),
                        )
                    )
                case "awskms":
                    found = AWSSigner.import_(rest)
                case "gcpkms":
                    found = GCPSigner.import_(rest)
                case "azurekms":
                    vault, _, key_name = rest.removeprefix("//").partition("/")
                    found = AzureSigner.import_(
                        vault.partition(".")[0], key_name.removeprefix("keys/").partition("/")[0]
                    )
                case "hv":
                    found = VaultSigner.import_(rest)
                case _:
                    known = ", ".join(sorted({"file", *SIGNER_FOR_URI_SCHEME} - {"file2", "gnupg", "tkey"}))
                    raise UsageError(
                        f"{uri!r} names no key that rackwave knows how to use", advice=f"Known are: {known}."
                    )
        where, key = found
        return PlacedKey(name, where, key)


@contextmanager
def _translated(uri: str) -> Iterator[None]:
    """Turn whatever an HSM's or KMS's library raises into a TrustError; not all their types can be imported here."""
    try:
        yield
    except RackwaveError:
        raise
    except UnsupportedLibraryError as error:
        raise TrustError(
            f"the key {uri} cannot be used: {error}",
            advice="Install what it needs, for example: pip install 'securesystemslib[hsm]'.",
        ) from error
    except Exception as error:
        raise TrustError(
            f"the key {uri} cannot be used: {type(error).__name__}: {error}",
            advice="Check that the HSM or KMS can be reached, and the PIN or the credentials.",
        ) from error


def _placed(entry: Any) -> PlacedKey:
    match entry:
        case {"name": str(name), "where": str(where), "keyid": str(keyid), "key": dict(key), **rest}:
            return PlacedKey(name, where, Key.from_dict(keyid, dict(key)), rest)
        case _:
            raise ManifestError("a key needs name, where, keyid and key")
