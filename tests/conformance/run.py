"""Run the protocol validator against one emulated BMC of each make and hold the scores against those kept.

Run by ``nox -s conformance``; names of personalities may follow, ``--accept`` keeps what has become better.
"""

# ruff: noqa: T201 - what it prints is what it is for
from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from scores import Score, kept_scores, objection, score_of, written

from rackwave_emulators.lab import Lab
from rackwave_emulators.personality import personalities

HERE = Path(__file__).parent
SCORES = HERE / "scores.toml"
_AT_ONCE = 4  # each waits more than it works
_LIMIT = 300.0  # seconds; one takes 20


def validate(lab: Lab, reports: Path) -> tuple[Score | None, str]:
    """Run the validator on the lab's one BMC; the score, and what failed or went wrong."""
    station, ca = lab.stations[0], str(lab.ca)
    done = subprocess.run(
        [
            sys.executable,
            str(HERE / "validator.py"),
            *("--rhost", station.url),
            *("--user", lab.account.username, "--password", lab.account.password),
            *("--ca-bundle", ca),
            *("--report-dir", str(reports)),
            *("--report-type", "tsv"),
            "--avoid-http-redirect",
            *("--config", os.devnull),
        ],
        env={**os.environ, "REQUESTS_CA_BUNDLE": ca},  # it opens sessions that know of no --ca-bundle
        capture_output=True,
        text=True,
        timeout=_LIMIT,
        check=False,
    )
    score = score_of(done.stdout + done.stderr)
    if score is None:
        return None, done.stderr[-2000:]
    rows = [line.split("\t") for report in reports.glob("*.tsv") for line in report.read_text("utf-8").splitlines()]
    return score, "\n".join(f"    {row[0]} {row[1]} {row[3]}: {row[5]}" for row in rows if row[4] == "FAIL")


def main() -> int:
    """Validate, tell, and say whether it is good enough."""
    parser = argparse.ArgumentParser()
    parser.add_argument("personalities", nargs="*", default=sorted(personalities()))
    parser.add_argument("--accept", action="store_true", help="keep scores that are better")
    asked = parser.parse_args()
    kept = kept_scores(SCORES)
    found: dict[str, Score] = {}
    bad = False
    with ExitStack() as stack, ThreadPoolExecutor(_AT_ONCE) as pool:
        reports = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        labs = {name: stack.enter_context(Lab(1, personality=name)) for name in asked.personalities}
        runs = {name: pool.submit(validate, lab, reports / name) for name, lab in labs.items()}
        for name, run in runs.items():
            score, told = run.result()
            if score is None:
                print(f"{name:12} the validator did not end\n{told}")
                bad = True
                continue
            found[name] = score
            why = objection(name, score, kept.get(name))
            bad = bad or bool(why)
            print(f"{name:12} {score.passed:4} passed {score.failed:3} failed  {why}")
            if told:
                print(told)
    if asked.accept and not bad:
        SCORES.write_text(written(SCORES.read_text("utf-8"), {**kept, **found}), "utf-8")
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
