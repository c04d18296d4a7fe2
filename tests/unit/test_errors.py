"""Errors as the operator reads them."""

from __future__ import annotations

import pytest

from rackwave.errors import RackwaveError


@pytest.mark.parametrize(
    ("message", "advice", "whole"),
    [
        ("n1: refused", "Try this.", "n1: refused. Try this."),
        ("n1: refused.", "Try this.", "n1: refused. Try this."),
        ("n1: refused", "", "n1: refused"),
    ],
)
def test_message_and_advice_in_one_text(message: str, advice: str, whole: str) -> None:
    """In one line what happened and what to try next are two sentences, with one full stop between them."""
    assert whole == RackwaveError(message, advice=advice).whole
