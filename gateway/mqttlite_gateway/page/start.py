"""The page of a gateway, put together: what it needs is loaded here, and what is missing is said."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from mqttlite.broker.access.access import Access
from mqttlite.broker.config.make_access import make_access
from mqttlite.broker.listening.listener import Tls

from ..running import Running
from ..settings.errors import ConfigError
from ..settings.page import NO_CERTIFICATE, PageSettings

if TYPE_CHECKING:
    from ..settings.whole import Config
    from .server import Page

INSTALL = (
    "pip install 'mqttlite[page]', or pipx inject mqttlite aiohttp argon2-cffi, "
    "or on Debian apt install python3-aiohttp"
)


def page_of(gateway: Running, settings: PageSettings) -> "Page":
    """Not started yet. ConfigError says what is missing."""
    try:
        from .server import Page
    except ImportError as error:
        raise ConfigError(f"[page] needs aiohttp: {INSTALL} ({error})") from None
    config = gateway.config
    guard = None if config.is_bridge else _Guard(gateway)
    return Page(gateway, settings, guard=guard, tls=_tls(config, settings))


class _Guard:
    """In forward mode: the users that the gateway's file names; others when it has been read again."""

    def __init__(self, gateway: Running) -> None:
        self._gateway = gateway
        self._config = gateway.config
        self._access = make_access(self._config.broker)

    def __call__(self) -> Access | None:
        if self._gateway.config is not self._config:
            self._config = self._gateway.config
            self._access = make_access(self._config.broker)
        return self._access


def check(config: "Config", access: Access | None) -> None:
    """ConfigError for what a start would refuse, but for a port in use. `access`: of the broker inside."""
    if config.page is None:
        return
    if find_spec("aiohttp") is None:
        raise ConfigError(f"[page] needs aiohttp: {INSTALL}")
    from .people import People, check_people

    guard = access if config.is_bridge else make_access(config.broker)
    check_people(People(lambda: guard, config.page), config.page)
    if config.page.scheme == "https":
        tls = _tls(config, config.page)
        if tls is None:
            raise ConfigError(NO_CERTIFICATE)
        try:
            tls.context(is_web=True)
        except ValueError as error:
            raise ConfigError(f"[page]: {error}") from None


def _tls(config: "Config", settings: PageSettings) -> Tls | None:
    """The certificate that it shows: its own, or in bridge mode the broker's."""
    if settings.certificate:
        return Tls(settings.certificate, settings.key_file)
    told = config.broker.tls
    if config.is_bridge and told.get("certificate"):
        return Tls(told["certificate"], told.get("key_file", ""), told.get("key_password"))
    return None
