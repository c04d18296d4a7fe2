"""A date and time as a person writes it into a file, with its zone."""

from __future__ import annotations

from datetime import datetime

ADVICE = "Write a date and time with its zone: '2026-12-01T06:00+01:00'."


def moment(text: str) -> float:
    """Return *text* as epoch seconds.

    Raises:
        ValueError, OverflowError: it is no date and time of ISO 8601, or has no zone.
    """
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        message = "it has no time zone"
        raise ValueError(message)
    return found.timestamp()
