"""The certificate that a board trusts: a file on the computer, base64 of DER in its settings."""

import ssl
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mqttlite_board.settings import SettingError

MAX_BYTES = 4096  # of DER; a board reads it at each connection
_INLINE = "MI"  # how base64 of a certificate of 128 bytes or more begins


def as_setting(ca: str, folder: Path) -> str:
    """What a board has as `ca`: that itself, or from the file of this name, seen from `folder`. Raises SettingError."""
    if not ca or (ca.startswith(_INLINE) and len(ca) > 200):
        return ca
    path = folder / ca
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SettingError(f"ca: cannot read {path}: {error.strerror}") from None
    if b"-----BEGIN" in data:
        text = data.decode("ascii", "replace")
        if text.count("-----BEGIN CERTIFICATE-----") != 1:
            found = "no certificate" if "CERTIFICATE" not in text else "more than one certificate"
            raise SettingError(f"ca: {path} holds {found}; a board trusts one: that of the CA, or of the broker")
        begin = text.index("-----BEGIN CERTIFICATE-----")
        try:
            data = ssl.PEM_cert_to_DER_cert(text[begin:].strip())
        except ValueError:
            raise SettingError(f"ca: {path} holds no certificate that is whole") from None
    try:
        if data[:1] != b"0":  # a SEQUENCE
            raise ValueError
        ssl.create_default_context(cadata=data)
    except (ssl.SSLError, ValueError):
        raise SettingError(f"ca: {path} holds no certificate, neither in PEM nor in DER") from None
    if len(data) > MAX_BYTES:
        raise SettingError(f"ca: the certificate in {path} has {len(data)} bytes; a board takes {MAX_BYTES} at most")
    return b2a_base64(data, newline=False).decode()


def options(values: Mapping[str, Any]) -> dict[str, Any]:
    """What a client on this computer needs to trust whom the board trusts."""
    return {"ca": a2b_base64(values["ca"])} if values.get("ca") else {}
