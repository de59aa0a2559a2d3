"""The codec against independent ones: byte for byte the packets of mqtt-packet and of paho-mqtt, in both directions."""

import contextlib
import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion

from mqttlite.core import codec
from tests.core.packets import (
    Packet,
    connects,
    decode,
    encode,
    identifiers,
    packets,
    publishes,
    topic_filters,
)
from tests.peers import program, unavailable
from tests.runtimes import NODE_MODULES

# -- mqtt-packet


def foreign(packet: Packet) -> dict[str, Any]:
    """The packet as mqtt-packet's fields."""
    kind, f = packet
    out: dict[str, Any] = {"cmd": kind}
    if f.get("packet_id"):
        out["messageId"] = f["packet_id"]
    if kind == "connect":
        out |= {"protocolId": "MQTT", "protocolVersion": 4, "clean": f["clean_session"], "clientId": f["client_id"]}
        out["keepalive"] = f["keep_alive_s"]
        if f["username"] is not None:
            out["username"] = f["username"]
        if f["password"] is not None:
            out["password"] = {"hex": f["password"].hex()}
        if f["will"]:
            topic, payload, qos, retain = f["will"]
            out["will"] = {"topic": topic, "payload": {"hex": payload.hex()}, "qos": qos, "retain": retain}
    elif kind == "connack":
        out |= {"sessionPresent": f["session_present"], "returnCode": f["code"]}
    elif kind == "publish":
        out |= {"topic": f["topic"], "payload": {"hex": f["payload"].hex()}}
        out |= {"qos": f["qos"], "dup": f["dup"], "retain": f["retain"]}
    elif kind == "subscribe":
        out["subscriptions"] = [{"topic": topic_filter, "qos": qos} for topic_filter, qos in f["subscriptions"]]
    elif kind == "suback":
        out["granted"] = f["codes"]
    elif kind == "unsubscribe":
        out["unsubscriptions"] = f["topic_filters"]
    return out


def without_fixed_header(read: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """Of what mqtt-packet read, the fields that it was given."""
    return {key: read.get(key) for key in wanted}


def opinion(write: list[dict[str, Any]], read: list[str]) -> dict[str, Any]:
    module = NODE_MODULES / "mqtt-packet"
    if not module.exists():
        unavailable("mqtt-packet")
    request = {"module": str(module), "write": write, "read": read}
    node = subprocess.run(
        [program("node"), str(Path(__file__).parent / "mqtt_packet.mjs")],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
    )
    assert not node.returncode, node.stderr
    answer: dict[str, Any] = json.loads(node.stdout)
    return answer


@given(st.lists(packets, min_size=60, max_size=120))
@settings(max_examples=8)
def test_mqtt_packet_writes_the_same_bytes_and_reads_ours(some: list[Packet]) -> None:
    ours = [encode(packet).hex() for packet in some]
    theirs = [foreign(packet) for packet in some]
    answer = opinion(theirs, ours)
    for packet, our_bytes, their_bytes, their_view, wanted in zip(
        some, ours, answer["written"], answer["read"], theirs, strict=True
    ):
        assert their_bytes == our_bytes, packet
        assert decode(bytes.fromhex(their_bytes)) == [packet]
        assert without_fixed_header(their_view, wanted) == wanted


# -- paho-mqtt: no packet functions of its own, so a client at one end of a socket pair


class Paho(paho.Client):
    """A paho client at one end of a socket pair; what it writes is read from `wire`."""

    def __init__(self, **kwargs: Any) -> None:
        self.wire, end = socket.socketpair()
        self._end = end
        super().__init__(CallbackAPIVersion.VERSION2, **kwargs)

    def _create_socket(self) -> socket.socket:
        return self._end

    def introduce(self, fields: dict[str, Any]) -> None:
        """Takes user name, password and will from the fields of a CONNECT."""
        if fields["username"] is not None:
            self.username_pw_set(fields["username"])
            self._password = fields["password"]  # the public way takes text only
        if fields["will"]:
            self.will_set(*fields["will"])

    def written(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self.wire.recv(size - len(data))
            assert piece, "paho closed its socket"
            data += piece
        return data

    def close(self) -> None:
        self.wire.close()
        self._end.close()


@pytest.fixture
def client() -> Iterator[Paho]:
    paho_client = Paho(client_id="c")
    paho_client.connect("nowhere")
    paho_client.wire.recv(100)
    yield paho_client
    paho_client.close()


def sent(client: Paho, wanted: Packet) -> None:
    """paho has written these bytes, which we read as that packet."""
    ours = encode(wanted)
    assert client.written(len(ours)) == ours
    assert decode(ours) == [wanted]


@given(connects())
def test_paho_writes_the_same_connect(packet: Packet) -> None:
    f = packet.fields
    if not f["keep_alive_s"]:  # paho refuses 0
        return
    client = Paho(client_id=f["client_id"], clean_session=f["clean_session"])
    try:
        client.introduce(f)
        client.connect("nowhere", keepalive=f["keep_alive_s"])
        sent(client, packet)
    finally:
        client.close()


@given(packet=publishes())
def test_paho_writes_the_same_publish(packet: Packet) -> None:
    f = packet.fields
    client = Paho(client_id="c")
    try:
        client.connect("nowhere")
        client.wire.recv(100)
        info = paho.MQTTMessageInfo(0)
        fields = (f["topic"].encode(), f["payload"], f["qos"], f["retain"], f["dup"])
        client._send_publish(f["packet_id"] or 0, *fields, info=info)
        sent(client, packet)
    finally:
        client.close()


@pytest.mark.parametrize("packet_id", [1, 255, 256, 65535])
def test_paho_writes_the_same_acknowledgements(client: Paho, packet_id: int) -> None:
    for kind in ("puback", "pubrec", "pubrel", "pubcomp"):
        getattr(client, "_send_" + kind)(packet_id)
        sent(client, Packet(kind, {"packet_id": packet_id}))


def test_paho_writes_the_same_pingreq_and_disconnect(client: Paho) -> None:
    client._send_pingreq()
    sent(client, Packet("pingreq", {}))
    client._send_disconnect()
    sent(client, Packet("disconnect", {}))


@given(identifiers, st.lists(st.tuples(topic_filters(), st.integers(0, 2)), min_size=1, max_size=8))
@settings(max_examples=50)
def test_paho_writes_the_same_subscribe_and_unsubscribe(packet_id: int, wanted: list[tuple[str, int]]) -> None:
    client = Paho(client_id="c")
    try:
        client.connect("nowhere")
        client.wire.recv(100)
        client._last_mid = packet_id - 1
        client._send_subscribe(False, [(topic_filter.encode(), qos) for topic_filter, qos in wanted])
        sent(client, Packet("subscribe", {"packet_id": packet_id, "subscriptions": wanted}))
        client._last_mid = packet_id - 1
        filters = [topic_filter for topic_filter, _ in wanted]
        client._send_unsubscribe(False, [topic_filter.encode() for topic_filter in filters])
        sent(client, Packet("unsubscribe", {"packet_id": packet_id, "topic_filters": filters}))
    finally:
        client.close()


def read(client: Paho, packet: Packet) -> None:
    """paho takes the packet from us."""
    client.wire.sendall(encode(packet))
    assert client.loop_read() == paho.MQTT_ERR_SUCCESS


def test_paho_reads_what_a_server_sends(client: Paho) -> None:
    seen: list[Any] = []
    client.on_connect = lambda c, u, flags, reason, p: seen.append(("connack", flags.session_present, reason.value))
    client.on_subscribe = lambda c, u, mid, reasons, p: seen.append(("suback", mid, [r.value for r in reasons]))
    client.on_unsubscribe = lambda c, u, mid, reasons, p: seen.append(("unsuback", mid))
    client.on_message = lambda c, u, m: seen.append((m.topic, m.payload, m.qos, m.retain, m.dup, m.mid))
    client.on_publish = lambda c, u, mid, reason, p: seen.append(("finished", mid))

    read(client, Packet("connack", {"session_present": True, "code": 0}))
    read(client, Packet("suback", {"packet_id": 9, "codes": [0, 1, 2, 128]}))
    read(client, Packet("unsuback", {"packet_id": 65535}))
    message = {"topic": "é/\U0001f600", "payload": b"\0\xff", "retain": True}
    read(client, Packet("publish", message | {"qos": 0, "packet_id": None, "dup": False}))
    read(client, Packet("publish", message | {"qos": 1, "packet_id": 256, "dup": True}))
    sent(client, Packet("puback", {"packet_id": 256}))
    read(client, Packet("publish", message | {"qos": 2, "packet_id": 65535, "dup": False}))
    sent(client, Packet("pubrec", {"packet_id": 65535}))
    read(client, Packet("pubrel", {"packet_id": 65535}))
    sent(client, Packet("pubcomp", {"packet_id": 65535}))
    read(client, Packet("pingresp", {}))
    assert seen == [
        ("connack", True, 0),
        ("suback", 9, [0, 1, 2, 128]),
        ("unsuback", 65535),
        ("é/\U0001f600", b"\0\xff", 0, True, False, 0),
        ("é/\U0001f600", b"\0\xff", 1, True, True, 256),
        ("é/\U0001f600", b"\0\xff", 2, True, False, 65535),
    ]


def test_paho_finishes_its_messages_by_our_acknowledgements(client: Paho) -> None:
    finished: list[int] = []
    client.on_publish = lambda c, u, mid, reason, p: finished.append(mid)
    read(client, Packet("connack", {"session_present": False, "code": 0}))
    one = client.publish("t", b"1", qos=1)
    two = client.publish("t", b"2", qos=2)
    publish = {"topic": "t", "dup": False, "retain": False}
    sent(client, Packet("publish", publish | {"payload": b"1", "qos": 1, "packet_id": one.mid}))
    sent(client, Packet("publish", publish | {"payload": b"2", "qos": 2, "packet_id": two.mid}))
    read(client, Packet("puback", {"packet_id": one.mid}))
    read(client, Packet("pubrec", {"packet_id": two.mid}))
    sent(client, Packet("pubrel", {"packet_id": two.mid}))
    read(client, Packet("pubcomp", {"packet_id": two.mid}))
    assert finished == [one.mid, two.mid]


def test_paho_and_we_agree_on_a_large_packet(client: Paho) -> None:
    fields = {"topic": "t", "payload": bytes(200_000), "qos": 1, "packet_id": 7, "dup": False, "retain": False}
    packet = Packet("publish", fields)
    got: list[bytes] = []
    client.on_message = lambda c, u, m: got.append(m.payload)
    read(client, Packet("connack", {"session_present": False, "code": 0}))
    client.wire.setblocking(False)
    data = encode(packet)
    while data or not got:
        if data:
            with contextlib.suppress(BlockingIOError):
                data = data[client.wire.send(data) :]
        client.loop_read()
    assert got == [fields["payload"]]
    assert codec.remaining_length(200_000 + 5)[0] & 128
