"""Decides by signed metadata what may be used: the same code where bundles are published and where they are deployed.

Three questions, from the strictest down:

- *May it be deployed?* (``check_forward``) Only by metadata that was fetched and verified just now, unexpired.
- *May it be sent?* (``check_sendable``) Also to recover a node: by the newest channel that was ever verified here.
  Expired or unreachable metadata does not stand in the way of what was verified before.
- *Is it what was signed?* (``verify``) To know what a node carries, also of what was withdrawn.

python-tuf does the verifying. What it leaves open is closed here: an overall deadline, versions
remembered apart from its own folder, a clock that runs backwards, and channels that go back.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from attrs import frozen
from tuf.api.exceptions import DownloadError, RepositoryError
from tuf.api.metadata import TargetFile
from tuf.ngclient import Updater, UpdaterConfig

from ...core.channel import Channel, read_channel
from ...core.identity import BundleId, Digest, Lineage
from ...errors import TrustError
from .explain import clock_went_back, explain, rolled_back
from .memory import Memory, Seen
from .roles import bundle_path, channel_path, stored_name
from .source import DeadlineFetcher, MetadataSource

DEADLINE = 60.0
"""Seconds for all that one refresh fetches: some 10 KB, which a local disk gives in milliseconds."""

FRESH = 30.0
"""Seconds for which what was fetched, or could not be, counts as of now: a command looks often, and waits once."""

SKEW = 300.0
"""Seconds by which the clock may stand before the last verification: NTP steps that much at a boot."""

LIMITS = UpdaterConfig(
    max_root_rotations=256,
    max_delegations=8,
    root_max_length=512_000,
    timestamp_max_length=16_384,
    snapshot_max_length=4_000_000,  # 80 bytes a role: some 700 lineages with 64 bins each
    targets_max_length=5_000_000,
)
MAX_CHANNEL = 1024 * 1024

_log = logging.getLogger("rackwave.trust")


@frozen
class _Verified:
    """Metadata that was verified just now."""

    updater: Updater
    fetcher: DeadlineFetcher


class MetadataClient:
    """Verifies what *source* offers, and remembers in *memory* what it verified."""

    def __init__(
        self,
        memory: Memory,
        source: MetadataSource,
        *,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        deadline: float = DEADLINE,
    ) -> None:
        self._memory = memory
        self._source = source
        self._now = now
        self._monotonic = monotonic
        self._deadline = deadline
        self._state: _Verified | TrustError | None = None
        self._looked = 0.0
        self._channels: dict[Lineage, Channel] = {}
        self._warned: set[str] = set()

    # -- the three questions -----------------------------------------------------------------------

    def refresh(self) -> None:
        """Fetch and verify the newest metadata.

        Raises:
            TrustError: it cannot be fetched, does not verify, has expired, or is older than what was seen before.
        """
        self._channels.clear()
        try:
            self._state = self._refreshed()
        except TrustError as problem:
            self._state = problem
            raise
        finally:
            self._looked = self._monotonic()

    def check_forward(self, bundle: BundleId, digest: Digest) -> None:
        """Refuse to deploy *bundle* unless metadata of this moment says that it may be.

        Raises:
            TrustError: it may not, or there is no such metadata.
        """
        self._check_signed(bundle, digest, self._target(bundle), self._channel(bundle.lineage))
        self.check_sendable(bundle)

    def check_sendable(self, bundle: BundleId) -> None:
        """Refuse to send *bundle* to any node: it was withdrawn, lies below the floor, or is none to go back to.

        Raises:
            TrustError: it may not be sent, or nothing was ever verified of its lineage.
        """
        channel = self.channel(bundle.lineage)
        problem = channel.why_not(bundle)
        if problem is not None:
            raise TrustError(problem, advice=_instead(channel, bundle))

    def verify(self, bundle: BundleId, payload: bytes) -> None:
        """Refuse *payload* unless it is the payload manifest that was signed as *bundle*.

        Raises:
            TrustError: it is not, or that cannot be found out and was not before.
        """
        digest = Digest(f"sha256:{hashlib.sha256(payload).hexdigest()}")
        try:
            target, channel = self._target(bundle), self._channel(bundle.lineage)
        except TrustError as problem:
            if self._memory.digest(bundle) != digest:
                raise
            self._warn(problem)
            return
        self._check_signed(bundle, digest, target, channel)
        self._memory.keep_digest(bundle, digest)

    def channel(self, lineage: Lineage) -> Channel:
        """Return the channel of *lineage*: of now or, where that cannot be had, the one that was verified last.

        Raises:
            TrustError: there is neither.
        """
        if lineage in self._channels:
            return self._channels[lineage]  # a rollout that sends asks often, and must not wait for a network
        try:
            return self._channel(lineage)
        except TrustError as problem:
            before = self._memory.channel(lineage)
            if before is None:
                raise
            self._warn(problem)
            return before

    def target(self, path: str, max_length: int) -> bytes | None:
        """Return the bytes of the target *path*, None where there is none of that name.

        Raises:
            TrustError: its metadata or its bytes do not verify.
        """
        state = self._current()
        try:
            info = state.updater.get_targetinfo(path)
            if info is None:
                return None
            name = f"targets/{stored_name(path, info.hashes['sha256'])}"
            data = state.fetcher.download_bytes(name, min(info.length, max_length))
            info.verify_length_and_hashes(data)
        except (RepositoryError, DownloadError, KeyError) as error:
            raise explain(error, path, self._now()) from error
        return data

    # -- inside ------------------------------------------------------------------------------------

    def _current(self) -> _Verified:
        if self._state is None or self._monotonic() - self._looked > FRESH:
            self.refresh()
        if isinstance(self._state, TrustError):
            raise self._state
        assert self._state is not None  # noqa: S101 - refresh() sets it or raises
        return self._state

    def _refreshed(self) -> _Verified:
        seen, now = self._memory.seen(), self._now()
        if seen is not None and now < seen.at - SKEW:
            raise clock_went_back(now, seen.at)
        fetcher = DeadlineFetcher(self._source, seconds=self._deadline, monotonic=self._monotonic)
        root = self._memory.root()
        self._memory.metadata.mkdir(parents=True, exist_ok=True)
        try:
            updater = Updater(str(self._memory.metadata), "metadata/", fetcher=fetcher, config=LIMITS, bootstrap=root)
            # It has no other door for the clock, which here is the one that is passed in.
            trusted = updater._trusted_set  # noqa: SLF001
            trusted.reference_time = datetime.fromtimestamp(now, UTC)
            updater.refresh()
        except (RepositoryError, DownloadError) as error:
            raise explain(error, "the repository's metadata", now) from error
        signed = {"root": trusted.root, "timestamp": trusted.timestamp, "snapshot": trusted.snapshot}
        versions = {name: each.version for name, each in signed.items()}
        for name, version in seen.versions.items() if seen is not None else ():
            if versions.get(name, version) < version:
                raise rolled_back(name, version, versions[name])
        self._memory.see(Seen(max(now, seen.at if seen is not None else now), versions))
        return _Verified(updater, fetcher)

    def _target(self, bundle: BundleId) -> TargetFile | None:
        state = self._current()
        path = bundle_path(bundle)
        try:
            return state.updater.get_targetinfo(path)
        except (RepositoryError, DownloadError) as error:
            raise explain(error, f"lineage {bundle.lineage}", self._now()) from error

    def _channel(self, lineage: Lineage) -> Channel:
        self._current()
        if lineage not in self._channels:
            data = self.target(channel_path(lineage), MAX_CHANNEL)
            if data is None:
                raise TrustError(
                    f"nothing is signed for lineage {lineage}",
                    advice=f"Publish a bundle of it, after 'rackwave trust delegate {lineage}' where that is new.",
                )
            channel = read_channel(data, lineage)
            before = self._memory.channel(lineage)
            if before is not None:
                channel.check_follows(before)
            self._memory.keep_channel(lineage, data)
            self._channels[lineage] = channel
        return self._channels[lineage]

    def _check_signed(self, bundle: BundleId, digest: Digest, target: TargetFile | None, channel: Channel) -> None:
        """Refuse unless *digest* is what was signed as *bundle*, as a target or as one that was withdrawn."""
        if target is not None:
            if target.hashes.get("sha256") != digest.hex:
                signed = f"sha256:{target.hashes.get('sha256')}"
                raise TrustError(
                    f"{bundle} is not what was signed: it is {digest}, and {signed} was signed",
                    advice="Do not use it. Fetch or publish the bundle again, and find out who changed it.",
                )
            return
        if channel.withdrawn.get(bundle.seq) == digest:
            return
        raise TrustError(
            f"{bundle} is not signed: the metadata of lineage {bundle.lineage} does not name it",
            advice="If its publication was interrupted, publish it again. Else do not use it.",
        )

    def _warn(self, problem: TrustError) -> None:
        """Say once that recovery goes on by what was verified before."""
        if str(problem) not in self._warned:
            self._warned.add(str(problem))
            _log.warning("what was verified before is used to recover with, since there is no newer: %s", problem.whole)


def _instead(channel: Channel, bundle: BundleId) -> str:
    if bundle.seq < channel.min_seq or bundle.seq in channel.withdrawn:
        return f"Deploy {channel.id}, which is current, or have a newer one published."
    return f"Deploy {channel.id}, which is current, or move the lineage back: 'rackwave bundle revert {bundle}'."
