"""The client against Mosquitto: publish, subscribe, receive, retained messages, wills, errors."""

import asyncio
import logging
from pathlib import Path

import pytest

from mqttlite import ReasonCode
from mqttlite.client import Client
from mqttlite.core.errors import ClosedError, ConnectError, ProtocolError, RefusedError, SubscribeError
from tests.client.network import CONNACK, Peer, server
from tests.peers import Message, Mosquitto, MosquittoSub, free_port, mosquitto_pub, program, run
from tests.statements import statement


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_what_the_client_publishes_reaches_mosquitto_sub(mosquitto: Mosquitto, qos: int) -> None:
    big = bytes(range(256)) * 100
    async with MosquittoSub(mosquitto.port, "-t", "#", "-q", "2") as sub, Client(mosquitto.url) as client:
        receipts = [
            await client.publish("room/é", "21.5 °C", qos),
            await client.publish("empty", qos=qos),
            await client.publish("big", bytearray(big), qos),
        ]
        for receipt in receipts:
            await receipt.completed()
        assert await sub.take(3) == [
            Message("room/é", "21.5 °C".encode(), qos, False),
            Message("empty", b"", qos, False),
            Message("big", big, qos, False),
        ]


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_the_client_receives_what_mosquitto_pub_sends(mosquitto: Mosquitto, qos: int) -> None:
    async with Client(mosquitto.url) as client:
        assert await client.subscribe("room/#", qos) == qos
        await mosquitto_pub(mosquitto.port, "-t", "room/é", "-q", "2", "-s", stdin=b"\0\xff")
        message = await anext(client)
        assert (message.topic, message.payload, message.qos) == ("room/é", b"\0\xff", qos)
        assert (message.retain, message.dup) == (False, False)


EACH = 300  # messages, six times what the queue takes


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_two_tasks_publish_at_once_and_each_is_in_order(quick_mosquitto: Mosquitto, qos: int) -> None:
    async with (
        Client(quick_mosquitto.url, inbox_max=2 * EACH) as client,
        Client(quick_mosquitto.url, queue_max=50) as sender,
    ):
        await client.subscribe("from/+", qos)

        async def publish(name: str) -> None:
            for number in range(EACH):
                await sender.publish(f"from/{name}", str(number), qos)

        async def receive() -> dict[str, list[int]]:
            got: dict[str, list[int]] = {"from/a": [], "from/b": []}
            async for message in client:
                got[message.topic].append(int(message.payload))
                if sum(map(len, got.values())) == 2 * EACH:
                    break
            return got

        *_, got = await asyncio.gather(publish("a"), publish("b"), receive())
        assert got == {"from/a": list(range(EACH)), "from/b": list(range(EACH))}


async def test_what_was_published_before_the_end_of_the_block_is_delivered(mosquitto: Mosquitto) -> None:
    async with MosquittoSub(mosquitto.port, "-t", "#") as sub:
        async with Client(mosquitto.url) as client:
            for number in range(500):
                await client.publish("q0", b"%d " % number + bytes(3000), 0)
        assert [int(message.payload.split(b" ")[0]) for message in await sub.take(500)] == list(range(500))


async def test_qos_0_survives_a_close_with_unread_messages_waiting(mosquitto: Mosquitto) -> None:
    """A close with unread data resets the connection, and with it what was under way to the broker."""
    async with MosquittoSub(mosquitto.port, "-t", "q0") as sub:
        async with Client(mosquitto.url, inbox_max=4) as client:
            await client.subscribe("q0", 0)  # an echo that nobody takes
            for number in range(300):
                await client.publish("q0", b"%d " % number + bytes(3000), 0)
        assert [int(message.payload.split(b" ")[0]) for message in await sub.take(300)] == list(range(300))


async def test_a_retained_message_is_marked_as_such(mosquitto: Mosquitto) -> None:
    async with Client(mosquitto.url) as client:
        await (await client.publish("kept", b"old", 1, retain=True)).completed()
        await client.subscribe("kept", 1)
        assert (await anext(client)).retain
        await client.publish("kept", b"new", 1, retain=True)
        assert not (await anext(client)).retain


@statement("3.1.1", "MQTT-3.1.2-8", "MQTT-3.14.4-3")
async def test_the_will_is_published_when_the_connection_is_cut_and_not_after_close(mosquitto: Mosquitto) -> None:
    from tests.client.network import Proxy

    will = ("wills", "gone", 1, False)
    async with MosquittoSub(mosquitto.port, "-t", "wills", "-t", "end", "-q", "1") as sub:
        async with Client(mosquitto.url, will=will):
            pass
        await mosquitto_pub(mosquitto.port, "-t", "end", "-m", "closed")
        async with Proxy(mosquitto.port) as proxy, Client(proxy.url, will=will) as client:
            proxy.cut()
            assert [message.payload for message in await sub.take(2)] == [b"closed", b"gone"]
            await client.close()


async def test_unsubscribe_ends_the_flow(mosquitto: Mosquitto) -> None:
    async with Client(mosquitto.url) as client:
        await client.subscribe("a")
        await client.subscribe("b")
        await client.unsubscribe("a")
        await client.publish("a", b"unwanted")
        await client.publish("b", b"wanted")
        assert (await anext(client)).topic == "b"


@statement("3.1.1", "MQTT-7.1.2-1")
async def test_an_empty_session_over_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "broker.sock"
    with Mosquitto(tmp_path / "broker", settings={"listener 0": path}):
        async with Client(f"unix://{path}") as client:
            await client.subscribe("a")
            await client.publish("a", b"over a unix socket")
            assert (await anext(client)).payload == b"over a unix socket"
    with pytest.raises(ConnectError, match=r"there is no /|nothing listens at /"):
        await Client(f"unix://{path}").start()


@statement("3.1.1", "MQTT-3.1.4-5", "MQTT-3.2.2-4")
async def test_wrong_credentials_are_a_refusal_in_words(tmp_path: Path) -> None:
    (tmp_path / "passwords").write_text("ann:secret\n")
    await run(program("mosquitto_passwd"), "-U", str(tmp_path / "passwords"))
    settings = {"allow_anonymous": "false", "password_file": tmp_path / "passwords"}
    with Mosquitto(tmp_path / "broker", settings=settings) as broker:
        async with Client(broker.url, username="ann", password="secret"):
            pass
        async with Client(f"mqtt://ann:secret@127.0.0.1:{broker.port}"):
            pass
        for credentials in ({"username": "ann", "password": "wrong"}, {"username": "bob", "password": b"secret"}):
            with pytest.raises(RefusedError, match="not authorised; check the password") as refusal:
                await Client(broker.url, **credentials).start()
            assert refusal.value.code == 5
            assert "no user name" not in str(refusal.value)


@pytest.mark.parametrize(("version", "code"), [("3.1.1", 5), ("5.0", 0x87)])
async def test_who_has_given_no_user_name_hears_how(tmp_path: Path, version: str, code: int) -> None:
    settings = {"allow_anonymous": "false"}
    with Mosquitto(tmp_path, settings=settings) as broker, pytest.raises(RefusedError) as refusal:
        await Client(broker.url, version=version).start()
    assert refusal.value.code == code
    assert refusal.value.reason_code is ReasonCode.NOT_AUTHORIZED
    said = "(reason code 0x87)" if version == "5.0" else ""
    assert str(refusal.value) == (
        f"connection refused: not authorised {said}".rstrip() + "; no user name was given: it stands in the URL, as in "
        "mqtt://NAME:PASSWORD@HOST, or in username= and password="
    )


async def test_what_a_user_name_would_not_help_says_nothing_of_one() -> None:
    async def refuse(peer: Peer) -> None:
        await peer.packet()
        await peer.say(b"\x20\x02\0\x03")

    async with server(refuse) as url:
        with pytest.raises(RefusedError, match=r"not available now; try again later$"):
            await Client(url).start()


async def test_nobody_listening_and_unknown_hosts_are_named() -> None:
    port = free_port()
    with pytest.raises(ConnectError, match=f"nothing listens at 127.0.0.1:{port}"):
        await Client(f"mqtt://127.0.0.1:{port}").start()
    with pytest.raises(ConnectError, match=r"cannot find the host 'no.such.invalid'"):
        await Client("mqtt://no.such.invalid").start()
    with pytest.raises(ValueError, match="'ftp' is not a known scheme"):
        Client("ftp://host")


@pytest.mark.parametrize("host", ["a..b", "x" * 70 + ".example", "é" * 80])
def test_an_impossible_host_name_is_an_error_and_not_a_hang(host: str) -> None:
    with pytest.raises(ValueError, match="is no possible host name"):
        Client(f"mqtt://{host}")


async def test_a_server_that_never_answers_connect_is_a_time_out() -> None:
    async def silent(peer: Peer) -> None:
        await peer.reader.read()

    async with server(silent) as url:
        with pytest.raises(ConnectError, match="does not answer CONNECT within"):
            await Client(url, timeout_s=0.1).start()


@statement("3.1.1", "MQTT-3.9.3-2")
async def test_a_refused_subscription_is_an_error(caplog: pytest.LogCaptureFixture) -> None:
    async def refuse(peer: Peer) -> None:
        await peer.packet()
        await peer.say(CONNACK)
        while request := await peer.packet():
            if request[0] == 0x82:
                await peer.say(b"\x90\x03" + request[2:4] + b"\x80")

    async with server(refuse) as url, Client(url) as client:
        with caplog.at_level(logging.CRITICAL), pytest.raises(SubscribeError, match="refused the subscription to 'a'"):
            await client.subscribe("a")


@pytest.mark.parametrize(
    ("topic", "message"), [("", "empty"), ("a/#", "wildcard"), ("a\0b", "U\\+0000"), ("x" * 65536, "65535 bytes")]
)
async def test_a_bad_topic_name_is_refused_and_does_no_harm(mosquitto: Mosquitto, topic: str, message: str) -> None:
    async with Client(mosquitto.url) as client:
        for qos in (0, 1, 2):
            with pytest.raises(ProtocolError, match=message):
                await client.publish(topic, b"", qos)
        await (await client.publish("good")).completed()


@pytest.mark.parametrize("topic_filter", ["", "a/#/b", "a+", "a\0", "x" * 65536])
async def test_a_bad_topic_filter_is_refused_and_does_no_harm(mosquitto: Mosquitto, topic_filter: str) -> None:
    async with Client(mosquitto.url) as client:
        for ask in (client.subscribe, client.unsubscribe):
            with pytest.raises(ProtocolError):
                await ask(topic_filter)
        assert await client.subscribe("good", 1) == 1


async def test_arguments_that_make_no_sense_are_refused(mosquitto: Mosquitto) -> None:
    async with Client(mosquitto.url) as client:
        for qos in (-1, 3):
            with pytest.raises(ValueError, match="qos must be 0, 1 or 2"):
                await client.publish("a", b"", qos)
            with pytest.raises(ValueError, match="qos must be 0, 1 or 2"):
                await client.subscribe("a", qos)
        with pytest.raises(TypeError, match="payload must be bytes or str"):
            await client.publish("a", 5)  # type: ignore[arg-type]
    for options, message in (
        ({"password": "x"}, "needs a user name"),
        ({"will": ("a/#", "", 0, False)}, "wildcard"),
        ({"client_id": "a\0"}, r"U\+0000"),
    ):
        with pytest.raises(ProtocolError, match=message):
            Client("mqtt://localhost", **options)
    with pytest.raises(ValueError, match="keep_alive_s must be 0 to 65535"):
        Client("mqtt://localhost", keep_alive_s=65536)
    with pytest.raises(ValueError, match="QoS of the will"):
        Client("mqtt://localhost", will=("a", "", 3, False))


async def test_a_closed_client_says_so(mosquitto: Mosquitto) -> None:
    async with Client(mosquitto.url) as client:
        pass
    for use in (client.publish("a"), client.publish("a", qos=0), client.subscribe("a"), client.unsubscribe("a")):
        with pytest.raises(ClosedError):
            await use
    with pytest.raises(ClosedError):
        await client.start()
    assert [message async for message in client] == []
    await client.close()
