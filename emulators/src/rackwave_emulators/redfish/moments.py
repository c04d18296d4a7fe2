"""Dates as Redfish writes them."""

from __future__ import annotations

from datetime import UTC, datetime


def moment(seconds: float) -> str:
    """Write epoch *seconds* as Redfish dates are written."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
