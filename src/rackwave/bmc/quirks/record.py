"""One record: whom it concerns, what differs there, why, and who says so."""

from __future__ import annotations

import re
from enum import StrEnum
from fnmatch import fnmatchcase

from attrs import frozen

from .quirks import Quirks

_DOTTED = re.compile(r"\d{1,9}(\.\d{1,9}){0,7}")


@frozen
class Facts:
    """What is known of a BMC. None: nobody has looked yet; empty: it does not tell.

    *vendor* holds every name it goes by: the root's Vendor, the names under its Oem, the system's Manufacturer.
    *product* is the root's, *model* the system's, *manager* the Manager's Model, *firmware* its FirmwareVersion.
    *ipmi* is the manufacturer id of IPMI's Get Device ID (an IANA enterprise number).
    """

    vendor: tuple[str, ...] | None = None
    product: str | None = None
    model: str | None = None
    manager: str | None = None
    firmware: str | None = None
    ipmi: int | None = None


class Fit(StrEnum):
    """Whether a record concerns a BMC. NEAR: it would, but for the firmware; UNSURE: what decides is not known yet."""

    YES = "yes"
    NO = "no"
    NEAR = "near"
    UNSURE = "unsure"


@frozen
class Range:
    """From *at_least* on, and before *below*. *form* is how the version stands in FirmwareVersion: ``*`` marks it.

    Only dotted numbers compare, part by part as numbers: 2.9 is before 2.10.
    """

    at_least: str = ""
    below: str = ""
    form: str = "*"

    def holds(self, firmware: str) -> bool | None:
        """Whether *firmware* lies in the range; None where it cannot be compared."""
        version = self.version(firmware)
        if version is None:
            return None
        lower, upper = dotted(self.at_least), dotted(self.below)
        return (lower is None or version >= lower) and (upper is None or version < upper)

    def version(self, firmware: str) -> tuple[int, ...] | None:
        """The version in *firmware* as numbers; None where it has not this form."""
        before, _, after = self.form.partition("*")
        if not firmware.startswith(before) or not firmware.endswith(after):
            return None
        return dotted(firmware[len(before) : len(firmware) - len(after)].strip())

    def __str__(self) -> str:
        parts = (f"at least {self.at_least}" if self.at_least else "", f"below {self.below}" if self.below else "")
        return " and ".join(part for part in parts if part)


def dotted(text: str) -> tuple[int, ...] | None:
    """Read ``6.00.30`` as numbers, trailing zeros dropped (2.30 is 2.30.0); None for what is no dotted number."""
    if not text.isascii() or not _DOTTED.fullmatch(text):
        return None
    numbers = [int(part) for part in text.split(".")]
    while len(numbers) > 1 and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


@frozen
class Match:
    """Whom a record concerns: every part that is given must hold. Patterns are shell-style and mind no case."""

    vendor: str = ""
    product: str = ""
    model: str = ""
    manager: str = ""
    ipmi: int | None = None
    firmware: Range | None = None

    @property
    def weight(self) -> int:
        """How many parts it has: more of them is more specific, and later."""
        parts = (self.vendor, self.product, self.model, self.manager, self.ipmi, self.firmware)
        return sum(part not in ("", None) for part in parts)

    def missing(self, facts: Facts) -> frozenset[str]:
        """Which of `Facts` it asks for and *facts* does not know yet."""
        asked = (
            ("vendor", self.vendor),
            ("product", self.product),
            ("model", self.model),
            ("manager", self.manager),
            ("firmware", self.firmware),
            ("ipmi", self.ipmi),
        )
        return frozenset(name for name, part in asked if part not in ("", None) and getattr(facts, name) is None)

    def fit(self, facts: Facts) -> tuple[Fit, str]:
        """Say whether *facts* are of one that this concerns, and why not where not."""
        unsure = ""
        for name, pattern, known in (
            ("vendor", self.vendor, facts.vendor),
            ("product", self.product, _one(facts.product)),
            ("model", self.model, _one(facts.model)),
            ("manager", self.manager, _one(facts.manager)),
        ):
            if not pattern or (known is not None and any(_like(word, pattern) for word in known)):
                continue
            if known is not None:
                return Fit.NO, f"its {name} is {' or '.join(known)}" if any(known) else f"it tells no {name}"
            unsure = unsure or f"its {name} is not known"
        if self.ipmi is not None and self.ipmi != facts.ipmi:
            if facts.ipmi is not None:
                return Fit.NO, f"its IPMI manufacturer id is {facts.ipmi}"
            unsure = unsure or "its IPMI manufacturer id is not known"
        if unsure:
            return Fit.UNSURE, unsure
        return self._fit_firmware(facts)

    def _fit_firmware(self, facts: Facts) -> tuple[Fit, str]:
        if self.firmware is None:
            return Fit.YES, ""
        if facts.firmware is None:
            return Fit.UNSURE, "the BMC's firmware version is not known"
        held = self.firmware.holds(facts.firmware)
        if held is None:
            told = f"firmware {facts.firmware!r}" if facts.firmware else "a firmware that is not told"
            return Fit.NEAR, f"{told} cannot be compared with {self.firmware}"
        return (Fit.YES, "") if held else (Fit.NEAR, f"firmware {facts.firmware!r} is not {self.firmware}")


@frozen
class Record:
    """One difference. *keys* are those of `Quirks` that *differs* sets; *origin* is the file it was read from."""

    id: str
    match: Match
    differs: Quirks
    keys: tuple[str, ...]
    why: str
    since: str
    source: str
    origin: str


def _one(word: str | None) -> tuple[str, ...] | None:
    return None if word is None else (word,)


def _like(word: str, pattern: str) -> bool:
    return fnmatchcase(word.lower(), pattern.lower())
