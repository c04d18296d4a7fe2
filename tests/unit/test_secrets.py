"""Credentials by reference: resolved late, shown never."""

from pathlib import Path

import pytest

from rackwave.errors import SecretError
from rackwave.ports import Credentials, Secrets
from rackwave.secrets import Passphrases, ReferencedSecrets, absolute_reference

_ENVIRONMENT = {"LAB_USERNAME": "root", "LAB_PASSWORD": "hunter2", "HALF_USERNAME": "root", "HALF_PASSWORD": ""}


def _file(directory: Path, text: str, mode: int = 0o600) -> str:
    path = directory / "credentials.toml"
    path.write_text(text)
    path.chmod(mode)
    return f"file:{path}"


def test_environment() -> None:
    """``env:PREFIX`` reads two variables."""
    secrets: Secrets = ReferencedSecrets(_ENVIRONMENT)

    assert Credentials("root", "hunter2") == secrets.resolve("env:LAB")


def test_real_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without being given one, it reads the process's environment, at the time of the look-up."""
    secrets = ReferencedSecrets()
    monkeypatch.setenv("RACK_USERNAME", "root")
    monkeypatch.setenv("RACK_PASSWORD", "hunter2")

    assert Credentials("root", "hunter2") == secrets.resolve("env:RACK")


def test_file(tmp_path: Path) -> None:
    """``file:`` reads a private TOML file."""
    reference = _file(tmp_path, 'username = "root"\npassword = "hunter2"\n')

    assert Credentials("root", "hunter2") == ReferencedSecrets({}).resolve(reference)


def test_never_in_a_repr() -> None:
    """The password is in no repr."""
    assert "hunter2" not in repr(ReferencedSecrets(_ENVIRONMENT).resolve("env:LAB"))
    assert "hunter2" not in repr(ReferencedSecrets(_ENVIRONMENT))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_file_that_others_can_read(tmp_path: Path, mode: int) -> None:
    """A file that anybody else may read or write is refused, with the command that mends it."""
    reference = _file(tmp_path, 'username = "root"\npassword = "hunter2"\n', mode)

    with pytest.raises(SecretError, match="others") as caught:
        ReferencedSecrets({}).resolve(reference)

    assert "chmod 600" in caught.value.advice


@pytest.mark.parametrize(
    "text",
    ["hunter2", 'username = "root"\n', 'username = "root"\npassword = 2\n', 'password = "hunter2"\n', "\x00hunter2"],
)
def test_file_of_another_form(tmp_path: Path, text: str) -> None:
    """A file that does not hold both is refused; the message names the file and nothing in it."""
    reference = _file(tmp_path, text)

    with pytest.raises(SecretError) as caught:
        ReferencedSecrets({}).resolve(reference)

    assert reference in str(caught.value)
    _shows_nothing(caught.value)


@pytest.mark.parametrize(
    ("reference", "what"),
    [
        ("env:HALF", "HALF_PASSWORD not set"),
        ("env:NONE", "NONE_USERNAME and NONE_PASSWORD not set"),
        ("file:/no/such/file.toml", "No such file"),
        ("file:/", "Is a directory"),
    ],
)
def test_unresolved(reference: str, what: str) -> None:
    """A reference that does not resolve is named, with what is missing."""
    with pytest.raises(SecretError, match=what) as caught:
        ReferencedSecrets(_ENVIRONMENT).resolve(reference)

    assert reference in str(caught.value)
    _shows_nothing(caught.value)


@pytest.mark.parametrize("reference", ["hunter2", "root:hunter2", "env:", "env:a b", "file:", "vault:hunter2", ""])
def test_no_reference(reference: str) -> None:
    """A text that is no reference may be a password, so it is not shown."""
    with pytest.raises(SecretError, match="no reference") as caught:
        ReferencedSecrets({}).resolve(reference)

    _shows_nothing(caught.value)


def test_relative_file() -> None:
    """A relative file is meant from the inventory's directory."""
    assert "file:/lab/x.toml" == absolute_reference("file:x.toml", Path("/lab"))
    assert "file:/etc/x.toml" == absolute_reference("file:/etc/x.toml", Path("/lab"))


def _shows_nothing(error: BaseException | None) -> None:
    """Neither the error nor what caused it shows the password."""
    while error is not None:
        assert "hunter2" not in str(error)
        assert "hunter2" not in getattr(error, "advice", "")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def test_passphrases(tmp_path: Path) -> None:
    """A passphrase comes from where its reference says, else from one variable, else from whoever sits there."""
    path = tmp_path / "passphrase"
    path.write_text("correct horse\n")
    path.chmod(0o600)
    environment = {"MINE": "battery", "RACKWAVE_PASSPHRASE": "staple"}

    assert b"correct horse" == Passphrases(f"file:{path}", environment={})("root key")
    assert b"battery" == Passphrases("env:MINE", environment=environment)("root key")
    assert b"staple" == Passphrases(environment=environment, prompt=str.upper)("root key")
    assert b"ROOT KEY" == Passphrases(environment={}, prompt=str.upper)("root key")


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        (None, "the root key is wanted, and there is nobody to ask"),
        ("env:NONE", "NONE is not set"),
        ("file:/nowhere/at/all", "cannot be read"),
        ("hunter2", "no reference"),
    ],
)
def test_passphrase_that_does_not_resolve(reference: str | None, says: str) -> None:
    """What does not resolve says why, and what to do; what may be a passphrase itself is not shown."""
    with pytest.raises(SecretError, match=says) as caught:
        Passphrases(reference, environment={})("root key")

    assert "hunter2" not in caught.value.whole


def test_passphrase_that_others_can_read(tmp_path: Path) -> None:
    """A file that others can read is refused."""
    path = tmp_path / "passphrase"
    path.write_text("correct horse")
    path.chmod(0o644)
    with pytest.raises(SecretError, match="can be read by others") as caught:
        Passphrases(f"file:{path}")("root key")

    assert f"chmod 600 {path}" in caught.value.advice
