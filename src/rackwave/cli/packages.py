"""``rackwave bundle identify`` and ``import``: files of firmware as vendors publish them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from attrs import asdict

from ..core.bundle import Activation, AppliesTo, ElementKind, Reversibility
from ..core.identity import BundleId, ComponentName, Lineage
from ..errors import UsageError
from ..importers import Image, Package, read, write_source
from .render import json_option, print_json, print_table

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_IMAGE_KINDS = [kind.value for kind in ElementKind if kind.is_image]


@click.command()
@click.argument("file", type=_FILE)
@json_option
def identify(file: Path, as_json: bool) -> None:
    """Show what FILE, a package of firmware, holds, and what of it was verified.

    CAB (LVFS), UEFI capsule, PLDM, HPM.1, HPE's fwpkg, or any file with a sidecar FILE.toml.
    """
    package = read(file)
    if as_json:
        print_json(_document(package))
    else:
        _show(package)


@click.command(name="import")
@click.argument("file", type=_FILE)
@click.option("--lineage", required=True, metavar="NAME", help="The line of bundles that it is to be one of.")
@click.option("--seq", required=True, type=click.IntRange(min=0), help="Your own count in that lineage.")
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="An empty or new folder.")
@click.option("--whole", is_flag=True, help="Take the file itself as the one image.")
@click.option("--only", multiple=True, metavar="IMAGE", help="Take this image; default: all.")
@click.option("--component", multiple=True, metavar="[IMAGE=]NAME", help="What the BMC calls what is written.")
@click.option("--version", multiple=True, metavar="[IMAGE=]TEXT", help="The version, as the BMC will report it.")
@click.option("--kind", multiple=True, metavar="[IMAGE=]KIND", help=f"One of {', '.join(_IMAGE_KINDS)}.")
@click.option("--purpose", default="", help="Why; default: what the package says of its release.")
@click.option("--vendor", default="*", help="A pattern of the machines that it is for.")
@click.option("--model", default="*", help="A pattern of the machines that it is for.")
@click.option("--activation", type=click.Choice([each.value for each in Activation]), help="Default: after its kind.")
@click.option(
    "--reversibility",
    type=click.Choice([each.value for each in Reversibility]),
    default="reflash",
    show_default=True,
    help="How one gets back from it: no package says that.",
)
@json_option
def import_(
    file: Path,
    lineage: str,
    seq: int,
    out: Path,
    whole: bool,
    only: tuple[str, ...],
    component: tuple[str, ...],
    version: tuple[str, ...],
    kind: tuple[str, ...],
    purpose: str,
    vendor: str,
    model: str,
    activation: str | None,
    reversibility: str,
    as_json: bool,
) -> None:
    """Write a bundle's source from FILE, a package of firmware, for 'rackwave bundle build'.

    What the file does not say, such as the component, is asked for by name.
    """
    package = read(file, whole=whole)
    if only:
        package = package.only(*only)
    for name, text in _answers(package, component):
        package = package.told(name, component=ComponentName(text))
    for name, text in _answers(package, version):
        package = package.told(name, version=text)
    for name, text in _answers(package, kind):
        package = package.told(name, kind=_kind(text))
    bundle = BundleId(Lineage(lineage), seq)
    written = write_source(
        package,
        out,
        lineage=bundle.lineage,
        seq=bundle.seq,
        purpose=purpose,
        applies_to=AppliesTo(vendor, model) if (vendor, model) != ("*", "*") else None,
        activation=Activation(activation) if activation is not None else None,
        reversibility=Reversibility(reversibility),
    )
    if as_json:
        print_json({"bundle": str(bundle), "source": str(written), "package": _document(package)})
        return
    _show(package)
    click.echo(f"\n{bundle} is described in {written}; look it through, then: rackwave bundle build {written}")


def _answers(package: Package, told: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return image and value of each ``[IMAGE=]VALUE``; the image may be left out where there is one alone."""
    names = [image.name for image in package.images]
    found = []
    for text in told:
        name, equals, value = text.partition("=")
        if equals and name in names:
            found.append((name, value))
        elif len(names) == 1:
            found.append((names[0], text))
        else:
            advice = f"Write IMAGE={text}. The images are: {', '.join(names)}."
            raise UsageError(f"{text!r} does not say which image it is about", advice=advice)
    return found


def _kind(text: str) -> ElementKind:
    if text not in _IMAGE_KINDS:
        raise UsageError(f"{text!r} is no kind of image", advice=f"There are: {', '.join(_IMAGE_KINDS)}.")
    return ElementKind(text)


def _show(package: Package) -> None:
    version = f" {package.version}" if package.version and package.version not in package.name else ""
    vendor = f", from {package.vendor}" if package.vendor else ""
    click.echo(f"{package.name}{version}{vendor} ({package.format})")
    if (release := package.release) is not None:
        severity = f"severity {release.severity}" if release.severity else ""
        parts = (release.date, severity, ", ".join(release.cves), release.summary, release.url)
        click.echo("; ".join(part for part in parts if part))
    click.echo()
    print_table(
        ["IMAGE", "COMPONENT", "VERSION", "BYTES", "FOR", "VERIFIED"],
        [
            (
                image.name,
                str(image.component or "?"),
                image.version or "?",
                str(image.size),
                _first(image.targets),
                ", ".join(image.checks) or "nothing",
            )
            for image in package.images
        ],
    )
    for note in package.notes:
        click.echo(f"note: {note}")


def _first(targets: tuple[str, ...]) -> str:
    more = f" and {len(targets) - 1} more" if len(targets) > 1 else ""
    return f"{targets[0]}{more}" if targets else "?"


def _document(package: Package) -> dict[str, Any]:
    release = package.release
    return {
        "format": package.format,
        "name": package.name,
        "version": package.version,
        "vendor": package.vendor,
        "model": package.model,
        "images": [_image(image) for image in package.images],
        "release": {**asdict(release), "cves": list(release.cves)} if release is not None else None,
        "notes": list(package.notes),
    }


def _image(image: Image) -> dict[str, Any]:
    return {
        "name": image.name,
        "size": image.size,
        "digest": str(image.digest),
        "component": str(image.component) if image.component is not None else None,
        "version": image.version,
        "version_scheme": image.version_scheme,
        "kind": image.kind.value if image.kind is not None else None,
        "targets": list(image.targets),
        "checks": list(image.checks),
    }
