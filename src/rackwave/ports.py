"""What the inner layers ask of the world, in their own words. Adapters implement these."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

from attrs import field, frozen

from .core.boot import BootOverride, BootSetting
from .core.bundle import Activation, AttributeValue
from .core.event import Event, Recorded
from .core.identity import AttemptId, ComponentName, Digest, NodeName
from .core.log import LogMark, LogNews
from .core.observation import Look, Observation, Unknown
from .core.pin import Pin, PinGround
from .core.power import PowerAct
from .core.receipt import Receipt
from .core.sensor import SensorReadings
from .core.settings_check import SettingsCheck
from .core.step import ImageWay, Means, ResetKind

__all__ = [
    "Announces",
    "BlobStore",
    "Bmc",
    "Clock",
    "Completing",
    "Credentials",
    "EventDoors",
    "Fetch",
    "Image",
    "ImageServer",
    "Journal",
    "KeyBook",
    "Knocked",
    "Leave",
    "LoginMemory",
    "Means",
    "Panel",
    "ResetKind",
    "Secrets",
]


class Clock(Protocol):
    """Time, passed in. Logic never asks the system for it."""

    def now(self) -> float:
        """Seconds since the epoch. It may jump; it is for dates, not for deadlines within one process."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back; for deadlines."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait *seconds* of this clock's time."""
        ...


@frozen
class Image:
    """An image to be written: verified bytes on disk and, where the BMC may pull it, a URL.

    *url* grants access, so it is kept out of every repr and log. *activation* is what makes it run. *force*:
    it is meant to go over its like or a newer one, whatever the BMC's own policy.
    """

    component: ComponentName
    version: str
    digest: Digest
    size: int
    path: Path
    file_name: str
    url: str | None = field(default=None, repr=False)
    activation: Activation = Activation.HOST_RESET
    force: bool = False


class Completing(Protocol):
    """Awaited by an upload right before the bytes that make its image whole; durable when it returns."""

    async def __call__(self, *, held: bool = False) -> None:
        """Note it. *held*: by this way nothing is programmed before the BMC is told to begin."""
        ...


class Bmc(Protocol):
    """One node's management device (590), in the domain's words.

    Reads never raise for a BMC that is silent or talks nonsense: what could not be read is Unknown.
    Acts are sent once and never repeated by the adapter; their receipt says what is known. Both raise
    BmcLoginError or BmcCertificateError where a person must act first.
    """

    @property
    def node(self) -> NodeName: ...

    async def observe(self, look: Look) -> Observation:
        """Read what *look* asks for, now, from the BMC."""
        ...

    async def way_of(self, component: ComponentName, *, activation: Activation) -> ImageWay | Unknown:
        """Return by which way an image would go over now; Unknown where there is none, or it cannot be read."""
        ...

    async def write(self, image: Image, *, completing: Completing) -> Receipt:
        """Hand *image* to the BMC for its component, once.

        An upload awaits *completing* before it sends the bytes that make the image whole. A killed
        upload whose *completing* was never journalled is thereby known to be incomplete. A pull
        never calls it: there the image server's log says the same.
        """
        ...

    async def start_update(self, component: ComponentName) -> Receipt:
        """Tell the BMC to begin with the image that it holds for *component*, once.

        Refused, UNABLE, where this way holds nothing that could be begun with.
        """
        ...

    async def switch_bank(self, component: ComponentName, version: str, *, activation: Activation) -> Receipt:
        """Have *component* run the *version* that its other bank has, once; *activation* makes it do so.

        Refused, UNABLE, where this way knows no such bank, or another version is in it.
        """
        ...

    async def configure(self, attributes: Mapping[str, AttributeValue]) -> Receipt:
        """Stage BIOS attributes for the next host reset, once."""
        ...

    async def check_settings(self, attributes: Mapping[str, AttributeValue]) -> SettingsCheck | Unknown:
        """Say what speaks against staging *attributes*, touching nothing; for planning."""
        ...

    async def reset_host(self, kind: ResetKind) -> Receipt:
        """Change the host's power, once."""
        ...

    @property
    def means(self) -> tuple[Means, ...]:
        """By what the BMC can be restarted as things stand, gentlest first."""
        ...

    async def reset_bmc(self, means: Means | None = None) -> Receipt:
        """Restart the BMC, once, by *means* (None: by whichever of its own functions answers).

        It is away afterwards; one good answer does not mean it is back (P36).
        """
        ...

    async def park(self) -> None:
        """Let go of the connection, keep the session: nothing is to be done here for a while."""
        ...

    async def close(self) -> None:
        """End the session on the BMC and let go of everything."""
        ...


class Panel(Protocol):
    """What a person reads of and does to one machine by hand, beside the plans: an adapter has it with `Bmc`.

    Like there, what cannot be read is Unknown, an act is sent once, and both raise where a person must act
    first. Whoever calls an act holds the node's lease.
    """

    async def power_acts(self) -> frozenset[PowerAct] | Unknown | None:
        """Return what the service can be asked for; None: it does not say."""
        ...

    async def power(self, act: PowerAct) -> Receipt:
        """Send one power act. A refusal in the state that was asked for is as good as yes (P35)."""
        ...

    async def boot_setting(self) -> BootSetting | Unknown:
        """Read what overrides the boot order, and what may."""
        ...

    async def set_boot(self, override: BootOverride) -> Receipt:
        """Override the boot order; Lasting.NEVER clears it."""
        ...

    async def indicator(self) -> bool | Unknown:
        """Read whether the locator light is on."""
        ...

    async def set_indicator(self, *, on: bool) -> Receipt:
        """Switch the locator light."""
        ...

    async def sensors(self) -> SensorReadings | Unknown:
        """Read the sensors, in a bounded number of requests."""
        ...

    async def log(self, since: LogMark | None, *, limit: int) -> LogNews | Unknown:
        """Read at most *limit* entries of the machine's event log, the newest, or those since a mark."""
        ...


@runtime_checkable
class Lists(Protocol):
    """A `Bmc` that can say by which names it knows its machine's parts."""

    async def list_components(self) -> frozenset[ComponentName] | Unknown:
        """Return the names of all components that it lists now; Unknown where that cannot be read."""
        ...


@runtime_checkable
class Announces(Protocol):
    """A `Bmc` that may tell of news by itself."""

    async def listen(self, wake: Callable[[], None]) -> None:
        """Call *wake*, on this event loop, whenever a look may show something new, until the BMC is closed.

        It decides nothing and promises nothing: news may be lost, late or false. No effect where the
        BMC tells none, and none the second time.
        """
        ...


class BlobStore(Protocol):
    """Bytes by digest, verified."""

    def path(self, digest: Digest) -> Path:
        """Return where the blob lies, after its bytes were verified against *digest*.

        Raises:
            DigestMismatchError: the bytes on disk are not the bytes named.
            BundleNotFoundError: no such blob.
        """
        ...


@frozen
class Fetch:
    """What the image server saw of one grant: how many requests came, and the bytes sent so far."""

    requests: int
    sent: int
    size: int

    @property
    def complete(self) -> bool:
        """Whether the BMC can hold the whole image."""
        return self.requests > 0 and self.sent >= self.size


class ImageServer(Protocol):
    """What BMCs pull images from: expiring per-node grants, every fetch logged before its first byte."""

    async def grant(self, *, node: NodeName, attempt: AttemptId, digest: Digest, path: Path, file_name: str) -> str:
        """Return a URL under which *node*, and within its life nobody else, may fetch the file."""
        ...

    async def revoke(self, *, node: NodeName, attempt: AttemptId, digest: Digest) -> None:
        """End every grant of this attempt, so that a late BMC can no longer begin to fetch."""
        ...

    async def fetched(self, *, node: NodeName, attempt: AttemptId, digest: Digest) -> Fetch:
        """Return what was fetched under the grants of this attempt; durable over a kill -9."""
        ...


Knocked: TypeAlias = Callable[[str], None]
"""Called with what a BMC sent; with an empty text where that is too long to be read, or several things came."""


class EventDoors(Protocol):
    """Where BMCs tell of news by themselves."""

    @property
    def installation(self) -> str:
        """What tells this installation's subscriptions from another's, which may know a node by the same name."""
        ...

    async def open_door(self, node: NodeName, knocked: Knocked) -> str:
        """Return a URL for *node*'s BMC, which grants access and so belongs in no log."""
        ...

    async def shut_door(self, node: NodeName) -> None:
        """Take no more news from *node*; no effect where no door is open."""
        ...


@frozen
class Credentials:
    """A user and a password; the password is in no repr."""

    username: str
    password: str = field(repr=False)


class Secrets(Protocol):
    """Turns a reference such as ``env:LAB`` into credentials, at the edge, at the last moment."""

    def resolve(self, reference: str) -> Credentials:
        """Look *reference* up.

        Raises:
            SecretError: it does not resolve; the message names the reference, never a value.
        """
        ...


class Leave(Protocol):
    """Says whether a node may be touched now: nobody holds it, and nobody's work is on it."""

    async def refusal(self, node: NodeName) -> str | None:
        """Return why nothing may be begun on *node* now; None: it may."""
        ...

    def is_held(self, node: NodeName) -> bool:
        """Whether a person wants *node* left alone now."""
        ...


class KeyBook(Protocol):
    """By which key one BMC is believed, where it is pinned (P32); durable."""

    @property
    def pin(self) -> Pin | None:
        """What is on record; None: it was never met."""
        ...

    @property
    def serial(self) -> str:
        """The machine's serial number as it was recorded when it was first met; empty where it was not."""
        ...

    def why_not(self, key: Digest, uuid: str) -> str | None:
        """Return why *key*, behind which the service calls itself *uuid*, cannot take the pin's place by itself."""
        ...

    async def record(self, key: Digest, ground: PinGround, uuid: str) -> None:
        """Note durably that the BMC is believed by *key* from now on."""
        ...


class LoginMemory(Protocol):
    """What one BMC made of earlier logins, whichever process tried them (P34)."""

    async def why_not(self, credentials: Credentials) -> str | None:
        """Return why *credentials* must not be sent now; None where they may be."""
        ...

    async def refused(self, credentials: Credentials, reason: str) -> str:
        """Note durably that the BMC refused *credentials*; return what a person may try next, if more than usual."""
        ...


class Journal(Protocol):
    """Where events are kept for good."""

    async def append(self, *events: Event) -> tuple[Recorded, ...]:
        """Write *events*, all or none; they are durable when this returns."""
        ...

    def events(self, after: int = 0) -> Iterator[Recorded]:
        """Read what was written after event number *after*, by whichever process, in order."""
        ...
