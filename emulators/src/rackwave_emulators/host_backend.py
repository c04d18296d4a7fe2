"""What a machine's host really is: nothing but time (the default), or a process that boots what it was flashed with.

The machine keeps power, POST and what is in flash; a backend is told when the host starts, stops and
hangs, and tells how POST ended. Every call holds whatever lock the machine's caller holds, so a
backend never waits: what takes time is looked at again through ``BootingHost.later``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from attrs import frozen

from rackwave.core.identity import Digest

from .images import ImageFacts


@frozen
class Flashed:
    """What the BIOS flash holds: the image of *digest* (None: nobody knows which), whole or spoilt."""

    digest: Digest | None
    corrupt: bool


@frozen
class HostIdentity:
    """Which host a backend is made for."""

    node: str
    serial: str
    uuid: str
    vendor: str
    model: str


class BootingHost(Protocol):
    """A host as its backend sees it."""

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Do *act* after *seconds*, unless the host has been reset, cut off or hung by then."""

    def flashed(self) -> Flashed:
        """Return what the BIOS flash holds now."""

    def post_ended(self, *, came_up: bool) -> None:
        """Say that POST is over."""

    def lost_power(self) -> None:
        """Say that the host is gone, as if its power had been cut."""


class HostBackend(Protocol):
    """What runs while the host is powered."""

    @property
    def live(self) -> bool:
        """Whether it runs by itself, in real time, and so must be looked at even if nobody asks."""

    @property
    def factory(self) -> ImageFacts | None:
        """The BIOS image that it leaves the factory with; None: whatever the personality says."""

    def boot(self, host: BootingHost, *, post: float, applying: float) -> None:
        """POST begins; by the book it takes *post* seconds, and a staged image is in place after *applying* of them."""

    def cut(self) -> None:
        """The host's power is cut, or the host is reset, this instant."""

    def hang(self) -> None:
        """The host stops where it stands; its power stays on."""

    def keep_image(self, image: Path, facts: ImageFacts) -> None:
        """Take what is needed of an image that verified, before it is dropped. Called from any thread."""

    def truth(self) -> Mapping[str, object]:
        """Tell what really runs; ``bios`` is what it says of its own BIOS."""

    def close(self) -> None:
        """End whatever runs, for good."""


HostMaker = Callable[[HostIdentity], HostBackend | None]
"""Makes the backend of a host; None: nothing but time."""


class TimedHost:
    """A host that is nothing but time: POST takes as long as the personality says and always comes to its end."""

    __slots__ = ()

    @property
    def live(self) -> bool:
        """See ``HostBackend``."""
        return False

    @property
    def factory(self) -> ImageFacts | None:
        """See ``HostBackend``."""
        return None

    def boot(self, host: BootingHost, *, post: float, applying: float) -> None:
        """See ``HostBackend``."""
        del applying  # it is part of POST
        host.later(post, lambda: host.post_ended(came_up=True))

    def cut(self) -> None:
        """See ``HostBackend``."""

    def hang(self) -> None:
        """See ``HostBackend``."""

    def keep_image(self, image: Path, facts: ImageFacts) -> None:
        """See ``HostBackend``."""

    def truth(self) -> Mapping[str, object]:
        """See ``HostBackend``."""
        return {}

    def close(self) -> None:
        """See ``HostBackend``."""


def no_guest(_: HostIdentity) -> HostBackend | None:
    """Make every host of nothing but time."""
    return None


TIMED_HOST = TimedHost()
"""It has no state, so one serves every machine."""
