"""The broker that a gateway leads to: its URL, and what there is to say about TLS to it."""

from dataclasses import fields
from typing import Any

from mqttlite.client.arguments.checked_url import NETWORK, checked_url
from mqttlite.client.url import Url
from mqttlite.core.shown import shown

from .errors import ConfigError


def check_url(text: str, key: str = "upstream") -> None:
    """ConfigError for a URL that is no broker's."""
    scheme, _, rest = text.partition("://")
    if scheme in ("mqtt", "mqtts") and rest.rpartition("@")[2].partition("/")[2].strip("/ "):
        raise ConfigError(
            f"{key}: what stands behind host and port means nothing to a broker; write {scheme}://host:port"
        )
    try:
        checked_url(text, (*NETWORK, "unix"))
    except ValueError as error:
        raise ConfigError(f"{key}: {shown(str(error), 300)}") from None


def tls_names() -> list[str]:
    """The keys that there are: no file holds an SSLContext."""
    from mqttlite.client.secure.tls_options import TlsOptions  # only who has such a table loads it

    return [each.name for each in fields(TlsOptions) if each.name != "tls"]


def check_tls(table: dict[str, Any], upstream: str) -> None:
    """ConfigError for a table that does not go together, or not with the broker's URL."""
    from mqttlite.client.secure.tls_options import TlsOptions

    try:
        options = TlsOptions(**table)
        options.check_scheme(Url(upstream))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"[tls]: {error}") from None
