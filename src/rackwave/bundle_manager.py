"""The bundle manager (112): makes new bundles and puts them into the repository."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .core.bundle import Manifest
from .errors import TrustError
from .repository.assembly import assemble
from .repository.keys import BundleSigner
from .repository.repository import BundleRepository, Publication
from .repository.source import BuiltBundle, build


class BundleManager:
    """Builds bundles from sources and publishes them, with the reason why."""

    def __init__(self, repository: BundleRepository, signer: BundleSigner | None = None) -> None:
        self._repository = repository
        self._signer = signer

    def build(self, source: Path, out: Path) -> BuiltBundle:
        """Build the bundle that *source* describes into *out*, signed.

        Raises:
            TrustError: there is no key to sign it with.
            ManifestError: the source is not right; the message names the field.
            BundleError: a payload cannot be read, or *out* holds something else.
        """
        return build(source, out, self._key())

    def assemble(self, manifest: Manifest, fresh: Mapping[str, Path], out: Path) -> BuiltBundle:
        """Write the bundle of *manifest* into *out*, signed: payloads that are not *fresh* are in the repository.

        Raises:
            TrustError: there is no key to sign it with.
            BundleError: see ``repository.assembly.assemble``.
        """
        return assemble(manifest, fresh, out, self._key(), stored=self._repository.layout)

    def publish(
        self, built: BuiltBundle | Path, reason: str = "", *, may_be_old: bool = False, min_seq: int | None = None
    ) -> Publication:
        """Make a bundle that was built, or exported, its lineage's current one; *reason* is kept beside its date.

        With *may_be_old* one that is older than the current bundle goes into the archive.

        With *min_seq* nothing below that seq is sent from now on, not even to go back.

        Raises:
            TrustError: unsigned, altered, or by a key that may not sign this lineage.
            DigestMismatchError: what was built is damaged.
            BundleError: the id is taken by other content, or its seq is not above the current one's.
        """
        place = built if isinstance(built, Path) else built.directory
        return self._repository.publish(place, reason, may_be_old=may_be_old, min_seq=min_seq)

    def _key(self) -> BundleSigner:
        if self._signer is None:
            raise TrustError("there is no key to sign the bundle with", advice="Make one with 'rackwave trust key'.")
        return self._signer
