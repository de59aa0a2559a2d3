"""[tls]: in forward mode what the gateway knows of the broker's TLS, and shows of itself. (In bridge mode it is about
the listeners of the broker inside, as in broker.toml.)
"""

from dataclasses import fields
from typing import Any

from mqttlite.client.url import Url
from mqttlite.settings.found import Found

from .errors import ConfigError
from .whole import Config

KEYS = ("tls",)


def read(found: Found, config: Config) -> None:
    """Take the table over."""
    with found.gathering("tls"):
        config.tls = found.table("tls")
        if config.tls:
            found.names(("tls",), names())
            try:
                check(config.tls, config.upstream)
            except ConfigError as error:
                raise found.mistake(("tls",), str(error).removeprefix("[tls]: ")) from None


def names() -> list[str]:
    """The keys that there are: no file holds an SSLContext."""
    from mqttlite.client.secure.tls_options import TlsOptions  # only who has such a table loads it

    return [each.name for each in fields(TlsOptions) if each.name != "tls"]


def check(table: dict[str, Any], upstream: str) -> None:
    """ConfigError for a table that does not go together, or not with the broker's URL."""
    from mqttlite.client.secure.tls_options import TlsOptions

    try:
        options = TlsOptions(**table)
        options.check_scheme(Url(upstream))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"[tls]: {error}") from None
