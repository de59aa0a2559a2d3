"""Listeners, from what [tls], origins and [[listener]] say (listener_tables.py), or options."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ..listening.listener import TLS_NAMES, Listener, Tls


def make_listeners(
    urls: Sequence[str],
    tables: Sequence[Mapping[str, Any]],
    tls: Mapping[str, Any],
    origins: Sequence[str],
    where: Callable[..., str],
) -> list[Listener]:
    """Listeners for `urls`, and for tables that have a url and, of [tls] and origins, something of their own. `where`:
    how an error about a place of the file begins.
    """
    found = [Listener(url, _tls(tls, partial("for {}: ".format, url)), tuple(origins)) for url in urls]
    for number, table in enumerate(tables):
        own = {name: value for name, value in table.items() if name in TLS_NAMES}
        if "url" not in table:
            raise ValueError(f'{where("listener", number)}url is missing, as in url = "mqtts://0.0.0.0:8883"')
        found.append(
            Listener(
                table["url"],
                _tls(joined(tls, own), partial(where, "listener", number)),
                tuple(table.get("origins", origins)),
            )
        )
    _all_different(found)
    return found


def _all_different(listeners: Sequence[Listener]) -> None:
    """ValueError where two of them want the same port: the second one would be told that a program has it."""
    before: dict[str, str] = {}
    for listener in listeners:
        place = listener.url.partition("://")[2]
        if not listener.url.startswith("unix:"):
            place = place.partition("/")[0]
        if place in before and not place.endswith(":0"):
            raise ValueError(
                f"{listener.url}: {before[place]} listens there already: take another port, or leave one out"
            )
        before[place] = listener.url


def joined(tls: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """`own`, and what it does not say of `tls`: but with a certificate of its own it needs its own key."""
    of_key = ("key_file", "key_password") if "certificate" in own else ()
    return {**{name: value for name, value in tls.items() if name not in of_key}, **own}


def _tls(table: Mapping[str, Any], where: Callable[[], str]) -> Tls | None:
    """None without a certificate: then there is no TLS, and nothing else may be said about it."""
    if not table:
        return None
    if "certificate" not in table:
        given = next(iter(table))
        raise ValueError(f"{where()}{given} without a certificate: add certificate below [tls], or --cert")
    try:
        return Tls(**table)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where()}{error}") from None
