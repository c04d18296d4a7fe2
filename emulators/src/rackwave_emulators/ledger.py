"""The truth about writes: every update that a machine accepted, and which of them were double flashes.

The rule, from the project's definition ("a write that starts while an earlier write to the same
component is unresolved, or a second write of one digest within one attempt"), in the lab's terms:

* A write **starts** when the BMC accepts the request. It is **unresolved** while its image is on the
  way or is being programmed, and while it is staged and waits for its reset; it is resolved when it
  became what runs, failed, was rejected, or was lost or replaced.
* It is an ``overlap`` if, when it started, an earlier write to the same component was unresolved.
  Where the request did not name the component, the image does, and the rule is applied then.
* It is a ``repeat`` if bytes of the same digest were already programmed into the same component
  within the same attempt. A request whose image never came or never verified wrote no digest.
* The lab learns the attempt from the image's name alone: a URL path segment or file name that
  contains ``attempt-<id>``. HPM.1 has no place for one: attempt ``""``. There an image programmed in
  between ends the attempt, since nobody writes another image in the midst of a try; the same bytes twice
  in a row are a repeat.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum

import attrs
from attrs import frozen

from rackwave.core.identity import ComponentName, Digest

_ATTEMPT = re.compile(r"attempt-([a-z0-9]+)")


def attempt_of(image_ref: str) -> str:
    """Read the attempt's id out of an image's URL or file name; ``""`` where it names none."""
    match = _ATTEMPT.search(image_ref)
    return match[1] if match else ""


class WriteResult(StrEnum):
    """How a write ended; PENDING has not."""

    PENDING = "pending"
    ACTIVATED = "activated"
    TRANSFER_FAILED = "transfer-failed"
    REJECTED = "rejected"
    FAILED = "failed"
    CORRUPTED = "corrupted"
    LOST = "lost"
    SUPERSEDED = "superseded"
    UNAPPLIED = "unapplied"


class DoubleFlash(StrEnum):
    """By which half of the definition a write is a double flash."""

    OVERLAP = "overlap"
    REPEAT = "repeat"


@frozen
class WriteRecord:
    """One accepted update. Times are epoch seconds.

    *accepted*, *flashed* and *resolved* are places in the order of events.

    *flash_started_at* is None for a write of which no byte reached the component, *staged_at* for one
    that never waited for a reset.
    """

    number: int
    component: ComponentName | None
    attempt: str
    source: str
    image: str
    accepted_at: float
    accepted: int
    digest: Digest | None = None
    version: str | None = None
    flash_started_at: float | None = None
    flashed: int | None = None
    staged_at: float | None = None
    resolved_at: float | None = None
    resolved: int | None = None
    result: WriteResult = WriteResult.PENDING


def double_flash(record: WriteRecord, others: tuple[WriteRecord, ...]) -> DoubleFlash | None:
    """Judge *record* by the rule at the top of this module, in the light of the machine's *others*."""
    same = [other for other in others if other.component == record.component is not None]
    earlier = (other for other in same if other.accepted < record.accepted)
    if any(other.resolved is None or other.resolved > record.accepted for other in earlier):
        return DoubleFlash.OVERLAP
    if record.flashed is None:
        return None
    # An image may be long on its way: of two, the one that is programmed later repeats the other.
    before = [other for other in same if other.flashed is not None and other.flashed < record.flashed]
    if not record.attempt:
        before = sorted(before, key=lambda other: other.flashed or 0)[-1:]
    is_repeat = any((other.attempt, other.digest) == (record.attempt, record.digest) for other in before)
    return DoubleFlash.REPEAT if is_repeat else None


class Ledger:
    """Every write that one machine accepted, in order."""

    __slots__ = ("_events", "_records")

    def __init__(self) -> None:
        self._records: list[WriteRecord] = []
        self._events = 0

    def __iter__(self) -> Iterator[WriteRecord]:
        return iter(tuple(self._records))

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, number: int) -> WriteRecord:
        return self._records[number]

    def accept(self, *, component: ComponentName | None, attempt: str, source: str, image: str, at: float) -> int:
        """Enter a write and return its number."""
        self._events += 1
        number = len(self._records)
        self._records.append(
            WriteRecord(
                number=number,
                component=component,
                attempt=attempt,
                source=source,
                image=image,
                accepted_at=at,
                accepted=self._events,
            )
        )
        return number

    def flash(self, number: int, *, component: ComponentName, digest: Digest, version: str, at: float) -> None:
        """Note that the bytes of a verified image began to be programmed."""
        self._events += 1
        self._records[number] = attrs.evolve(
            self._records[number],
            component=component,
            digest=digest,
            version=version,
            flash_started_at=at,
            flashed=self._events,
        )

    def stage(self, number: int, *, at: float) -> None:
        """Note that the image is written and waits for its reset."""
        self._records[number] = attrs.evolve(self._records[number], staged_at=at)

    def resolve(self, number: int, result: WriteResult, *, at: float) -> None:
        """Note how a write ended; the first end counts."""
        if self._records[number].resolved is not None:
            return
        self._events += 1
        self._records[number] = attrs.evolve(
            self._records[number], result=result, resolved_at=at, resolved=self._events
        )

    def double_flashes(self) -> dict[int, DoubleFlash]:
        """Return by number which writes were double flashes, and why."""
        records = tuple(self._records)
        judged = ((record.number, double_flash(record, records)) for record in records)
        return {number: verdict for number, verdict in judged if verdict is not None}
