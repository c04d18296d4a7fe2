"""Trust by signed metadata: ``trust.Trust`` made of the client, which verifies, and the author, which signs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from securesystemslib.dsse import Envelope
from tuf.api.metadata import Key, Metadata, Targets

from ...core.canonical import canonical_json, parse_json
from ...core.channel import Channel, first_channel
from ...core.identity import BundleId, Digest, Lineage
from ...core.report import timestamp
from ...core.statement import provenance
from ...errors import ManifestError, RackwaveError, TrustError
from ..keys import PublicKey
from ..layout import TITLE
from ..trust import MAX_ENVELOPE, KeyringTrust, TrustedKey
from .author import Author, Change, Keyring
from .client import MetadataClient
from .explain import rolled_back
from .key_box import KeyBox, PlacedKey
from .memory import Memory
from .roles import attestation_path, bundle_path, channel_path, lineage_role
from .shelf import FOLDER, Shelf
from .source import LocalSource, MetadataSource
from .status import TrustStatus, read_status

PUBLISHER = "publisher"
STATEMENT_TYPE = "application/vnd.in-toto+json"

_log = logging.getLogger("rackwave.trust")


class MetadataTrust:
    """Implements ``trust.Trust`` for the repository in *directory*; where *box* holds keys, it can also sign."""

    def __init__(
        self,
        directory: Path,
        memory: Memory,
        box: KeyBox,
        *,
        source: MetadataSource | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._memory = memory
        self._now = now
        self.box = box
        self.client = MetadataClient(memory, source or LocalSource(directory / FOLDER), now=now)
        self._author = Author(directory / FOLDER, box, memory.root(), now=now)

    @property
    def author(self) -> Author:
        """Who signs here.

        Raises:
            TrustError: no keys are kept on this machine.
        """
        if not self.box.keys:
            raise TrustError(
                "this machine holds no keys of the repository", advice="Do this where the publisher's keys are."
            )
        return self._author

    @property
    def signs(self) -> bool:
        """Whether this machine holds keys; without, it takes in what the metadata names."""
        return bool(self.box.keys)

    # -- trust.Trust -----------------------------------------------------------------------------

    def accept(self, lineage: Lineage, envelope: bytes) -> bytes:
        """Return what the build's envelope holds, if it is by a key that may sign *lineage* now."""
        keys = self._keys_of(lineage)
        trusted = tuple(
            TrustedKey(PublicKey(key.keyval["public"]), (lineage,)) for key in keys if key.keytype == "ed25519"
        )
        return KeyringTrust(trusted).accept(lineage, envelope)

    def verify(self, bundle: BundleId, payload: bytes, envelope: bytes | None) -> None:
        """See ``MetadataClient.verify``; the envelope counted when the bundle was published."""
        del envelope
        self.client.verify(bundle, payload)

    def check_sendable(self, bundle: BundleId) -> None:
        """See ``MetadataClient.check_sendable``."""
        self.client.check_sendable(bundle)

    def check_forward(self, bundle: BundleId, digest: Digest) -> None:
        """See ``MetadataClient.check_forward``; what expires soon is signed again first, where that asks nobody."""
        if self.box.keys:
            try:
                self.renew()
            except RackwaveError as error:
                _log.warning("the metadata could not be signed again: %s", error.whole)
        self.client.check_forward(bundle, digest)

    def enter(self, bundle: BundleId, payload: bytes, digest: Digest, *, reason: str, min_seq: int | None) -> None:
        """Sign *bundle* as a target and, unless a newer one is, as the current one of its lineage."""
        author, lineage = self.author, bundle.lineage
        with author.locked():
            shelf = self._present()
            if lineage_role(lineage) not in shelf.lineages():
                author.delegate([lineage], Keyring((self._publisher(lineage).key,)), shelf=shelf)
                shelf = author.shelf()
            before = author.channel(shelf, lineage)
            add = {} if shelf.target(lineage, bundle_path(bundle)) else self._first_said(bundle, payload, digest)
            if before is None:
                channel = first_channel(bundle, digest, min_seq=min_seq, reason=reason)
            elif bundle.seq in before.rollback_to or (bundle.seq == before.current and min_seq is None):
                channel = before  # published before; a lineage that was moved back stays there
            elif bundle.seq >= before.current or bundle.seq in before.withdrawn:
                channel = before.published(bundle, digest, min_seq=min_seq, reason=reason)
            else:
                channel = before.archived(bundle)
            if channel != before:
                add[channel_path(lineage)] = canonical_json(channel.document())
            if add:
                author.change(lineage, Change(add), shelf=shelf)
        self.client.refresh()

    def move_back(self, bundle: BundleId, digest: Digest, *, reason: str, min_seq: int | None) -> Channel:
        """Sign a channel of a higher epoch in which *bundle* is current."""
        with self.author.locked():
            shelf, before = self._with_channel(bundle.lineage)
            if (before.current, before.digest) == (bundle.seq, digest):
                return before  # signed by a run that was killed before it said so in the repository
            channel = before.moved_back(bundle, digest, min_seq=min_seq, reason=reason)
            if shelf.target(bundle.lineage, bundle_path(bundle)) is None:
                raise TrustError(f"{bundle} is not signed", advice="Publish it again from its source.")
            self._sign_channel(shelf, channel)
        self.client.refresh()
        return channel

    def withdraw(self, bundle: BundleId, digest: Digest, *, reason: str) -> Channel:
        """Take *bundle* out of the targets and say in the channel that it was withdrawn."""
        with self.author.locked():
            shelf, before = self._with_channel(bundle.lineage)
            if bundle.seq in before.withdrawn:
                return before  # as above
            channel = before.without(bundle, digest, reason=reason)
            self._sign_channel(shelf, channel, remove=(bundle_path(bundle),))
        self.client.refresh()
        return channel

    def raise_floor(self, lineage: Lineage, min_seq: int, *, reason: str) -> Channel:
        """Sign a channel below whose *min_seq* nothing is sent any more, not even to go back.

        Raises:
            TrustError: the current bundle lies below it, or a key is missing.
        """
        with self.author.locked():
            shelf, before = self._with_channel(lineage)
            if before.min_seq >= min_seq:
                return before
            channel = before.raised(min_seq, reason=reason)
            self._sign_channel(shelf, channel)
        self.client.refresh()
        return channel

    # -- more ------------------------------------------------------------------------------------

    def renew(self) -> tuple[str, ...]:
        """Sign again what expires soon, as far as nobody has to be asked; return which roles that were."""
        with self.author.locked():
            self._check_not_rolled_back(self.author.shelf())
            return self.author.renew()

    def refresh(self, *, targets: bool = False) -> None:
        """Sign again what says which state is the newest, where its key is here; fetch and verify it in any case.

        Raises:
            TrustError: a key is away, or what was fetched does not verify.
        """
        if self.box.keys:
            with self.author.locked():
                self._check_not_rolled_back(self.author.shelf())
                self.author.renew(force=True, targets=targets)
        self.client.refresh()

    def status(self) -> TrustStatus:
        """Read how things stand.

        Raises:
            TrustError: the metadata does not verify.
        """
        return read_status(self._author)

    def attach(self, lineage: Lineage, path: str, data: bytes) -> None:
        """Sign *data* as the target *path* of *lineage*."""
        with self.author.locked():
            self.author.change(lineage, Change({path: data}), shelf=self._present())
        self.client.refresh()

    def attest(self, bundle: BundleId, digest: Digest, kind: str, statement: dict[str, Any]) -> None:
        """Sign *statement* about a bundle with the publisher's key, in a DSSE envelope, as a target beside the bundle.

        Raises:
            TrustError: a key is missing.
        """
        path = attestation_path(bundle.lineage, digest, kind)
        self.attach(bundle.lineage, path, self._enveloped(self._publisher(bundle.lineage), statement))

    def statement(self, bundle: BundleId, digest: Digest, kind: str) -> dict[str, Any] | None:
        """Return what was stated about a bundle, None where nothing was.

        Raises:
            TrustError: its metadata does not verify, or it is about something else.
        """
        data = self.client.target(attestation_path(bundle.lineage, digest, kind), MAX_ENVELOPE)
        if data is None:
            return None
        try:
            payload = Envelope.from_dict(parse_json(data, what="the statement")).payload
            document = parse_json(payload, what="the statement")
            subjects = [subject["digest"]["sha256"] for subject in document["subject"]]
        except (ManifestError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise TrustError(f"what is signed as the {kind} statement about {bundle} is none") from error
        if subjects != [digest.hex]:
            raise TrustError(
                f"the {kind} statement about {bundle} is about something else", advice="Have it signed again."
            )
        found: dict[str, Any] = document
        return found

    def _first_said(self, bundle: BundleId, payload: bytes, digest: Digest) -> dict[str, bytes]:
        """Return the targets of a bundle that is new: its payload manifest, and from what it was made."""
        said = {bundle_path(bundle): payload}
        publisher = next((key for key in self.box.keys if key.name == PUBLISHER), None)
        if publisher is not None:
            named = parse_json(payload, what="the payload manifest").get("layers", [])
            layers = [(each.get("annotations", {}).get(TITLE, ""), Digest(each["digest"]).hex) for each in named]
            statement = provenance(bundle, digest, layers, at=timestamp(self._now()))
            said[attestation_path(bundle.lineage, digest, "provenance")] = self._enveloped(publisher, statement)
        return said

    def _enveloped(self, key: PlacedKey, statement: dict[str, Any]) -> bytes:
        envelope = Envelope(canonical_json(statement), STATEMENT_TYPE, {})
        envelope.sign(self.box.signer(key.id))
        return canonical_json(envelope.to_dict())

    def _present(self) -> Shelf:
        """Read what is to be built on; what is older than what was seen here before is not."""
        self.author.renew()
        shelf = self.author.shelf()
        self._check_not_rolled_back(shelf)
        return shelf

    def _check_not_rolled_back(self, shelf: Shelf) -> None:
        seen = self._memory.seen()
        tops: dict[str, Metadata[Any]] = {"root": shelf.root, "snapshot": shelf.snapshot, "timestamp": shelf.timestamp}
        for name, metadata in tops.items():
            before = seen.versions.get(name, 0) if seen is not None else 0
            if metadata.signed.version < before:
                raise rolled_back(name, before, metadata.signed.version)

    def _with_channel(self, lineage: Lineage) -> tuple[Shelf, Channel]:
        shelf = self._present()
        channel = self.author.channel(shelf, lineage)
        if channel is None:
            raise TrustError(f"nothing is signed for lineage {lineage}", advice="Publish a bundle of it first.")
        return shelf, channel

    def _sign_channel(self, shelf: Shelf, channel: Channel, *, remove: tuple[str, ...] = ()) -> None:
        add = {channel_path(channel.lineage): canonical_json(channel.document())}
        self.author.change(channel.lineage, Change(add, remove), shelf=shelf)

    def _keys_of(self, lineage: Lineage) -> list[Key]:
        delegations = self.author.shelf().role(Targets.type).signed.delegations
        role = (delegations.roles or {}).get(lineage_role(lineage)) if delegations is not None else None
        if delegations is None or role is None:
            return [self._publisher(lineage).key]  # who will be allowed it, with the targets key
        return [delegations.keys[keyid] for keyid in role.keyids]

    def _publisher(self, lineage: Lineage) -> PlacedKey:
        for key in self.box.keys:
            if key.name == PUBLISHER:
                return key
        raise TrustError(
            f"nobody may sign lineage {lineage} yet, and there is no publisher's key here",
            advice=f"Allow it to somebody: 'rackwave trust delegate {lineage} --key …'.",
        )
