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

from mqttlite.settings.found import Found, Key

from ..settings.broker import check_tls, check_url, tls_names
from ..settings.errors import ConfigError
from ..settings.upstream import KINDS, Route, UpstreamSettings, name_of
from ..settings.whole import DEFAULT_UPSTREAM, Config
from ..sinks import check_options
from .values import top_value, values_of

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
    found.names(at, tls_names())
    if url:
        try:
            check_tls(table, url)
        except ConfigError as error:
            raise found.mistake(at, str(error).removeprefix("[tls]: ")) from None
