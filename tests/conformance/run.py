"""Run DMTF's validators against one emulated BMC of each make and hold the scores against those kept.

The protocol validator always; the service validator where ``RACKWAVE_REDFISH_SCHEMAS`` names a folder with
DMTF's schemas (the csdl folder of DSP8010), which no package has. Run by ``nox -s conformance``; names of
personalities may follow, ``--accept`` keeps what has become better.
"""

# ruff: noqa: T201 - what it prints is what it is for
from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from attrs import frozen
from scores import FAILED_AT_MOST, Score, kept_scores, objection, score_of, written

from rackwave_emulators.lab import Lab
from rackwave_emulators.personality import personalities

HERE = Path(__file__).parent
SCHEMAS = "RACKWAVE_REDFISH_SCHEMAS"
_AT_ONCE = 4  # each waits more than it works
_LIMIT = 300.0  # seconds; one takes 20


@frozen
class Validator:
    """One of DMTF's validators: its command line, what it says of a failure, and the file of its scores."""

    name: str
    scores: Path
    command: Callable[[Lab, Path], list[str]]
    failures: Callable[[Path], list[str]]


def _protocol_command(lab: Lab, reports: Path) -> list[str]:
    return [
        sys.executable,
        str(HERE / "validator.py"),
        *("--rhost", lab.stations[0].url),
        *("--user", lab.account.username, "--password", lab.account.password),
        *("--ca-bundle", str(lab.ca)),
        *("--report-dir", str(reports)),
        *("--report-type", "tsv"),
        "--avoid-http-redirect",
        *("--config", os.devnull),
    ]


def _protocol_failures(reports: Path) -> list[str]:
    rows = [line.split("\t") for report in reports.glob("*.tsv") for line in report.read_text("utf-8").splitlines()]
    return [f"{row[0]} {row[1]} {row[3]}: {row[5]}" for row in rows if row[4] == "FAIL"]


def _service_command(lab: Lab, reports: Path) -> list[str]:
    return [
        str(Path(sys.executable).with_name("rf_service_validator")),
        *("--rhost", lab.stations[0].url),
        *("--user", lab.account.username, "--password", lab.account.password),
        *("--authtype", "Session"),
        *("--schema_directory", os.environ[SCHEMAS], "--skipschema"),
        *("--logdir", str(reports)),
        *("--config", os.devnull),
    ]


def _service_failures(reports: Path) -> list[str]:
    lines = [line for log in reports.rglob("*.log") for line in log.read_text("utf-8").splitlines()]
    return [line.partition("FAIL - ")[2] for line in lines if " - ERROR - FAIL - " in line]


PROTOCOL = Validator("protocol", HERE / "scores.toml", _protocol_command, _protocol_failures)
SERVICE = Validator("service", HERE / "service_scores.toml", _service_command, _service_failures)


def validate(validator: Validator, lab: Lab, reports: Path) -> tuple[Score | None, str]:
    """Run *validator* on the lab's one BMC; the score, and what failed or went wrong."""
    done = subprocess.run(
        validator.command(lab, reports),
        env={**os.environ, "REQUESTS_CA_BUNDLE": str(lab.ca)},  # they open sessions that know of no other CA
        capture_output=True,
        text=True,
        timeout=_LIMIT,
        check=False,
    )
    score = score_of(done.stdout + done.stderr)
    if score is None:
        return None, done.stderr[-2000:]
    return score, "\n".join(f"    {line}" for line in validator.failures(reports))


def hold(validator: Validator, names: list[str], *, accept: bool) -> bool:
    """Validate the makes called *names*, tell, and say whether all are good enough."""
    kept = kept_scores(validator.scores)
    found: dict[str, Score] = {}
    bad = False
    with ExitStack() as stack, ThreadPoolExecutor(_AT_ONCE) as pool:
        reports = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        labs = {name: stack.enter_context(Lab(1, personality=name)) for name in names}
        runs = {name: pool.submit(validate, validator, lab, reports / name) for name, lab in labs.items()}
        for name, run in runs.items():
            score, told = run.result()
            if score is None:
                print(f"{validator.name:9} {name:12} the validator did not end\n{told}")
                bad = True
                continue
            found[name] = score
            why = objection(name, score, kept.get(name), most=FAILED_AT_MOST if validator is PROTOCOL else {})
            bad = bad or bool(why)
            print(f"{validator.name:9} {name:12} {score.passed:4} passed {score.failed:3} failed  {why}")
            if told:
                print(told)
    if accept and not bad:
        validator.scores.write_text(written(validator.scores.read_text("utf-8"), {**kept, **found}), "utf-8")
    return not bad


def main() -> int:
    """Run what can be run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("personalities", nargs="*", default=sorted(personalities()))
    parser.add_argument("--accept", action="store_true", help="keep scores that are better")
    asked = parser.parse_args()
    good = hold(PROTOCOL, asked.personalities, accept=asked.accept)
    if os.environ.get(SCHEMAS):
        good = hold(SERVICE, asked.personalities, accept=asked.accept) and good
    else:
        print(f"service   skipped: {SCHEMAS} names no folder with DMTF's schemas (DSP8010, csdl)")
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
