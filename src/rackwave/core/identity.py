"""Names and ids as types of their own, checked once, where they enter."""

from __future__ import annotations

import re
from typing import ClassVar, Self

from attrs import field, frozen, validators

from ..errors import UsageError


class _Name(str):
    """A string that matched its pattern once and is never checked again."""

    __slots__ = ()
    what: ClassVar[str]
    pattern: ClassVar[re.Pattern[str]]

    def __new__(cls, text: str) -> Self:
        if isinstance(text, cls):
            return text
        if not isinstance(text, str) or not cls.pattern.fullmatch(text):
            raise UsageError(f"{text!r} is not a {cls.what}", advice=f"A {cls.what} matches {cls.pattern.pattern}.")
        return super().__new__(cls, text)


class NodeName(_Name):
    """The name of a node in the inventory, for example ``r1n07``."""

    __slots__ = ()
    what = "node name"
    pattern = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class ComponentName(_Name):
    """What an updateable part is called: ``BIOS`` or ``BMC`` on every make, else the Id of its inventory member."""

    __slots__ = ()
    what = "component name"
    pattern = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:/+-]{0,126}")


class ComponentPattern(_Name):
    """A shell-style pattern over component names, with at least one ``*`` or ``?``: ``NIC.*``."""

    __slots__ = ()
    what = "component pattern"
    pattern = re.compile(r"(?=.*[*?])[A-Za-z0-9*?][A-Za-z0-9 ._:/+*?-]{0,126}")


class Lineage(_Name):
    """A line of bundles that replace one another: the ``A`` of ``A.2``."""

    __slots__ = ()
    what = "lineage"
    pattern = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")


class Digest(_Name):
    """The name of some bytes by what they are: ``sha256:`` and 64 hexadecimal digits."""

    __slots__ = ()
    what = "digest"
    pattern = re.compile(r"sha256:[0-9a-f]{64}")

    @property
    def hex(self) -> str:
        """The 64 digits alone."""
        return self[7:]


class AttemptId(_Name):
    """One journalled try to bring one node to one bundle; a roll-back or reassertion is a new one."""

    __slots__ = ()
    what = "attempt id"
    pattern = re.compile(r"[a-z0-9]{4,32}")


class RolloutId(_Name):
    """One journalled rollout of one bundle to many nodes."""

    __slots__ = ()
    what = "rollout id"
    pattern = re.compile(r"[a-z0-9]{4,32}")


class ReleaseId(_Name):
    """One release for one lineage: the lineage and the first digits of its package's digest."""

    __slots__ = ()
    what = "release id"
    pattern = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}-[0-9a-f]{10}")


@frozen(order=True)
class BundleId:
    """A lineage and the publisher's integer seq, shown as ``A.2``.

    Bundles are ordered by seq alone, never by parsing a version.
    """

    lineage: Lineage = field(converter=Lineage)
    seq: int = field(validator=[validators.instance_of(int), validators.ge(0)])

    @classmethod
    def parse(cls, text: str) -> BundleId:
        """Read ``A.2``.

        Raises:
            UsageError: *text* is not a lineage, a dot and a whole number.
        """
        lineage, dot, seq = text.rpartition(".")
        if not dot or not seq.isascii() or not seq.isdigit() or len(seq) > 12:
            raise UsageError(f"{text!r} is not a bundle id", advice="Write lineage, dot, seq, for example A.2.")
        return cls(Lineage(lineage), int(seq))

    def __str__(self) -> str:
        return f"{self.lineage}.{self.seq}"
