"""Makes the sources of the example bundles whole: copies them and makes or fetches their payloads.

    python prepare.py lab-bios --out DIR     # writes DIR/A.1 and DIR/A.2, ready for 'rackwave bundle build'

What to make stands in the ``prepare.toml`` beside each ``bundle.toml``. Lab images are generated, always
the same bytes, and need no network. Debian packages are fetched by apt, which verifies Debian's
signature, and checked against the digest pinned here as well.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path
from typing import Any
from uuid import UUID

from rackwave.core.canonical import canonical_json
from rackwave.core.identity import Digest
from rackwave.core.pldm import Component, Descriptor, Device
from rackwave.errors import BundleError, RackwaveError
from rackwave.importers import Image, read, write_capsule, write_pldm
from rackwave.repository.layout import MANIFEST_TYPE, ImageLayout, LayoutIndex
from rackwave.repository.layout import Descriptor as OciDescriptor

HERE = Path(__file__).resolve().parent
_APT_SECONDS = 180  # 7.7 MB; a mirror that needs longer is not serving
_APT_OPTIONS = ("-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=20", "-o", "Acquire::https::Timeout=20")


def names() -> list[str]:
    """Return the names of the example sets."""
    return sorted({path.parents[1].name for path in HERE.glob("*/*/bundle.toml")})


def prepare(name: str, out: Path) -> list[Path]:
    """Write complete source folders of the set *name* below *out* and return them in the order of their seq.

    What is there already and is right is not made again.

    Raises:
        BundleError: there is no such set, or a payload cannot be made or fetched.
    """
    if name not in names():
        raise BundleError(f"there is no example {name!r}", advice=f"There are: {', '.join(names())}.")
    sources = sorted((path.parent for path in (HERE / name).glob("*/bundle.toml")), key=_seq)
    return [_prepare_source(source, out / source.name) for source in sources]


def _seq(source: Path) -> int:
    return int(tomllib.loads((source / "bundle.toml").read_text("utf-8"))["seq"])


def _prepare_source(source: Path, target: Path) -> Path:
    target.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / "bundle.toml", target / "bundle.toml")
    recipe_path = source / "prepare.toml"
    recipe = tomllib.loads(recipe_path.read_text("utf-8")) if recipe_path.exists() else {}
    for image in recipe.get("lab-image", []):
        _make_lab_image(image, target)
    for package in recipe.get("pldm", []):
        _make_pldm(package, target)
    for package in recipe.get("capsule", []):
        _make_capsule(package, target)
    if "debian" in recipe:
        _fetch_debian(recipe["debian"], target)
    for package in recipe.get("import", []):
        _import(package, target)
    if "container" in recipe:
        _make_container(recipe["container"], target)
    return target


def _make_lab_image(image: dict[str, Any], target: Path) -> None:
    try:
        from rackwave_emulators.images import make_image
    except ImportError as error:
        raise BundleError(
            "lab images are made by the package rackwave-emulators, which is not installed",
            advice="Install it: pip install rackwave-emulators (from a checkout: pip install ./emulators).",
        ) from error
    path = target / image["path"]
    make_image(path, component=image["component"], version=image["version"], size=image["size"], seed=image["seed"])
    if "damage" in image:
        with path.open("r+b") as file:
            file.seek(image["damage"])
            byte = file.read(1)[0]
            file.seek(image["damage"])
            file.write(bytes([byte ^ 0xFF]))


def _make_pldm(package: dict[str, Any], target: Path) -> None:
    path = target / package["image"]
    image = Image(path.name, path.stat().st_size, Digest(f"sha256:{_sha256(path)}"), lambda: iter([path.read_bytes()]))
    vendor = Descriptor(0, bytes.fromhex(package["vendor"])[::-1])  # a PCI vendor ID, little-endian
    device = Device((vendor,), (0,), version=package["version"])
    component = Component(classification=0x000A, identifier=1, version=package["version"], size=image.size)
    with (target / package["path"]).open("wb") as file:
        write_pldm(file, [(component, image)], devices=(device,), version=package["version"])


def _make_capsule(package: dict[str, Any], target: Path) -> None:
    path = target / package["image"]
    image = Image(path.name, path.stat().st_size, Digest(f"sha256:{_sha256(path)}"), lambda: iter([path.read_bytes()]))
    with (target / package["path"]).open("wb") as file:
        write_capsule(file, image, target=UUID(package["target"]), version=package["version"], lowest=package["lowest"])


def _import(package: dict[str, Any], target: Path) -> None:
    (image,) = (each for each in read(target / package["package"]).images if each.name == package["image"])
    with (target / package["image"]).open("wb") as file:
        image.copy_to(file)


def _make_container(container: dict[str, Any], target: Path) -> None:
    """Write an OCI layout with one image: one layer, one program, no date but 1970."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        member = tarfile.TarInfo(f"bin/{container['program']}")
        member.size, member.mode = (target / container["program"]).stat().st_size, 0o755
        with (target / container["program"]).open("rb") as file:
            archive.addfile(member, file)
    layout = ImageLayout(target / container["path"])
    digest, size = layout.blobs.add_bytes(layer.getvalue())
    config = {
        "architecture": container["architecture"],
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {"Entrypoint": [f"/bin/{container['program']}"]},
        "rootfs": {"type": "layers", "diff_ids": [str(digest)]},
    }
    parts = {
        "config": _blob(layout, "application/vnd.oci.image.config.v1+json", canonical_json(config)),
        "layers": [OciDescriptor("application/vnd.oci.image.layer.v1.tar", digest, size).document()],
    }
    manifest = canonical_json({"schemaVersion": 2, "mediaType": MANIFEST_TYPE, **parts})
    entry = OciDescriptor(MANIFEST_TYPE, *layout.blobs.add_bytes(manifest))
    with layout.locked():
        layout.swap(LayoutIndex((entry,)))


def _blob(layout: ImageLayout, media_type: str, content: bytes) -> dict[str, Any]:
    return OciDescriptor(media_type, *layout.blobs.add_bytes(content)).document()


def _fetch_debian(package: dict[str, Any], target: Path) -> None:
    if all((target / file["path"]).exists() and _is(target / file["path"], file) for file in package["file"]):
        return
    named = f"{package['package']}={package['version']}"
    with tempfile.TemporaryDirectory(prefix="rackwave-") as name:
        folder = Path(name)
        _run(
            ["apt-get", *_APT_OPTIONS, "download", named],
            folder,
            f"apt does not serve {named}",
            "Run 'apt-get update' on a Debian 12 machine that reaches a mirror; the lab-bios example needs none.",
        )
        archives = list(folder.glob("*.deb"))
        if len(archives) != 1 or _sha256(archives[0]) != package["sha256"]:
            raise BundleError(
                f"what apt served as {named} is not the package that is pinned",
                advice="Do not use it; compare prepare.toml with Debian's records.",
            )
        _run(["dpkg-deb", "-x", str(archives[0]), "unpacked"], folder, f"{named} cannot be unpacked", "")
        for file in package["file"]:
            found = folder / "unpacked" / file["from"]
            if not found.is_file() or not _is(found, file):
                raise BundleError(f"{named} holds another {file['from']} than is pinned")
            shutil.copyfile(found, target / file["path"])


def _run(command: list[str], folder: Path, problem: str, advice: str) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - fixed program names, arguments from our own recipes, no shell
            command, cwd=folder, capture_output=True, text=True, timeout=_APT_SECONDS, check=False
        )
    except FileNotFoundError as error:
        raise BundleError(f"{problem}: there is no {command[0]} on this machine", advice=advice) from error
    except subprocess.TimeoutExpired as error:
        raise BundleError(f"{problem} within {_APT_SECONDS} seconds", advice=advice) from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise BundleError(f"{problem}: {said}", advice=advice)


def _is(path: Path, file: dict[str, Any]) -> bool:
    return "sha256" not in file or _sha256(path) == file["sha256"]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> int:
    """Prepare the set that the command line names."""
    parser = argparse.ArgumentParser(description="Write complete sources of example bundles.")
    parser.add_argument("name", choices=names())
    parser.add_argument("--out", type=Path, required=True, help="the folder to write them to")
    arguments = parser.parse_args()
    try:
        for path in prepare(arguments.name, arguments.out):
            sys.stdout.write(f"{path}\n")
    except RackwaveError as error:
        sys.stderr.write(f"error: {error}\n{error.advice}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
