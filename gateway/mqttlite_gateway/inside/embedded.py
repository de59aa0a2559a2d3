"""The broker inside the gateway, as the tables of broker.toml and the gateway's `store` say."""

import logging
import os
from pathlib import Path

from mqttlite.broker import Broker, Limits
from mqttlite.broker.access.access import Access
from mqttlite.broker.config.ledger import make_ledger
from mqttlite.broker.config.make_access import doubts, make_access
from mqttlite.broker.config.settings import Settings
from mqttlite.broker.listen import ListenError, open_sockets
from mqttlite.broker.listener import Listener

log = logging.getLogger("mqttlite.gateway")

MEMORY = "memory"  # instead of the path of a store
LISTEN = "mqtt://127.0.0.1:1883"
FILE = "gateway.db"


def embedded(settings: Settings) -> Broker:
    """The broker, not started yet. ValueError or ListenError says what does not go together; the folder of its store
    is made, where it is the default.
    """
    access = access_of(settings)
    store = store_of(settings)
    if store is None:
        log.warning('the store is "memory": what is not upstream yet is lost when this program ends')
    return Broker(
        listeners_of(settings),
        limits_of(settings),
        store,
        access=access,
        server_reference=settings.server_reference,
        ledger=make_ledger(settings, store),
    )


def limits_of(settings: Settings) -> Limits:
    """What it allows."""
    return settings.make_limits()


def access_of(settings: Settings) -> Access | None:
    """Who may connect and what they may do; what may be a mistake is in the log."""
    access = make_access(settings)
    for doubt in doubts(settings, access):
        log.warning("doubtful: %s", doubt)
    return access


def listeners_of(settings: Settings) -> list[Listener]:
    """What it listens on. Nothing said: for programs of this machine, if the port is free."""
    if settings.listen or settings.listeners:
        return settings.make_listeners()
    try:
        for sock in open_sockets(LISTEN):
            sock.close()
    except ListenError as error:
        log.warning('%s: the gateway goes without; listen = ["mqtt://127.0.0.1:1884"] chooses another port', error)
        return []
    return [Listener(LISTEN)]


def store_of(settings: Settings) -> str | None:
    """The path of its store, None for memory."""
    if settings.store:
        return None if settings.store == MEMORY else settings.store
    path = default_store()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return str(path)


def default_store() -> Path:
    """Where the store is when nobody says it: in the folder that systemd gives a service, or in this user's."""
    service = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if service:
        return Path(service, FILE)
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    return Path(state, "mqttlite", FILE)
