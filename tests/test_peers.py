"""The test tools themselves: peers that start, die and come back as tests rely on, and the statement decorator."""

import socket
from pathlib import Path

import pytest

from tests.aedes import Aedes
from tests.peers import (
    Message,
    MicroPython,
    Mosquitto,
    MosquittoSub,
    WasmMicroPython,
    free_port,
    mosquitto_pub,
    program,
)
from tests.rabbitmq import Shared
from tests.runtimes import ROOT
from tests.statements import statement


async def test_a_message_goes_from_mosquitto_pub_to_mosquitto_sub_with_qos_and_any_bytes(mosquitto: Mosquitto) -> None:
    async with MosquittoSub(mosquitto.port, "-t", "room/#", "-q", "2") as sub:
        assert sub.granted_qos == [2]
        await mosquitto_pub(mosquitto.port, "-t", "room/é x", "-q", "2", "-s", stdin=b"\x00\n=\xff")
        await mosquitto_pub(mosquitto.port, "-t", "room/empty", "-q", "1", "-n")
        assert await sub.take(2) == [
            Message("room/é x", b"\x00\n=\xff", 2, False),
            Message("room/empty", b"", 1, False),
        ]


async def test_a_retained_message_survives_the_orderly_stop_of_mosquitto(mosquitto: Mosquitto) -> None:
    await mosquitto_pub(mosquitto.port, "-t", "kept", "-q", "1", "-r", "-m", "still here")
    mosquitto.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", mosquitto.port))
    mosquitto.restart()
    async with MosquittoSub(mosquitto.port, "-t", "kept") as sub:
        assert await sub.get() == Message("kept", b"still here", 0, True)


async def test_aedes_and_rabbitmq_carry_a_message(shared_rabbitmq: Shared, aedes: Aedes) -> None:
    for port in (shared_rabbitmq.mqtt_port, aedes.port):
        async with MosquittoSub(port, "-t", "peers/#", "-q", "1") as sub:
            await mosquitto_pub(port, "-t", "peers/x", "-q", "1", "-s", stdin=b"\x00\xff")
            assert await sub.get() == Message("peers/x", b"\x00\xff", 1, False)


async def test_aedes_comes_back_on_its_port(aedes: Aedes) -> None:
    aedes.kill()
    aedes.start()
    await mosquitto_pub(aedes.port, "-t", "x", "-q", "1", "-m", "again")


def test_a_killed_mosquitto_comes_back_on_its_port(mosquitto: Mosquitto) -> None:
    mosquitto.kill()
    mosquitto.start()
    socket.create_connection(("127.0.0.1", mosquitto.port)).close()


def test_a_mosquitto_that_cannot_start_says_why(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path, settings={"no_such_option": 1})
    with pytest.raises(RuntimeError, match="no_such_option"):
        broker.start()


@pytest.mark.parametrize(("required", "outcome"), [("1", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_a_missing_peer_fails_where_all_have_to_be_there_and_skips_elsewhere(
    monkeypatch: pytest.MonkeyPatch, required: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("MQTTLITE_ALL_PEERS", required)
    with pytest.raises(outcome, match="no-such-program is not installed"):
        program("no-such-program")


def test_ports_are_never_given_twice() -> None:
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == 50


async def test_micropython_runs_a_script_with_a_small_heap_and_finds_the_project(micropython: MicroPython) -> None:
    result = await micropython.run("import gc, sys, mqttlite; print(sys.implementation.name, gc.mem_free() < 98304)")
    assert result.stdout == "micropython True\n"


async def test_micropython_of_32_and_of_64_bits_is_of_one_version() -> None:
    script = "import sys; print(sys.maxsize); print(sys.implementation.version)"
    (narrow, version), (wide, other) = [(await MicroPython(bits).run(script)).stdout.splitlines() for bits in (32, 64)]
    assert (int(narrow), int(wide)) == (2**31 - 1, 2**63 - 1)
    assert version == other


async def test_micropython_reports_an_exception_by_its_exit_code(micropython: MicroPython) -> None:
    result = await micropython.run("import sys; print(sys.argv[1:]); 1 // 0", "a", "b", check=False)
    assert (result.code, result.stdout.startswith("['a', 'b']")) == (1, True)
    assert "ZeroDivisionError" in result.stdout + result.stderr


async def test_micropython_runs_beside_a_test(micropython: MicroPython) -> None:
    async with micropython.process("import sys; print(sys.stdin.readline())") as process:
        process.stdin.write(b"hello\n")
        assert await process.stdout.readline() == b"hello\n"


async def test_webassembly_micropython_has_32_bits_and_sees_the_files_given(wasm_micropython: WasmMicroPython) -> None:
    script = "import sys, mqttlite; print(sys.maxsize, sys.argv[1:], mqttlite.__name__, 'é')"
    result = await wasm_micropython.run(script, "a b", "é", files=[ROOT / "mqttlite" / "__init__.py"])
    assert result.stdout == "2147483647 ['a b', 'é'] mqttlite é\n"


@pytest.mark.parametrize(("source", "code"), [("1 // 0", 1), ("raise SystemExit(7)", 7), ("raise SystemExit", 0)])
async def test_webassembly_micropython_ends_with_the_exit_code_of_its_script(
    wasm_micropython: WasmMicroPython, source: str, code: int
) -> None:
    assert (await wasm_micropython.run(source, check=False)).code == code


def test_a_statement_label_that_cannot_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="labels look like"):
        statement("3.1.1", "4.3.3-2")
    with pytest.raises(ValueError, match="none of"):
        statement("3.1", "MQTT-4.3.3-2")
