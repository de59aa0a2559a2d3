"""What a client is told about TLS: whom it trusts, who it is. CPython only; the arguments of Client with these names.

Made into an SSLContext when a connection is opened, and anew when one of the files has changed: a certificate that is
renewed in its file counts from the next connection on.
"""

import logging
import os
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from ...core.errors import ConnectError, SettingError
from ...net.pem import load_ca, load_certificate, protocols
from ..url import Url

log = logging.getLogger("mqttlite.client")

SCHEMES = ("mqtts", "wss")
Path = str | os.PathLike[str]


@dataclass(frozen=True)
class TlsOptions:
    """
    ca              CAs to trust instead of the system's: a file (PEM or DER), a folder, PEM as str, or DER as bytes
    certificate     file with the client's certificate (PEM), behind it those of its chain
    key_file        file with its key (PEM); default: it is in `certificate`
    key_password    of the key, where it is encrypted
    alpn            protocols to offer (ALPN), as ["mqtt"]; or one text, with commas
    server_name     the name that the broker's certificate must have (and SNI); default: the host of the URL
    fingerprint     SHA-256 of the broker's certificate, in hexadecimal: this one is taken, whoever has signed it
    insecure        True: whoever answers is taken for the broker. For trials alone
    tls             an ssl.SSLContext instead of all others but `server_name`
    """

    ca: Path | bytes | None = None
    certificate: Path | None = None
    key_file: Path | None = None
    key_password: str | bytes | None = None
    alpn: Sequence[str] | str | None = None
    server_name: str | None = None
    fingerprint: str | None = None
    insecure: bool = False
    tls: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        """TypeError or ValueError for what cannot be, or does not go together."""
        for name in ("certificate", "key_file"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, (str, os.PathLike)) or not value):
                raise TypeError(f"{name} must be the path of a file, not {value!r:.60} ({type(value).__name__})")
        if self.ca is not None and (not isinstance(self.ca, (str, bytes, os.PathLike)) or not self.ca):
            raise TypeError(f"ca must be the path of a file, or a certificate, not {self.ca!r:.60}")
        if self.server_name is not None and (not isinstance(self.server_name, str) or not self.server_name):
            raise TypeError(f"server_name must be a host name (str), not {self.server_name!r:.60}")
        if not isinstance(self.insecure, bool):
            raise TypeError(f"insecure must be True or False, not {self.insecure!r:.60}")
        if self.tls is not None and not isinstance(self.tls, ssl.SSLContext):
            raise TypeError(
                f"tls must be an ssl.SSLContext, not {self.tls!r:.60} ({type(self.tls).__name__}); the usual is said "
                "with ca=, certificate=, fingerprint=, and needs none (on boards tls= takes a CA's bytes; here ca=)"
            )
        if self.key_file is not None and self.certificate is None:
            raise ValueError("key_file without certificate: a key alone says nothing; give the certificate, too")
        if self.key_password is not None and self.certificate is None:
            raise ValueError("key_password without certificate: there is no key that it could open")
        if self.fingerprint is not None:
            plain_fingerprint(self.fingerprint)
        if self.alpn is not None:
            protocols(self.alpn)
        given = self.given
        if self.tls is not None and set(given) - {"tls", "server_name"}:
            others = " and ".join(name for name in given if name not in ("tls", "server_name"))
            raise ValueError(f"tls= is an SSLContext that says all: {others} belongs into it, or leave tls= out")
        if self.insecure and (self.ca is not None or self.fingerprint is not None):
            raise ValueError("insecure=True takes whoever answers, so ca= and fingerprint= would be for nothing")

    @property
    def given(self) -> list[str]:
        """Names of what was said."""
        return [each.name for each in fields(self) if getattr(self, each.name) not in (None, False)]

    def check_scheme(self, url: Url) -> None:
        """ValueError when something is said about TLS, and the URL is for a connection without it."""
        given = self.given
        if given and url.scheme not in SCHEMES:
            instead = "wss" if url.scheme == "ws" else "mqtts"
            raise ValueError(f"{given[0]}= is about TLS, and {url.scheme}:// goes without it; use {instead}://")

    def stamps(self) -> list[tuple[str, int, int] | None]:
        """What changes when one of the files does."""
        found: list[tuple[str, int, int] | None] = []
        for value in (self.ca, self.certificate, self.key_file):
            if value is not None and not isinstance(value, bytes) and "-----BEGIN" not in os.fspath(value):
                try:
                    told = os.stat(value)
                    found.append((os.fspath(value), told.st_mtime_ns, told.st_size))
                except OSError:
                    found.append(None)
        return found

    def context(self, scheme: str, shown: str) -> ssl.SSLContext:
        """The context for a connection to `shown`. SettingError when a file is not as it should be."""
        if self.tls is not None:
            return self.tls
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.insecure or (self.fingerprint is not None and self.ca is None):
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            if self.insecure:
                log.warning(
                    "insecure=True: %s may be anybody; what is sent there, passwords included, can be read and changed "
                    "on the way. ca= or fingerprint= makes it safe",
                    shown,
                )
        try:
            if self.ca is not None:
                load_ca(context, self.ca)
            elif context.verify_mode != ssl.CERT_NONE:
                context.load_default_certs()
            if self.certificate is not None:
                load_certificate(context, self.certificate, self.key_file, self.key_password)
        except (ValueError, OSError) as error:
            raise SettingError(str(error)) from None
        names = protocols(self.alpn) if self.alpn else ["http/1.1"] if scheme == "wss" else []
        if names:
            context.set_alpn_protocols(names)
        return context

    def check(self, seen: str, shown: str) -> None:
        """ConnectError unless the certificate with the fingerprint `seen` is the one that is wanted."""
        if self.fingerprint is not None and seen != plain_fingerprint(self.fingerprint):
            raise ConnectError(
                f"{shown} shows a certificate with the fingerprint {with_colons(seen)}, not the one that is pinned "
                "with fingerprint=: it was renewed, or somebody else answers. Ask who runs the broker"
            )


def take_options(options: dict[str, Any]) -> TlsOptions:
    """What of the arguments of Client is about TLS, taken out of them."""
    return TlsOptions(**{each.name: options.pop(each.name) for each in fields(TlsOptions) if each.name in options})


def plain_fingerprint(text: object) -> str:
    """SHA-256 in 64 hexadecimal digits, of text that may have colons, blanks, and "SHA256:" in front."""
    if not isinstance(text, str):
        raise TypeError(f"fingerprint must be str, not {text!r:.60} ({type(text).__name__})")
    plain = re.sub(r"^sha-?256( fingerprint)?[:=]", "", text.strip().lower())
    plain = re.sub("[: ]", "", plain)
    if not re.fullmatch("[0-9a-f]{64}", plain):
        instead = "; with 40 digits it is SHA-1, which does not count any more" if len(plain) == 40 else ""
        raise ValueError(
            f"fingerprint must be the SHA-256 of the certificate, 64 hexadecimal digits{instead}, as "
            "'openssl x509 -in FILE -noout -fingerprint -sha256' prints it"
        )
    return plain


def with_colons(plain: str) -> str:
    """As everybody shows it."""
    return ":".join(re.findall("..", plain.upper()))
