"""``rackwave bundle lint`` and ``schema``: what a bundle should not say, and what it can."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import click

from ..core.bundle import Manifest
from ..core.identity import BundleId
from ..core.lint import Level, LintFinding, lint
from ..repository.source import read_source
from .app import Exit, Setting
from .render import json_option, print_json


@click.command(name="lint")
@click.argument("what", metavar="SOURCE|BUNDLE")
@json_option
@click.pass_obj
def lint_(setting: Setting, what: str, as_json: bool) -> int:
    """Look over the source in the folder SOURCE, or the published BUNDLE (for example A.2).

    The exit code is 1 where a finding is an error, which publishing refuses.
    """
    folder = Path(what)
    manifest = read_source(folder).draft() if folder.is_dir() else _published(setting, what)
    findings = lint(manifest)
    if as_json:
        print_json({"bundle": str(manifest.id), "findings": [_finding(finding) for finding in findings]})
    else:
        for finding in findings:
            where = f" {finding.element}:" if finding.element is not None else ""
            click.echo(f"{finding.level}:{where} {finding.text} ({finding.id})\n    {finding.advice}")
        click.echo(f"{manifest.id}: {_count(findings)}")
    return Exit.FAILED if any(finding.level is Level.ERROR for finding in findings) else Exit.DONE


@click.command()
@click.argument("what", type=click.Choice(["source", "manifest"]), default="source")
def schema(what: str) -> None:
    """Print the JSON Schema of a bundle.toml (source), or of the manifest that is signed."""
    click.echo((files("rackwave.schemas") / f"{what}.schema.json").read_text("utf-8"), nl=False)


def _published(setting: Setting, what: str) -> Manifest:
    return setting.automation(needs_inventory=False).bundle(BundleId.parse(what)).manifest


def _finding(finding: LintFinding) -> dict[str, str | None]:
    return {
        "id": finding.id,
        "level": str(finding.level),
        "element": finding.element,
        "text": finding.text,
        "advice": finding.advice,
    }


def _count(findings: tuple[LintFinding, ...]) -> str:
    counts = [(level, sum(finding.level is level for finding in findings)) for level in Level]
    return (
        ", ".join(f"{count} {level}{'s' if count > 1 else ''}" for level, count in counts if count) or "nothing found"
    )
