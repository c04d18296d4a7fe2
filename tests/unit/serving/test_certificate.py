"""Our own certificate: made once, kept while it serves."""

import ssl
from pathlib import Path

import pytest

from rackwave.serving.certificate import own_certificate

_NOW = 1_800_000_000.0
_DAY = 86400.0


def _made(directory: Path, hosts: set[str], now: float = _NOW) -> bytes:
    certificate, _ = own_certificate(directory, hosts, now)
    return certificate.read_bytes()


def test_usable_and_private(tmp_path: Path) -> None:
    """OpenSSL loads it, and the key is readable by its owner alone."""
    certificate, key = own_certificate(tmp_path / "new", {"127.0.0.1"}, _NOW)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)

    assert 0o600 == key.stat().st_mode & 0o777


@pytest.mark.parametrize(
    ("hosts", "now", "kept"),
    [
        ({"127.0.0.1"}, _NOW, True),
        ({"127.0.0.1", "images.example"}, _NOW + 700 * _DAY, True),
        ({"127.0.0.1", "10.0.0.1"}, _NOW, False),
        ({"127.0.0.1"}, _NOW + 790 * _DAY, False),
    ],
)
def test_kept_while_it_serves(tmp_path: Path, hosts: set[str], now: float, kept: bool) -> None:
    """It stays while it lasts a month more and names every host, and is made anew otherwise."""
    first = _made(tmp_path, {"127.0.0.1", "images.example"})

    assert kept is (first == _made(tmp_path, hosts, now))


@pytest.mark.parametrize("damage", ["certificate.pem", "certificate.key"])
def test_damaged(tmp_path: Path, damage: str) -> None:
    """What cannot be read is made anew."""
    first = _made(tmp_path, {"127.0.0.1"})
    (tmp_path / damage).write_text("nonsense")

    assert first != _made(tmp_path, {"127.0.0.1"})
