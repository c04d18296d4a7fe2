"""What a guest is made of: a kernel, an initramfs and firmware, all from Debian's packages, fetched once.

Nothing is installed: packages are downloaded by apt, which verifies Debian's signature, and a few files
are taken out of them. qemu itself must be there (``apt-get install qemu-system-x86``).
"""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from attrs import frozen

from rackwave.errors import UsageError

from .initramfs import make_initramfs

_KERNEL = "linux-image-cloud-amd64"  # depends on the real one; 14 MB, everything needed built in
_APT_OPTIONS = ("-q", "-o", "Acquire::Retries=2", "-o", "Acquire::http::Timeout=20", "-o", "Acquire::https::Timeout=20")
_APT_SECONDS = 180  # the kernel is 27 MB; it came in 1 s
_WANTED: Mapping[str, Mapping[str, str]] = {
    _KERNEL: {"vmlinuz": "./boot/vmlinuz-*"},
    "busybox-static": {"busybox": "./bin/busybox"},
    "seabios": {"bios-256k.bin": "./usr/share/seabios/bios-256k.bin"},
    "ovmf": {
        "OVMF_VARS.fd": "./usr/share/OVMF/OVMF_VARS.fd",
        "OVMF_VARS_4M.fd": "./usr/share/OVMF/OVMF_VARS_4M.fd",
    },
}


class KitError(UsageError):
    """What a guest is made of cannot be put together."""


class KitAbsentError(KitError):
    """What a guest is made of cannot be had on this machine: no apt, or it does not serve the packages."""


@frozen
class GuestKit:
    """The files that guests are made of."""

    kernel: Path
    initramfs: Path
    seabios: Path
    """SeaBIOS as Debian builds it."""
    uefi_variables: Path
    """The empty variable store that goes with the 2 MB layout of OVMF."""
    uefi_variables_4m: Path
    """The one that goes with the 4 MB layout."""


def assemble(directory: Path) -> GuestKit:
    """Return the kit in *directory*, fetching what is not there yet.

    Raises:
        KitAbsentError: apt does not serve it, or there is no apt.
        KitError: a package holds something else than it did.
    """
    directory = directory.absolute()  # apt and dpkg-deb run in folders of their own
    directory.mkdir(parents=True, exist_ok=True)
    for package, files in _WANTED.items():
        if not all((directory / name).is_file() for name in files):
            _fetch(package, files, directory)
    # Made anew each time: it holds our own init, which may have changed.
    make_initramfs(directory / "busybox", directory / "initramfs.new")
    (directory / "initramfs.new").replace(directory / "initramfs.gz")
    return GuestKit(
        kernel=directory / "vmlinuz",
        initramfs=directory / "initramfs.gz",
        seabios=directory / "bios-256k.bin",
        uefi_variables=directory / "OVMF_VARS.fd",
        uefi_variables_4m=directory / "OVMF_VARS_4M.fd",
    )


def _fetch(package: str, files: Mapping[str, str], directory: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="rackwave-kit-", dir=directory) as name:
        folder = Path(name)
        real = _real_kernel(folder) if package == _KERNEL else package
        _run(["apt-get", *_APT_OPTIONS, "download", real], folder, KitAbsentError)
        archives = list(folder.glob("*.deb"))
        if len(archives) != 1:
            raise KitError(f"apt served {len(archives)} packages as {real}")
        contents = _run(["dpkg-deb", "--fsys-tarfile", str(archives[0])], folder, KitError)
        with tarfile.open(contents) as tar:
            for target, pattern in files.items():
                _take(tar, pattern, folder / target, package=real)
        for target in files:
            (folder / target).replace(directory / target)


def _take(tar: tarfile.TarFile, pattern: str, target: Path, *, package: str) -> None:
    member = next((entry for entry in tar if entry.isfile() and fnmatchcase(entry.name, pattern)), None)
    source = tar.extractfile(member) if member is not None else None
    if source is None:
        raise KitError(f"{package} holds no {pattern}")
    with source, target.open("wb") as out:
        shutil.copyfileobj(source, out)


def _real_kernel(folder: Path) -> str:
    """Return the package that Debian's cloud kernel is at present."""
    for line in _run(["apt-cache", "depends", _KERNEL], folder, KitAbsentError).read_text().splitlines():
        words = line.split()
        if words[:1] == ["Depends:"] and words[1].startswith("linux-image-"):
            return words[1]
    raise KitAbsentError(f"apt knows no {_KERNEL}", advice="Run 'apt-get update' on a Debian machine of amd64.")


def _run(command: list[str], folder: Path, failure: type[KitError]) -> Path:
    """Run *command* in *folder* and return the file with what it printed; raise *failure* where it fails."""
    printed = folder / "printed"
    try:
        with printed.open("wb") as out:
            done = subprocess.run(  # noqa: S603 - fixed program names, arguments of our own, no shell
                command, cwd=folder, stdout=out, stderr=subprocess.PIPE, timeout=_APT_SECONDS, check=False
            )
    except FileNotFoundError as error:
        raise KitAbsentError(
            f"there is no {command[0]} on this machine", advice="Guests are made from Debian's packages."
        ) from error
    except subprocess.TimeoutExpired as error:
        raise failure(f"'{' '.join(command)}' took longer than {_APT_SECONDS} seconds") from error
    if done.returncode:
        said = (done.stderr.decode(errors="replace").strip().splitlines() or ["it says nothing"])[-1]
        raise failure(f"'{' '.join(command)}' failed: {said}", advice="Run 'apt-get update' first.")
    return printed
