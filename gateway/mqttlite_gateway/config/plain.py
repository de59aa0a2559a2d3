"""Passwords that cross a network as anybody there can read them."""

import ipaddress
from collections.abc import Iterator

from mqttlite.client.url import Url

from ..settings.whole import Config

PLAIN = {"mqtt": "mqtts", "ws": "wss", "amqp": "amqps"}  # and what hides them


def is_here(host: str) -> bool:
    """Whether a host is this machine, as far as its name says it."""
    if host.lower() in ("", "localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def plain_passwords(config: Config) -> Iterator[str]:
    """In words, each that the gateway gives to somebody elsewhere, and those that its page is given. What its broker
    is given: mqttlite.broker.config.make_access.doubts.
    """
    if config.is_bridge:
        for each in config.upstreams:
            yield from _given(each.url, bool(each.password), f"upstream {each.name}")
    else:
        yield from _given(config.upstream, False, "upstream")
    page = config.page
    has_users = "password_file" in config.broker.access
    if page is not None and page.scheme == "http" and not page.is_local and has_users:
        yield (
            f"the page at {page.listen}: passwords of its users cross the network as anybody there can read them; "
            "https:// with certificate and key_file in [page] hides them"
        )


def _given(text: str, has_password: bool, what: str) -> Iterator[str]:
    if text.partition("://")[0] not in PLAIN:
        return  # of a database: it may name several hosts, which no Url does
    try:
        url = Url(text)
    except ValueError:  # what is wrong with it is said by whoever connects there
        return
    if (has_password or url.password) and not is_here(url.host or ""):
        yield (
            f"{what}: its password crosses the network to {url.host} as anybody there can read it; "
            f"{PLAIN[url.scheme]}:// hides it, where {url.host} has that"
        )
