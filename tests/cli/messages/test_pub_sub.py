"""`mqttlite pub` and `mqttlite sub` beside Mosquitto's tools, against Mosquitto."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from pathlib import Path

import pytest

from mqttlite.broker import Broker, Limits
from mqttlite.cli import main
from mqttlite.cli.running import Retries
from mqttlite.client import Client
from tests.cli.commands import MQTTLITE, Sub, mqttlite, running
from tests.client.network import Peer, server
from tests.peers import RUN_TIMEOUT_S, Message, Mosquitto, MosquittoSub, mosquitto_pub, program, run

BINARY = bytes(range(256)).replace(b"\n", b"")


def at(broker: Mosquitto) -> tuple[str, ...]:
    return ("-h", "127.0.0.1", "-p", str(broker.port))


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_sub_prints_at_once_what_mosquitto_pub_sends(mosquitto: Mosquitto, qos: int) -> None:
    async with Sub(*at(mosquitto), "-t", "#", "-v", "-q", str(qos)) as sub:
        await mosquitto_pub(mosquitto.port, "-t", "room/é", "-q", str(qos), "-m", "21.5 °C")
        assert await sub.line() == "room/é 21.5 °C\n".encode()
        await mosquitto_pub(mosquitto.port, "-t", "binary", "-q", str(qos), "-s", stdin=BINARY)
        assert await sub.line() == b"binary " + BINARY + b"\n"
        await mosquitto_pub(mosquitto.port, "-t", "empty", "-q", str(qos), "-n")
        assert await sub.line() == b"empty \n"


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_mosquitto_sub_gets_what_pub_sends(mosquitto: Mosquitto, qos: int, tmp_path: Path) -> None:
    payload = tmp_path / "payload"
    payload.write_bytes(BINARY)
    to = (*at(mosquitto), "-q", str(qos), "-t", "room/é")
    async with MosquittoSub(mosquitto.port, "-t", "#", "-q", "2") as sub:
        for args, stdin, expected in (
            (("-m", "21.5 °C"), b"", "21.5 °C".encode()),
            (("-m", "-1C"), b"", b"-1C"),
            (("-f", str(payload)), b"", BINARY),
            (("-s",), BINARY * 9, BINARY * 9),
            (("-n",), b"", b""),
        ):
            result = await mqttlite("pub", *to, *args, stdin=stdin, check=True)
            assert result == (0, "", "")
            assert await sub.get() == Message("room/é", expected, qos, False)


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_2000_lines_arrive_complete_and_in_order(quick_mosquitto: Mosquitto, qos: int) -> None:
    lines = [b"line %d" % number for number in range(2000)]
    async with Sub(*at(quick_mosquitto), "-t", "lines", "-q", str(qos), "-C", "2003") as sub:
        receiving = asyncio.create_task(sub.ended())
        args = ("pub", *at(quick_mosquitto), "-t", "lines", "-q", str(qos), "-l")
        await mqttlite(*args, stdin=b"\n".join([*lines, b"", b"cr\r", b"no newline at the end"]), check=True)
        code, out, _ = await receiving
    assert code == 0
    assert out.split(b"\n") == [*lines, b"", b"cr\r", b"no newline at the end", b""]


async def test_lines_are_sent_as_they_are_typed(mosquitto: Mosquitto) -> None:
    async with MosquittoSub(mosquitto.port, "-t", "#") as sub, running("pub", *at(mosquitto), "-t", "a", "-l") as pub:
        assert pub.stdin is not None
        for line in (b"one", b"two"):
            pub.stdin.write(line + b"\n")
            assert (await sub.get()).payload == line
        pub.stdin.close()
        assert await pub.wait() == 0


async def test_lines_come_from_a_file_too(mosquitto: Mosquitto, tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    lines.write_bytes(b"one\ntwo\n")
    async with MosquittoSub(mosquitto.port, "-t", "#") as sub:
        with lines.open("rb") as stdin:
            process = await asyncio.create_subprocess_exec(
                *MQTTLITE, "pub", *at(mosquitto), "-t", "a", "-l", stdin=stdin
            )
            assert await process.wait() == 0
        assert [message.payload for message in await sub.take(2)] == [b"one", b"two"]
    assert (await mqttlite("pub", *at(mosquitto), "-t", "a", "-l", check=True)).code == 0  # no line at all


async def test_pub_repeats_a_message(mosquitto: Mosquitto) -> None:
    async with MosquittoSub(mosquitto.port, "-t", "#") as sub:
        args = ("-t", "a", "-m", "again", "-q", "1", "--repeat", "3", "--repeat-delay", "0.01")
        await mqttlite("pub", *at(mosquitto), *args, check=True)
        assert [message.payload for message in await sub.take(3)] == [b"again"] * 3


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_pub_goes_on_when_the_broker_is_killed_and_comes_back(mosquitto: Mosquitto, qos: int) -> None:
    async with running("pub", *at(mosquitto), "-t", "a", "-l", "-r", "-q", str(qos), "-i", "feeder", "-c") as pub:
        assert pub.stdin is not None
        async with MosquittoSub(mosquitto.port, "-t", "#") as sub:
            pub.stdin.write(b"before\n")
            assert (await sub.get()).payload == b"before"
            mosquitto.kill()
        assert pub.stderr is not None
        assert b"trying again in" in await pub.stderr.readline()
        pub.stdin.write(b"meanwhile\n")
        pub.stdin.close()
        mosquitto.start()
        assert await pub.wait() == (1 if qos == 0 else 0)  # nobody has told whether it was read before the kill
        said = (await pub.stderr.read()).decode()
        assert ("may be lost" in said) == (qos == 0)
    async with MosquittoSub(mosquitto.port, "-t", "#") as sub:
        assert (await sub.get()).payload == b"meanwhile"


@pytest.mark.parametrize("command", ["pub", "sub", "rr"])
async def test_why_it_tries_again_is_said_once_and_that_it_is_connected(command: str) -> None:
    connections = 0

    async def serve(peer: Peer) -> None:
        nonlocal connections
        connections += 1
        await peer.packet()
        if connections in (1, 5):
            await peer.say(b"\x20\x02\0\0")
        if connections == 5:
            while await peer.packet():
                pass

    words = {"pub": ("-l", "-q", "1"), "sub": (), "rr": ("-e", "b", "-m", "x")}[command]
    async with server(serve) as url, running(command, "-L", url, "-V", "3.1.1", "-t", "a", *words) as process:
        assert process.stderr
        said = [(await process.stderr.readline()).decode() for _ in range(3)]
    begin = f"mqttlite {command}: "
    assert said[0].startswith(begin) and "closed the connection; trying again in " in said[0]
    assert said[1].startswith(begin) and "; trying again in " in said[1]
    assert said[2] == f"{begin}connected again\n"
    assert connections == 5


def test_what_was_said_is_said_again_when_it_has_been_connected_meanwhile(caplog: pytest.LogCaptureFixture) -> None:
    def is_said(client: str, text: str, name: str = "mqttlite.client") -> bool:
        return retries.filter(logging.LogRecord(name, logging.WARNING, "", 0, "%s: %s", (client, text), None))

    retries = Retries("bench")
    retries.on_connection(True, "")
    assert is_said("a", "gone; trying again in 5 ms")
    assert not is_said("b", "gone; trying again in 10 ms")
    assert is_said("a", "away; trying again in 10 ms")
    for _ in range(2):
        assert not is_said("a", "gone; trying again in 20 ms")
        assert is_said("a", "refused")
        assert is_said("a", "gone; trying again in 5 ms", "mqttlite.gateway")
    retries.on_connection(False, "gone")
    assert not is_said("a", "gone; trying again in 20 ms")
    assert not caplog.messages
    for _ in range(2):
        retries.on_connection(True, "")
    assert caplog.messages == ["connected again"]
    all_of_them = Retries("pub", tells_all=True)
    of = ("a", "gone; trying again in 5 ms")
    record = logging.LogRecord("mqttlite.client", logging.WARNING, "", 0, "%s: %s", of, None)
    assert all_of_them.filter(record) and all_of_them.filter(record)
    all_of_them.on_connection(True, "")
    assert caplog.messages == ["connected again"] * 2
    assert is_said("a", "gone; trying again in 5 ms")


async def test_the_count_ends_sub(mosquitto: Mosquitto) -> None:
    async with Sub(*at(mosquitto), "-t", "#", "-C", "2") as sub:
        await mosquitto_pub(mosquitto.port, "-t", "a", "-l", stdin=b"one\ntwo\nthree\n")
        code, out, _ = await sub.ended()
    assert (code, out) == (0, b"one\ntwo\n")


async def test_no_newline_is_added_with_N(mosquitto: Mosquitto) -> None:
    async with Sub(*at(mosquitto), "-t", "#", "-C", "2", "-N") as sub:
        await mosquitto_pub(mosquitto.port, "-t", "a", "-l", stdin=b"one\ntwo\n")
        assert (await sub.ended())[1] == b"onetwo"


async def test_the_time_limit_ends_sub_with_exit_code_27(mosquitto: Mosquitto) -> None:
    result = await mqttlite("sub", *at(mosquitto), "-t", "#", "-W", "0.2")
    assert result == (27, "", "mqttlite sub: timed out\n")


async def test_retained_messages_are_printed_alone_or_not_at_all(mosquitto: Mosquitto) -> None:
    for name in ("a", "b"):
        await mqttlite("pub", *at(mosquitto), "-t", f"r/{name}", "-m", f"kept {name}", "-r", "-q", "1", check=True)
    async with Sub(*at(mosquitto), "-t", "#", "-v", "--retained-only") as sub:
        assert sorted(await sub.lines(2)) == [b"r/a kept a\n", b"r/b kept b\n"]
        await mosquitto_pub(mosquitto.port, "-t", "live", "-m", "x")
        assert (await sub.ended())[:2] == (0, b"")
    async with Sub(*at(mosquitto), "-t", "#", "-v", "-R") as sub:
        await mosquitto_pub(mosquitto.port, "-t", "live", "-m", "x")
        assert await sub.line() == b"live x\n"
    await mqttlite("pub", *at(mosquitto), "-t", "r/a", "-n", "-r", "-q", "1", check=True)
    result = await mqttlite("sub", *at(mosquitto), "-t", "#", "-C", "1", "-v")
    assert result.stdout == "r/b kept b\n"


async def test_filtered_topics_are_neither_printed_nor_counted(mosquitto: Mosquitto) -> None:
    async with Sub(*at(mosquitto), "-t", "#", "-T", "noise/+", "-T", "x", "-v", "-C", "1") as sub:
        for topic in ("noise/1", "x", "signal"):
            await mosquitto_pub(mosquitto.port, "-t", topic, "-m", "m")
        assert (await sub.ended())[:2] == (0, b"signal m\n")


async def test_several_filters_are_subscribed(mosquitto: Mosquitto) -> None:
    async with Sub(*at(mosquitto), *[word for n in range(12) for word in ("-t", f"f/{n}")], "-v", "-C", "12") as sub:
        await sub.told("subscribed to 'f/11'")
        for n in range(12):
            await mosquitto_pub(mosquitto.port, "-t", f"f/{n}", "-m", str(n))
        assert (await sub.ended())[1].decode().splitlines() == [f"f/{n} {n}" for n in range(12)]


async def test_thousands_of_retained_messages_under_two_filters_are_all_printed(quick_mosquitto: Mosquitto) -> None:
    async with Client(quick_mosquitto.url) as client:
        for n in range(3000):
            await client.publish(f"r/{n}", b"kept", qos=1, retain=True)
        assert await client.drain(RUN_TIMEOUT_S)
    result = await mqttlite("sub", *at(quick_mosquitto), "-t", "#", "-t", "other", "-C", "3000", "-F", "%t")
    assert result.code == 0
    assert {int(line.removeprefix("r/")) for line in result.stdout.splitlines()} == set(range(3000))
    assert result.stderr == ""


async def test_a_persistent_session_picks_up_what_was_queued(mosquitto: Mosquitto) -> None:
    session = (*at(mosquitto), "-t", "q/#", "-q", "2", "-i", "reader", "-c")
    assert (await mqttlite("sub", *session, "-E")) == (0, "", "")
    for qos in (1, 2):
        await mqttlite("pub", *at(mosquitto), "-t", f"q/{qos}", "-q", str(qos), "-m", "waiting", check=True)
    result = await mqttlite("sub", *session, "-C", "2", "-F", "%t %q %p")
    assert result == (0, "q/1 1 waiting\nq/2 2 waiting\n", "")


async def test_the_will_is_published_when_sub_is_killed_and_not_when_it_ends(mosquitto: Mosquitto) -> None:
    will = ("--will-topic", "wills/é", "--will-payload", "gone", "--will-qos", "1", "--will-retain")
    async with MosquittoSub(mosquitto.port, "-t", "wills/#", "-t", "end", "-q", "2") as watcher:
        async with Sub(*at(mosquitto), "-t", "x", *will) as sub:
            sub.process.send_signal(signal.SIGTERM)
            assert (await sub.ended())[0] == 0
        async with Sub(*at(mosquitto), "-t", "x", *will) as sub:
            await mosquitto_pub(mosquitto.port, "-t", "end", "-m", "the first has ended")
            sub.process.kill()
            assert await watcher.get() == Message("end", b"the first has ended", 0, False)
            assert await watcher.get() == Message("wills/é", b"gone", 1, False)


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
async def test_a_signal_ends_sub_in_good_order(mosquitto: Mosquitto, number: signal.Signals, expected: int) -> None:
    async with Sub(*at(mosquitto), "-t", "#", "-i", "signalled") as sub:
        sub.process.send_signal(number)
        assert await sub.ended() == (expected, b"", b"")
    await mosquitto.logged("Client signalled disconnected.")


async def test_ctrl_c_ends_pub_while_it_waits_for_input(mosquitto: Mosquitto) -> None:
    async with running("pub", *at(mosquitto), "-t", "a", "-l") as pub, MosquittoSub(mosquitto.port, "-t", "a") as sub:
        assert pub.stdin is not None
        pub.stdin.write(b"typed\n")
        await sub.get()
        pub.send_signal(signal.SIGINT)
        out, err = await pub.communicate()
        assert (pub.returncode, out, err) == (130, b"", b"")


async def test_sub_ends_quietly_when_its_reader_has_gone(mosquitto: Mosquitto) -> None:
    async with Sub(*at(mosquitto), "-t", "#") as sub:
        assert sub.process.stdout is not None
        await mosquitto_pub(mosquitto.port, "-t", "a", "-m", "1")
        assert await sub.line() == b"1\n"
        pipe = sub.process._transport.get_pipe_transport(1)  # type: ignore[attr-defined]
        number = pipe.get_extra_info("pipe").fileno()
        pipe.close()
        with contextlib.suppress(OSError):
            while os.fstat(number):  # noqa: ASYNC110 - closed in a later step of the event loop
                await asyncio.sleep(0)
        await mosquitto_pub(mosquitto.port, "-t", "a", "-m", "2")
        code, _, err = await sub.ended()
    assert (code, err) == (141, b"")


async def test_sub_keeps_its_connection_while_its_reader_pauses(mosquitto: Mosquitto) -> None:
    """A full pipe holds messages back; it does not stop the keep-alive."""
    read, write = os.pipe()
    sub = await asyncio.create_subprocess_exec(
        *MQTTLITE, "sub", "-d", *at(mosquitto), "-t", "#", "-q", "1", "-k", "1", "-i", "paused", "-C", "300",
        stdout=write, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    os.close(write)
    try:
        assert sub.stderr is not None
        while b"subscribed to" not in await sub.stderr.readline():
            pass
        await mqttlite("pub", *at(mosquitto), "-t", "a", "-q", "1", "-l", stdin=(b"x" * 1023 + b"\n") * 300, check=True)
        pings = mosquitto.log.count("Received PINGREQ from paused")
        await mosquitto.logged("Received PINGREQ from paused", pings + 3)
        received = 0
        while data := await asyncio.to_thread(os.read, read, 65536):
            received += len(data)
        assert received == 300 * 1024
        assert await sub.wait() == 0
        assert "Client paused has exceeded timeout" not in mosquitto.log
    finally:
        os.close(read)
        if sub.returncode is None:
            sub.kill()
            await sub.wait()


async def test_credentials_come_from_options_the_url_or_the_environment(tmp_path: Path) -> None:
    (tmp_path / "passwords").write_text("ann:s3@cret\n")
    await run(program("mosquitto_passwd"), "-U", str(tmp_path / "passwords"))
    settings = {"allow_anonymous": "false", "password_file": tmp_path / "passwords"}
    with Mosquitto(tmp_path / "broker", settings=settings) as broker:
        message = ("-t", "a", "-m", "b", "-q", "1")
        url = f"127.0.0.1:{broker.port}"
        secret = {"MQTTLITE_PASSWORD": "s3@cret"}
        for args, env, expected in (
            ((*at(broker), "-u", "ann", "-P", "s3@cret"), {}, 0),
            ((*at(broker), "-u", "ann"), secret, 0),
            (("-L", f"mqtt://ann:s3%40cret@{url}"), {}, 0),
            (("-L", f"mqtt://ann@{url}"), secret, 0),
            ((*at(broker), "-u", "ann", "-P", "wrong"), secret, 5),
            (("-L", f"mqtt://ann:wrong@{url}"), secret, 5),
            (at(broker), secret, 5),
        ):
            result = await mqttlite("pub", *args, *message, env=env)
            assert result.code == expected, (args, result)
            if expected:
                assert result.stderr.startswith("mqttlite pub: connection refused: not authorised")
                assert result.stderr.count("\n") == 1
                hint = "mqtt://NAME:PASSWORD@HOST, or in --username and --pw\n"
                assert result.stderr.endswith(hint) == (args == at(broker))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("-h", ""), "--host is empty"),
        (("-L", ""), "not a URL"),
        (("-h", "mqtt://localhost"), "a URL goes with --url"),
        (("-h", "localhost:1883"), "the port goes with --port"),
        (("-h", "", "-L", "mqtt://localhost"), "give either --url or --host"),
        (("--repeat", "2", "--repeat-delay", "inf"), "--repeat-delay takes seconds"),
        (("-f", "/"), "'/' is a folder"),
    ],
)
def test_what_cannot_be_meant_is_said(
    options: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    payload = () if "-f" in options else ("-m", "x")
    assert main(["pub", "-t", "a", *payload, *options]) == 1
    assert message in capsys.readouterr().err


async def test_a_host_may_stand_in_brackets() -> None:
    async with Broker(["mqtt://[::1]:0"]) as broker:
        port = broker.addresses[0].rpartition(":")[2]
        assert (await mqttlite("pub", "-h", "[::1]", "-p", port, "-t", "a", "-m", "x", "-q", "1")).code == 0


async def test_a_url_may_hold_the_topic_or_name_a_socket(tmp_path: Path) -> None:
    path = tmp_path / "broker.sock"
    with Mosquitto(tmp_path / "broker", settings={"listener 0": path}) as broker:
        async with Sub("-L", f"{broker.url}/room/#", "-v", "-C", "1") as sub:
            await mqttlite("pub", "-L", f"unix://{path}", "-t", "room/1", "-m", "hello", check=True)
            assert (await sub.ended())[1] == b"room/1 hello\n"


def test_python_m_mqttlite_and_the_console_script_are_the_same() -> None:
    assert (Path(sys.executable).parent / "mqttlite").exists()


async def test_who_is_refused_by_our_broker_reads_why() -> None:
    """In the words of the broker's Reason String (5.0)."""
    async with Broker(["mqtt://127.0.0.1:0"], limits=Limits(topic_levels=2)) as broker:
        at_ours = ("-h", "127.0.0.1", "-p", broker.addresses[0].rpartition(":")[2], "-V", "5.0")
        for command, words in (
            (("pub", "-q", "1", "-m", "x"), "topic name with more than 2 levels"),
            (("pub", "-q", "2", "-m", "x"), "topic name with more than 2 levels"),
            (("sub",), "a topic filter with 3 levels; at most 2 are accepted here"),
        ):
            result = await mqttlite(*command, *at_ours, "-t", "a/b/c")
            assert result.code, command
            assert f"the broker says: {words}\n" in result.stderr
        result = await mqttlite("pub", *at_ours, "-i", "x" * 300, "-t", "a", "-m", "x")
        assert "the broker says: a client identifier of 300 bytes; at most 256 are accepted here\n" in result.stderr
