"""The broker inside the gateway, as the tables of broker.toml and the gateway's `store` say."""

import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from mqttlite.broker import Broker, Limits
from mqttlite.broker.access.access import Access
from mqttlite.broker.clients.broker_store import BrokerStore
from mqttlite.broker.config.doubts import doubts
from mqttlite.broker.config.ledger import make_ledger
from mqttlite.broker.config.make_access import make_access
from mqttlite.broker.config.settings import Settings
from mqttlite.broker.listening.listen import ListenError, open_sockets
from mqttlite.broker.listening.listener import Listener
from mqttlite.client.connecting.unreachable import port_of
from mqttlite.client.url import Url

from ..config.plain import is_here
from ..lives import refuse_moved
from ..settings.upstream import UpstreamSettings, with_upstreams
from ..settings.whole import Config

log = logging.getLogger("mqttlite.gateway")

MEMORY = "memory"  # instead of the path of a store
LISTEN = "mqtt://127.0.0.1:1883"
FILE = "gateway.db"


def embedded(config: Config, access: Access | None, own: BrokerStore | None = None) -> Broker:
    """The broker, not started yet; it listens nowhere, as long as the queues of upstreams are not there. The folder of
    its store is made, where it is the default. `own`: a store instead of that of the configuration.
    """
    settings = config.broker
    store = None if own else store_of(settings)
    if store is not None and not settings.store:
        Path(store).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if store is None and own is None:
        log.warning('the store is "memory": what is not upstream yet is lost when this program ends')
    return Broker(
        [],
        limits_of(settings, config.upstreams),
        own or store,
        access=access,
        server_reference=settings.server_reference,
        ledger=make_ledger(settings, store),
    )


def limits_of(settings: Settings, upstreams: Sequence[UpstreamSettings]) -> Limits:
    """What it allows: its clients what they say, and each upstream its queue."""
    return with_upstreams(settings.make_limits(), upstreams)


def access_of(settings: Settings) -> Access | None:
    """Who may connect and what they may do; what may be a mistake is in the log."""
    access = make_access(settings)
    for doubt in doubts(settings, access):
        log.warning("doubtful: %s", doubt)
    return access


def refuse_own(upstreams: Iterable[UpstreamSettings], listeners: Iterable[Listener]) -> None:
    """ValueError: an upstream is one of these listeners, so that each message would come back for ever."""
    own = {_place_of(each.url) for each in listeners} - {""}
    for upstream in upstreams:
        if upstream.kind == "mqtt" and _place_of(upstream.url) in own:
            raise ValueError(
                f"upstream {upstream.name}: {upstream.shown_url} is where the broker inside listens itself; one of the "
                "two needs another port"
            )


def has_own_place(upstreams: Iterable[UpstreamSettings]) -> bool:
    """Whether it may have LISTEN where nothing is said: no upstream listens there, now or later."""
    try:
        refuse_own(upstreams, [Listener(LISTEN)])
    except ValueError:
        return False
    return True


def _place_of(url: str) -> str:
    """Where on this machine a URL leads; "": elsewhere, as far as can be seen, or to any port."""
    try:
        found = Url(url)
    except ValueError:  # port 0: any that is free
        return ""
    if found.scheme == "unix":
        return found.path
    return str(port_of(found) or "") if is_here(found.host or "") else ""


def listeners_of(settings: Settings, broker: Broker, upstreams: Sequence[UpstreamSettings]) -> list[Listener]:
    """What it listens on. Nothing said: for programs of this machine, if the port is free and no upstream's.
    ValueError: an upstream is where it listens itself.
    """
    if settings.listen or settings.listeners:
        listeners = settings.make_listeners()
        refuse_own(upstreams, listeners)
        return listeners
    if not has_own_place(upstreams):
        return []
    if LISTEN in broker.addresses:
        return [Listener(LISTEN)]
    try:
        for sock in open_sockets(LISTEN):
            sock.close()
    except ListenError as error:
        log.warning('%s: the gateway goes without; listen = ["mqtt://127.0.0.1:1884"] chooses another port', error)
        return []
    return [Listener(LISTEN)]


def store_of(settings: Settings) -> str | None:
    """The path of its store, None for memory. ValueError: it has moved to another machine."""
    if settings.store == MEMORY:
        return None
    path = Path(settings.store) if settings.store else default_store()
    refuse_moved(path)
    return str(path)


def default_store() -> Path:
    """Where the store is when nobody says it: in the folder that systemd gives a service, or in this user's."""
    service = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if service:
        return Path(service, FILE)
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    return Path(state, "mqttlite", FILE)
