"""The client end in MQTT 5.0 against a real Mosquitto."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mqttlite.core import keys
from mqttlite.core import properties as props
from mqttlite.core.errors import ConnectError, PublishError
from tests.core.ends import refusal
from tests.core.test_client5 import Application, publish
from tests.peers import Mosquitto
from tests.statements import statement


class Online(Application):
    """An application with a socket to a broker."""

    def __init__(self, port: int, **fields: Any) -> None:
        super().__init__(**fields)
        self.port = port
        self.socket: socket.socket | None = None

    def __enter__(self) -> "Online":
        self.client.connect(0)
        self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        self.until(lambda: any(told[0] == "connected" for told in self.told))
        return self

    def __exit__(self, *_: object) -> None:
        assert self.socket
        self.socket.close()
        self.client.closed()

    def _write(self) -> None:
        assert self.socket
        self.socket.sendall(b"".join(self.client.out))
        self.client.out.clear()

    def until(self, happened: Callable[[], bool]) -> None:
        """Carry bytes both ways until it has happened."""
        assert self.socket
        self._write()
        while not happened():
            data = self.socket.recv(4096)
            assert data, "the broker closed the connection"
            self.client.receive(data, 0)
            self._write()

    def messages(self) -> list[tuple[Any, ...]]:
        return [told[1:] for told in self.told if told[0] == "message"]


@statement("5.0", "MQTT-3.3.2-17", "MQTT-3.1.2-5", "MQTT-3.1.2-23", "MQTT-3.2.2-3")
def test_a_key_travels_through_mosquitto_and_the_session_is_kept(mosquitto: Mosquitto) -> None:
    app = Online(mosquitto.port, client_id=b"five")
    properties = props.encode_user_properties([(b"before", b"1"), (keys.PROPERTY, keys.to_text((b"p/q", 3, 4)))])
    with app:
        assert app.take() == [("connected", False)]
        app.client.subscribe(b"a/#", 2)
        app.until(lambda: ("suback", b"a/#", 2) in app.told)
        seq = app.client.publish(4, b"a/b", b"payload", b"\1", properties)
        app.until(lambda: bool(app.messages()) and ("finished", seq, 0) in app.told)
        [(topic, payload, pairs)] = app.messages()
        assert (topic, payload) == (b"a/b", b"payload")
        assert pairs == [(b"before", b"1"), (b"mqttlite-key", b"p/q/3/4")]
        assert keys.from_text(dict(pairs)[keys.PROPERTY]) == (b"p/q", 3, 4)
        app.until(lambda: not app.client.session.inbound)
    app.take()
    with Online(mosquitto.port, client_id=b"other") as other:  # while `app` is away
        seq = other.client.publish(4, b"a/c", b"kept", b"", properties)
        other.until(lambda: ("finished", seq, 0) in other.told)
    mosquitto.stop()
    mosquitto.start()
    with app:
        assert app.told[0] == ("connected", True)
        app.until(lambda: bool(app.messages()))
        assert app.messages()[0][:2] == (b"a/c", b"kept")
        assert app.messages()[0][2][1] == (b"mqttlite-key", b"p/q/3/4")


@statement("5.0", "MQTT-3.2.2-11", "MQTT-3.2.2-14", "MQTT-3.2.2-15", "MQTT-3.2.2-16", "MQTT-3.2.2-21")
def test_the_limits_of_mosquitto_are_taken(tmp_path: Path) -> None:
    settings = {"max_packet_size": 100, "retain_available": "false", "max_qos": 1, "max_keepalive": 20}
    with (
        Mosquitto(tmp_path, settings=settings) as mosquitto,
        Online(mosquitto.port, client_id=b"", clean_session=True, keep_alive_s=60) as app,
    ):
        client = app.client
        assert client.limits
        assert (client.limits.qos_max, client.limits.retain_available, client.limits.packet_max) == (1, False, 100)
        assert client.keep_alive_ms == 18_000
        for flags, payload in ((4, b""), (1, b""), (2, bytes(100))):
            with pytest.raises(PublishError):
                client.publish(flags, b"t", payload)
        seq = client.publish(2, b"t", b"x" * 92)  # and 2 + 3 + 2 + 1 bytes before it
        assert len(b"".join(client.out)) == 100
        app.until(lambda: ("finished", seq, 0) in app.told)
        client.out.append(publish(0, 0, b"", bytes(100)))
        error = refusal(lambda: app.until(lambda: False))
        assert isinstance(error, ConnectError)
        assert "(reason code 0x95)" in str(error)
