"""upstream, the broker of forward mode; and [[upstream]], those of bridge mode.

[[upstream]]
name = "cloud"
url = "mqtts://broker.example:8883"
out = [{ filter = "sensors/#", to = "site-7/" }]
"""

from mqttlite.client.checked_url import NETWORK, checked_url
from mqttlite.core.shown import shown
from mqttlite.settings.found import Found

from .errors import ConfigError
from .values import top_value
from .whole import DEFAULT_UPSTREAM, Config

KEYS = ("upstream",)


def read(found: Found, config: Config) -> None:
    """Take it over."""
    if config.is_bridge:
        if isinstance(found.data.get("upstream"), str):
            with found.gathering("upstream"):
                raise found.mistake(("upstream",), "upstream is one URL, which is for forward mode: write [[upstream]]")
        with found.gathering():
            config.upstreams = found.tables("upstream", "each broker to lead to")
        return
    with found.gathering():
        config.upstream = top_value(found, "upstream", str, config.upstream, check_url, f'"{DEFAULT_UPSTREAM}"')


def check_url(text: str) -> None:
    """ConfigError for a URL that is no broker's."""
    scheme, _, rest = text.partition("://")
    if scheme in ("mqtt", "mqtts") and rest.rpartition("@")[2].partition("/")[2].strip("/ "):
        raise ConfigError(
            "upstream: what stands behind host and port means nothing to a broker; write " + scheme + "://host:port"
        )
    try:
        checked_url(text, (*NETWORK, "unix"))
    except ValueError as error:
        raise ConfigError(f"upstream: {shown(str(error), 300)}") from None
