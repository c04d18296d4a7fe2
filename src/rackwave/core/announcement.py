"""What a feed says of one release, before anybody looked at its bytes."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from attrs import frozen

from .bundle import ElementKind
from .identity import ComponentName, Digest


class Severity(StrEnum):
    """How urgent a release is, in four words that every publisher's own can be ranked by."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """From 1, the least, to 4."""
        return list(Severity).index(self) + 1


_OTHER_WORDS = {"moderate": Severity.MEDIUM, "important": Severity.HIGH, "urgent": Severity.CRITICAL}


def severity_of(word: str) -> Severity | None:
    """Rank a publisher's own word; None where it says nothing (``unknown``, ``optional``, a word of its own)."""
    word = word.strip().lower()
    return next((each for each in Severity if each == word), None) or _OTHER_WORDS.get(word)


@frozen
class Announcement:
    """One release as a feed lists it. *size* is in bytes, *date* YYYY-MM-DD; empty and None: not said.

    *stream* names what the release's like replace one another in: an LVFS component, a catalogue's device.
    *file* is where its package is, as the feed's kind understands it; *digest* is the package's, as the feed
    says: nothing is taken that does not match it. *targets* are GUIDs; *severity* is the publisher's own word.
    """

    stream: str
    version: str
    digest: Digest
    file: str
    name: str
    size: int | None = None
    vendor: str = ""
    model: str = ""
    component: ComponentName | None = None
    kind: ElementKind | None = None
    scheme: str = ""
    targets: tuple[str, ...] = ()
    severity: str = ""
    cves: tuple[str, ...] = ()
    summary: str = ""
    date: str = ""
    url: str = ""

    @property
    def is_same_firmware(self) -> tuple[str, str, str]:
        """Vendor, component and version: equal for one release that two feeds box differently."""
        return self.vendor.casefold(), str(self.component or self.stream), self.version


def worst(words: Iterable[str]) -> str:
    """Return the most urgent of publishers' words; the first where none can be ranked."""
    found = list(words)
    ranked = [(severity.rank, word) for word in found if (severity := severity_of(word)) is not None]
    return max(ranked, key=lambda each: each[0])[1] if ranked else next(iter(found), "")
