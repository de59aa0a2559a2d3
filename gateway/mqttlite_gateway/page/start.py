"""The page of a gateway, put together: what it needs is loaded here, and what is missing is said."""

from typing import TYPE_CHECKING

from mqttlite.broker.config.make_access import make_access
from mqttlite.broker.listener import Tls

from ..config.errors import ConfigError
from .settings import PageSettings

if TYPE_CHECKING:
    from ..gateway import Gateway
    from .server import Page


def page_of(gateway: "Gateway", settings: PageSettings) -> "Page":
    """Not started yet. ConfigError says what is missing."""
    try:
        from .server import Page
    except ImportError as error:
        raise ConfigError(
            f"[page] needs aiohttp: pip install 'mqttlite[page]', or pipx inject mqttlite aiohttp, or on Debian apt "
            f"install python3-aiohttp ({error})"
        ) from None
    config = gateway.config
    access = None if config.is_bridge else make_access(config.broker)
    return Page(gateway, settings, guard=None if config.is_bridge else lambda: access, tls=_tls(gateway, settings))


def _tls(gateway: "Gateway", settings: PageSettings) -> Tls | None:
    """The certificate that it shows: its own, or in bridge mode the broker's."""
    if settings.certificate:
        return Tls(settings.certificate, settings.key_file)
    told = gateway.config.broker.tls
    if gateway.config.is_bridge and told.get("certificate"):
        return Tls(told["certificate"], told.get("key_file", ""), told.get("key_password"))
    return None
