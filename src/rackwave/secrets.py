"""Credentials by reference: looked up at the last moment, kept nowhere.

* ``env:LAB`` reads the environment variables ``LAB_USERNAME`` and ``LAB_PASSWORD``.
* ``file:/path/credentials.toml`` reads ``username`` and ``password`` from a file that only its owner
  can read.

A key's passphrase is referred to likewise (``Passphrases``): ``env:NAME`` is the variable itself, and the
whole of a ``file:`` is the passphrase.

Messages name the reference, never a value. A text that is no reference is not shown either: it is
likely a password in the wrong place.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

from .errors import SecretError
from .ports import Credentials

PASSPHRASE = "RACKWAVE_PASSPHRASE"  # noqa: S105 - the name of a variable
_LONGEST = 4096
_PREFIX = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class ReferencedSecrets:
    """Implements ``ports.Secrets``. Nothing is cached: a password that was changed is seen at the next look-up."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = os.environ if environment is None else environment

    def resolve(self, reference: str) -> Credentials:
        """Look *reference* up.

        Raises:
            SecretError: it does not resolve.
        """
        kind, _, rest = absolute_reference(reference, Path()).partition(":")
        return self._from_environment(rest) if kind == "env" else _from_file(Path(rest))

    def _from_environment(self, prefix: str) -> Credentials:
        names = (f"{prefix}_USERNAME", f"{prefix}_PASSWORD")
        if missing := [name for name in names if not self._environment.get(name)]:
            raise SecretError(
                f"The credentials env:{prefix} do not resolve: {' and '.join(missing)} not set.",
                advice=f"Set {names[0]} and {names[1]} in the environment of this command.",
            )
        return Credentials(self._environment[names[0]], self._environment[names[1]])


class Passphrases:
    """Says a key's passphrase, or an HSM's PIN, when a signature needs it.

    By the reference if there is one, else by the variable ``RACKWAVE_PASSPHRASE``, else by asking whoever sits there.
    """

    def __init__(
        self,
        reference: str | None = None,
        *,
        prompt: Callable[[str], str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._reference = reference
        self._prompt = prompt
        self._environment = os.environ if environment is None else environment

    def __call__(self, what: str) -> bytes:
        """Return the secret of *what*, for example ``root key``.

        Raises:
            SecretError: it does not resolve, or there is nobody to ask.
        """
        if self._reference is not None:
            kind, _, rest = absolute_reference(self._reference, Path()).partition(":")
            return self._variable(rest, what) if kind == "env" else _whole(Path(rest), what)
        if self._environment.get(PASSPHRASE):
            return self._variable(PASSPHRASE, what)
        if self._prompt is None:
            raise SecretError(
                f"The passphrase of the {what} is wanted, and there is nobody to ask.",
                advice=f"Set {PASSPHRASE}, or name a file that holds it: --passphrase file:/path.",
            )
        return self._prompt(what).encode()

    def _variable(self, name: str, what: str) -> bytes:
        value = self._environment.get(name)
        if not value:
            raise SecretError(
                f"The passphrase of the {what}, env:{name}, does not resolve: {name} is not set.",
                advice=f"Set {name} in the environment of this command.",
            )
        return value.encode()


def _whole(path: Path, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            _check_private(file, f"The passphrase of the {what}, file:{path}", path)
            value = file.read(_LONGEST).rstrip(b"\r\n")
    except OSError as error:
        raise SecretError(f"The passphrase of the {what}, file:{path}, cannot be read: {error.strerror}.") from error
    if not value:
        raise SecretError(f"The passphrase of the {what}, file:{path}, is empty.")
    return value


def _check_private(file: BinaryIO, what: str, path: Path) -> None:
    mode = os.fstat(file.fileno()).st_mode
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SecretError(
            f"{what} can be read by others than its owner (mode {mode & 0o777:o}).", advice=f"Run: chmod 600 {path}"
        )


def absolute_reference(reference: str, base: Path) -> str:
    """Check the form of *reference* and return it with a file's path made absolute, starting from *base*.

    Raises:
        SecretError: it has no such form.
    """
    kind, _, rest = reference.partition(":")
    if kind == "env" and _PREFIX.fullmatch(rest):
        return reference
    if kind == "file" and rest and "\0" not in rest:
        try:
            return f"file:{(base / Path(rest).expanduser()).absolute()}"
        except RuntimeError as error:  # no such home directory
            raise SecretError(f"The credentials {reference} do not resolve: {error}.") from error
    raise SecretError(
        "The credentials are no reference (what stands there is not shown, since it may be a password).",
        advice="Write env:PREFIX or file:/path/credentials.toml.",
    )


def _from_file(path: Path) -> Credentials:
    reference = f"file:{path}"
    try:
        with path.open("rb") as file:
            _check_private(file, f"The credentials {reference}", path)
            content = file.read().decode()
    except OSError as error:
        raise SecretError(f"The credentials {reference} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise SecretError(f"The credentials {reference} are not UTF-8 text.") from error
    try:
        document = tomllib.loads(content)
    except (ValueError, RecursionError):  # TOMLDecodeError, or a number of thousands of digits
        # Not chained: the parser's message quotes the text.
        raise SecretError(
            f"The credentials {reference} are not TOML.", advice='Write username = "…" and password = "…".'
        ) from None
    username, password = document.get("username"), document.get("password")
    if not (isinstance(username, str) and username and isinstance(password, str) and password):
        raise SecretError(
            f"The credentials {reference} lack a text under 'username' or 'password'.",
            advice='Write username = "…" and password = "…".',
        )
    return Credentials(username, password)
