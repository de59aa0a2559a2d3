"""upstream, the broker of forward mode; and [[upstream]], those of bridge mode and its sinks.

[[upstream]]
name = "cloud"
url = "mqtts://broker.example:8883"     # or amqp://, postgresql://
out = [{ filter = "sensors/#", to = "site-7/" }]
in = [{ filter = "site-7/commands/#", strip = "site-7/" }]
tls = { ca = "/etc/mqttlite/cloud-ca.pem" }
"""

import re
from dataclasses import fields
from typing import Any

from mqttlite.client.arguments.checked_url import NETWORK, checked_url
from mqttlite.core.shown import shown
from mqttlite.settings.found import Found, Key

from ..bridge.settings import KINDS, Route, UpstreamSettings
from ..sinks import check_options
from . import tls
from .errors import ConfigError
from .values import top_value, values_of
from .whole import DEFAULT_UPSTREAM, Config

KEYS = ("upstream",)

_EXAMPLES = {
    "name": '"cloud"',
    "url": '"mqtts://broker.example:8883"',
    "version": '"5.0"',
    "username": '"site-7"',
    "filter": '"sensors/#"',
    "to": '"site-7/"',
    "strip": '"sensors/"',
    "when_full": '"drop-oldest"',
}
_ROUTES = {"out": "out", "in": "inwards"}


def read(found: Found, config: Config) -> None:
    """Take it over."""
    if not config.is_bridge:
        with found.gathering():
            config.upstream = top_value(found, "upstream", str, config.upstream, check_url, f'"{DEFAULT_UPSTREAM}"')
    elif isinstance(found.data.get("upstream"), str):
        with found.gathering():
            text = "upstream is one URL, as forward mode has it; for bridge mode write [[upstream]], and url below it"
            raise found.mistake(("upstream",), text)
    else:
        for number, table in enumerate(found.tables("upstream", "each broker or sink to lead to")):
            with found.gathering("upstream", number):
                _take(found, config, ("upstream", number), table)


def _take(found: Found, config: Config, at: tuple[Key, ...], table: dict[str, Any]) -> None:
    url: Any = table.get("url")
    if not isinstance(url, str):
        raise found.mistake((*at, "url"), f"url is missing, or no text, as in url = {_EXAMPLES['url']}")
    if isinstance(table.get("version"), float):
        table["version"] = str(table["version"])
    kind = KINDS.get(url.partition("://")[0], "")
    keys = {each.name for each in fields(UpstreamSettings)}
    own = [name for name in table if name not in keys and name not in _ROUTES] if kind not in ("", "mqtt") else []
    before = found.mistakes
    values = values_of(
        found, at, UpstreamSettings, but=(*_ROUTES.values(), "options"), others=[*_ROUTES, *own], examples=_EXAMPLES
    )
    for key, name in _ROUTES.items():
        values[name] = tuple(_routes(found, (*at, key), table.get(key, [])))
    if kind in ("", "mqtt"):
        try:
            check_url(url, "url")
        except ConfigError as error:
            raise found.mistake((*at, "url"), error) from None
    if "tls" in values:
        _check_tls(found, (*at, "tls"), values["tls"], url if kind == "mqtt" else "")
    if found.mistakes > before:  # it has been said what is wrong
        return
    values.setdefault("name", name_of(url))
    if values["name"] in [each.name for each in config.upstreams]:
        raise found.mistake((*at, "name"), f"name '{values['name']}' is another one's, too: each needs its own")
    try:
        settings = UpstreamSettings(**values, options={name: table[name] for name in own})
        check_options(settings)
        config.upstreams.append(settings)
    except ValueError as error:
        raise found.mistake((*at, re.split("[ :=]", str(error))[0]), error) from None


def _routes(found: Found, at: tuple[Key, ...], value: object) -> list[Route]:
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        example = f'{at[-1]} = [{{ filter = "sensors/#", to = "site-7/" }}]'
        raise found.mistake(at, f"{at[-1]} must be a list of tables, as in {example}")
    routes = []
    for number, table in enumerate(value):
        with found.gathering(*at):
            before = found.mistakes
            values = values_of(found, (*at, number), Route, examples=_EXAMPLES)
            if "filter" not in table:
                raise found.mistake((*at, number), 'filter is missing, as in { filter = "sensors/#" }')
            if found.mistakes == before:
                try:
                    routes.append(Route(**values))
                except ValueError as error:
                    raise found.mistake((*at, number), error) from None
    return routes


def _check_tls(found: Found, at: tuple[Key, ...], table: Any, url: str) -> None:
    if not isinstance(table, dict):
        raise found.mistake(at, 'tls must be a table, as in tls = { ca = "/etc/mqttlite/ca.pem" }')
    found.names(at, tls.names())
    if url:
        try:
            tls.check(table, url)
        except ConfigError as error:
            raise found.mistake(at, str(error).removeprefix("[tls]: ")) from None


def lead_to(urls: list[str]) -> list[UpstreamSettings]:
    """Upstreams for the command line's --upstream, in bridge mode: all messages go there. ConfigError: one is none."""
    found: list[UpstreamSettings] = []
    for url in urls:
        name = name_of(url)
        if any(each.name == name for each in found):
            name = f"{name[:50]}-{len(found) + 1}"
        try:
            if KINDS.get(url.partition("://")[0], "mqtt") == "mqtt":
                check_url(url)
            found.append(UpstreamSettings(name, url, out=(Route("#"),)))
        except ConfigError:
            raise
        except ValueError as error:
            raise ConfigError(f"--upstream: {error}") from None
    return found


def name_of(url: str) -> str:
    """A name for an upstream that has none: its host."""
    rest = url.partition("://")[2].rpartition("@")[2]
    return re.sub("[^A-Za-z0-9_.-]", "-", rest.partition("/")[0].partition(":")[0])[:58] or "upstream"


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
