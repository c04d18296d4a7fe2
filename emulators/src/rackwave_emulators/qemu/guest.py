"""One run of a guest: a qemu process from power-on to its end, and what it says over its serial console."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence

from attrs import field, frozen

from rackwave.core.bundle import frozen_map

from .initramfs import MARK

_STARTED_LIMIT = 10.0
_ENDED_LIMIT = 10.0
_LONGEST_LINE = 4096
_CONSOLE_LINES = 12

# The kernel kills the guest when the thread that started it is gone, however that came about, so that a
# lab that is killed -9 leaves none behind. util-linux has it; a preexec_fn would not be safe in a process
# of many threads. A lab that died before the kernel was told would never be noticed: so the shell looks
# afterwards whether its parent, $0, is still there, and becomes the guest only then.
_DIE_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL", "--", "sh", "-c", '[ "$PPID" = "$0" ] && exec "$@"')


@frozen
class Report:
    """What the guest said of itself once it was up, and how many real seconds after power-on."""

    told: Mapping[str, str] = field(converter=frozen_map)
    after: float

    @property
    def bios_version(self) -> str:
        """The version that its BIOS told it over SMBIOS."""
        return self.told.get("bios_version", "")


class Guest:
    """A guest that runs from its making on. Its ``report`` and ``exit_code`` come in their own time.

    A thread of its own starts the process, listens to its console and waits for its end. It lives as
    long as the process does, which is what ``_DIE_WITH_PARENT`` hangs on.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.report: Report | None = None
        self.exit_code: int | None = None
        """How the process ended, negative for a signal; None: it runs."""
        self.started_at = time.monotonic()
        self._command = (*_DIE_WITH_PARENT, str(os.getpid()), *command)
        self._process: subprocess.Popen[bytes] | None = None
        self._failure = ""
        self._lines: tuple[str, ...] = ()
        self._frozen = False
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rackwave-guest", daemon=True)
        self._thread.start()
        self._started.wait(_STARTED_LIMIT)

    @property
    def pid(self) -> int | None:
        """The process; None: it never started, or has ended."""
        return self._process.pid if self._process is not None and self.exit_code is None else None

    @property
    def console(self) -> tuple[str, ...]:
        """The last lines of its console, or why there is none."""
        return (*self._lines, self._failure) if self._failure else self._lines

    @property
    def frozen(self) -> bool:
        """Whether it was stopped where it stood."""
        return self._frozen

    def freeze(self) -> None:
        """Stop it where it stands: a machine that hangs, but uses no processor of ours."""
        if self._process is not None and not self._frozen:
            self._frozen = True
            self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """End it at once, and return when it is gone."""
        if self._process is not None:
            self._process.kill()
        self._thread.join(_ENDED_LIMIT)

    def _run(self) -> None:
        try:
            process = subprocess.Popen(  # noqa: S603 - our own command, no shell
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
        except OSError as error:
            self._failure = f"{self._command[0]} cannot be started: {error.strerror}"
            self.exit_code = 127
            self._started.set()
            return
        with process:
            self._process = process
            self._started.set()
            self._listen(process)
        self.exit_code = process.returncode

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None  # noqa: S101 - it was asked for
        told: dict[str, str] = {}
        while line := process.stdout.readline(_LONGEST_LINE):
            text = "".join(character for character in line.decode("ascii", "replace") if character.isprintable())
            if not text:
                continue
            self._lines = (*self._lines[1 - _CONSOLE_LINES :], text)
            # UEFI clears the screen without ending the line, so what we wait for may stand in mid-line.
            _, marked, said = text.partition(f"{MARK} ")
            if not marked:
                continue
            key, is_value, value = said.partition("=")
            if is_value:
                told[key] = value.strip()
            elif said.strip() == "ready":
                self.report = Report(told, time.monotonic() - self.started_at)
