"""How scores of DMTF's validators are held: the validators themselves run in ``nox -s conformance``."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from rackwave_emulators.personality import personalities

HERE = Path(__file__).parents[1] / "conformance"


@pytest.fixture(scope="module")
def scores() -> ModuleType:
    """The module that keeps the scores, which is no package's."""
    spec = importlib.util.spec_from_file_location("conformance_scores", HERE / "scores.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_every_make_has_a_score(scores: ModuleType) -> None:
    """Each personality's score is kept, and the plain one's is below eight failures."""
    kept = scores.kept_scores(HERE / "scores.toml")

    assert set(personalities()) == set(kept)
    assert kept["plain"].failed < 8
    assert all(score.passed > score.failed for score in kept.values())
    assert set(kept) == set(scores.kept_scores(HERE / "service_scores.toml"))


@pytest.mark.parametrize(
    ("passed", "failed", "good"),
    [(100, 2, True), (101, 2, True), (100, 1, True), (99, 2, False), (100, 3, False), (120, 3, False)],
)
def test_a_score_may_only_get_better(scores: ModuleType, passed: int, failed: int, good: bool) -> None:
    """Fewer passes or more failures than were kept are refused."""
    assert good == (not scores.objection("openbmc", scores.Score(passed, failed), scores.Score(100, 2)))


def test_plain_has_a_bar_that_no_file_moves(scores: ModuleType) -> None:
    """Eight failures of the plain make are too many even where nothing was kept yet."""
    assert "" == scores.objection("plain", scores.Score(100, 7), None)
    assert "8 failed, 7 may" == scores.objection("plain", scores.Score(100, 8), None)


def test_scores_are_read_from_the_summary_and_written_back(scores: ModuleType, tmp_path: Path) -> None:
    """The validator's last line is the score; the file keeps its head when scores are written."""
    told = "noise\nSummary - PASS: 357, WARN: 1, FAIL: 2, NOT_TESTED: 30\n"
    path = tmp_path / "scores.toml"
    path.write_text(
        scores.written('# head\nvalidator = "1"\n\n[old]\npassed = 1\nfailed = 0\n', {"a": scores.score_of(told)})
    )

    assert {"a": scores.Score(357, 2)} == scores.kept_scores(path)
    assert path.read_text().startswith('# head\nvalidator = "1"\n\n[a]')
    assert scores.score_of("it crashed") is None


def test_the_service_validators_table_is_read(scores: ModuleType) -> None:
    """The service validator ends with a table, whose first and third numbers are the score."""
    line = "+--------------+--------------+--------------+--------------+"
    told = f"""{line}
|     PASS     |     WARN     |     FAIL     |  NOT TESTED  |
{line}
|     820      |      15      |      3       |     829      |
{line}
"""

    assert scores.Score(820, 3) == scores.score_of(told)
