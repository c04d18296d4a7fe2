"""Turns a package into a bundle's source: a folder with ``bundle.toml`` and the images, for 'rackwave bundle build'."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..core.bundle import Activation, AppliesTo, ElementKind, PayloadRole, Reversibility, Witness
from ..core.identity import BundleId, Lineage
from ..core.manifest import manifest_from_document
from ..errors import BundleError, StateError, UsageError
from .package import Image, Package

IMAGES = "images"
_KINDS = {"BIOS": ElementKind.BIOS_IMAGE, "BMC": ElementKind.BMC_FIRMWARE}
_ACTIVATIONS = {
    ElementKind.BIOS_IMAGE: Activation.HOST_RESET,
    ElementKind.BMC_FIRMWARE: Activation.BMC_RESET,
}


def write_source(
    package: Package,
    directory: Path,
    *,
    lineage: Lineage,
    seq: int,
    purpose: str = "",
    applies_to: AppliesTo | None = None,
    activation: Activation | None = None,
    reversibility: Reversibility = Reversibility.REFLASH,
) -> Path:
    """Write the source of one bundle that brings every image of *package*; return *directory*.

    It is there whole or not at all. What is not given follows from the package: the purpose from its release, the
    machines from its sidecar, the activation from the kind of image.

    Raises:
        UsageError: an image's component or version is not known (`Package.told`), or two are for one component.
        ManifestError: no manifest can be made of what is told, such as of a version with a line break.
        BundleError: *directory* holds something already.
        DigestMismatchError: the package was changed since it was read.
        StateError: nothing can be written there.
    """
    _check(package)
    document: dict[str, Any] = {
        "lineage": str(lineage),
        "seq": BundleId(lineage, seq).seq,
        "purpose": purpose or _purpose(package),
        "elements": [
            {
                "name": name,
                "kind": kind_of(image).value,
                "component": str(image.component),
                "version": image.version,
                "payload": image.name,
                "activation": (activation or _ACTIVATIONS.get(kind_of(image), Activation.HOST_RESET)).value,
                "reversibility": reversibility.value,
                "checks": _checks(activation or _ACTIVATIONS.get(kind_of(image), Activation.HOST_RESET)),
            }
            for name, image in zip(_element_names(package.images), package.images, strict=True)
        ],
    }
    if applies_to is None and package.model is not None:
        applies_to = AppliesTo(package.vendor or "*", package.model)
    if applies_to is not None:
        document["applies_to"] = {"vendor": applies_to.vendor, "model": applies_to.model}
    payloads = [
        {"name": image.name, "role": PayloadRole.DATA.value, "digest": str(image.digest), "size": image.size}
        for image in package.images
    ]
    manifest_from_document({**document, "payloads": payloads})  # whatever is wrong is said before anything is written
    for element in document["elements"]:
        element["payload"] = f"{IMAGES}/{element['payload']}"
    _write(package, directory, _toml(document))
    return directory


def kind_of(image: Image) -> ElementKind:
    """Return what kind of element brings *image*: told, or after its component."""
    return image.kind or _KINDS.get(str(image.component), ElementKind.DEVICE_FIRMWARE)


def _write(package: Package, directory: Path, text: str) -> None:
    draft = None
    try:
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise BundleError(
                f"{directory} holds something already", advice="Name a folder that is empty or not there."
            )
        directory.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
        (draft / IMAGES).mkdir()
        for image in package.images:
            with (draft / IMAGES / image.name).open("xb") as file:
                image.copy_to(file)
        (draft / "bundle.toml").write_text(text, "utf-8")
        draft.chmod(0o755)
        draft.replace(directory)
    except OSError as error:
        raise StateError(
            f"{directory} cannot be written: {error.strerror or error}",
            advice="Check its permissions and the disk's space.",
        ) from error
    finally:
        if draft is not None:
            shutil.rmtree(draft, ignore_errors=True)


def _check(package: Package) -> None:
    if not package.images:
        raise UsageError(f"{package.name} holds no image that could be written to a machine")
    for image in package.images:
        if image.component is None:
            targets = f" (it is for {', '.join(image.targets[:3])})" if image.targets else ""
            raise UsageError(
                f"{package.name} does not say which component {image.name} is for{targets}",
                advice=f"Say it: --component {image.name}=BIOS, or what the BMC calls the device.",
            )
        if not image.version:
            raise UsageError(
                f"{package.name} does not say which version {image.name} is",
                advice=f"Say it as the BMC will report it: --version {image.name}=1.2.3.",
            )
    twice = [name for name, times in Counter(image.component for image in package.images).items() if times > 1]
    if twice:
        raise UsageError(
            f"{package.name} holds two images for the component {twice[0]}",
            advice="Take one of them, with --only, or tell them apart with --component.",
        )


def _element_names(images: tuple[Image, ...]) -> Iterator[str]:
    taken: Counter[str] = Counter()
    for image in images:
        letters = (letter if letter.isalnum() else "-" for letter in str(image.component))
        name = "".join(letters).strip("-").lower()[:56]
        taken[name] += 1
        yield name if taken[name] == 1 else f"{name}-{taken[name]}"


def _checks(activation: Activation) -> list[str]:
    """Name the witnesses that a careful author names: who restarts the host wants to see it come up again."""
    more = [Witness.POST, Witness.HEALTH] if activation is Activation.HOST_RESET else []
    return [witness.value for witness in (Witness.INSTALLED_VERSION, *more)]


def _purpose(package: Package) -> str:
    only = package.images[0] if len(package.images) == 1 else None
    title = f"{only.component} {only.version}" if only is not None else package.name
    release = package.release
    if release is None:
        return f"{title}, from {package.name}"
    fixes = f"fixes {', '.join(release.cves)}" if release.cves else ""
    severity = f"severity {release.severity}" if release.severity else ""
    said = "; ".join(part for part in (fixes, severity, release.summary) if part)
    return f"{title}: {said}" if said else f"{title}, from {package.name}"


def _toml(document: Mapping[str, Any]) -> str:
    lines = [f"{key} = {_value(document[key])}" for key in ("lineage", "seq", "purpose")]
    tables = [("[applies_to]", document["applies_to"])] if "applies_to" in document else []
    for heading, table in (*tables, *(("[[elements]]", element) for element in document["elements"])):
        lines += ["", heading, *(f"{key} = {_value(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def _value(value: str | int | list[str]) -> str:
    """Write a TOML string, number or list of strings: JSON's form is TOML's, but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
