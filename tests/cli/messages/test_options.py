"""Options of `mqttlite pub` and `mqttlite sub` that mosquitto_pub and mosquitto_sub have, too, and those that they have
not: with real peers.
"""

import asyncio
import os
import pty
import re
import socket
import time
from pathlib import Path

import pytest

from mqttlite.broker import Broker
from mqttlite.client import Client
from tests.broker.raw import port_of
from tests.cli.commands import MQTTLITE, Sub, mqttlite, running
from tests.peers import RUN_TIMEOUT_S, Message, Mosquitto, MosquittoSub, free_port, mosquitto_pub
from tests.runtimes import ROOT


def at(broker: Mosquitto) -> tuple[str, ...]:
    return ("-h", "127.0.0.1", "-p", str(broker.port))


@pytest.mark.parametrize(
    ("version", "is_ours"), [("5.0", True), ("5.0", False), ("mqttv311", True), ("mqttv311", False), ("31", True)]
)
async def test_both_versions_mix_with_mosquittos_tools_at_each_qos(
    mosquitto: Mosquitto, tmp_path: Path, version: str, is_ours: bool
) -> None:
    """With our broker and with Mosquitto's, ours receives from both publishers, and mosquitto_sub from ours."""
    levels = ("0", "1", "2")
    async with Broker(["mqtt://127.0.0.1:0"]) as broker:
        port = port_of(broker.addresses[0]) if is_ours else mosquitto.port
        to = ("-h", "127.0.0.1", "-p", str(port))
        async with Sub(*to, "-t", "a", "-q", "2", "-V", version, "-C", "6", "-F", "%q %p") as sub:
            for qos in levels:
                await mosquitto_pub(port, "-V", "5", "-t", "a", "-q", qos, "-m", "theirs of 5.0")
                await mosquitto_pub(port, "-V", "311", "-t", "a", "-q", qos, "-m", "theirs of 3.1.1")
            expected = [f"{qos} theirs of {of}" for qos in levels for of in ("5.0", "3.1.1")]
            assert (await sub.ended())[1].decode().splitlines() == expected
        other = "311" if version == "5.0" else "5"
        async with MosquittoSub(port, "-t", "a", "-q", "2", "-V", other) as reader:
            for qos in levels:
                await mqttlite("pub", *to, "-t", "a", "-m", "ours", "-q", qos, "-V", version, check=True)
                assert await reader.get() == Message("a", b"ours", int(qos), False)


async def test_a_socket_of_a_broker_is_named_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "broker.sock"
    async with Broker([f"unix://{path}"]), Client(f"unix://{path}") as reader:
        await reader.subscribe("a")
        await mqttlite("pub", "--unix", str(path), "-t", "a", "-m", "x", "-q", "1", check=True)
        assert (await anext(reader)).payload == b"x"


async def test_a_prefix_makes_a_client_identifier_with_the_number_of_the_process(mosquitto: Mosquitto) -> None:
    async with running("pub", *at(mosquitto), "-t", "a", "-m", "x", "-q", "1", "-I", "meter-") as pub:
        assert await pub.wait() == 0
        await mosquitto.logged(f"as meter-{pub.pid} ")


async def test_quiet_leaves_the_exit_code_alone(mosquitto: Mosquitto) -> None:
    for args in (
        ("pub", "-h", "127.0.0.1", "-p", str(free_port()), "-t", "a", "-m", "b", "--quiet"),
        ("sub", *at(mosquitto), "-t", "a", "-t", "b", "-F", "%J", "-W", "0.1", "--quiet"),
    ):
        result = await mqttlite(*args)
        assert (result.code, result.stdout, result.stderr) == (1 if args[0] == "pub" else 27, "", "")


async def test_what_is_under_way_at_once_is_bounded_by_M(mosquitto: Mosquitto) -> None:
    lines = b"".join(b"%d\n" % n for n in range(50))
    await mqttlite("pub", *at(mosquitto), "-t", "a", "-l", "-q", "1", "-M", "1", stdin=lines, check=True)
    steps = re.findall(r"(Received PUBLISH|Sending PUBACK)", mosquitto.log)
    assert steps == ["Received PUBLISH", "Sending PUBACK"] * 50


async def test_a_subscription_of_a_kept_session_is_ended_by_U(mosquitto: Mosquitto) -> None:
    session = (*at(mosquitto), "-i", "reader", "-c", "-q", "1")
    assert (await mqttlite("sub", *session, "-t", "old", "-t", "other", "-E")).code == 0
    assert await mqttlite("sub", *session, "-U", "old", "-E") == (0, "", "")
    for topic in ("old", "other"):
        await mosquitto_pub(mosquitto.port, "-t", topic, "-q", "1", "-m", topic)
    result = await mqttlite("sub", *session, "-t", "unused", "-C", "1")
    assert result.stdout == "other\n"


async def test_retained_messages_are_removed_but_those_that_are_filtered_out(mosquitto: Mosquitto) -> None:
    for topic in ("r/a", "r/b", "r/keep"):
        await mosquitto_pub(mosquitto.port, "-t", topic, "-r", "-q", "1", "-m", topic)
    args = ("-t", "r/#", "-T", "r/keep", "--remove-retained", "-C", "2", "-v")
    result = await mqttlite("sub", *at(mosquitto), *args, check=True)
    assert sorted(result.stdout.splitlines()) == ["r/a r/a", "r/b r/b"]
    left = await mqttlite("sub", *at(mosquitto), "-t", "r/#", "-W", "1")
    assert left.stdout == "r/keep\n"


async def test_removing_many_retained_messages_does_not_end_at_the_echo_of_the_first() -> None:
    names = [f"r/{number}" for number in range(100)]
    async with Broker(["mqtt://127.0.0.1:0"]) as broker, Client(broker.addresses[0]) as client:
        await client.publish_many([(name, "x") for name in names], 1, True)
        await client.drain()
        args = ("-L", broker.addresses[0], "-t", "r/#", "-q", "1", "--remove-retained", "--retained-only", "-F", "%t")
        result = await mqttlite("sub", *args, "-C", "100", "-W", "20", check=True)
        assert sorted(result.stdout.splitlines()) == sorted(names)


async def test_a_run_that_was_killed_is_finished_by_the_next_one_with_its_store(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    store = ("-i", "meter", "--store", str(tmp_path / "meter.db"), "-t", "a", "-q", "2")
    async with running("pub", *at(mosquitto), *store, "-l", "-d") as pub:
        assert pub.stdin and pub.stderr
        async with MosquittoSub(mosquitto.port, "-t", "a", "-q", "2") as sub:
            pub.stdin.write(b"first\n")
            assert (await sub.get()).payload == b"first"
            mosquitto.kill()
        while b"trying again" not in await pub.stderr.readline():
            pass
        pub.stdin.write(b"second\n")
        async with asyncio.timeout(RUN_TIMEOUT_S):
            while b"second" not in (tmp_path / "meter.db-wal").read_bytes():  # noqa: ASYNC110 - a file has no event
                await asyncio.sleep(0.01)
    mosquitto.start()
    async with MosquittoSub(mosquitto.port, "-t", "a", "-q", "2") as sub:
        result = await mqttlite("pub", *at(mosquitto), *store, "-m", "third", check=True)
        assert "messages of an earlier run are sent first" in result.stderr
        assert [message.payload for message in await sub.take(2)] == [b"second", b"third"]


async def test_pub_gives_up_when_its_time_is_over(mosquitto: Mosquitto) -> None:
    async with running("pub", *at(mosquitto), "-t", "a", "-q", "1", "-l", "-W", "1.5") as pub:
        assert pub.stdin and pub.stderr
        pub.stdin.write(b"one\n")
        assert await pub.wait() == 27
        assert (
            await pub.stderr.read() == b"mqttlite pub: timed out; 1 messages were published, 0 of them not confirmed\n"
        )


async def test_pub_promises_nothing_of_what_it_has_not_stored(tmp_path: Path) -> None:
    store = ("-i", "meter", "--store", str(tmp_path / "meter.db"))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = str(silent.getsockname()[1])
        result = await mqttlite("pub", "-p", port, *store, "-t", "a", "-q", "1", "-m", "x", "-W", "0.5")
    said = f"timed out; localhost:{port} has not answered CONNECT: is it a broker, and the right port?"
    assert result == (27, "", f"mqttlite pub: {said}\n")


@pytest.mark.parametrize(
    "command", [("pub", "-m", "x"), ("sub",), ("rr", "-m", "x"), ("pub", "-l", "-q", "1")], ids=" ".join
)
async def test_what_times_out_before_anybody_has_answered_says_so(command: tuple[str, ...]) -> None:
    """As a server does that speaks another protocol and waits for more."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = str(listening.getsockname()[1])
        result = await mqttlite(*command, "-h", "127.0.0.1", "-p", port, "-t", "a", "-W", "0.5")
    said = f"timed out; 127.0.0.1:{port} has not answered CONNECT: is it a broker, and the right port?"
    assert result == (27, "", f"mqttlite {command[0]}: {said}\n")


async def test_pub_that_times_out_while_it_reads_blames_no_broker() -> None:
    async with running("pub", "-p", str(free_port()), "-t", "a", "-s", "-W", "0.3") as pub:
        assert await pub.wait() == 27
        assert pub.stderr and b"timed out; 0 messages were published" in await pub.stderr.read()


async def test_a_rate_is_kept_over_the_whole_run(mosquitto: Mosquitto) -> None:
    began = time.monotonic()
    await mqttlite("pub", *at(mosquitto), "-t", "a", "-m", "x", "--repeat", "21", "--rate", "40", check=True)
    assert time.monotonic() - began > 0.5  # 20 intervals of 25 ms: a lower bound holds on any machine
    assert mosquitto.log.count("Received PUBLISH") == 21


async def test_a_pause_of_the_input_is_not_made_good_for_at_once(mosquitto: Mosquitto) -> None:
    async with running("pub", *at(mosquitto), "-t", "a", "-l", "--rate", "20") as pub:
        assert pub.stdin
        pub.stdin.write(b"first\n")
        await mosquitto.logged("Received PUBLISH")
        await asyncio.sleep(0.6)  # in which twelve might have left
        pub.stdin.write(b"x\n" * 12)
        pub.stdin.close()
        began = time.monotonic()
        assert await pub.wait() == 0
        assert time.monotonic() - began > 0.4  # ten are left when those of 0.1 s have gone


async def test_a_terminal_shows_how_far_a_file_is(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """And what is said meanwhile stands on a line of its own."""
    lines = tmp_path / "lines"
    lines.write_bytes(b"x" * 99 + b"\n" + b"\n" + b"y" * 99 + b"\n" + b"z" * 99 + b"\n" + b"w\n")
    ours, theirs = pty.openpty()
    with lines.open("rb") as stdin:
        pub = await asyncio.create_subprocess_exec(
            *MQTTLITE, "pub", *at(mosquitto), "-t", "a", "-l", "-q", "1", "-r", "--rate", "2.5", "-i", "feeder", "-c",
            stdin=stdin, stderr=theirs, cwd=ROOT,
        )  # fmt: skip
    os.close(theirs)
    shown = ""
    while "/s\x1b[K" not in shown:
        shown += await read(ours)
    mosquitto.restart()
    assert await pub.wait() == 0
    shown += await read(ours)
    os.close(ours)
    assert re.search(r"\r\[#+-*\] +\d+%  \d messages published, \d not confirmed yet, \d/s\x1b\[K", shown)
    assert re.search(r"\x1b\[K\r\x1b\[Kmqttlite pub: feeder: [^\r]*trying again", shown)
    assert shown.endswith("1 empty lines not published: they would end the retained message; -n does that\r\n")


async def read(terminal: int) -> str:
    """What there is to be read on it."""
    return (await asyncio.to_thread(os.read, terminal, 65536)).decode()
