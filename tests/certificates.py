"""An authority that issues certificates for servers on loopback, made anew in each test: nobody trusts it who was not told to."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = timedelta(days=1)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


@dataclass(slots=True)
class Authority:
    """Its folder holds what it made: `authority.pem`, and a file for each server with key and certificate."""

    folder: Path
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    name: x509.Name = field(default_factory=lambda: _named("an authority of a test"))

    def __post_init__(self) -> None:
        own = _builder(self.name, self.key, DAY, self.name, self.key).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        usage = x509.KeyUsage(*(place in {5, 6} for place in range(9)))  # signs certificates and lists of revoked ones
        signed = own.add_extension(usage, critical=True).sign(self.key, hashes.SHA256())
        self.path.write_bytes(signed.public_bytes(Encoding.PEM))

    @property
    def path(self) -> Path:
        """Its certificate: what SSL_CERT_FILE names."""
        return self.folder / "authority.pem"

    def server(self, host: str, *, is_self_signed: bool = False, lasts: timedelta = DAY) -> ssl.SSLContext:
        """What a server of that host name needs; one that `lasts` less than nothing is over."""
        key = ec.generate_private_key(ec.SECP256R1())
        issuer, issuer_key = (_named(host), key) if is_self_signed else (self.name, self.key)
        builder = _builder(_named(host), key, lasts, issuer, issuer_key)
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        signed = builder.add_extension(usage, critical=False).sign(issuer_key, hashes.SHA256())
        path = self.folder / f"{host}.pem"
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(secret + signed.public_bytes(Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


def _builder(
    subject: x509.Name, key: ec.EllipticCurvePrivateKey, lasts: timedelta, issuer: x509.Name, issuer_key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - 2 * DAY).not_valid_after(now + lasts)
    whose = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return builder.add_extension(whose, critical=False).add_extension(own, critical=False)
