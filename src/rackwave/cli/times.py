"""Times as people write them on the command line."""

from __future__ import annotations

import re
import time
from datetime import datetime

import click

_SPAN = re.compile(r"\+?(\d{1,6})\s*([smhdw])", re.IGNORECASE)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


class Moment(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic from click 8.4 on
    """A moment to come, as epoch seconds: a span from now (``90m``, ``4h``, ``2d``) or an ISO 8601 date and time.

    A date without a time zone is this machine's.
    """

    name = "moment"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read *value*; a usage error where it is neither."""
        if isinstance(value, float):
            return value
        text = str(value).strip()
        if span := _SPAN.fullmatch(text):
            return time.time() + int(span[1]) * _SECONDS[span[2].lower()]
        try:
            return datetime.fromisoformat(text).timestamp()
        except (ValueError, OverflowError):
            return self.fail(
                f"{text!r} is neither a span (90m, 4h, 2d) nor a date and time (2026-12-01T08:00).", param, ctx
            )


MOMENT = Moment()
