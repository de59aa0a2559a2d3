"""A CA of the tests' own, and certificates that it has signed, or should not have: made anew each time.

made = Certificates(tmp_path)
made.server("127.0.0.1", "localhost")  ->  Pair(certificate, key): paths of PEM files
"""

import datetime
import ipaddress
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)


class Pair(NamedTuple):
    """Paths of a certificate and its key, and its SHA-256 in hexadecimal."""

    certificate: Path
    key: Path
    fingerprint: str


class Certificates:
    """A CA, whose certificate is in `ca` (PEM), and what it signs, in files below `folder`."""

    def __init__(self, folder: Path, name: str = "mqttlite test CA") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        self._certificate = (
            self._begun(self._name, self._name, self._key.public_key(), 0)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.ca = folder / "ca.pem"
        self.ca.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def server(self, *names: str, days: int = 1, file: str = "server", self_signed: bool = False) -> Pair:
        """For a server with these names or addresses; it ends in `days` days (below 0: it has ended)."""
        alternative = x509.SubjectAlternativeName([_general(name) for name in names or ("127.0.0.1", "localhost")])
        return self._made(
            file, names[0] if names else "localhost", alternative, ExtendedKeyUsageOID.SERVER_AUTH, days, self_signed
        )

    def client(self, name: str = "kitchen", days: int = 1, file: str = "client", password: str = "") -> Pair:
        """For a client; its key encrypted where there is a password."""
        return self._made(file, name, None, ExtendedKeyUsageOID.CLIENT_AUTH, days, False, password)

    def _made(
        self,
        file: str,
        name: str,
        alternative: x509.SubjectAlternativeName | None,
        usage: x509.ObjectIdentifier,
        days: int,
        self_signed: bool,
        password: str = "",
    ) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _named(name)
        issuer, issuer_key = (subject, key) if self_signed else (self._name, self._key)
        begun = (
            self._begun(subject, issuer, key.public_key(), days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        )
        if alternative:
            begun = begun.add_extension(alternative, critical=False)
        certificate = begun.sign(issuer_key, hashes.SHA256())
        paths = self.folder / f"{file}.pem", self.folder / f"{file}.key"
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        paths[1].touch(0o600)
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption(),
            )
        )
        return Pair(*paths, certificate.fingerprint(hashes.SHA256()).hex())

    @staticmethod
    def _begun(
        subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 30 * DAY)
            .not_valid_after(now + (days or 2) * DAY)
        )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )
