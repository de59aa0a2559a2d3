"""What a client of MQTT 5.0 says and hears when a connection begins and ends: session expiry, limits of both sides,
names that the broker chooses, other servers, authentication in several packets; with real brokers.
"""

import asyncio
import contextlib
import hmac
from collections.abc import AsyncIterator, Generator
from pathlib import Path
from typing import Any

import pytest

from mqttlite import (
    Authentication,
    ConnectError,
    PublishError,
    ReasonCode,
    RefusedError,
    SubscribeError,
    Will,
)
from mqttlite.broker import Broker
from mqttlite.broker.access.authentication import Arriving, Refusal
from mqttlite.broker.limits import Limits
from mqttlite.client import Client
from mqttlite.client.suspects import wait_longer
from tests.broker.raw import port_of
from tests.client.network import Proxy
from tests.peers import RUN_TIMEOUT_S, Mosquitto

LISTEN = ["mqtt://127.0.0.1:0"]


# -- sessions


async def test_a_session_is_kept_for_as_long_as_the_client_says(port: int) -> None:
    url = f"mqtt://127.0.0.1:{port}"
    for expiry_s, is_kept in ((60, True), (0, False), (None, True)):
        name = f"kept-{expiry_s}"
        async with Client(url, version="5.0", client_id=name, session_expiry_s=expiry_s) as client:
            assert not client.session_present
        async with Client(url, version="5.0", client_id=name, session_expiry_s=expiry_s) as client:
            assert client.session_present == is_kept


async def test_a_clean_start_is_one_start_and_the_session_outlives_a_lost_connection(port: int) -> None:
    async with Proxy(port) as proxy:
        client = Client(proxy.url, version="5.0", client_id="c", clean_session=True, session_expiry_s=60)
        async with client:
            assert not client.session_present
            await client.subscribe("a", 1)
            proxy.cut()
            async with Client(f"mqtt://127.0.0.1:{port}", version="5.0") as other:
                await other.publish("a", b"meanwhile")
                await other.drain()
            assert (await anext(client)).payload == b"meanwhile"
            assert client.session_present


async def test_how_long_a_session_is_kept_can_change_at_the_end(port: int) -> None:
    url = f"mqtt://127.0.0.1:{port}"
    client = Client(url, version="5.0", client_id="c", session_expiry_s=60)
    await client.start()
    await client.close(session_expiry_s=0)
    async with Client(url, version="5.0", client_id="c") as client:
        assert not client.session_present
        client._life.protocol.clean_session = False
    client = Client(url, version="5.0")
    await client.start()
    with pytest.raises(ValueError, match="a session that the client did not want kept"):
        await client.close(session_expiry_s=60)
    await client.close()
    client = Client(url)
    await client.start()
    with pytest.raises(ValueError, match=r"session_expiry_s and with_will need MQTT 5\.0"):
        await client.close(session_expiry_s=60)
    await client.close()


async def test_the_will_is_published_at_an_orderly_end_if_the_client_wants_it(port: int) -> None:
    url = f"mqtt://127.0.0.1:{port}"
    async with Client(url, version="5.0") as watcher:
        await watcher.subscribe("w", 1)
        for with_will in (False, True):
            client = Client(url, version="5.0", will=Will("w", f"{with_will}", 1, False))
            await client.start()
            await client.close(with_will=with_will)
        assert (await anext(watcher)).payload == b"True"


async def test_the_broker_chooses_a_name(port: int) -> None:
    async with Proxy(port) as proxy, Client(proxy.url, version="5.0", client_id=None, session_expiry_s=60) as client:
        assert client.server is not None
        name = client.server.assigned_client_id
        assert name and client.client_id == name
        await client.subscribe("a", 1)
        proxy.cut()
        await client.publish("a", b"x")
        assert (await anext(client)).payload == b"x"
        assert client.session_present and client.client_id == name
    with pytest.raises(ValueError, match="need a client_id of your own"):
        Client("mqtt://localhost", version="5.0", client_id=None, keys=True)


# -- limits


async def test_what_the_broker_takes_can_be_asked_for(port: int) -> None:
    url = f"mqtt://127.0.0.1:{port}"
    async with Client(url, version="5.0", user_properties={"why": "test"}) as client:
        server = client.server
        assert server is not None
        assert server.maximum_qos == 2 and server.retain_available and server.receive_maximum > 0
        assert server.wildcard_subscription_available and server.assigned_client_id == ""
        assert server.topic_alias_maximum > 0
    async with Client(url) as client:
        assert client.server is None


async def test_the_keep_alive_of_the_broker_counts() -> None:
    async with (
        Broker(listen=LISTEN, limits=Limits(keep_alive_local_ms=7000)) as broker,
        Client(broker.addresses[0], version="5.0", keep_alive_s=100) as client,
    ):
        assert client.server is not None and client.server.keep_alive_s == 7
        assert client._life.protocol.keep_alive_ms == 6300


@pytest.mark.parametrize("options", [{}, {"session_expiry_s": 5}])
def test_a_broker_is_asked_to_wait_longer_whatever_else_the_client_says(options: dict[str, int]) -> None:
    client = Client("mqtt://h", version="5.0", client_id="c", keep_alive_s=16, **options)  # type: ignore[arg-type]
    protocol = client._life.protocol
    wait_longer(protocol)
    protocol.connect(0)
    assert protocol.out[0].startswith(b"MQTT\5\0\0\x40", 4)


async def test_no_more_is_sent_to_the_client_than_it_takes_at_once(port: int) -> None:
    """[MQTT-3.3.4-9]"""
    url = f"mqtt://127.0.0.1:{port}"
    async with (
        Client(url, version="5.0", client_id="r", receive_maximum=2, manual_ack=True) as reader,
        Client(url, version="5.0") as writer,
    ):
        await reader.subscribe("a", 1)
        for number in range(5):
            await writer.publish("a", b"%d" % number, 1)
        await writer.drain()
        await reader.subscribe("b", 0)  # answered behind everything that could be sent
        assert len(reader._life.session.inbound) == 2
        for number in range(5):
            message = await anext(reader)
            assert message.payload == b"%d" % number
            reader.acknowledge(message)


async def test_what_the_broker_says_it_does_not_take_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    settings = {"max_qos": 1, "retain_available": "false", "max_packet_size": 1000}
    with Mosquitto(tmp_path, settings=settings) as broker:
        async with Client(f"mqtt://127.0.0.1:{broker.port}", version="5.0") as client:
            assert client.server is not None and client.server.maximum_packet_size == 1000
            for given, reason in (
                ({"qos": 2}, ReasonCode.QOS_NOT_SUPPORTED),
                ({"retain": True}, ReasonCode.RETAIN_NOT_SUPPORTED),
                ({"payload": bytes(1000)}, ReasonCode.PACKET_TOO_LARGE),
            ):
                with pytest.raises(PublishError, match="not accepted") as error:
                    await client.publish("a", **given)
                assert error.value.reason_code is reason
            await (await client.publish("a", b"x"))


async def test_a_subscription_that_the_broker_has_not_is_refused_before_it_is_sent_and_after_a_reconnection() -> None:
    """With a broker that announces it, as brokers of a cloud do."""
    connack = bytes.fromhex("200900 0006 2800 2900 2a00".replace(" ", ""))
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(connack)
        while data := await reader.read(1000):
            seen.append(data)
            if data[0] == 0x82:
                writer.write(b"\x90\x04" + data[2:4] + b"\0\1")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with Client(url, version="5.0") as client:
            for topic_filter, options, reason in (
                ("a/#", {}, ReasonCode.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED),
                ("$share/g/a", {}, ReasonCode.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED),
                ("a", {"subscription_identifier": 1}, ReasonCode.SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED),
            ):
                with pytest.raises(SubscribeError, match="0x") as error:
                    await client.subscribe(topic_filter, **options)  # type: ignore[arg-type]
                assert error.value.reason_code is reason
            assert await client.subscribe("a", 1) == 1
            assert [data[0] for data in seen] == [0x82]
            client._life.protocol.subscribe(b"b/#", 1).request = 0  # as if from a connection to another broker
            client._life.protocol._subscribe_again(False)
            assert list(client._life.protocol.subscriptions) == [b"a"]


async def test_topics_that_come_again_leave_and_arrive_under_an_alias() -> None:
    async with Broker(listen=LISTEN) as broker, Proxy(port_of(broker.addresses[0])) as proxy:
        options: dict[str, Any] = {"version": "5.0", "client_id": "c", "topic_alias_maximum": 2}
        async with Client(proxy.url, **options) as client:
            topics = [f"building/3/room/{number % 3}" for number in range(30)]
            await client.subscribe("#", 2)
            for number, topic in enumerate(topics):
                await client.publish(topic, b"%d" % number, number % 3, user_properties={"n": str(number)})
                message = await anext(client)
                assert (message.topic, message.payload) == (topic, b"%d" % number)
                assert message.user_properties == [("n", str(number))]
            assert len(client._life.protocol.aliases or {}) == 2
            proxy.cut()
            for topic in topics[:6]:
                await client.publish(topic, b"again", 1)
                assert (await anext(client)).topic == topic


async def test_response_information_is_asked_for_and_problems_are_told_unless_unwanted(port: int) -> None:
    url = f"mqtt://127.0.0.1:{port}"
    options: dict[str, Any] = {"request_response_information": True, "request_problem_information": False}
    async with Client(url, version="5.0", client_id="c", **options) as client:
        assert client.server is not None and isinstance(client.server.response_information, str)


def test_options_of_5_0_are_refused_in_3_1_1_and_of_the_wrong_type() -> None:
    for options, said in (
        ({"topic_alias_maximum": 5}, r"topic_alias_maximum needs MQTT 5\.0"),
        (
            {"user_properties": {"a": "b"}, "follow_server_reference": True},
            "user_properties and follow_server_reference",
        ),
        ({"session_expiry_s": 5}, r"^session_expiry_s needs MQTT 5\.0"),
        ({"receive_maximum": 5}, r"^receive_maximum needs MQTT 5\.0"),
        ({"session_expiry_s": 5, "receive_maximum": 5}, r"^session_expiry_s and receive_maximum need MQTT 5\.0"),
        ({"version": "5.0", "receive_maximum": 0}, "receive_maximum must be 1 to 65535"),
        ({"version": "5.0", "topic_alias_maximum": 1 << 16}, "topic_alias_maximum must be 0 to 65535"),
    ):
        with pytest.raises(ValueError, match=said):
            Client("mqtt://localhost", **options)  # type: ignore[arg-type]
    for authentication in ((b"X", answering().answers), ("X", 7)):
        with pytest.raises(TypeError, match=r"^authentication's (method|answers) must be "):
            Client("mqtt://localhost", version="5.0", authentication=authentication)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^authentication's method must have 1 to 65535 bytes"):
        Client("mqtt://localhost", version="5.0", authentication=Authentication("", answering().answers))
    for option in ("authentication", "request_response_information", "user_properties"):
        with pytest.raises(TypeError, match=f"^{option} must be "):
            Client("mqtt://localhost", version="5.0", **{option: 7})  # type: ignore[arg-type]


async def test_a_client_of_3_1_1_may_be_given_the_defaults_of_5_0(port: int) -> None:
    options: dict[str, Any] = {"topic_alias_maximum": 0, "user_properties": None, "follow_server_reference": False}
    async with Client(f"mqtt://127.0.0.1:{port}", client_id="c", **options) as client:
        assert client.is_connected and client.server is None


# -- reasons


async def test_errors_carry_the_reason_code_in_both_versions(tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    passwords.write_text("")
    settings = {"allow_anonymous": "false", "password_file": passwords}
    with Mosquitto(tmp_path, settings=settings) as broker:
        for version in ("3.1.1", "5.0"):
            with pytest.raises(RefusedError) as error:
                await Client(f"mqtt://127.0.0.1:{broker.port}", version=version).start()
            assert error.value.reason_code is ReasonCode.NOT_AUTHORIZED, version
            assert error.value.reason_string == ""


def test_a_reason_code_is_a_number_with_words() -> None:
    assert ReasonCode.QUOTA_EXCEEDED == 0x97
    assert ReasonCode.QUOTA_EXCEEDED.words == "a quota of the broker is used up (reason code 0x97)"
    assert all("reserved" not in code.words for code in ReasonCode if code >= 0x80)


async def test_what_the_broker_says_in_words_is_in_the_error() -> None:
    limits = Limits(topic_levels=2)
    async with Broker(listen=LISTEN, limits=limits) as broker, Client(broker.addresses[0], version="5.0") as client:
        with pytest.raises(SubscribeError) as refused:
            await client.subscribe("a/b/c/d")
        assert refused.value.reason_code is not None and refused.value.reason_code >= 0x80
        with pytest.raises(PublishError) as failed:
            await (await client.publish("a/b/c/d", b"x"))
        assert failed.value.reason_code == failed.value.code >= 0x80


# -- other servers


async def test_another_server_is_named_in_the_error_and_followed_only_if_wanted() -> None:
    async with Broker(listen=LISTEN) as there:
        reference = there.addresses[0].removeprefix("mqtt://")
        async with refusing(0x9C, f"no-such-host:x {reference} elsewhere:1") as port:
            url = f"mqtt://127.0.0.1:{port}"
            with pytest.raises(RefusedError, match=reference) as error:
                await Client(url, version="5.0").start()
            assert error.value.reason_code is ReasonCode.USE_ANOTHER_SERVER
            assert reference in error.value.server_reference
            async with Client(url, version="5.0", follow_server_reference=True) as client:
                await (await client.publish("a", b"x"))
                assert len(there.connections) == 1


async def test_our_broker_at_its_end_names_the_server_that_the_client_goes_on_with() -> None:
    async with Broker(listen=LISTEN) as there:
        reference = there.addresses[0].removeprefix("mqtt://")
        async with Broker(listen=LISTEN, server_reference=reference) as here:
            client = Client(here.addresses[0], version="5.0", client_id="c", follow_server_reference=True)
            await client.start()
        async with client:
            await (await client.publish("a", b"x"))
            assert len(there.connections) == 1


@contextlib.asynccontextmanager
async def refusing(reason: int, reference: str) -> AsyncIterator[int]:
    """The port of a server that names another one."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        name = (reference or f"127.0.0.1:{port}").encode()
        block = b"\x1c" + len(name).to_bytes(2, "big") + name
        writer.write(bytes((0x20, 3 + len(block), 0, reason, len(block))) + block)
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield port


async def test_servers_that_name_each_other_are_not_followed_for_ever() -> None:
    async with refusing(0x9D, "") as port:
        with pytest.raises(ConnectError, match="5 servers in turn have named another one"):
            await Client(f"mqtt://127.0.0.1:{port}", version="5.0", follow_server_reference=True).start()


# -- authentication in several packets

KEY = b"secret"


def challenging(who: Arriving) -> Generator[bytes, bytes, bytes]:
    if who.method != "CHALLENGE":
        raise Refusal(0x8C, "no such method here")
    challenge = b"again" if who.again else b"first"
    answer = yield challenge
    if not hmac.compare_digest(answer, hmac.digest(KEY, who.data + challenge, "sha256")):
        raise Refusal(0x87, "wrong answer")
    return b"welcome"


def answering(key: bytes = KEY, last: bytes = b"welcome") -> Authentication:
    def answers() -> Generator[bytes, bytes, None]:
        challenge = yield b"me"
        said = yield hmac.digest(key, b"me" + challenge, "sha256")
        if said != last:
            raise ValueError("this is not the broker that I know")

    return Authentication("CHALLENGE", answers)


async def test_a_client_answers_the_brokers_challenge_at_each_connection_and_again_while_connected() -> None:
    options: dict[str, Any] = {"version": "5.0", "client_id": "c", "authentication": answering()}
    async with (
        Broker(listen=LISTEN, authenticate=challenging) as broker,
        Proxy(port_of(broker.addresses[0])) as proxy,
        Client(proxy.url, **options) as client,
    ):
        await client.authenticate()
        proxy.cut()
        await (await client.publish("a", b"x"))
        assert proxy.connections == 2
        await client.authenticate()
        await (await client.publish("a", b"x"))


async def test_a_wrong_answer_a_wrong_method_and_a_broker_that_is_not_known_end_the_connection() -> None:
    async with Broker(listen=LISTEN, authenticate=challenging) as broker:
        url = broker.addresses[0]
        with pytest.raises(RefusedError) as refused:
            await Client(url, version="5.0", authentication=answering(b"wrong")).start()
        assert refused.value.reason_code is ReasonCode.NOT_AUTHORIZED
        with pytest.raises(RefusedError) as refused:
            await Client(url, version="5.0", authentication=Authentication("OTHER", answering().answers)).start()
        assert refused.value.reason_code is ReasonCode.BAD_AUTHENTICATION_METHOD
        with pytest.raises(ConnectError, match="raised ValueError: this is not the broker that I know"):
            await Client(url, version="5.0", authentication=answering(last=b"hello")).start()
        with pytest.raises(ConnectError, match="has no answer to what the broker asks"):
            await Client(url, version="5.0", authentication=("CHALLENGE", lambda: iter_once(b"me"))).start()


async def test_an_authentication_that_was_given_up_does_not_stand_in_the_way_of_others() -> None:
    options: dict[str, Any] = {"version": "5.0", "client_id": "c", "authentication": answering()}
    async with (
        Broker(listen=LISTEN, authenticate=challenging) as broker,
        Proxy(port_of(broker.addresses[0])) as proxy,
        Client(proxy.url, **options) as client,
    ):
        again = asyncio.create_task(client.authenticate())
        await asyncio.sleep(0)  # it has begun, and is not answered yet
        again.cancel()
        await asyncio.gather(again, return_exceptions=True)
        proxy.cut()
        await (await client.publish("a", b"x"))
        assert proxy.connections == 2
        await client.authenticate()


@pytest.mark.parametrize("answer", ["me", None, 5, bytes(65536)])
async def test_an_answer_that_is_none_is_told_in_words_and_nothing_is_sent(answer: Any) -> None:
    async with Broker(listen=LISTEN, authenticate=challenging) as broker:
        authentication = Authentication("CHALLENGE", lambda: iter_once(answer))
        with pytest.raises(ConnectError, match=r"the authentication yields (str|NoneType|int|more)"):
            await Client(broker.addresses[0], version="5.0", authentication=authentication).start()


def iter_once(data: bytes) -> Generator[bytes, bytes, None]:
    yield data


async def test_a_re_authentication_that_fails_ends_the_connection() -> None:
    key = [KEY]

    def answers() -> Generator[bytes, bytes, None]:
        challenge = yield b"me"
        yield hmac.digest(key[0], b"me" + challenge, "sha256")

    async with Broker(listen=LISTEN, authenticate=challenging) as broker:
        url = broker.addresses[0]
        async with Client(url, version="5.0", client_id="c", authentication=("CHALLENGE", answers)) as client:
            key[0] = b"wrong"
            with pytest.raises(ConnectError):
                await client.authenticate()
            key[0] = KEY
            await (await client.publish("a", b"x"))  # it has connected again


async def test_a_broker_that_sends_auth_to_who_has_no_method_is_told_so() -> None:
    """[MQTT-4.12.0-6]"""
    async with Broker(listen=LISTEN) as broker, Client(broker.addresses[0], version="5.0") as client:
        with pytest.raises(ValueError, match="the client has no authentication"):
            await client.authenticate()


async def test_of_a_broker_that_sends_more_at_once_than_it_may_everything_is_taken() -> None:
    """As Mosquitto 2.0 does to a session that is resumed (docs/decisions/0045)."""
    connects: list[bytes] = []
    acknowledged = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connects.append(await reader.read(1000))
        published = b"".join(b"\x32\x07\0\1a" + number.to_bytes(2, "big") + b"\0x" for number in range(1, 9))
        writer.write(b"\x20\3\0\0\0" + published)
        await reader.readexactly(8 * 4)
        acknowledged.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with Client(url, version="5.0", client_id="r", receive_maximum=3, manual_ack=True) as reader:
            for _ in range(8):
                message = await anext(reader)
                assert message.payload == b"x"
                reader.acknowledge(message)
            async with asyncio.timeout(RUN_TIMEOUT_S):
                await acknowledged.wait()
    assert b"\x21\0\3" in connects[0] and len(connects) == 1
