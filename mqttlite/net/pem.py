"""Certificates, keys and CAs from files into an SSLContext, with words for what is wrong with them. ValueError names
the file and says what to do; the words of OpenSSL alone ("[SSL] PEM lib (_ssl.c:4149)") tell nobody anything.
"""

import os
import re
import ssl
from collections.abc import Sequence
from pathlib import Path


def load_certificate(
    context: ssl.SSLContext,
    certificate: "str | os.PathLike[str]",
    key_file: "str | os.PathLike[str] | None" = None,
    password: "str | bytes | None" = None,
) -> None:
    """Load a certificate, those of its chain, and its key: in `key_file`, or in the same file."""
    path = os.fspath(certificate)
    key_path = os.fspath(key_file) if key_file is not None else path
    text = _read("certificate", path)
    if b"-----BEGIN CERTIFICATE-----" not in text:
        raise ValueError(f"{path} holds no certificate in PEM ('-----BEGIN CERTIFICATE-----'){_der_hint(text)}")
    key_text = _read("key", key_path)
    if b"PRIVATE KEY-----" not in key_text:
        instead = "" if key_file is not None else "; give the file of its key, too"
        raise ValueError(f"{key_path} holds no private key in PEM ('-----BEGIN PRIVATE KEY-----'){instead}")
    asked = False

    def ask() -> str | bytes:  # else OpenSSL would ask on the terminal
        nonlocal asked
        asked = True
        return password if password is not None else b""

    try:
        context.load_cert_chain(path, key_path, ask)
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or ""
        if asked:
            missing = "it is encrypted: give its password" if password is None else "the password is wrong"
            raise ValueError(f"cannot read the key in {key_path}: {missing}") from None
        if "KEY_VALUES_MISMATCH" in reason or "KEY_TYPE_MISMATCH" in reason:
            raise ValueError(
                f"the key in {key_path} does not belong to the certificate in {path} (the first one in the file counts)"
            ) from None
        if "KEY_TOO_SMALL" in reason or "MD_TOO_WEAK" in reason:
            raise ValueError(
                f"the certificate in {path} is too weak for OpenSSL ({reason.lower().replace('_', ' ')}): make it "
                "anew, with RSA of 2048 bits or an elliptic curve, and SHA-256"
            ) from None
        raise ValueError(f"the certificate in {path} or the key in {key_path} is damaged: {_words(error)}") from None


def load_ca(context: ssl.SSLContext, ca: "str | bytes | os.PathLike[str]") -> None:
    """Trust these CAs, and these alone: a file (PEM or DER), a folder as OpenSSL has them, PEM as str, DER as bytes."""
    if isinstance(ca, bytes) or (isinstance(ca, str) and "-----BEGIN" in ca):
        _load_ca_data(context, "ca", ca.encode() if isinstance(ca, str) else ca)
        return
    path = os.fspath(ca)
    if os.path.isdir(path):
        context.load_verify_locations(capath=path)
        return
    _load_ca_data(context, path, _read("CA", path))


def _load_ca_data(context: ssl.SSLContext, name: str, data: bytes) -> None:
    try:
        if data[:1] == b"\x30":  # DER
            context.load_verify_locations(cadata=data)
            return
        if b"-----BEGIN" not in data:
            raise ValueError(f"{name} holds no certificate, neither in PEM ('-----BEGIN CERTIFICATE-----') nor in DER")
        context.load_verify_locations(cadata=data.decode("ascii", "replace"))
    except ssl.SSLError as error:
        if b"-----BEGIN CERTIFICATE-----" not in data and b"PRIVATE KEY-----" in data:
            raise ValueError(f"{name} holds a private key, and no certificate: give the file of the CA's") from None
        raise ValueError(f"{name} holds no certificate that is whole: {_words(error)}") from None


def protocols(names: "str | Sequence[str]") -> list[str]:
    """Names for ALPN: of a list, or of a text with commas. ValueError for what TLS has no room for."""
    found = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    for name in found:
        if not isinstance(name, str) or not name.isascii() or not 0 < len(name) < 256:
            raise ValueError(f"a protocol for ALPN is a name of 1 to 255 ASCII characters, not {name!r:.60}")
    return found


def _read(what: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read the {what} in {path}: {error.strerror or error}") from None


def _der_hint(text: bytes) -> str:
    der = "; this looks like DER: openssl x509 -inform der -in FILE -out FILE.pem makes PEM of it"
    return der if text[:2] == b"\x30\x82" else ""


def _words(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    return reason.lower().replace("_", " ") if reason else re.sub(r" \(_ssl\.c:\d+\)$", "", str(error))
