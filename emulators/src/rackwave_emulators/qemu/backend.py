"""The host of a lab's node as a qemu guest: what is in its flash is really what it boots.

Power-on starts a qemu process, power-off kills it, a reset does both, so that each boot reads the flash
anew. POST is complete when the guest itself has said over its serial console that it is up. It has failed
when nothing was said within a limit, in real time, or when the process ended before; a host that failed
is frozen where it stands. A process that ends later, by whatever cause, is a host without power.

Always qemu's own translator (TCG), never the kvm device: it may exist and still not work, and a lab that
behaves differently from machine to machine is no use. Takes a lab on the real clock: ``ScaledClock(1.0)``.
"""

from __future__ import annotations

import shutil
import tempfile
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

from attrs import frozen

from rackwave.core.identity import Digest
from rackwave.errors import UsageError

from ..host_backend import BootingHost, Flashed, HostIdentity
from ..images import ImageFacts, read_image, unwrap_image
from .guest import Guest
from .kit import GuestKit, assemble
from .seabios import write_image

_LOOK = 0.05  # seconds between two looks at a guest
_ERASED = b"\xff"
_BLANK = _ERASED * (256 << 10)
_UEFI_SIGNATURE, _UEFI_SIGNATURE_AT = b"_FVH", 40  # PI specification, volume 3, 3.2.1
_UEFI_SMALL = 2 << 20  # the larger layout has a larger variable store
_CONSOLE = "console=ttyS0 quiet panic=-1"


@frozen(kw_only=True)
class Guests:
    """Makes the hosts of a lab into guests: ``Lab(1, clock=ScaledClock(1.0), hosts=Guests(kit=kit, factory=image))``.

    *factory* is the BIOS image that they leave the factory with, a lab image with a payload or OVMF. *only*
    names the nodes that get a guest; None: all. *post_limit* is in real seconds: a guest was up after 2 to 5 s
    with SeaBIOS and 9 to 13 s with OVMF, on a processor that it had for itself.
    """

    kit: GuestKit
    factory: Path
    only: frozenset[str] | None = None
    directory: Path | None = None
    post_limit: float = 40.0
    memory: int = 256
    program: str = "qemu-system-x86_64"

    def __attrs_post_init__(self) -> None:
        for program, package in ((self.program, "qemu-system-x86"), ("setpriv", "util-linux")):
            if shutil.which(program) is None:
                raise UsageError(f"there is no {program} on this machine", advice=f"apt-get install {package}")

    def __call__(self, identity: HostIdentity) -> QemuHost | None:
        """See ``host_backend.HostMaker``."""
        return QemuHost(identity, self) if self.only is None or identity.node in self.only else None


def guests_of_debian(directory: Path, nodes: Iterable[str]) -> Guests:
    """Make *nodes* guests that leave the factory with Debian's SeaBIOS.

    What they are made of is kept in *directory*, and fetched where it is not there yet.

    Raises:
        UsageError: there is no qemu, or apt does not serve what guests are made of.
    """
    kit = assemble(directory)
    factory = directory / "factory.img"
    write_image(factory, kit.seabios)
    return Guests(kit=kit, factory=factory, only=frozenset(nodes))


class QemuHost:
    """A host that is a guest; see the module for its rules."""

    def __init__(self, identity: HostIdentity, made: Guests) -> None:
        self._identity = identity
        self._made = made
        self._remove: Callable[[], object] = lambda: None
        if made.directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix="rackwave-guest-"))
            # Also where nobody closes it: a lab that was made and never started.
            self._remove = weakref.finalize(self, shutil.rmtree, self._directory, ignore_errors=True)
        else:
            self._directory = made.directory / identity.node
            self._directory.mkdir(parents=True, exist_ok=True)
        self._images: dict[Digest, Path] = {}  # what goes into the flash, by the digest of the image it came in
        self._guest: Guest | None = None
        self._boots = 0
        self._failed = 0
        self._lost = 0
        self._closed = False
        self._factory = read_image(made.factory)
        self.keep_image(made.factory, self._factory)

    @property
    def live(self) -> bool:
        """See ``HostBackend``."""
        return True

    @property
    def factory(self) -> ImageFacts | None:
        """See ``HostBackend``."""
        return self._factory

    def boot(self, host: BootingHost, *, post: float, applying: float) -> None:
        """See ``HostBackend``."""
        del post  # a guest takes the time it takes
        host.later(applying, partial(self._power_on, host))

    def cut(self) -> None:
        """See ``HostBackend``."""
        if self._guest is not None:
            self._guest.kill()
            self._guest = None

    def hang(self) -> None:
        """See ``HostBackend``."""
        if self._guest is not None:
            self._guest.freeze()

    def keep_image(self, image: Path, facts: ImageFacts) -> None:
        """See ``HostBackend``."""
        kept = self._directory / f"{facts.digest.removeprefix('sha256:')}.bin"
        with tempfile.NamedTemporaryFile(dir=self._directory, prefix="image-", delete=False) as file:
            file.write(unwrap_image(image))
        Path(file.name).replace(kept)
        self._images[facts.digest] = kept

    def truth(self) -> Mapping[str, object]:
        """Tell what the guest said in this boot, and how all boots went.

        ``bios``, ``told``: None and empty until it is up, which came ``up_after`` seconds. ``boots`` were
        begun, ``failed`` of them never came up, ``lost`` ended by themselves.
        """
        guest = self._guest
        report = guest.report if guest is not None else None
        return {
            "bios": report.bios_version if report is not None else None,
            "told": dict(report.told) if report is not None else {},
            "up_after": report.after if report is not None else None,
            "pid": guest.pid if guest is not None else None,
            "frozen": guest is not None and guest.frozen,
            "boots": self._boots,
            "failed": self._failed,
            "lost": self._lost,
            "console": list(guest.console) if guest is not None else [],
        }

    def close(self) -> None:
        """See ``HostBackend``."""
        self._closed = True
        self.cut()
        self._remove()

    # -- one boot -----------------------------------------------------------------------------

    def _power_on(self, host: BootingHost) -> None:
        if self._closed:
            return
        self._boots += 1
        self._guest = Guest(self._command(self._flash(host.flashed())))
        self._watch(host, self._guest, in_post=True)

    def _watch(self, host: BootingHost, guest: Guest, *, in_post: bool) -> None:
        """Look at *guest* again and again until it is gone; after a reset nobody looks any more."""
        exit_code = guest.exit_code  # read first: what was said before the end counts
        if in_post and guest.report is not None:
            in_post = False
            host.post_ended(came_up=True)
        elif in_post and (exit_code is not None or time.monotonic() - guest.started_at > self._made.post_limit):
            in_post = False
            # A signal is no fault of the firmware: someone pulled the plug, which is told below.
            if exit_code is None or exit_code >= 0:
                self._failed += 1
                host.post_ended(came_up=False)
                if exit_code is not None:
                    return  # it has reset itself or qemu refused its flash: a machine that hangs in POST
        if exit_code is not None:
            self._lost += 1
            host.lost_power()
            return
        host.later(_LOOK, partial(self._watch, host, guest, in_post=in_post))

    def _flash(self, flashed: Flashed) -> Path:
        """Write the file that stands for the flash chip and return it."""
        image = self._images.get(flashed.digest) if flashed.digest is not None else None
        content = image.read_bytes() if image is not None else _BLANK
        if flashed.corrupt:
            # A write that was broken off: erased from the top down, where every x86 firmware begins.
            kept = len(content) // 2
            content = content[:kept] + _ERASED * (len(content) - kept)
        chip = self._directory / "flash.bin"
        chip.write_bytes(content)
        return chip

    def _command(self, chip: Path) -> list[str]:
        return [
            *(self._made.program, "-name", self._identity.node, "-no-user-config", "-nodefaults"),
            *("-machine", "q35", "-accel", "tcg", "-m", str(self._made.memory)),
            *("-display", "none", "-monitor", "none", "-no-reboot"),
            *("-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"),
            *("-kernel", str(self._made.kit.kernel), "-initrd", str(self._made.kit.initramfs), "-append", _CONSOLE),
            *("-smbios", self._smbios()),
            *self._firmware(chip),
        ]

    def _smbios(self) -> str:
        """Return who the host is; type 0, what its BIOS is, is left to the BIOS."""
        who = self._identity
        told = {"manufacturer": who.vendor, "product": who.model, "serial": who.serial, "uuid": who.uuid}
        return ",".join(["type=1", *(f"{key}={value.replace(',', ',,')}" for key, value in told.items())])

    def _firmware(self, chip: Path) -> list[str]:
        with chip.open("rb") as file:
            start = file.read(_UEFI_SIGNATURE_AT + len(_UEFI_SIGNATURE))
        if start[_UEFI_SIGNATURE_AT:] != _UEFI_SIGNATURE:
            return ["-bios", str(chip)]
        kit, large = self._made.kit, chip.stat().st_size > _UEFI_SMALL
        variables = self._directory / ("variables-4m.bin" if large else "variables.bin")
        if not variables.exists():
            shutil.copyfile(kit.uefi_variables_4m if large else kit.uefi_variables, variables)
        drive = "if=pflash,format=raw,unit={},file={}"
        return [
            *("-drive", drive.format(0, _escaped(chip)) + ",readonly=on"),
            *("-drive", drive.format(1, _escaped(variables))),
        ]


def _escaped(path: Path) -> str:
    return str(path).replace(",", ",,")  # qemu's own quoting of a comma in an option
