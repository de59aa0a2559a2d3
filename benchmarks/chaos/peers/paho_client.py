"""A paho-mqtt client with a persistent session, which reconnects and resends by itself."""

import os
from urllib.parse import urlsplit

from paho.mqtt.client import Client, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.chaos.peers import RECONNECT_S, WINDOW
from tests.crash.dying import KEEP_ALIVE


def make_client(client_id: str) -> Client:
    """A client that does not connect yet."""
    client = Client(CallbackAPIVersion.VERSION2, client_id, clean_session=False, protocol=MQTTv311)
    client.max_inflight_messages_set(WINDOW)
    client.reconnect_delay_set(RECONNECT_S, RECONNECT_S)  # type: ignore[arg-type]  # it takes fractions of a second
    return client


def connect_to(client: Client, url: str) -> None:
    """Connect when the client's loop runs, and again whenever the link is lost."""
    address = urlsplit(url)
    assert address.hostname
    assert address.port
    client.connect_async(address.hostname, address.port, keepalive=int(os.environ[KEEP_ALIVE]))
