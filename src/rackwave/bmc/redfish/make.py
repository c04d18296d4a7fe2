"""Which make of BMC this is, from documents that are read anyway, and which quirks therefore hold."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve

from ..quirks import Facts, Roster, Selection
from .document import Document, text


class Make:
    """Collects what one BMC tells of itself, and chooses the quirks by it."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._facts = Facts()
        self._selection = roster.select(self._facts)

    @property
    def facts(self) -> Facts:
        """What is known so far."""
        return self._facts

    @property
    def selection(self) -> Selection:
        """What holds by what is known so far."""
        return self._selection

    def missing(self, keys: Iterable[str]) -> frozenset[str]:
        """Which of `Facts` may yet change one of *keys*; none given: any."""
        wanted = frozenset(keys)
        unsure = (near.record for near in self._selection.unsure)
        asking = [record.match for record in unsure if not wanted or wanted.intersection(record.keys)]
        return frozenset[str]().union(*(match.missing(self._facts) for match in asking))

    def note_root(self, root: Document) -> None:
        """Take what the service root tells: Vendor, Product, and whose extensions it has (all Supermicro's does)."""
        names = [text(root, "Vendor"), *_keys(root.get("Oem"))]
        self._note(evolve(self._facts, vendor=self._vendors(names) or None, product=text(root, "Product") or ""))

    def note_system(self, system: Document) -> None:
        """Take what the ComputerSystem tells."""
        vendor = self._vendors([text(system, "Manufacturer")])
        self._note(evolve(self._facts, vendor=vendor, model=text(system, "Model") or ""))

    def note_manager(self, manager: Document) -> None:
        """Take what the Manager tells."""
        model, firmware = text(manager, "Model") or "", text(manager, "FirmwareVersion") or ""
        self._note(evolve(self._facts, manager=model, firmware=firmware))

    def forget_manager(self) -> None:
        """The BMC may run another firmware now: what the Manager tells has to be read again."""
        self._note(evolve(self._facts, manager=None, firmware=None))

    def _vendors(self, names: Iterable[str | None]) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*(self._facts.vendor or ()), *(name for name in names if name))))

    def _note(self, facts: Facts) -> None:
        if facts != self._facts:
            self._facts = facts
            self._selection = self._roster.select(facts)


def _keys(value: object) -> tuple[str, ...]:
    return tuple(str(key) for key in value) if isinstance(value, dict) else ()
