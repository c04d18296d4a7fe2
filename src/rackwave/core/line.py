"""What somebody writes for others to read: one line, since it stands in tables and in the history."""

from __future__ import annotations

MOST = 500
"""Characters of such a line: some of it comes from machines that may be out of their mind."""


def is_line(text: str) -> bool:
    """Whether *text* is a line of at most `MOST` characters, with nothing in it that a terminal would obey."""
    return len(text) <= MOST and text.isprintable()
