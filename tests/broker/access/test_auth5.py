"""AUTH: an application says who may connect, at once or in several packets, and again while a connection lasts."""

import base64
import hashlib
import hmac
from collections.abc import Generator

import pytest

from mqttlite.broker import Arriving, Refusal
from mqttlite.broker.access.authentication import Authenticate
from mqttlite.broker.engine import Engine
from mqttlite.broker.limits import Limits
from tests.broker.five import (
    AUTH,
    CONNACK,
    CONNECT,
    DISCONNECT,
    SUBSCRIBE,
    Five,
    Got,
    packet,
    prefixed,
    properties,
    unpacked,
)
from tests.broker.world import Wire, World
from tests.statements import statement

CONTINUE, AGAIN = 0x18, 0x19
PASSWORD, SALT, ROUNDS = b"pencil", b"salt of the user", 10
NONCE = b"server"


def keys(password: bytes) -> tuple[bytes, bytes]:
    """StoredKey and ServerKey of RFC 5802, with SHA-256."""
    salted = hashlib.pbkdf2_hmac("sha256", password, SALT, ROUNDS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return hashlib.sha256(client_key).digest(), hmac.digest(salted, b"Server Key", "sha256")


def xor(a: bytes, b: bytes) -> bytes:
    return bytes(x ^ y for x, y in zip(a, b, strict=True))


def scram(who: Arriving) -> Generator[bytes, bytes, bytes]:
    """SCRAM-SHA-256 (RFC 7677): the server never has the password, and the client sees that it is the server."""
    if not who.method:
        raise Refusal(0x87, "only with SCRAM")
    if who.method != "SCRAM-SHA-256":
        raise Refusal(0x8C, f"no method {who.method}")
    stored_key, server_key = keys(PASSWORD)
    bare = who.data.removeprefix(b"n,,")
    name, nonce = (field[2:] for field in bare.split(b","))
    if name != b"user":
        raise Refusal(0x87, "unknown user")
    nonce += NONCE
    first = b"r=%b,s=%b,i=%d" % (nonce, base64.b64encode(SALT), ROUNDS)
    last = yield first
    without_proof, _, proof = last.rpartition(b",p=")
    signed = bare + b"," + first + b"," + without_proof
    client_key = xor(base64.b64decode(proof), hmac.digest(stored_key, signed, "sha256"))
    if hashlib.sha256(client_key).digest() != stored_key:
        raise Refusal(0x87, "wrong password")
    return b"v=" + base64.b64encode(hmac.digest(server_key, signed, "sha256"))


class Scram:
    """A client's side of it."""

    def __init__(self, password: bytes = PASSWORD, name: bytes = b"user") -> None:
        self.password = password
        self.bare = b"n=%b,r=client" % name
        self.first = b"n,," + self.bare
        self.signed = b""

    def last(self, challenge: bytes) -> bytes:
        salted = hashlib.pbkdf2_hmac("sha256", self.password, SALT, ROUNDS)
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        without_proof = b"c=biws," + challenge.split(b",")[0]
        self.signed = self.bare + b"," + challenge + b"," + without_proof
        signature = hmac.digest(hashlib.sha256(client_key).digest(), self.signed, "sha256")
        return without_proof + b",p=" + base64.b64encode(xor(client_key, signature))

    def check(self, words: bytes) -> None:
        _, server_key = keys(self.password)
        assert words == b"v=" + base64.b64encode(hmac.digest(server_key, self.signed, "sha256"))


class Asking(World):
    def __init__(self, authenticate: Authenticate = scram) -> None:
        self.engine = Engine(Limits(), authenticate=authenticate)
        self.now = 1000
        self.stats = self.engine.stats


class Client(Five):
    """CONNECT is sent, and its answers are for the test to read."""

    def __init__(self, world: World, method: str | None = "SCRAM-SHA-256", data: bytes = b"", **values: object) -> None:
        self.wire: Wire = world.open("somewhere")
        self.after: list[Got] = []
        self._ids = iter(range(1, 100))
        fields = prefixed(b"c")
        flags = 2
        if "password" in values:
            flags |= 0xC0
            fields += prefixed(b"user") + prefixed(values.pop("password"))  # type: ignore[arg-type]
        named = {} if method is None else {"AuthenticationMethod": method, "AuthenticationData": data}
        start = b"\0\4MQTT\5" + bytes((flags,)) + b"\0\0"
        self.wire.raw(packet(0x10, start + properties(CONNECT, named) + fields))

    def auth(self, reason: int, data: bytes, method: str = "SCRAM-SHA-256") -> None:
        named = {"AuthenticationMethod": method, "AuthenticationData": data}
        self.wire.raw(packet(0xF0, bytes((reason,)) + properties(AUTH, named)))

    def told(self) -> tuple[int, int, bytes]:
        """Kind and reason code of the next packet, and its authentication data; its method is checked."""
        got, *more = self.take()
        assert not more
        if got.kind == DISCONNECT:
            return got.kind, got.reason, b""
        at = 1 if got.kind == CONNACK else 0
        found, _ = unpacked(got.kind, got.body[at + 1 :])
        if got.body[at] < 0x80:
            assert found["AuthenticationMethod"] == "SCRAM-SHA-256"
        return got.kind, got.body[at], found.get("AuthenticationData", b"")


def arrived(world: World) -> Client:
    scram = Scram()
    client = Client(world, data=scram.first)
    _, _, challenge = client.told()
    client.auth(CONTINUE, scram.last(challenge))
    assert client.told()[:2] == (CONNACK, 0)
    return client


@statement("5.0", "MQTT-4.12.0-2", "MQTT-4.12.0-3", "MQTT-4.12.0-5", "MQTT-3.2.0-1", "MQTT-3.15.2-1")
def test_a_client_is_asked_before_connack_and_both_know_each_other_then() -> None:
    world = Asking()
    scram = Scram()
    client = Client(world, data=scram.first)
    kind, reason, challenge = client.told()
    assert (kind, reason) == (AUTH, CONTINUE)
    assert not world.engine.sessions
    client.auth(CONTINUE, scram.last(challenge))
    kind, reason, words = client.told()
    assert (kind, reason) == (CONNACK, 0)
    scram.check(words)
    assert client.subscribe("t", 1) == 1
    client.publish("t", b"x", qos=1)
    assert client.payloads() == [b"x"]


@statement("5.0", "MQTT-4.12.0-4", "MQTT-3.1.4-2", "MQTT-3.2.2-7")
@pytest.mark.parametrize("wrong", ["name", "password"])
def test_who_cannot_answer_is_refused_in_connack(wrong: str) -> None:
    world = Asking()
    scram = Scram(name=b"nobody") if wrong == "name" else Scram(password=b"pen")
    client = Client(world, data=scram.first)
    told = client.told()
    if wrong == "password":
        assert told[:2] == (AUTH, CONTINUE)
        client.auth(CONTINUE, scram.last(told[2]))
        told = client.told()
    assert told == (CONNACK, 0x87, b"")
    assert client.closed
    assert not world.engine.sessions


@statement("5.0", "MQTT-4.12.0-1")
def test_a_method_that_there_is_not_is_refused_as_is_any_where_nobody_asks() -> None:
    for world in (Asking(), World()):
        client = Client(world, "GS2-KRB5")
        assert client.told() == (CONNACK, 0x8C, b"")
        assert client.closed


@statement("5.0", "MQTT-3.1.2-30", "MQTT-3.1.4-6", "MQTT-3.14.0-1")
@pytest.mark.parametrize(
    "data",
    [
        packet(0x30, b"\0\1t\0x"),
        packet(SUBSCRIBE << 4 | 2, b"\0\1\0\0\1t\0"),
        b"\xc0\0",
        packet(0x10, b"\0\4MQTT\5\2\0\0\0\0\1c"),
        b"\xf0\0",  # without a method
        packet(0xF0, b"\x18\4\x15\0\1a"),  # with another one
        packet(0xF0, b"\x19\x10\x15\0\x0dSCRAM-SHA-256"),  # again, before it is over
        packet(0xF0, b"\0\x10\x15\0\x0dSCRAM-SHA-256"),  # that is not the client's to say
        packet(0xF0, b"\x1a\x10\x15\0\x0dSCRAM-SHA-256"),
    ],
)
def test_nothing_but_an_answer_may_come_before_connack(data: bytes) -> None:
    world = Asking()
    client = Client(world, data=Scram().first)
    client.told()
    client.wire.raw(data)
    assert client.told() == (CONNACK, 0x82, b"")
    assert client.closed
    assert not world.engine.sessions


def test_a_client_may_go_instead_and_one_that_does_not_answer_in_time_is_refused() -> None:
    world = Asking()
    client = Client(world, data=Scram().first)
    client.told()
    client.wire.raw(b"\xe0\0")
    assert client.closed
    client = Client(world, data=Scram().first)
    client.told()
    world.wait(10_000)
    assert client.told() == (CONNACK, 0x87, b"")
    assert not world.engine.half_open


@statement("5.0", "MQTT-4.12.1-1", "MQTT-4.12.0-5")
def test_a_client_authenticates_itself_again_and_its_messages_go_on_meanwhile() -> None:
    world = Asking()
    client = arrived(world)
    client.subscribe("t", 1)
    again = Scram()
    client.auth(AGAIN, again.first)
    kind, reason, challenge = client.told()
    assert (kind, reason) == (AUTH, CONTINUE)
    client.publish("t", b"x")
    assert client.payloads() == [b"x"]
    client.auth(CONTINUE, again.last(challenge))
    kind, reason, words = client.told()
    assert (kind, reason) == (AUTH, 0)
    again.check(words)


@statement("5.0", "MQTT-4.12.1-2")
def test_who_fails_to_do_it_again_is_disconnected_with_its_reason() -> None:
    client = arrived(Asking())
    again = Scram(password=b"pen")
    client.auth(AGAIN, again.first)
    client.auth(CONTINUE, again.last(client.told()[2]))
    assert client.told() == (DISCONNECT, 0x87, b"")
    assert client.closed


@statement("5.0", "MQTT-3.14.2-1", "MQTT-3.2.2-8")
def test_a_refusal_has_a_code_of_connack_and_disconnect_says_only_what_it_may() -> None:
    for code in range(256):
        if code in (0x80, 0x86, 0x87, 0x88, 0x8A, 0x8C, 0x9C):
            assert Refusal(code, "").last_word == (code if code in (0x80, 0x87, 0x9C) else 0x87)
        elif code in (0, 0x18, 0x7F, 0x8B, 0x8D, 0x8E, 0x8F, 0x91, 0x92, 0x93, 0x94, 0x96, 0x98, 0x9E, 0xA0, 0xFF):
            with pytest.raises(ValueError, match="CONNACK has no reason code"):
                Refusal(code, "")

    def once(who: Arriving) -> Generator[bytes, bytes, bytes]:
        if who.again:
            raise Refusal(0x8C, "not this way")
        return b""
        yield

    client = Client(Asking(once))
    client.take()
    client.auth(AGAIN, b"")
    assert client.told() == (DISCONNECT, 0x87, b"")


@statement("5.0", "MQTT-3.2.2-8")
def test_who_is_being_asked_when_the_broker_stops_is_told_so_in_a_code_of_connack() -> None:
    world = Asking()
    client = Client(world, data=Scram().first)
    client.take()
    world.engine.shut_down()
    world.flush()
    assert client.told() == (CONNACK, 0x88, b"")


@pytest.mark.parametrize(("reason", "method"), [(AGAIN, "PLAIN"), (CONTINUE, "SCRAM-SHA-256"), (0, "SCRAM-SHA-256")])
def test_an_auth_that_nobody_waits_for_is_a_protocol_error(reason: int, method: str) -> None:
    client = arrived(Asking())
    client.auth(reason, b"", method)
    assert client.told() == (DISCONNECT, 0x82, b"")


@statement("5.0", "MQTT-4.12.0-6", "MQTT-4.12.0-7")
def test_who_names_no_method_is_asked_nothing_and_may_not_send_auth() -> None:
    world = Asking(by_password)
    client = Client(world, None, password=PASSWORD)
    (connack,) = client.take()
    found, _ = unpacked(CONNACK, connack.body[2:])
    assert not {"AuthenticationMethod", "AuthenticationData"} & found.keys()
    client.auth(AGAIN, b"")
    assert client.told() == (DISCONNECT, 0x82, b"")


# -- user name and password, in both versions


def by_password(who: Arriving) -> Generator[bytes, bytes, bytes]:
    if (who.username, who.password) != ("user", PASSWORD):
        raise Refusal(0x86, "no")
    return b""
    yield


def test_a_user_name_and_a_password_are_checked_in_both_versions_and_told_in_the_words_of_each() -> None:
    world = Asking(by_password)
    world.connect("old", username="user", password=PASSWORD)
    world.connect("bad", username="user", password=b"pen", code=4)
    world.connect("bad", code=4)
    client = Client(world, None, password=b"pen")
    assert [got.plain for got in client.take()] == [Got(CONNACK, 0, b"\0\x86\0")]
    assert set(world.engine.sessions) == {b"old"}


@pytest.mark.parametrize("fault", ["raises", "asks a client of 3.1.1"])
def test_a_fault_of_the_application_costs_nobody_but_the_client_that_it_was_asked_about(fault: str) -> None:
    def faulty(who: Arriving) -> Generator[bytes, bytes, bytes]:
        if fault == "raises":
            raise KeyError(who.client_id)
        yield b"who are you?"
        return b""

    world = Asking(faulty)
    world.connect("old", code=3)
    client = Client(world, None)
    assert client.take() == [Got(CONNACK, 0, b"\0\x80\0")]
    assert not world.engine.sessions


def test_secrets_do_not_show_in_what_is_printed() -> None:
    who = Arriving("c", "user", PASSWORD, "PLAIN", b"hidden", "here", "5.0")
    assert "pencil" not in repr(who)
    assert "hidden" not in repr(who)
