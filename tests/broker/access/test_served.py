"""A broker with users and rules, as clients meet it: sockets, threads, restarts."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mqttlite import Client, RefusedError
from mqttlite.broker import Access, Arriving, Broker, Hooks, Identity, Rule, Rules
from mqttlite.broker.access.passwords import hashed
from mqttlite.broker.access.users import Users
from tests.broker.access.guarded import KnownUsers, allow, deny
from tests.broker.raw import TIMEOUT_S, RawClient, port_of
from tests.broker.test_server import until
from tests.peers import mosquitto_pub

LISTEN = ["mqtt://127.0.0.1:0"]
ALL = allow("#")


def users() -> Users:
    return Users({"anna": hashed(b"saffron"), "bert": hashed(b"salt")})


@contextlib.asynccontextmanager
async def serving(*rules: Rule, store: Path | None = None, **more: object) -> AsyncIterator[Broker]:
    more.setdefault("users", KnownUsers({"anna": set(), "bert": set()}, slow=True))
    access = Access(rules=Rules(rules), **more)  # type: ignore[arg-type]
    async with asyncio.timeout(TIMEOUT_S), Broker(LISTEN, store=store, access=access) as broker:
        yield broker


@pytest.mark.parametrize("version", ["3.1.1", "5.0"])
async def test_a_password_in_argon2_lets_its_user_in_and_nobody_else(version: str) -> None:
    async with serving(ALL, users=users()) as broker:
        url = broker.addresses[0]
        async with Client(url, version=version, username="anna", password="saffron") as client:
            await client.subscribe("t")
            assert broker.engine.stats.connected == 1
            assert [each.peer.identity.user for each in broker.engine.sessions.values() if each.peer] == ["anna"]
        for name, password in (("anna", "salt"), ("carl", "saffron"), (None, None)):
            with pytest.raises(RefusedError):
                async with Client(url, version=version, username=name, password=password):
                    pass


async def test_mosquittos_client_is_told_what_it_may_not() -> None:
    async with serving(allow("mine"), users=users()) as broker:
        port = port_of(broker.addresses[0])
        who = ("-V", "5", "-u", "anna", "-P", "saffron", "-q", "1", "-m", "x")
        denied = await mosquitto_pub(port, *who, "-t", "theirs", check=False)
        assert "Not authorized" in denied.stdout + denied.stderr
        taken = await mosquitto_pub(port, *who, "-t", "mine", check=False)
        assert "Not authorized" not in taken.stdout + taken.stderr
        refused = await mosquitto_pub(port, "-u", "anna", "-P", "x", "-t", "mine", "-m", "x", check=False)
        assert refused.code


class Gate:
    """Users whose check waits, in its thread, until the gate is opened."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.waiting = 0
        self.most = 0
        self.lock = threading.Lock()

    def __contains__(self, name: object) -> bool:
        return True

    def groups_of(self, name: str) -> frozenset[str]:
        return frozenset()

    def quick(self, name: str, password: bytes) -> bool | None:
        return None if name == "slow" else True

    def check(self, name: str, password: bytes) -> bool:
        with self.lock:
            self.waiting += 1
            self.most = max(self.most, self.waiting)
        try:
            return self.gate.wait(TIMEOUT_S)
        finally:
            with self.lock:
                self.waiting -= 1


async def test_while_passwords_are_checked_others_are_served_and_few_are_checked_at_once() -> None:
    gate = Gate()
    async with contextlib.AsyncExitStack() as stack:
        broker = await stack.enter_async_context(serving(ALL, users=gate))
        port = port_of(broker.addresses[0])
        waiting = []
        for number in range(8):
            raw = await stack.enter_async_context(RawClient(port))
            waiting.append(asyncio.create_task(raw.connect(f"s{number}", username="slow", password=b"x")))
        await until(lambda: gate.waiting == broker.limits.authentications)
        quick = await stack.enter_async_context(RawClient(port))
        await quick.connect("q", username="quick", password=b"x")
        await quick.subscribe("t", 0)
        quick.publish("t", b"1")
        assert (await quick.packet()).fields["payload"] == b"1"
        assert not any(task.done() for task in waiting)
        gate.gate.set()
        await asyncio.gather(*waiting)
        assert gate.most == broker.limits.authentications


async def test_a_client_that_leaves_while_its_password_is_checked_leaves_nothing_behind() -> None:
    gate = Gate()
    async with serving(ALL, users=gate) as broker:
        port = port_of(broker.addresses[0])
        async with RawClient(port) as raw:
            connecting = asyncio.create_task(raw.connect("s", username="slow", password=b"x"))
            await until(lambda: gate.waiting == 1)
            connecting.cancel()
        await until(lambda: not broker.connections)
        gate.gate.set()
        await until(lambda: len(broker.engine.pending) == 0)
        assert not broker.engine.sessions


async def test_a_hook_that_waits_is_cancelled_with_the_broker() -> None:
    begun = asyncio.Event()
    ended = asyncio.Event()

    async def authenticate(arriving: Arriving) -> Identity | None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return None

    async with asyncio.timeout(TIMEOUT_S):
        async with Broker(LISTEN, authenticate=authenticate) as broker, RawClient(port_of(broker.addresses[0])) as raw:
            connecting = asyncio.create_task(raw.connect("s"))
            await begun.wait()
            connecting.cancel()
        assert ended.is_set()


async def test_a_coroutine_function_may_be_given_as_authenticate_but_only_once() -> None:
    async def authenticate(arriving: Arriving) -> Identity | None:
        return Identity(arriving.username) if arriving.username == "anna" else None

    async with Broker(LISTEN, authenticate=authenticate) as broker:
        async with Client(broker.addresses[0], username="anna"):
            pass
        with pytest.raises(RefusedError):
            async with Client(broker.addresses[0], username="bert"):
                pass
    with pytest.raises(TypeError, match="give it once"):
        Broker(LISTEN, authenticate=authenticate, hooks=Hooks(authenticate=authenticate))


@contextlib.asynccontextmanager
async def client(
    broker: Broker, user: str, client_id: str, present: bool = False, clean: bool = False
) -> AsyncIterator[RawClient]:
    async with RawClient(port_of(broker.addresses[0])) as raw:
        await raw.connect(client_id, clean, present, username=user, password=user[::-1].encode())
        yield raw


async def test_owners_queues_retained_messages_and_wills_keep_who_they_belong_to_over_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    async with serving(ALL, store=path) as broker:
        async with client(broker, "anna", "reader") as reader:
            await reader.subscribe("#", 1)
        async with client(broker, "bert", "writer", clean=True) as writer:
            for topic in ("secret/1", "open/1"):
                writer.publish(topic, topic.encode(), 1, retain=True)
                assert (await writer.packet()).kind == "puback"
    rules = (ALL, deny("secret/#", user="anna"), deny("open/#", "publish", user="bert"))
    async with serving(*rules, store=path) as broker:
        with pytest.raises(AssertionError):  # CONNACK 5
            async with client(broker, "bert", "reader", present=True):
                pass
        async with client(broker, "anna", "reader", present=True) as reader:
            assert await reader.messages(1) == [b"open/1"]
            assert broker.stats.dropped_denied == 1
            await reader.subscribe("open/#", 1)  # its retained message is of whom may not publish it any more
        async with client(broker, "bert", "other", clean=True) as other:
            await other.subscribe("#", 0)
            assert await other.messages(1) == [b"secret/1"]


@pytest.mark.parametrize("restarts", [True, False])
async def test_a_long_queue_that_is_on_the_disk_alone_is_looked_at_message_by_message(
    tmp_path: Path, restarts: bool
) -> None:
    path = tmp_path / "broker.db"
    topics = ["open/1", "secret/1", "secret/2"]
    rules = (ALL, deny("secret/#", user="anna"))

    async def fill(broker: Broker) -> None:
        async with client(broker, "anna", "reader") as reader:
            await reader.subscribe("#", 1)
        async with client(broker, "bert", "writer", clean=True) as writer:
            for number in range(300):
                writer.publish(topics[number % 3], b"%d %s" % (number, bytes(1000)), 1)
                assert (await writer.packet()).kind == "puback"

    async def read(broker: Broker) -> None:
        async with client(broker, "anna", "reader", present=True) as reader:
            numbers = [int(payload.split()[0]) for payload in await reader.messages(100)]
        assert numbers == list(range(0, 300, 3))
        assert broker.stats.dropped_denied == 198  # the last two come after the last one that it may have

    async with serving(ALL, store=path) as broker:
        await fill(broker)
        if not restarts:
            broker.set_access(Access(rules=Rules(rules), users=broker.guard.users))  # type: ignore[attr-defined]
            await read(broker)
    if restarts:
        async with serving(*rules, store=path) as broker:
            await read(broker)
