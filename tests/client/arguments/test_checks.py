"""Arguments of the wrong type or out of range, and clients that are used before their time or in the wrong place."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from mqttlite import Will, blocking
from mqttlite.broker import Broker, Limits
from mqttlite.client import Client
from mqttlite.core.errors import ClosedError, ConnectError, ProtocolError, PublishError, SubscribeError
from mqttlite.database import Inbox, Outbox, sqlite
from tests.client.network import Peer, server
from tests.peers import RUN_TIMEOUT_S, free_port


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with Broker(["mqtt://127.0.0.1:0"]) as broker:
        yield broker.addresses[0]


async def _nothing(*_: object) -> None: ...


def _awaitable(function: Callable[..., object]) -> Callable[..., Any]:
    async def called(*arguments: Any) -> object:
        return function(*arguments)

    return called


WILL = ("a", b"", 0, False)
WRONG_TYPES = [
    ("client_id", (5, b"c", None)),
    ("clean_session", (1, "no")),
    ("keep_alive_s", ("60", 60.0, True, None)),
    ("username", (b"ann", 5)),
    ("password", (5, bytearray(b"x"))),
    ("will", ("a", 5, {"topic": "a"})),
    ("window", ("18", 1.5, True, None)),
    ("queue_max", ("9", None)),
    ("inbox_max", (0.5,)),
    ("inbox_bytes", ("1 MB",)),
    ("size_max", ("1 MB",)),
    ("timeout_s", ("10", None, True)),
    ("store", (5, b"state.db", True)),
    ("manual_ack", (1, "yes")),
    ("keys", (1,)),
    ("retry_first", ("no", 0)),
    ("on_connection", (5, _nothing)),
    ("on_oversized", ("print", _nothing)),
]
WRONG_VALUES = [
    ("version", (2, 311, "v5", "3", 5.0, True, None, b"5", ["5.0"])),
    ("keep_alive_s", (-1, 65536, 10**30)),
    ("password", (b"x" * 65536, "\ud800")),
    ("will", (("a", b""), ("a", b"", 0, False, 1), ())),
    ("window", (0, -1, 65536)),
    ("queue_max", (0, -5)),
    ("inbox_max", (0,)),
    ("inbox_bytes", (0,)),
    ("size_max", (-1, 1 << 40)),
    ("timeout_s", (0, -1, math.nan, math.inf)),
    ("store", ("",)),
]


def each(table: list[tuple[str, tuple[object, ...]]]) -> list[Any]:
    return [pytest.param(name, value, id=f"{name}={value!r:.20}") for name, values in table for value in values]


@pytest.mark.parametrize(("name", "value"), each(WRONG_TYPES))
def test_an_argument_of_another_type_is_named(name: str, value: object) -> None:
    with pytest.raises(TypeError, match=f"^{name} must be "):
        Client("mqtt://localhost", **{"client_id": "c", name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "value"), each(WRONG_VALUES))
def test_an_argument_out_of_range_is_named(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"^{name} "):
        Client("mqtt://localhost", **{"client_id": "c", "username": "u", name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("will", "message"),
    [
        ((5, b"", 0, False), "the topic of the will must be str"),
        ((b"a", b"", 0, False), "the topic of the will must be str"),
        (("a", 5, 0, False), "the payload of the will must be bytes or str"),
        (("a", None, 0, False), "the payload of the will must be bytes or str"),
        (("a", b"", "0", False), "the QoS of the will must be 0, 1 or 2"),
        (("a", b"", True, False), "the QoS of the will must be 0, 1 or 2"),
        (("a", b"", 0, 1), "retain of the will must be True or False"),
    ],
)
def test_each_part_of_a_will_is_named(will: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Client("mqtt://localhost", will=will)


def test_a_will_of_less_than_all_has_the_defaults_that_publishing_it_elsewhere_has() -> None:
    assert Will("a") == ("a", b"", 0, False)
    assert Will("a", "b", 1, delay_s=3) == ("a", "b", 1, False)
    assert Will("a", "b", 1, delay_s=3).more == {"delay_s": 3}
    assert Will("a", retain=True).retain
    Client("mqtt://localhost", will=Will("a", b"b"))
    with pytest.raises(TypeError, match=r"^Will\(\) missing .*'topic'"):
        Will()  # type: ignore[call-arg]


@pytest.mark.parametrize("make", [Client, blocking.Client])
@pytest.mark.parametrize(
    ("arguments", "options", "write"),
    [
        (("localhost", 1883), {}, 'Client("mqtt://localhost:1883")'),
        (("192.168.1.4", 1884, 60), {}, 'Client("mqtt://192.168.1.4:1884")'),
        (("broker.example", 8883), {}, 'Client("mqtts://broker.example:8883")'),
        (("::1", 1883), {}, 'Client("mqtt://[::1]:1883")'),
        (("localhost",), {"port": 1885}, 'Client("mqtt://localhost:1885")'),
        ((), {"host": "localhost", "port": 1886}, 'Client("mqtt://localhost:1886")'),
        ((), {"hostname": "localhost"}, 'Client("mqtt://localhost:1883")'),
        ((), {}, 'Client("mqtt://localhost:1883", client_id="pump")'),
        (("mqtt://u:secret@localhost", "pump"), {}, 'Client("mqtt://localhost:1883", client_id="pump")'),
        (("u:secret@localhost", 1883), {}, 'Client("mqtt://localhost:1883", client_id="pump")'),
    ],
)
def test_host_and_port_as_other_clients_take_them_are_said_as_a_url(
    make: Callable[..., object], arguments: tuple[object, ...], options: dict[str, object], write: str
) -> None:
    with pytest.raises(TypeError) as caught:
        make(*arguments, **options)
    assert str(caught.value) == f"Client takes one URL, and all else by name: write {write}"


def test_a_host_alone_is_said_as_a_url() -> None:
    for host in ("localhost", "192.168.1.4:1884"):
        with pytest.raises(ValueError, match=f"not a URL: '{host}'; write mqtt://{host}$"):
            Client(host)


@pytest.mark.parametrize("version", ["3.1.1", "5.0"])
def test_a_session_that_is_kept_has_a_name_by_which_it_is_found_again(version: str) -> None:
    """A random name would be another one in each run, and each run's session would stay at the broker."""
    for make in (Client, blocking.Client):
        for nameless in ({}, {"client_id": ""}):
            with pytest.raises(ValueError, match=r"clean_session=False needs a client_id.*Client\(\.\.\., client_id="):
                make("mqtt://localhost", version=version, clean_session=False, **nameless)  # type: ignore[arg-type]
    Client("mqtt://localhost", version=version, clean_session=False, client_id="c")


def test_a_session_for_ever_has_a_name_and_one_that_outlives_lost_connections_needs_none() -> None:
    with pytest.raises(ValueError, match="session_expiry_s=4294967295 needs a client_id"):
        Client("mqtt://localhost", version="5.0", session_expiry_s=0xFFFFFFFF)
    Client("mqtt://localhost", version="5.0", session_expiry_s=60)
    for options in ({"clean_session": False}, {"session_expiry_s": 0xFFFFFFFF}):  # the program may keep the name
        Client("mqtt://localhost", version="5.0", client_id=None, **options)  # type: ignore[arg-type]


def test_a_password_is_in_no_error() -> None:
    with pytest.raises(TypeError) as caught:
        Client("mqtt://localhost", username="u", password=["secret"])  # type: ignore[arg-type]
    assert str(caught.value) == "password must be str or bytes, not (list)"


async def test_a_path_object_is_a_store(url: str, tmp_path: Path) -> None:
    async with Client(url, client_id="c", store=tmp_path / "c.db") as client:  # type: ignore[arg-type]
        assert client.store.is_durable


PUBLISH = [
    (("a", 5), "payload must be bytes or str .* for a number write str"),
    (("a", 21.5), "payload must be bytes or str"),
    (("a", None), "payload must be"),
    (("a", [1]), "payload must be"),
    ((b"a", b""), "topic must be str, not b'a'"),
    ((None, b""), "topic must be str"),
    (("a", b"", True), "qos must be 0, 1 or 2, not True"),
    (("a", b"", "1"), "qos must be 0, 1 or 2, not '1'"),
    (("a", b"", 1.0), "qos must be"),
    (("a", b"", 1, 1), "retain must be True or False"),
    (("a", b"", 1, "yes"), "retain must be True or False"),
    (("a", b"", 1, False, "k"), r"key must be \(producer, number\)"),
    (("a", b"", 1, False, ("p",)), "key must be"),
    (("a", b"", 1, False, ("p", "1")), "key must be"),
    (("a", b"", 1, False, (b"p", 1)), "key must be"),
    (("a", b"", 1, False, ("p", True)), "key must be"),
]


async def test_what_cannot_be_published_or_subscribed_is_named_and_harms_nothing(url: str) -> None:
    async with Client(url, client_id="c") as client:
        for arguments, message in PUBLISH:
            for method in (client.publish, client.enqueue):
                with pytest.raises(TypeError, match=message):
                    await method(*arguments)  # type: ignore[arg-type]
        for topic_filter, message in (
            (["a", "b"], "one topic filter .*, not several: call subscribe once for each"),
            (("a", 1), "one topic filter"),
            (b"a", "topic_filter must be str"),
            (None, "topic_filter must be str"),
        ):
            for ask in (client.subscribe, client.unsubscribe):
                with pytest.raises(TypeError, match=message):
                    await ask(topic_filter)  # type: ignore[arg-type]
        for qos in (True, "1", None):
            with pytest.raises(TypeError, match="qos must be"):
                await client.subscribe("a", qos)  # type: ignore[arg-type]
        for timeout_s in (0, -1, math.nan):
            with pytest.raises(ValueError, match="timeout_s must be a number of seconds above 0"):
                await client.drain(timeout_s)
            with pytest.raises(ValueError, match="timeout_s must be a number of seconds above 0"):
                await client.heard(timeout_s)
        for seq in ("1", None, 1.5, True, [], ()):
            for about in (client.settle, client.retry, _awaitable(client.receipt)):
                with pytest.raises(TypeError, match="seq must be a whole number, not"):
                    await about(seq)  # type: ignore[arg-type]
        for message in (None, 5, "m"):
            with pytest.raises(TypeError, match="message must be one that the client has given out, not"):
                client.acknowledge(message)  # type: ignore[arg-type]
        for handler in (None, 5, "print"):
            with pytest.raises(TypeError, match="handler must be a function, not"):
                await client.handle(handler)  # type: ignore[arg-type]
        for topic, payload, name in (("\ud800", "x", "topic"), ("a", "\ud800", "payload")):
            with pytest.raises((ProtocolError, ValueError), match=f"^{name}.* holds a surrogate"):
                await client.publish(topic, payload)
        assert client.pending() == []
        await client.subscribe("a")
        await client.publish("a", memoryview(b"whole"))  # type: ignore[arg-type]
        assert (await anext(client)).payload == b"whole"


async def test_a_number_that_no_message_has_had_is_not_confirmed(url: str) -> None:
    async with Client(url, client_id="c") as client:
        receipt = await client.publish("a", "x", qos=2)
        await receipt.completed()
        assert client.receipt(receipt.seq).done
        assert client.receipt((await client.publish("a", "x", qos=0)).seq).done
        for seq in (receipt.seq + 1, 10**30, -2):
            with pytest.raises(ValueError, match="seq must be "):
                client.receipt(seq)


async def test_a_client_that_is_not_started_says_so_instead_of_hanging(url: str) -> None:
    client = Client(url, client_id="c")
    async with asyncio.timeout(RUN_TIMEOUT_S):
        for use in (
            client.publish,
            client.enqueue,
            client.subscribe,
            client.unsubscribe,
        ):
            with pytest.raises(RuntimeError, match="not started: write 'async with"):
                await use("a")
        for wait in (client.drain, client.stored):
            with pytest.raises(RuntimeError, match="not started"):
                await wait()
        with pytest.raises(RuntimeError, match="not started"):
            async for _ in client:
                pass
        with pytest.raises(RuntimeError, match="not started"):
            await anext(client)
        async with client:
            await client.publish("a", b"")
        with pytest.raises(ClosedError, match="the client is closed"):
            await client.publish("a", b"")
        with pytest.raises(ClosedError, match="the client is closed"):
            await client.start()
        assert [message async for message in client] == []


async def test_two_tasks_that_start_a_client_open_its_store_once(url: str, tmp_path: Path) -> None:
    client = Client(url, client_id="c", store=str(tmp_path / "c.db"))
    await asyncio.gather(*(client.start() for _ in range(3)))
    await (await client.publish("a", b"1")).completed()
    await client.close()
    gone = Client(f"mqtt://127.0.0.1:{free_port()}", client_id="c", store=str(tmp_path / "c.db"))
    answers = await asyncio.gather(*(gone.start() for _ in range(2)), return_exceptions=True)
    assert all(isinstance(answer, ConnectError) for answer in answers)


def test_a_client_of_another_event_loop_says_so() -> None:
    client = Client(f"mqtt://127.0.0.1:{free_port()}", client_id="c", retry_first=True)

    async def first() -> None:
        starting = asyncio.create_task(client.start())
        await asyncio.sleep(0)
        assert not starting.done()

    async def second() -> None:
        for use in (client.start, client.drain, client.close, client.stored):
            with pytest.raises(RuntimeError, match="in another event loop"):
                await use()
        with pytest.raises(RuntimeError, match="in another event loop"):
            await client.publish("a", b"")

    asyncio.run(first())
    asyncio.run(second())


def test_arguments_of_inbox_and_outbox_are_checked(tmp_path: Path) -> None:
    database = sqlite(tmp_path / "app.db")
    client = Client("mqtt://localhost", client_id="c", clean_session=False)
    for options, error, message in (
        ({"tries": 0}, ValueError, "tries must be 1 or more"),
        ({"tries": "5"}, TypeError, "tries must be a whole number"),
        ({"side_by_side": -1}, ValueError, "side_by_side must be 0 or more"),
        ({"pause_s": math.nan}, ValueError, "pause_s must be a number of seconds from 0 on"),
        ({"dead_letter": "dead"}, TypeError, "dead_letter must be"),
    ):
        with pytest.raises(error, match=message):
            Inbox(client, database, **options)  # type: ignore[arg-type]
    outbox = Outbox(database)
    for arguments, message in (
        (("a", 5), "payload must be bytes or str"),
        ((5, b""), "topic must be str"),
        (("a", b"", True), "qos must be"),
        (("a", b"", 1, "no"), "retain must be"),
    ):
        with pytest.raises(TypeError, match=message):
            outbox.publish(None, *arguments)  # type: ignore[arg-type]


async def test_what_an_access_rule_refuses_is_named_with_its_topic(caplog: pytest.LogCaptureFixture) -> None:
    async def refuse(peer: Peer) -> None:
        assert (await peer.packet())[:1] == b"\x10"
        await peer.say(b"\x20\x03\x00\x00\x00")
        while packet := await peer.packet():
            if packet[0] & 0xF0 == 0x30:
                await peer.say(b"\x40\x03" + packet[2 + 2 + packet[3] :][:2] + b"\x87")
            elif packet[0] == 0x82:
                await peer.say(b"\x90\x04" + packet[2:4] + b"\x00\x87")

    async with server(refuse) as url, Client(url, client_id="c", version=5, keep_alive_s=0) as client:
        receipt = await client.publish("secret/room", b"1")
        with pytest.raises(PublishError, match=r"the broker refused message \d+ to 'secret/room': not authorised"):
            await receipt.completed()
        with pytest.raises(SubscribeError, match="refused the subscription to 'secret/#': not authorised"):
            await client.subscribe("secret/#")
    assert "to 'secret/room': not authorised" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("mqtt://127.0.0.1:0",), r"listen must be a list of URLs, not one: write Broker\(\['mqtt://127.0.0.1:0'\]\)"),
        (("127.0.0.1", 1884), r"listen must be a list of URLs, not one: write Broker\(\['mqtt://127.0.0.1:1884'\]\)"),
        (("127.0.0.1:1885",), r"write Broker\(\['mqtt://127.0.0.1:1885'\]\)"),
        (("127.0.0.1",), r"write Broker\(\['mqtt://127.0.0.1:1883'\]\)"),
        ((5,), "listen must be a list of URLs"),
        (([5],), "listen must be a list of URLs"),
        (([], {"packet_bytes": 5}), "limits must be Limits"),
        (([], None, 5), "store must be a path or a BrokerStore"),
    ],
)
def test_arguments_of_a_broker_are_checked(arguments: tuple[Any, ...], error: str) -> None:
    with pytest.raises(TypeError, match=error):
        Broker(*arguments)


@pytest.mark.parametrize("value", ["5", 1.5, None, True])
def test_a_limit_of_another_type_is_named(value: Any) -> None:
    with pytest.raises(TypeError, match="connections must be a whole number"):
        Limits(connections=value)
    with pytest.raises(ValueError, match="connections must be 0 or more, not -1"):
        Limits(connections=-1)
    with pytest.raises(TypeError, match="control_characters must be True or False"):
        Limits(control_characters=1)  # type: ignore[arg-type]
