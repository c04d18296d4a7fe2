"""Every record, and which of them concern one BMC."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import field, frozen

from ...errors import QuirkError
from .quirks import PLAIN, Quirks
from .record import Facts, Fit, Record


@frozen
class Near:
    """A record that does not hold, and what is between: the firmware, or something that is not known."""

    record: Record
    why: str


@frozen
class Selection:
    """What holds for one BMC: *records*, the more specific later, merged into *quirks*.

    *near* would hold but for the firmware. *unsure* are those that more facts may yet decide.
    """

    quirks: Quirks = PLAIN
    records: tuple[Record, ...] = ()
    near: tuple[Near, ...] = ()
    unsure: tuple[Near, ...] = ()


def _ordered(records: Iterable[Record]) -> tuple[Record, ...]:
    return tuple(sorted(records, key=lambda record: record.match.weight))


@frozen
class Roster:
    """All records, the less specific first; of equals those read later come later, so third parties' win.

    Raises:
        QuirkError: two records have one id.
    """

    records: tuple[Record, ...] = field(default=(), converter=_ordered)

    def __attrs_post_init__(self) -> None:
        seen: dict[str, Record] = {}
        for record in self.records:
            other = seen.setdefault(record.id, record)
            if other is not record:
                raise QuirkError(
                    f"{record.origin}: there is a quirk {record.id!r} already, in {other.origin}",
                    advice="Give each record an id of its own.",
                )

    def select(self, facts: Facts) -> Selection:
        """Choose what concerns the BMC of *facts*, and merge it."""
        quirks = PLAIN
        chosen: list[Record] = []
        near: list[Near] = []
        unsure: list[Near] = []
        for record in self.records:
            fit, why = record.match.fit(facts)
            match fit:
                case Fit.YES:
                    chosen.append(record)
                    quirks = quirks.changed_by(record.differs, record.keys)
                case Fit.NEAR:
                    near.append(Near(record, why))
                case Fit.UNSURE:
                    unsure.append(Near(record, why))
                case Fit.NO:
                    pass
        return Selection(quirks, tuple(chosen), tuple(near), tuple(unsure))
