"""[tls]: in forward mode what the gateway knows of the broker's TLS, and shows of itself. (In bridge mode it is about
the listeners of the broker inside, as in broker.toml.)
"""

from mqttlite.settings.found import Found

from ..settings.broker import check_tls, tls_names
from ..settings.errors import ConfigError
from ..settings.whole import Config

KEYS = ("tls",)


def read(found: Found, config: Config) -> None:
    """Take the table over."""
    with found.gathering("tls"):
        config.tls = found.table("tls")
        if config.tls:
            found.names(("tls",), tls_names())
            try:
                check_tls(config.tls, config.upstream)
            except ConfigError as error:
                raise found.mistake(("tls",), str(error).removeprefix("[tls]: ")) from None
