"""The lab's certificate authority, and a certificate for each BMC.

Each BMC has a certificate of its own, as real ones have, so that a client that confuses two BMCs is
found out. All of them share one key: making 1,000 keys would be the slowest part of a lab's start.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .faults import Certificate

# A lab is thrown away within hours; the slack before now covers clients whose clock is behind.
_SLACK = datetime.timedelta(days=2)
_LIFE = datetime.timedelta(days=60)


def write_private(path: Path, content: bytes) -> None:
    """Write *content* to *path*, readable by its owner alone from the first moment on."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


class Authority:
    """A CA made for one lab. ``ca`` is its certificate on disk; its own key is never written.

    A context costs 1 ms and 20 KiB (measured), so one is only made when the BMC is first connected to.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._server_key = ec.generate_private_key(ec.SECP256R1())
        self._subject = _named("rackwave lab CA")
        self.ca = directory / "ca.pem"
        self._server_key_path = directory / "server.key"
        self.ca.write_bytes(self._own_certificate().public_bytes(serialization.Encoding.PEM))
        write_private(self._server_key_path, _private_pem(self._server_key))
        (directory / "certificates").mkdir(exist_ok=True)

    def context(self, name: str, address: str, *, kind: Certificate | None = None, number: int = 0) -> ssl.SSLContext:
        """Return what the BMC called *name* at the IP *address* serves TLS with.

        *kind* is what its certificate *number* is, where it is not the one it began with (P32): that has a
        key of its own.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if kind is None:
            path, key_path, key = (
                self._directory / "certificates" / f"{name}.pem",
                self._server_key_path,
                self._server_key,
            )
        else:
            path = self._directory / "certificates" / f"{name}-{number}.pem"
            key, key_path = ec.generate_private_key(ec.SECP256R1()), path.with_suffix(".key")
            write_private(key_path, _private_pem(key))
        certificate = self._certificate(name, address, key, kind)
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        context.load_cert_chain(path, key_path)
        context.num_tickets = 0  # no Python client resumes TLS sessions; tickets would only cost CPU
        return context

    def _own_certificate(self) -> x509.Certificate:
        public = self._key.public_key()
        return (
            self._builder(self._subject, public, issuer=self._subject, life=_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def _certificate(
        self, name: str, address: str, key: ec.EllipticCurvePrivateKey, kind: Certificate | None
    ) -> x509.Certificate:
        alternatives = [x509.IPAddress(ipaddress.ip_address(address)), x509.DNSName(name)]
        itself = kind is Certificate.SELF_SIGNED
        issuer = _named(name) if itself else self._subject
        signer = key if itself else self._key
        life = -_SLACK / 2 if kind is Certificate.EXPIRED else _LIFE
        return (
            self._builder(_named(name), key.public_key(), issuer=issuer, life=life)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
            .sign(signer, hashes.SHA256())
        )

    @staticmethod
    def _builder(
        subject: x509.Name, public_key: ec.EllipticCurvePublicKey, *, issuer: x509.Name, life: datetime.timedelta
    ) -> x509.CertificateBuilder:
        # Certificates are judged by the client's real clock, so the lab's own clock has no say here.
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _SLACK)
            .not_valid_after(now + life)
        )


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
