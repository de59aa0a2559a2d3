"""Announces broker and page in the network by multicast DNS (python-zeroconf), so that boards, phones and programs
find them: `_secure-mqtt._tcp` and `_mqtt._tcp` for listeners that others reach, `_http._tcp` for the page.

The instance is called as `[mdns] name` says, and "NAME-2" where another is called so already. TXT: `version` of
mqttlite, `mqtt`: the versions of MQTT, `path` of the page. Without the package zeroconf nothing is announced, which is
said once.
"""

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mqttlite import __version__

from ..running import Running
from ..settings.mdns import check_name

if TYPE_CHECKING:
    from zeroconf import ServiceInfo
    from zeroconf.asyncio import AsyncZeroconf

    from ..settings.mdns import MdnsSettings

log = logging.getLogger("mqttlite.gateway")

MQTT, SECURE_MQTT, HTTP, HTTPS = "_mqtt._tcp", "_secure-mqtt._tcp", "_http._tcp", "_https._tcp"
_OF_SCHEMES = {"mqtt": MQTT, "mqtts": SECURE_MQTT, "http": HTTP, "https": HTTPS}
LOOK_S = 10.0  # whether something else is to be announced
AGAIN_S = 30.0  # where announcing has failed
INSTALL = "pip install zeroconf (Debian: python3-zeroconf)"


@dataclass(frozen=True)
class Service:
    """One thing to be announced. `address`: it is reached there alone; "": at all addresses of this machine."""

    kind: str
    port: int
    texts: Mapping[str, str] = field(default_factory=dict)
    address: str = ""


def services_of(urls: Iterable[str], texts: Mapping[str, str] | None = None) -> list[Service]:
    """What others reach of these addresses: not what listens on this machine alone, nor what has no kind."""
    found: dict[str, Service] = {}
    for url in urls:
        scheme, _, rest = url.partition("://")
        host, _, port = rest.partition("/")[0].rpartition(":")
        kind = _OF_SCHEMES.get(scheme)
        if kind is None or kind in found or not port.isdigit():
            continue
        try:
            address = ipaddress.ip_address(host.strip("[]"))
        except ValueError:  # a name of this machine
            address = None
        if host == "localhost" or (address is not None and address.is_loopback):
            continue
        only = "" if address is None or address.is_unspecified else str(address)
        mqtt = {"mqtt": "3.1.1,5.0"} if scheme in ("mqtt", "mqtts") else {"path": "/"}
        found[kind] = Service(kind, int(port), {"version": __version__, **mqtt, **(texts or {})}, only)
    return list(found.values())


class Announcer:
    """`async with Announcer("pi", services): ...`: they are announced while the block runs, and taken back at its end.

    `name`: of the instance. `host`: this machine's name, without .local. `interfaces`: addresses on which it is done.
    """

    def __init__(
        self,
        name: str,
        services: Iterable[Service],
        *,
        host: str = "",
        interfaces: list[str] | None = None,
    ) -> None:
        self.name = check_name(name)
        self.services = list(services)
        self.host = (host or socket.gethostname()).partition(".")[0]
        self.announced: list[str] = []  # full names, as they turned out
        self._interfaces = interfaces
        self._zeroconf: AsyncZeroconf | None = None

    async def __aenter__(self) -> "Announcer":
        from zeroconf import InterfaceChoice
        from zeroconf.asyncio import AsyncZeroconf

        self._zeroconf = AsyncZeroconf(interfaces=self._interfaces or InterfaceChoice.All)
        try:
            for service in self.services:
                info = self._info(service)
                await (await self._zeroconf.async_register_service(info, allow_name_change=True))
                self.announced.append(info.name)
        except BaseException:
            await self._zeroconf.async_close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._zeroconf
        await self._zeroconf.async_unregister_all_services()
        await self._zeroconf.async_close()

    def _info(self, service: Service) -> "ServiceInfo":
        from zeroconf.asyncio import AsyncServiceInfo

        addresses = [service.address] if service.address else self._addresses()
        return AsyncServiceInfo(
            f"{service.kind}.local.",
            f"{self.name}.{service.kind}.local.",
            port=service.port,
            properties=dict(service.texts),
            server=f"{self.host}.local.",
            parsed_addresses=addresses,
        )

    def _addresses(self) -> list[str]:
        if self._interfaces:
            return self._interfaces
        from mqttlite.net.own_names import own_addresses

        found = own_addresses()
        return [each for each in found if not ipaddress.ip_address(each).is_loopback] or found[:1]


def services_of_gateway(gateway: Running) -> list[Service]:
    """What others reach of a gateway now."""
    urls = list(gateway.broker.addresses) if gateway.broker else []
    page = gateway.config.page
    return services_of([*urls, *([page.listen] if page else [])])


async def announce_for_ever(gateway: Running) -> None:
    """Announce what there is, and what is there instead after a reload, until cancelled. What hinders is said, and
    tried again; that zeroconf is not installed is said once, and the end of it.
    """
    said = ""
    while True:
        settings, services = gateway.config.mdns, services_of_gateway(gateway)
        try:
            if settings.announce and services:
                async with Announcer(settings.instance, services, interfaces=settings.interfaces or None) as announcer:
                    log.info("announced in the network: %s", ", ".join(announcer.announced))
                    said = ""
                    await _other(gateway, settings, services)
            else:
                await _other(gateway, settings, services)
        except ImportError:
            log.warning("nothing is announced by mDNS: zeroconf is not installed; %s", INSTALL)
            return
        except Exception as error:  # zeroconf's own kinds, and the network's: no reason to end the gateway
            text = str(error) or type(error).__name__
            if text != said:
                said = text
                log.warning("mDNS: nothing is announced: %s", said)
            await asyncio.sleep(AGAIN_S)


async def _other(gateway: Running, settings: "MdnsSettings", services: list[Service]) -> None:
    """Until something else is to be announced, or otherwise."""
    while (settings, services) == (gateway.config.mdns, services_of_gateway(gateway)):  # noqa: ASYNC110 (nobody tells)
        await asyncio.sleep(LOOK_S)
