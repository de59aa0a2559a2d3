"""A CA of one's own for a network at home, and certificates of a server that it signs. Needs cryptography."""

import datetime
import ipaddress
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
except ImportError as missing:
    raise ValueError(
        "making certificates needs cryptography: pip install 'mqttlite[broker]', or pipx inject mqttlite cryptography"
    ) from missing

CA_DAYS = 3650
SERVER_DAYS = 825  # the most that phones and computers of one well-known maker take, also from a CA of one's own
_EARLIER = datetime.timedelta(hours=1)  # for clocks that are slow, and boards that have just started


class Pair(NamedTuple):
    """A certificate and its key, both in PEM; the certificate in DER, and its SHA-256 as people write it."""

    certificate: bytes
    key: bytes
    der: bytes
    fingerprint: str
    until: datetime.date


def make_ca(name: str) -> Pair:
    """A CA that signs certificates of servers, and no further CAs."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _named(name)
    begun = _begun(subject, subject, key.public_key(), CA_DAYS)
    certificate = (
        begun.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return _pair(certificate, key)


def make_server(ca_certificate: bytes, ca_key: bytes, names: Sequence[str]) -> Pair:
    """A certificate for a server with these names and addresses, signed by a CA (both in PEM). ValueError: the CA's
    files are none, or do not belong together.
    """
    ca = x509.load_pem_x509_certificate(ca_certificate)
    signer = serialization.load_pem_private_key(ca_key, None)
    if not isinstance(signer, ec.EllipticCurvePrivateKey) or _der(signer.public_key()) != _der(ca.public_key()):
        raise ValueError("the key of the CA is not the one of its certificate")
    key = ec.generate_private_key(ec.SECP256R1())
    begun = _begun(_named(names[0]), ca.subject, key.public_key(), SERVER_DAYS)
    certificate = (
        begun.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.public_key()), critical=False)  # type: ignore[arg-type]
        .sign(signer, hashes.SHA256())
    )
    return _pair(certificate, key)


def _begun(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _der(key: "CertificatePublicKeyTypes") -> bytes:
    """Of a public key: in Debian 12 two of them are not to be compared."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _usage(signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(not signs, False, False, False, False, signs, signs, False, False)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    digits = certificate.fingerprint(hashes.SHA256()).hex().upper()
    # Debian 12 has cryptography 38, which knows the second form alone
    is_recent = hasattr(certificate, "not_valid_after_utc")
    until = certificate.not_valid_after_utc if is_recent else certificate.not_valid_after
    return Pair(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        certificate.public_bytes(serialization.Encoding.DER),
        ":".join(digits[at : at + 2] for at in range(0, len(digits), 2)),
        until.date(),
    )


def make_password() -> str:
    """One that can be typed on a phone: 20 signs, 98 bits, none of which looks like another one."""
    signs = "abcdefghijkmnpqrstuvwxyz23456789"
    groups = ["".join(secrets.choice(signs) for _ in range(5)) for _ in range(4)]
    return "-".join(groups)
