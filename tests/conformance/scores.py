"""Scores of DMTF's validators: read, compared and written."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

_SUMMARIES = (
    re.compile(r"PASS: (\d+), WARN: (?:\d+), FAIL: (\d+), NOT_TESTED: (?:\d+)"),
    re.compile(
        r"\| +PASS +\| +WARN +\| +FAIL +\| +NOT TESTED +\|\s+[+-]+\s+\| +(\d+) +\| +\d+ +\| +(\d+) +\| +\d+ +\|"
    ),
)
"""How the protocol validator and the service validator end."""

FAILED_AT_MOST = {"plain": 7}
"""What no accepted score of the protocol validator may exceed, whatever the file says."""


@frozen
class Score:
    """How many assertions passed and failed; a warning counts as neither."""

    passed: int
    failed: int


def score_of(output: str) -> Score | None:
    """Read the validator's summary; None: it never came so far."""
    found = next((found for summary in _SUMMARIES if (found := summary.search(output)) is not None), None)
    return None if found is None else Score(int(found[1]), int(found[2]))


def kept_scores(path: Path) -> dict[str, Score]:
    """Read the scores that were kept."""
    table = tomllib.loads(path.read_text("utf-8"))
    return {name: Score(**counts) for name, counts in table.items() if isinstance(counts, dict)}


def objection(name: str, score: Score, kept: Score | None, *, most: Mapping[str, int] = FAILED_AT_MOST) -> str:
    """Say why *score* is not good enough for the make called *name*; empty: it is. *most* holds whatever was kept."""
    limit = most.get(name)
    if limit is not None and score.failed > limit:
        return f"{score.failed} failed, {limit} may"
    if kept is None:
        return ""
    if score.failed > kept.failed:
        return f"{score.failed} failed, it were {kept.failed}"
    if score.passed < kept.passed:
        return f"{score.passed} passed, it were {kept.passed}"
    return ""


def written(text: str, scores: Mapping[str, Score]) -> str:
    """Return the file's *text* with *scores* in it; what stands before the first table stays."""
    head = re.split(r"^\[", text, maxsplit=1, flags=re.MULTILINE)[0].rstrip("\n")
    tables = [f"[{name}]\npassed = {score.passed}\nfailed = {score.failed}\n" for name, score in sorted(scores.items())]
    return "\n\n".join([head, "\n".join(tables)])
