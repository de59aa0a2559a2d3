"""Standard streams as they are found: closed, gone, full, empty, or a terminal."""

import asyncio
import logging
import os
import pty
import shlex
import signal
import sys
from pathlib import Path

import pytest

from mqttlite.broker import Broker
from mqttlite.cli import COMMANDS
from mqttlite.cli.messages.output_format import compile_format
from mqttlite.cli.running import LogFormatter
from mqttlite.cli.streams import for_terminal, one_line
from mqttlite.client import Message
from tests.broker.raw import RawClient, port_of
from tests.cli.commands import MQTTLITE, mqttlite, running
from tests.peers import RUN_TIMEOUT_S, Result, end, free_port, mosquitto_pub, run
from tests.runtimes import ROOT

LOCAL = ["mqtt://127.0.0.1:0"]


async def sh(line: str) -> Result:
    """Run a line of the shell; `mqttlite` in it is this one."""
    return await run("bash", "-c", line.replace("mqttlite", shlex.join(MQTTLITE), 1), check=False)


# -- closed, gone, full


@pytest.mark.parametrize("command", ["", *COMMANDS])
async def test_help_for_a_closed_output_is_an_error_without_a_traceback(command: str) -> None:
    name = f"mqttlite {command}".strip()
    assert await sh(f"mqttlite {command} --help >&-") == (1, "", f"{name}: standard output is closed\n")


async def test_all_streams_closed_are_no_reason_for_another_exit_code() -> None:
    assert await sh("mqttlite --help <&- >&- 2>&-") == (1, "", "")


async def test_help_for_a_reader_that_has_gone_or_a_disk_that_is_full_ends_quietly() -> None:
    gone = await sh("mqttlite --help | true; echo ${PIPESTATUS[0]}")
    assert gone.stdout in ("141\n", "0\n")  # 0: written before `true` had ended
    assert gone.stderr == ""
    full = await sh("mqttlite --help >/dev/full")
    assert full == (1, "", "mqttlite: No space left on device\n")


async def test_pub_that_waits_for_a_fifo_ends_at_a_signal_and_takes_what_comes(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    async with Broker(LOCAL) as broker:
        options = ("-L", broker.addresses[0], "-t", "a", "-q", "1", "-f", str(fifo))
        async with running("pub", *options, "-d") as waiting:
            assert waiting.stderr
            assert b"opening" in await asyncio.wait_for(waiting.stderr.readline(), RUN_TIMEOUT_S)
            waiting.terminate()
            assert await asyncio.wait_for(waiting.wait(), RUN_TIMEOUT_S) in (143, -signal.SIGTERM)
        async with RawClient(port_of(broker.addresses[0])) as client, running("pub", *options) as waiting:
            await client.connect("c")
            await client.subscribe("a", 1)
            await asyncio.to_thread(fifo.write_bytes, b"from a pipe")
            assert await client.messages(1) == [b"from a pipe"]
            assert await asyncio.wait_for(waiting.wait(), RUN_TIMEOUT_S) == 0


async def test_pub_needs_neither_output_nor_error_and_says_when_its_input_is_closed() -> None:
    async with Broker(LOCAL) as broker, RawClient(port_of(broker.addresses[0])) as client:
        to = f"mqttlite pub -L {broker.addresses[0]} -t a -q 1"
        await client.connect("c")
        await client.subscribe("a", 1)
        assert (await sh(f"{to} -m 1 <&- >&- 2>&-")).code == 0
        assert await client.messages(1) == [b"1"]
        for option in ("-s", "-l"):
            said = "mqttlite pub: standard input is closed\n"
            assert await sh(f"{to} {option} <&-") == (1, "", said)


async def test_sub_with_its_output_closed_acknowledges_nothing() -> None:
    async with Broker(LOCAL) as broker:
        await mosquitto_pub(port_of(broker.addresses[0]), "-t", "a", "-m", "1", "-r", "-q", "1")
        of = f"mqttlite sub -L {broker.addresses[0]} -t a -q 1 -c -i s"
        assert await sh(f"{of} >&-") == (1, "", "mqttlite sub: standard output is closed\n")
        assert (await sh(f"{of} -C 1")).stdout == "1\n"


async def test_a_broker_runs_with_all_its_streams_closed() -> None:
    port = free_port()
    line = f"exec {shlex.join(MQTTLITE)} broker --listen mqtt://127.0.0.1:{port} <&- >&- 2>&-"
    process = await asyncio.create_subprocess_exec("bash", "-c", line, cwd=ROOT)
    try:
        async with asyncio.timeout(RUN_TIMEOUT_S):
            while (await mqttlite("pub", "-p", str(port), "-t", "a", "-m", "1", "-q", "1")).code:
                assert process.returncode is None
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    finally:
        await end(process)


async def test_sighup_is_a_line_in_the_brokers_log_and_not_its_end() -> None:
    async with running("broker", "--listen", "mqtt://127.0.0.1:0") as process:
        assert process.stderr
        async with asyncio.timeout(RUN_TIMEOUT_S):
            while b"--store keeps them" not in await process.stderr.readline():
                pass
            process.send_signal(signal.SIGHUP)
            while b"SIGHUP" not in (said := await process.stderr.readline()):
                assert said
            assert b"SIGHUP: all files are read again: nothing has changed" in said
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0


async def test_a_password_stands_in_nothing_that_is_said() -> None:
    async with Broker(LOCAL) as broker:
        port = port_of(broker.addresses[0])
        said = []
        for url in (f"mqtt://ann:secret@127.0.0.1:{port}", "mqtt://ann:secret@127.0.0.1:99999", "mqtts://ann:secret@h"):
            said.append(await mqttlite("pub", "-d", "-t", "a", "-m", "1", "-L", url))
        assert [result.code for result in said] == [0, 1, 1]
        assert f"connected to 127.0.0.1:{port}" in said[0].stderr
        assert "between 1 and 65535: 99999" in said[1].stderr
        assert not any("secret" in result.stderr for result in said)
    listening = await mqttlite("broker", "--listen", "mqtt://ann:secret@127.0.0.1:99999")
    assert listening.code == 1
    assert "secret" not in listening.stderr


# -- empty


@pytest.mark.parametrize("source", ["-s </dev/null", "-f /dev/null", "-l </dev/null", "-l <<<''", "-s < <(exit 1)"])
async def test_an_empty_input_does_not_delete_what_is_retained(source: str) -> None:
    async with Broker(LOCAL) as broker:
        port = port_of(broker.addresses[0])
        await mosquitto_pub(port, "-t", "conf", "-m", "precious", "-r", "-q", "1")
        result = await sh(f"mqttlite pub -p {port} -t conf -r -q 1 {source}")
        assert [found[:3] for found in broker.engine.router.retained.matching(b"conf") if found] == [
            (b"conf", b"precious", 1)
        ]
        if source.startswith("-l"):
            assert result.code == 0
            assert ("1 empty lines not published" in result.stderr) == ("<<<" in source)
        else:
            assert result.code == 1
            assert "is empty; to publish an empty message use -n" in result.stderr


async def test_what_is_retained_is_deleted_by_who_says_so() -> None:
    for option in (("-n",), ("-m", "")):
        async with Broker(LOCAL) as broker:
            port = port_of(broker.addresses[0])
            await mosquitto_pub(port, "-t", "conf", "-m", "old", "-r", "-q", "1")
            await mqttlite("pub", "-p", str(port), "-t", "conf", "-r", "-q", "1", *option, check=True)
            assert [found for found in broker.engine.router.retained.matching(b"conf") if found] == []


async def test_sigterm_ends_pub_while_it_waits_for_the_end_of_its_input() -> None:
    async with running("pub", "-p", "1", "-t", "a", "-s", "-d") as process:
        assert process.stdin
        async with asyncio.timeout(RUN_TIMEOUT_S):
            assert process.stderr
            assert b"reading" in await process.stderr.readline()
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 143


# -- a terminal

EVIL = b"\x1b]0;owned\x07\x9b31m\xc2\x9b31m\r\nsecond\tline\xe2\x80\xae"
TAMED = rb"\x1b]0;owned\x07\x9b31m\x9b31m\r" + b"\nsecond\tline" + rb"\u202e"


async def test_sub_escapes_what_a_terminal_would_obey_and_nothing_for_a_pipe() -> None:
    async with Broker(LOCAL) as broker:
        port = port_of(broker.addresses[0])
        await mosquitto_pub(port, "-t", "a", "-s", "-r", stdin=EVIL)
        args = ("sub", "-p", str(port), "-t", "a", "-C", "1", "-F", "\\e[1m%p|")
        for options, expected in (((), TAMED), (("--raw",), EVIL)):
            ours, its = pty.openpty()
            process = await asyncio.create_subprocess_exec(*MQTTLITE, *args, *options, stdout=its, cwd=ROOT)
            async with asyncio.timeout(RUN_TIMEOUT_S):
                assert await process.wait() == 0
            os.close(its)
            seen = os.read(ours, 4096)
            os.close(ours)
            assert seen == (b"\x1b[1m" + expected + b"|\n").replace(b"\n", b"\r\n")  # the terminal adds CR
        piped = await asyncio.create_subprocess_exec(*MQTTLITE, *args, stdout=asyncio.subprocess.PIPE, cwd=ROOT)
        assert (await piped.communicate())[0] == b"\x1b[1m" + EVIL + b"|\n"


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("%t", rb"a\x1b\n\x9bb"),
        ("%p", b"x" + rb"\x1b" + b"\n\t" + rb"\x9b"),
        ("%12.7p|", b"  x" + rb"\x1b" + b"\n\t|"),
        ("%j", rb"x\u001b\n\t\u009b"),
        ("%x", b"781b0a09c29b"),
    ],
)
def test_each_part_of_a_format_is_escaped_for_a_terminal(form: str, expected: bytes) -> None:
    message = Message("a\x1b\n\x9bb", b"x\x1b\n\t\xc2\x9b", 0, 0, 0)
    line = compile_format(form, escaped=True)(message)
    assert expected in line
    assert b"\x1b" not in line


def test_what_no_terminal_obeys_stays() -> None:
    for text in ("21,5 °C", "日本語", "👩‍🚒", "a\\b"):
        assert for_terminal(text.encode()) == text.encode()


def test_a_name_from_elsewhere_forges_no_log_line(capsys: pytest.CaptureFixture[str]) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogFormatter("%(levelname)s %(message)s"))
    record = logging.LogRecord("x", logging.INFO, "", 0, "%s connected", ("a\nINFO root connected\x1b[2J",), None)
    handler.emit(record)
    assert capsys.readouterr().err == "INFO a\\nINFO root connected\\x1b[2J connected\n"
    assert one_line("/run/a\u2028b") == "/run/a\\u2028b"
