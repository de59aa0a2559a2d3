"""[tls], origins and [[listener]]: TLS and WebSocket.

listen = ["mqtt://127.0.0.1:1883", "mqtts://0.0.0.0:8883", "wss://0.0.0.0:8884/mqtt"]
origins = ["https://dashboard.example"]     # pages from which browsers may open WebSockets

[tls]                                       # for all of them
certificate = "/etc/mqttlite/broker.pem"
key_file = "/etc/mqttlite/broker.key"

[[listener]]                                # one with something of its own, which counts more
url = "mqtts://0.0.0.0:8885"
client_ca = "/etc/mqttlite/devices-ca.pem"
"""

from ...settings.found import Found, Key
from ..access.secret_files import refuse_public
from ..listening.listener import TLS_NAMES
from .settings import Settings

KEYS = ("tls", "origins", "listener")
LISTENER_NAMES = ("url", *TLS_NAMES, "origins")

_LISTS = ("alpn", "origins")


def read(found: Found, settings: Settings) -> None:
    """Take them over."""
    with found.gathering():
        settings.tls = found.table("tls")
        found.names(("tls",), TLS_NAMES)
        _check(found, ("tls",), settings.tls)
    with found.gathering():
        origins = found.data.get("origins", [])
        _check(found, (), {"origins": origins})
        settings.origins = origins
    for number, table in enumerate(found.tables("listener", "each address with something of its own")):
        with found.gathering():
            found.names(("listener", number), LISTENER_NAMES)
            _check(found, ("listener", number), table)
            settings.listeners.append(table)


def _check(found: Found, at: tuple[Key, ...], table: dict[str, object]) -> None:
    """ValueError for a value of another type."""
    for name, value in table.items():
        if name in _LISTS:
            if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
                example = '["mqtt"]' if name == "alpn" else '["https://example.org"]'
                raise found.mistake((*at, name), f"{name} has to be a list, as {example}, not {value!r:.60}")
        elif name == "key_password" and isinstance(value, str):
            refuse_public(found.path, "the password of a key")
        elif not isinstance(value, str) or not value:
            shown = "" if name == "key_password" else f", not {value!r:.60}"
            raise found.mistake((*at, name), f"{name} has to be a text in quotes{shown}")
