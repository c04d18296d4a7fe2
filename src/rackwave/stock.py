"""The bundles of a state directory: repository, archive, whom they are believed from, and the registry behind."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .backing import Backing
from .bundle_manager import BundleManager
from .core.bundle import Bundle
from .core.identity import BundleId, Digest
from .core.node import Node
from .core.report import timestamp
from .core.retention import Need, Retention, Shelved, Verdict, decide, needs, ways_back
from .core.sbom import rack_sbom
from .core.statement import proven_on, validated_on
from .core.waves import GoOn, Stop, Wait
from .engine.logbook import Logbook
from .errors import BundleError, BundleNotFoundError, RackwaveError, TrustError, UsageError
from .ports import Clock, Secrets
from .repository.entry import State
from .repository.keys import is_encrypted, load_signer
from .repository.metadata.ceremony import Published, Setup, init
from .repository.metadata.key_box import AskSecret
from .repository.metadata.registry_source import RegistrySource
from .repository.metadata.shelf import FOLDER
from .repository.metadata.trust import MetadataTrust
from .repository.open_trust import PUBLISHER_KEY, open_trust, retire_list
from .repository.pruning import Pruned, prune
from .repository.registry import Registry
from .repository.repository import BundleRepository
from .repository.wire import Bounds

_log = logging.getLogger(__name__)

REPOSITORY = "repository"
REGISTRY = "registry.toml"
VALIDATION = "validated-on"
METADATA_BOUNDS = Bounds(connect=5.0, silence=5.0, answer=15.0)
"""Seconds for one file of metadata: some KB. All of a refresh has the deadline of ``metadata.client``."""


class Stock:
    """What lies in a state directory of bundles and trust. It opens the repository and asks no machine."""

    def __init__(self, state: Path, *, clock: Clock, secret_store: Secrets, passphrases: AskSecret, by: str) -> None:
        self.state = state
        self._clock = clock
        self._secrets = secret_store
        self._ask = passphrases
        self._by = by
        self._bundles: dict[BundleId, Bundle] = {}
        self.repository = self._open_repository()

    @property
    def manager(self) -> BundleManager:
        """The bundle manager (112); it can sign where the state directory holds a publisher's key."""
        key = self.state / PUBLISHER_KEY
        if not key.exists():
            return BundleManager(self.repository)
        password = self._ask("publisher's key") if is_encrypted(key) else None
        return BundleManager(self.repository, load_signer(key, password=password))

    def bundle(self, bundle: BundleId) -> Bundle:
        """Load and verify *bundle*, once."""
        if bundle not in self._bundles:
            self._bundles[bundle] = self.repository.get(bundle)
        return self._bundles[bundle]

    async def obtain(self, bundle: BundleId) -> Bundle:
        """Load *bundle*; where it is not here, from the registry behind the repository, if there is one."""
        try:
            return self.bundle(bundle)
        except BundleNotFoundError:
            backing = Backing.load(self.state / REGISTRY)
            if backing is None:
                raise
        await self._pull(bundle, backing)
        return self.bundle(bundle)

    async def forward(self, bundle: BundleId, digest: Digest) -> GoOn | Wait | Stop:
        """Say whether more machines may be given *bundle* now.

        One that was withdrawn, or fell below its lineage's floor, goes to none; where nobody can say so afresh (the
        registry is away, the metadata has expired), that is waited for.
        """
        trust = self.repository.trust
        try:
            await asyncio.to_thread(trust.check_forward, bundle, digest)
        except TrustError as unsure:
            try:
                trust.check_sendable(bundle)
            except TrustError as barred:
                return Stop(str(barred))
            return Wait(f"whether {bundle} may be deployed is not known: {unsure}")
        return GoOn()

    async def bring(self, bundles: Iterable[BundleId]) -> None:
        """Bring those of *bundles* here that are not, or not whole, from the registry behind, as far as it has them.

        For the way back: what stays away is told by whoever needs it.
        """
        backing = Backing.load(self.state / REGISTRY)
        if backing is None:
            return
        for bundle in sorted(set(bundles)):
            try:
                if await asyncio.to_thread(self.repository.why_not_sendable, bundle) is not None:
                    await self._pull(bundle, backing)
            except RackwaveError as error:
                _log.warning("%s could not be brought here: %s", bundle, error.whole)

    @property
    def metadata(self) -> MetadataTrust:
        """The trust by signed metadata.

        Raises:
            TrustError: it is not set up.
        """
        trust = self.repository.trust
        if not isinstance(trust, MetadataTrust):
            raise TrustError(
                "signed metadata is not set up here",
                advice="Where bundles are published 'rackwave trust init', elsewhere 'rackwave trust adopt'.",
            )
        return trust

    def init_trust(self, setup: Setup) -> tuple[BundleId, ...]:
        """Set up trust by signed metadata; return the published bundles that could not be taken over.

        Raises:
            TrustError: it is set up already, or a key cannot be used.
        """
        published, left = [], []
        for entry in self.repository.list():
            try:
                payload = self.repository.payload_manifest(entry.id)
            except BundleError:
                left.append(entry.id)
            else:
                published.append(Published(entry.id, entry.digest, payload, entry.state is State.CURRENT))
        publisher = self.state / PUBLISHER_KEY
        init(
            self.state,
            self.repository.directory,
            publisher,
            setup,
            ask=self._ask,
            published=published,
            now=self._clock.now,
        )
        retire_list(self.state)
        self.repository = self._open_repository()
        self.metadata.client.refresh()
        return tuple(left)

    def backing(self) -> Backing:
        """Return the registry behind the repository.

        Raises:
            UsageError: there is none.
        """
        found = Backing.load(self.state / REGISTRY)
        if found is None:
            raise UsageError(
                "no registry is named", advice=f"Name one with --registry oci://host:port/name, or in {REGISTRY}."
            )
        return found

    def open_registry(self, backing: Backing) -> Registry:
        """Return a registry that can be asked; close it after use."""
        return backing.open(self._secrets)

    def prune(
        self, retention: Retention, logbook: Logbook, *, dry_run: bool = False, beyond_signed: bool = False
    ) -> Pruned:
        """Remove from the archive what *retention* does not keep and no node may need; say why each stays or goes.

        What signed metadata lists as a way back stays, too, unless *beyond_signed*.

        Raises:
            StateError: the journal cannot be read, or somebody publishes meanwhile; nothing was removed.
            TrustError: what signed metadata lists cannot be verified; as above.
        """
        trust = self.repository.trust
        lineages = {entry.id.lineage for entry in self.repository.list()}
        signed: tuple[Need, ...] = ()
        if isinstance(trust, MetadataTrust) and not beyond_signed:
            signed = tuple(need for lineage in lineages for need in ways_back(trust.client.channel(lineage)))

        def decided(shelved: tuple[Shelved, ...]) -> tuple[Verdict, ...]:
            logbook.refresh()
            ledger = logbook.ledger
            needed = needs(ledger.nodes.values(), ledger.rollouts.values())
            return decide(shelved, (*needed, *signed), retention, now=self._clock.now())

        return prune(self.repository, decided, dry_run=dry_run)

    def attest(self, bundle: BundleId, logbook: Logbook, nodes: Sequence[Node]) -> dict[str, Any]:
        """Sign, with the publisher's key, on which machines rollouts of *bundle* succeeded; return the statement.

        Raises:
            TrustError: signed metadata is not set up, or a key is missing.
            UsageError: the journal knows of no node that it succeeded on, those aside on which a component is set back.
        """
        found = self.bundle(bundle)
        logbook.refresh()
        names = set(proven_on(found, logbook.ledger.rollouts.values()))
        proven = [node for node in nodes if node.name in names and not logbook.node(node.name).set_back]
        if not proven:
            raise UsageError(
                f"no rollout of {bundle} succeeded on a node of the inventory",
                advice="Deploy it to machines of each model first; see 'rackwave rollout list'.",
            )
        statement = validated_on(found, proven, by=self._by, at=timestamp(self._clock.now()))
        self.metadata.attest(bundle, found.digest, VALIDATION, statement)
        return statement

    def validation(self, bundle: Bundle) -> dict[str, Any] | None:
        """Return the signed statement on which machines *bundle* was proven; None where nobody signed one.

        Raises:
            TrustError: signed metadata is not set up, or what is signed does not verify.
        """
        return self.metadata.statement(bundle.id, bundle.digest, VALIDATION)

    def sbom(self, logbook: Logbook, nodes: Sequence[Node]) -> dict[str, Any]:
        """Return the bill of materials (CycloneDX) of the rack, by what the journal says was committed on each node."""
        logbook.refresh()
        carried = [
            (node, tuple(held.bundle for _, held in sorted(logbook.node(node.name).assigned.items()))) for node in nodes
        ]
        set_back = {node.name: logbook.node(node.name).set_back for node in nodes}
        named = {each for _, ids in carried for each in ids} | {b.bundle for some in set_back.values() for b in some}
        bundles = {each: self.bundle(each) for each in named}
        return rack_sbom(carried, bundles, timestamp(self._clock.now()), set_back)

    async def _pull(self, bundle: BundleId, backing: Backing) -> None:
        with self.open_registry(backing) as registry:
            await asyncio.to_thread(self.repository.pull, bundle, registry, reason=f"pulled from {backing.address}")

    def _open_repository(self) -> BundleRepository:
        directory = self.state / REPOSITORY
        trust = open_trust(self.state, directory, self._ask, now=self._clock.now, elsewhere=self._remote_metadata)
        return BundleRepository(directory, trust)

    def _remote_metadata(self) -> RegistrySource | None:
        """Return the metadata of the registry behind the repository, if there is one."""
        backing = Backing.load(self.state / REGISTRY)
        if backing is None:
            return None
        folder = self.state / REPOSITORY / FOLDER
        return RegistrySource(lambda: backing.open(self._secrets, bounds=METADATA_BOUNDS), folder)
