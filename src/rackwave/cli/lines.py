"""What a person writes for others to read: one line, since it stands in tables and in the history."""

from __future__ import annotations

import click

from ..core.line import MOST, is_line


class Line(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic from click 8.4 on
    """A line of at most 500 characters; nothing that a terminal would obey, and none of it lost."""

    name = "text"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read *value*; a usage error where it is more than a line."""
        text = str(value)
        if not is_line(text):
            return self.fail(f"it takes one line of at most {MOST} characters, and nothing unprintable", param, ctx)
        return text


LINE = Line()
