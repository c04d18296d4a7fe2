"""Credentials by reference: looked up at the last moment, kept nowhere.

* ``env:LAB`` reads the environment variables ``LAB_USERNAME`` and ``LAB_PASSWORD``.
* ``file:/path/credentials.toml`` reads ``username`` and ``password`` from a file that only its owner
  can read.

Messages name the reference, never a value. A text that is no reference is not shown either: it is
likely a password in the wrong place.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path

from .errors import SecretError
from .ports import Credentials

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
            mode = os.fstat(file.fileno()).st_mode
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise SecretError(
                    f"The credentials {reference} can be read by others than their owner (mode {mode & 0o777:o}).",
                    advice=f"Run: chmod 600 {path}",
                )
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
