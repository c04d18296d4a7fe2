"""A certificate of our own for the image server, where the operator configured none.

BMCs mostly do not verify whom they pull from; those that do are given ``certificate.pem`` to trust.
RSA with 2,048 bits and SHA-256 is what every TLS 1.2 stack on a BMC can check.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFE = timedelta(days=800)
_SINCE = datetime(2000, 1, 1, tzinfo=UTC)  # the clock of a BMC may be years behind (P33)
_RENEW_BEFORE = timedelta(days=30)


def own_certificate(directory: Path, hosts: Collection[str], now: float) -> tuple[Path, Path]:
    """Return the paths of a certificate for *hosts* and of its key; make them where they do not do.

    An existing one is kept while it lasts and names every host, so that a BMC that was told to trust
    it does not have to be told again.
    """
    certificate, key = directory / "certificate.pem", directory / "certificate.key"
    wanted = {_name(host) for host in hosts}
    moment = datetime.fromtimestamp(now, UTC)
    if not _serves(certificate, key, wanted, moment):
        directory.mkdir(parents=True, exist_ok=True)
        _make(certificate, key, wanted, moment)
    return certificate, key


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _serves(certificate: Path, key: Path, wanted: Collection[x509.GeneralName], moment: datetime) -> bool:
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        private = serialization.load_pem_private_key(key.read_bytes(), password=None)
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, TypeError, x509.ExtensionNotFound):
        return False
    return (
        found.not_valid_before_utc <= moment <= found.not_valid_after_utc - _RENEW_BEFORE
        and set(wanted) <= set(names)
        and found.public_key() == private.public_key()
    )


def _make(certificate: Path, key: Path, wanted: Collection[x509.GeneralName], moment: datetime) -> None:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "rackwave image server")])
    identifier = x509.SubjectKeyIdentifier.from_public_key(private.public_key())
    usage = x509.KeyUsage(
        digital_signature=True,
        key_encipherment=True,
        key_cert_sign=True,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_SINCE)
        .not_valid_after(moment + _LIFE)
        .add_extension(x509.SubjectAlternativeName(sorted(wanted, key=str)), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(private, hashes.SHA256())
    )
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _replace(key, pem)
    _replace(certificate, made.public_bytes(serialization.Encoding.PEM))


def _replace(path: Path, content: bytes) -> None:
    """Write *path* in one step, readable by its owner alone."""
    draft = path.with_name(path.name + ".new")
    with contextlib.suppress(FileNotFoundError):
        draft.unlink()
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
