"""Sockets that systemd hands over: taken by address, kept over a reload, and by a broker in a process of its own."""

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mqttlite.broker import Broker
from mqttlite.broker.limits import Limits
from mqttlite.broker.listening import activation
from mqttlite.broker.listening.activation import Handed
from mqttlite.client import Client
from tests.peers import RUN_TIMEOUT_S
from tests.runtimes import ROOT


@pytest.fixture
def hand() -> Iterator[Callable[..., Handed]]:
    """Makes what a process has been handed, and closes it."""
    made: list[Handed] = []

    def hand_over(*sockets: socket.socket) -> Handed:
        made.append(handed(*sockets))
        return made[-1]

    yield hand_over
    for each in made:
        each.close()


def handed(*sockets: socket.socket) -> Handed:
    """As at the start of a process whose descriptors from `first` on are these."""
    numbers = sorted(sock.fileno() for sock in sockets)
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    environment = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(sockets)), "LISTEN_FDNAMES": "x"}
    found = Handed(environment, first=numbers[0])
    assert environment == {}
    for sock in sockets:
        sock.detach()
    return found


def listening(host: str = "127.0.0.1", family: int = socket.AF_INET) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.bind((host, 0))
    sock.listen(16)
    return sock


async def test_a_broker_takes_the_socket_of_its_address_and_leaves_it_open_at_its_end(
    monkeypatch: pytest.MonkeyPatch, hand: Callable[..., Handed]
) -> None:
    sock = listening()
    port = sock.getsockname()[1]
    found = hand(sock)
    monkeypatch.setattr(activation, "_handed", found)
    url = f"mqtt://127.0.0.1:{port}"
    for _ in range(2):  # the second one is the broker that was started again
        async with Broker([url]) as broker:
            assert broker.addresses == [url]
            async with Client(url) as client:
                await client.publish("a", "b", qos=1)
            await broker.reload([], Limits())
            await broker.reload([url], Limits())
            async with Client(url) as client:
                await client.publish("a", "b", qos=1)
    waiting = socket.create_connection(("127.0.0.1", port), 5)  # not refused: who comes next is served
    waiting.close()
    assert found.unused() == []


async def test_a_unix_socket_of_systemds_keeps_its_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, hand: Callable[..., Handed]
) -> None:
    path = str(tmp_path / "mqtt.sock")
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(path)
    sock.listen(4)
    monkeypatch.setattr(activation, "_handed", hand(sock))
    async with Broker([f"unix://{path}"]), Client(f"unix://{path}") as client:
        await client.publish("a", "b", qos=1)
    assert os.path.exists(path)  # noqa: ASYNC240


def test_one_socket_for_both_families_serves_the_address_of_each(hand: Callable[..., Handed]) -> None:
    both = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    both.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    both.bind(("::", 0))
    both.listen(1)
    port = both.getsockname()[1]
    found = hand(both)
    for family, address in ((socket.AF_INET, ("0.0.0.0", port)), (socket.AF_INET6, ("::", port, 0, 0))):
        taken = found.take(family, address)
        assert taken
        taken.close()
    assert found.take(socket.AF_INET, ("127.0.0.1", port)) is None
    assert found.take(socket.AF_INET, ("0.0.0.0", port + 1)) is None


def test_what_was_handed_to_another_process_is_not_ours() -> None:
    environment = {"LISTEN_PID": "1", "LISTEN_FDS": "1"}
    assert Handed(environment).take(socket.AF_INET, ("127.0.0.1", 1883)) is None


def test_a_socket_that_no_setting_names_is_told(hand: Callable[..., Handed]) -> None:
    sock = listening()
    name = str(sock.getsockname())
    assert hand(sock).unused() == [name]


async def test_the_command_takes_it_and_no_connection_is_refused_while_it_starts(tmp_path: Path) -> None:
    with listening() as sock:
        port = sock.getsockname()[1]
        program = (
            "import os, sys\n"
            f"os.dup2({sock.fileno()}, 3)\n"
            "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1')\n"
            "os.execv(sys.executable, [sys.executable, '-m', 'mqttlite', *sys.argv[1:]])\n"
        )
        words = ("broker", "--listen", f"mqtt://127.0.0.1:{port}", "--control", "none")
        early = Client(f"mqtt://127.0.0.1:{port}")
        connecting = asyncio.create_task(early.__aenter__())
        await asyncio.sleep(0)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, *words, cwd=ROOT, pass_fds=[sock.fileno()], stderr=asyncio.subprocess.DEVNULL
        )
        try:
            async with asyncio.timeout(RUN_TIMEOUT_S):
                await connecting
                await early.close()
                async with Client(f"mqtt://127.0.0.1:{port}") as client:
                    await client.publish("a", "b", qos=1)
        finally:
            process.terminate()
            await process.wait()
