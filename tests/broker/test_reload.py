"""`Broker.reload`: other listeners, limits, users and rules for a broker that runs, all of them or none."""

import asyncio
import logging
import socket
from pathlib import Path
from typing import Any

import pytest

from mqttlite.broker import Access, Broker, Limits, Listener, Rule, Rules, Tls
from mqttlite.broker.access.passwords import hashed
from mqttlite.broker.access.users import Users
from mqttlite.broker.limits import QueueRule
from mqttlite.broker.listening.listen import ListenError
from tests.broker.raw import RawClient, port_of
from tests.certificates import Certificates
from tests.peers import free_port

HOST = "mqtt://127.0.0.1"


def can_listen(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


async def test_what_cannot_be_had_leaves_nothing_behind(tmp_path: Path) -> None:
    """Three new listeners of which the last one cannot be: the others are closed again, and nothing else is changed."""
    first, second = free_port(), free_port()
    path = tmp_path / "b.sock"
    async with Broker([f"{HOST}:0"], Limits(filters=7)) as broker:
        before = broker.addresses
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            taken = other.getsockname()[1]
            wanted = [f"{HOST}:{first}", f"unix://{path}", f"{HOST}:{taken}"]
            with pytest.raises(ListenError, match=f"port {taken} is in use"):
                await broker.reload(wanted, Limits(filters=8), Access(anonymous=False))
        assert broker.addresses == before and broker.limits.filters == 7
        assert can_listen(first) and not path.exists()
        async with RawClient(port_of(before[0])) as client:
            await client.connect("c")
        with pytest.raises(ListenError, match="TLS needs a certificate"):
            await broker.reload([f"mqtts://127.0.0.1:{second}"], Limits())
        assert can_listen(second) and broker.addresses == before


async def test_a_listener_that_is_gone_gives_its_port_and_its_file_back(tmp_path: Path) -> None:
    path = tmp_path / "b.sock"
    async with Broker([f"{HOST}:0", f"unix://{path}"]) as broker:
        port = port_of(broker.addresses[0])
        assert path.exists()
        assert await broker.reload([f"{HOST}:0"], Limits()) == 1
        assert port_of(broker.addresses[0]) == port and not path.exists()
        assert await broker.reload([f"unix://{path}"], Limits()) == 2
        assert can_listen(port) and path.exists()
        assert await broker.reload([f"unix://{path}"], Limits()) == 0
        assert path.exists()
    assert not path.exists()


async def test_a_listener_may_get_another_certificate_and_other_rules_for_clients(tmp_path: Path) -> None:
    made = Certificates(tmp_path)
    pair = made.server()
    tls = Tls(pair.certificate, pair.key)
    async with Broker([Listener("mqtts://127.0.0.1:0", tls)]) as broker:
        assert await broker.reload([Listener("mqtts://127.0.0.1:0", tls)], Limits()) == 0
        made.server()  # in the same files
        assert await broker.reload([Listener("mqtts://127.0.0.1:0", tls)], Limits()) == 1
        address = broker.addresses
        asks = Tls(pair.certificate, pair.key, client_ca=made.ca)
        assert await broker.reload([Listener("mqtts://127.0.0.1:0", asks)], Limits()) == 1
        assert broker.addresses == address


async def test_each_change_has_a_line_and_none_a_password(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "mqttlite.audit")
    kept = {name: hashed(name.encode()) for name in ("ann", "bob", "eve")}
    other = hashed(b"other")
    rules = Rules([Rule("a/#"), Rule("b/#")])
    async with Broker([f"{HOST}:0"]) as broker:

        async def said(access: Access | None, limits: Limits | None = None) -> list[str]:
            caplog.clear()
            count = await broker.reload([f"{HOST}:0"], limits or Limits(), access, by="a test")
            assert count == len(caplog.messages)
            return [message.removeprefix("audit: a test: ") for message in caplog.messages]

        assert await said(None) == []
        assert await said(Access(users=Users(kept), rules=rules)) == [
            "user 'ann' is added",
            "user 'bob' is added",
            "user 'eve' is added",
            "clients without a user name: everybody, now nobody",
            "rules: there were none, now 2",
        ]
        groups = {"family": frozenset({"bob"})}
        changed = Users({"ann": other, "bob": kept["bob"]}, groups)
        assert await said(Access(users=changed, rules=Rules([Rule("b/#"), Rule("c/#"), Rule("d")]))) == [
            "user 'ann' has another password",
            "user 'bob' is in other groups: family",
            "user 'eve' is deleted",
            "rules: 1 removed, 2 added, now 3",
        ]
        assert await said(Access(users=changed, anonymous=True), Limits(filters=3)) == [
            "limit filters: 10000, now 3",
            "clients without a user name: nobody, now everybody",
            "rules: there are none any more, everybody who is let in may do everything",
        ]
        queues = (QueueRule("a*", max_bytes=9999), QueueRule("b*"))
        assert await said(Access(users=changed, anonymous=True), Limits(filters=3, queues=queues)) == [
            "rules of queues: 0 removed, 2 added, now 2"
        ]
        assert await said(Access(users=changed, anonymous=True), Limits(filters=3, queues=queues[::-1])) == [
            "rules of queues: the same 2 in another order"
        ]


async def test_when_a_new_listener_begins_to_accept_the_new_users_and_limits_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    access = Access(users=Users({"ann": hashed(b"ann")}))
    async with Broker([f"{HOST}:0"]) as broker:
        loop = asyncio.get_running_loop()
        create_server = loop.create_server
        held: list[bool] = []

        async def create(*args: Any, **options: Any) -> asyncio.Server:
            held.append(broker.guard is access and broker.limits.filters == 3)
            return await create_server(*args, **options)

        monkeypatch.setattr(loop, "create_server", create)
        port = free_port()
        await broker.reload([f"{HOST}:{port}"], Limits(filters=3), access)
        assert held == [True]
        async with RawClient(port) as client:
            client.send(
                "connect", client_id="c", clean_session=True, keep_alive_s=0, username=None, password=None, will=None
            )
            assert (await client.packet()).fields["code"] == 5


async def test_an_embedded_broker_does_not_listen_to_strangers_by_accident() -> None:
    for url in ("mqtt://0.0.0.0:0", "mqtt://[::]:0", "ws://0.0.0.0:0"):
        with pytest.raises(ListenError, match="can be reached from other machines, and there are no users"):
            await Broker([url]).__aenter__()
    async with Broker(["mqtt://0.0.0.0:0"], access=Access(users=Users({}))) as broker:
        assert broker.addresses[0].startswith("mqtt://0.0.0.0:")
        with pytest.raises(ListenError, match="there are no users"):
            await broker.reload(["mqtt://0.0.0.0:0"], Limits())
        with pytest.raises(ListenError, match="there are no users"):
            broker.set_access(None)
        broker.set_access(Access(anonymous=True))


async def test_a_connection_ends_with_the_password_that_has_let_it_in_and_its_session_stays_its_own() -> None:
    kept = {name: hashed(name.encode()) for name in ("ann", "bob")}
    async with Broker([f"{HOST}:0"], access=Access(users=Users(kept))) as broker:
        port = port_of(broker.addresses[0])
        async with RawClient(port) as ann, RawClient(port) as bob:
            await ann.connect("a", clean=False, username="ann", password=b"ann")
            await bob.connect("b", clean=False, username="bob", password=b"bob")
            await ann.subscribe("t", 1)
            after = Access(users=Users(kept | {"ann": hashed(b"other")}))
            await broker.reload([f"{HOST}:0"], Limits(), after)
            await ann.closed()
            bob.send("pingreq")
            assert (await bob.packet()).kind == "pingresp"
        async with RawClient(port) as again:
            await again.connect("a", clean=False, present=True, username="ann", password=b"other")
