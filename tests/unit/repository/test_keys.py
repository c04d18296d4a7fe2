from __future__ import annotations

from pathlib import Path

import pytest

from rackwave.errors import TrustError
from rackwave.repository.keys import PublicKey, generate_key, load_signer

PASSWORD = b"correct horse"


@pytest.mark.parametrize("password", [None, PASSWORD])
def test_key_comes_back(tmp_path: Path, password: bytes | None) -> None:
    """A key that was made is read again, encrypted or not, and only its owner can read the file."""
    made = generate_key(tmp_path / "keys" / "key.pem", password=password)
    read = load_signer(tmp_path / "keys" / "key.pem", password=password)

    assert made.public_key == read.public_key
    assert made.sign(b"x", payload_type="t") == read.sign(b"x", payload_type="t")
    assert 0o600 == (tmp_path / "keys" / "key.pem").stat().st_mode & 0o777
    assert (b"ENCRYPTED" in (tmp_path / "keys" / "key.pem").read_bytes()) == (password is not None)
    assert ["key.pem"] == [path.name for path in (tmp_path / "keys").iterdir()]


def test_key_is_never_overwritten(tmp_path: Path) -> None:
    """Making a key where one is refuses and leaves it alone."""
    generate_key(tmp_path / "key.pem")
    before = (tmp_path / "key.pem").read_bytes()
    with pytest.raises(TrustError, match="exists already"):
        generate_key(tmp_path / "key.pem")

    assert before == (tmp_path / "key.pem").read_bytes()


def test_private_half_is_in_no_repr(tmp_path: Path) -> None:
    """The repr of a signer shows its public half only."""
    signer = generate_key(tmp_path / "key.pem")
    secret = signer.signer.private_bytes.decode().splitlines()[1]

    assert signer.public_key.public in repr(signer)
    assert secret not in repr(signer)
    assert "PRIVATE" not in repr(signer)


def test_key_that_others_can_read(tmp_path: Path) -> None:
    """A key that others can read is refused, with the command that mends it."""
    generate_key(tmp_path / "key.pem")
    (tmp_path / "key.pem").chmod(0o640)
    with pytest.raises(TrustError) as caught:
        load_signer(tmp_path / "key.pem")

    assert f"Run: chmod 600 {tmp_path / 'key.pem'}" == caught.value.advice


@pytest.mark.parametrize(
    ("made_with", "read_with", "says"),
    [
        (PASSWORD, None, "needs its passphrase"),
        (PASSWORD, b"wrong", "or the passphrase is wrong"),
        (None, PASSWORD, "is not encrypted, but a passphrase was given"),
    ],
)
def test_wrong_password(tmp_path: Path, made_with: bytes | None, read_with: bytes | None, says: str) -> None:
    """A missing, wrong or needless password is told apart, and no password is in the error."""
    generate_key(tmp_path / "key.pem", password=made_with)
    with pytest.raises(TrustError, match=says) as caught:
        load_signer(tmp_path / "key.pem", password=read_with)

    assert "horse" not in str(caught.value)


def test_no_key(tmp_path: Path) -> None:
    """A file that is no key, or is not there, is refused with advice."""
    (tmp_path / "noise.pem").write_bytes(b"noise")
    (tmp_path / "noise.pem").chmod(0o600)
    with pytest.raises(TrustError, match="is no PEM key"):
        load_signer(tmp_path / "noise.pem")
    with pytest.raises(TrustError, match="cannot be read") as caught:
        load_signer(tmp_path / "none.pem")

    assert "rackwave trust key" in caught.value.advice


@pytest.mark.parametrize("public", ["", "zz", "ab" * 31])
def test_no_public_key(public: str) -> None:
    """What is not 32 bytes in hexadecimal is no public key."""
    with pytest.raises(TrustError):
        PublicKey(public)
