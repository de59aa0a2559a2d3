"""A host name with several addresses: no dead one of them keeps a client from the others."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from mqttlite.broker import Broker
from mqttlite.client import Client
from mqttlite.client.connecting.dialing import _in_turns, open_streams
from mqttlite.core.errors import ConnectError
from tests.peers import free_port

NAME = "broker.home"
REFUSES = "127.0.0.8"
SWALLOWS = "127.0.0.9"


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that `broker.home` has, in the order in which the system names them."""
    real = socket.getaddrinfo
    found: list[str] = []

    def getaddrinfo(host: Any, *args: Any, **options: Any) -> list[Any]:
        if host != NAME:
            return real(host, *args, **options)
        return [entry for address in found for entry in real(address, *args, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return found


@contextlib.asynccontextmanager
async def broker() -> AsyncIterator[int]:
    async with Broker(["mqtt://127.0.0.1:0"]) as running:
        yield int(running.addresses[0].rpartition(":")[2])


@contextlib.contextmanager
def swallowing(address: str, port: int) -> Iterator[None]:
    """Nothing that knocks at `address`:`port` gets an answer: its queue of connections is full."""
    with contextlib.ExitStack() as stack:
        hole = stack.enter_context(socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET))
        hole.bind((address, port))
        hole.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket(hole.family))
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect((address, port))
        yield


@pytest.mark.parametrize(
    "order",
    [
        [SWALLOWS, "127.0.0.1"],
        [REFUSES, "127.0.0.1"],
        [REFUSES, SWALLOWS, "127.0.0.1"],
        ["127.0.0.1", SWALLOWS],
        ["127.0.0.1", "127.0.0.1"],
    ],
    ids="+".join,
)
async def test_the_first_address_that_answers_is_taken(addresses: list[str], order: list[str]) -> None:
    addresses += order
    async with broker() as port:
        with swallowing(SWALLOWS, port):
            async with Client(f"mqtt://{NAME}:{port}") as client:
                await (await client.publish("a", b"1")).completed()


async def test_a_broken_ipv6_does_not_keep_a_client_from_ipv4(addresses: list[str]) -> None:
    addresses += ["::1", "127.0.0.1"]
    async with broker() as port:
        try:
            hole = contextlib.ExitStack()
            hole.enter_context(swallowing("::1", port))
        except OSError:
            pytest.skip("this machine has no IPv6")
        with hole:
            async with Client(f"mqtt://{NAME}:{port}"):
                pass


async def test_eight_dead_addresses_leave_time_for_the_ninth(addresses: list[str]) -> None:
    addresses += [f"127.0.1.{number}" for number in range(8)] + ["127.0.0.1"]
    async with broker() as port:
        with contextlib.ExitStack() as holes:
            for address in addresses[:-1]:
                holes.enter_context(swallowing(address, port))
            async with Client(f"mqtt://{NAME}:{port}", timeout_s=10):
                pass


async def test_where_all_addresses_refuse_the_error_says_so(addresses: list[str]) -> None:
    addresses += [REFUSES, "127.0.0.1"]
    with pytest.raises(ConnectError, match=f"nothing listens at {NAME}:"):
        await Client(f"mqtt://{NAME}:{free_port()}").start()


async def test_where_addresses_fail_differently_each_is_named(addresses: list[str]) -> None:
    addresses += [REFUSES, "255.255.255.255"]
    with pytest.raises(ConnectError, match=rf"none of its 2 addresses answers: {REFUSES}: .*; 255.255.255.255: "):
        await Client(f"mqtt://{NAME}:{free_port()}").start()


async def test_where_no_address_answers_the_time_limit_holds(addresses: list[str]) -> None:
    addresses += [SWALLOWS, "127.0.0.10"]
    port = free_port()
    with swallowing(SWALLOWS, port), swallowing("127.0.0.10", port):
        with pytest.raises(ConnectError, match=f"no answer from {NAME} within 0.4 s"):
            await Client(f"mqtt://{NAME}:{port}", timeout_s=0.4).start()
        assert len(asyncio.all_tasks()) == 1, "an attempt was left behind"


async def test_streams_find_the_way_too(addresses: list[str]) -> None:
    addresses += [SWALLOWS, "127.0.0.1"]
    async with broker() as port:
        with swallowing(SWALLOWS, port):
            _, writer = await open_streams(NAME, port, 1024)
            assert writer.get_extra_info("peername")[0] == "127.0.0.1"
            writer.close()


async def test_the_error_of_one_address_keeps_its_number() -> None:
    with pytest.raises(OSError) as caught:
        await open_streams("127.0.0.1", free_port(), 1024)
    assert caught.value.errno == errno.ECONNREFUSED


async def test_an_address_of_a_link_keeps_its_interface(addresses: list[str]) -> None:
    addresses += ["fe80::1%1", "fe80::1%2", "fe80::1%1", "::1", "127.0.0.1"]
    found = await asyncio.get_running_loop().getaddrinfo(NAME, 1883, type=socket.SOCK_STREAM)
    assert _in_turns(found) == ["fe80::1%1", "127.0.0.1", "fe80::1%2", "::1"]
