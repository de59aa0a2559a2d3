"""The board's program against Mosquitto, on the real MicroPython interpreter and on CPython, over TCP."""

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.firmware.boards import TOPIC, Board
from tests.peers import Message, Mosquitto, MosquittoSub, mosquitto_pub

READINGS = ("fast", "event", "count")  # by QoS


@contextlib.asynccontextmanager
async def watching(broker: Mosquitto) -> AsyncIterator[MosquittoSub]:
    """A subscriber to all that the board says, with a session of its own."""
    async with MosquittoSub(broker.port, "-t", f"{TOPIC}/#", "-q", "2", "-c", "-i", "watcher") as subscriber:
        yield subscriber


async def next_of(subscriber: MosquittoSub, *names: str) -> Message:
    """The next message of one of these topics."""
    topics = [f"{TOPIC}/{name}" for name in names]
    while (message := await subscriber.get()).topic not in topics:
        pass
    return message


async def online(subscriber: MosquittoSub, payload: bytes) -> None:
    """Wait until the board is said to be there (b"1"), or not (b"0")."""
    while (await next_of(subscriber, "online")).payload != payload:
        pass


async def command(broker: Mosquitto, subscriber: MosquittoSub, text: str) -> dict[str, object]:
    """Send a command; its answer."""
    await mosquitto_pub(broker.port, "-t", f"{TOPIC}/command", "-q", "2", "-m", text)
    answer: dict[str, object] = json.loads((await next_of(subscriber, "answer")).payload)
    return answer


async def numbers(subscriber: MosquittoSub, name: str, up_to: int) -> list[int]:
    """The numbers of the readings of one topic, until `up_to` arrives."""
    found: list[int] = []
    while not found or found[-1] < up_to:
        found.append(json.loads((await next_of(subscriber, name)).payload)["n"])
    return found


async def test_readings_arrive_at_all_three_qos_with_consecutive_numbers(
    mosquitto: Mosquitto, tmp_path: Path, runtime: str
) -> None:
    async with watching(mosquitto) as subscriber, Board(tmp_path / "board", mosquitto.url, runtime=runtime).running():
        await online(subscriber, b"1")
        seen: dict[int, list[int]] = {0: [], 1: [], 2: []}
        while min(map(len, seen.values())) < 20:
            message = await next_of(subscriber, *READINGS)
            assert message.qos == READINGS.index(message.topic.rpartition("/")[2])
            seen[message.qos].append(json.loads(message.payload)["n"])
        for found in seen.values():
            assert found == list(range(found[0], found[0] + len(found)))


async def test_commands_are_obeyed_and_answered_under_their_id(
    mosquitto: Mosquitto, tmp_path: Path, runtime: str
) -> None:
    board = Board(tmp_path / "board", mosquitto.url, runtime=runtime)
    async with watching(mosquitto) as subscriber, board.running() as process:
        await online(subscriber, b"1")
        answer = await command(mosquitto, subscriber, '{"do": "ping", "id": "a"}')
        assert answer["id"] == "a"
        assert answer["runtime"] == runtime
        assert "error" not in answer
        answer = await command(mosquitto, subscriber, '{"do": "every", "ms": 1, "id": 2}')
        assert (answer["id"], answer["every"]) == (2, 10)
        answer = await command(mosquitto, subscriber, '{"do": "led", "on": true, "id": 3}')
        assert answer["id"] == 3
        assert "no LED" in str(answer["error"])
        answer = await command(mosquitto, subscriber, '{"do": "stop", "id": 4}')
        assert answer["id"] == 4
        sent = answer["sent"]
        assert isinstance(sent, dict)
        assert sorted(sent) == sorted(READINGS)
        assert max(sent.values()) - min(sent.values()) <= 20  # each counts for itself
        assert min(sent.values()) > 0
        assert await process.wait() == 0
    async with MosquittoSub(mosquitto.port, "-t", f"{TOPIC}/online") as late:
        assert (await late.get()).payload == b"0"


NONSENSE = (
    "",
    "ping",
    "[1, 2]",
    '{"id": 1}',
    '{"do": "dance"}',
    '{"do": ["ping"]}',
    '{"do": "every"}',
    '{"do": "every", "ms": 1e999}',
    '{"do": "every", "ms": "soon"}',
    '{"do": "led"}',
    "[" * 2000 + "]" * 2000,
    '{"do": "ping", "id": ' + "[" * 1500 + "]" * 1500 + "}",
)


async def test_no_command_however_wrong_ends_the_program(mosquitto: Mosquitto, tmp_path: Path, runtime: str) -> None:
    board = Board(tmp_path / "board", mosquitto.url, runtime=runtime, every_ms=1000)
    async with watching(mosquitto) as subscriber, board.running():
        await online(subscriber, b"1")
        for text in NONSENSE[:-1]:
            assert "error" in await command(mosquitto, subscriber, text), text
        await command(mosquitto, subscriber, NONSENSE[-1])  # wrong in its id alone, or in all
        answer = await command(mosquitto, subscriber, '{"do": "every", "ms": 1e30, "id": 5}')
        assert answer["every"] == 86_400_000
        answer = await command(mosquitto, subscriber, '{"do": "ping", "id": 6}')
        assert answer["id"] == 6
        assert "error" not in answer
        answer = await command(mosquitto, subscriber, '{"do": "stop", "id": 7}')  # not after a day
        assert answer["id"] == 7


async def test_a_command_that_was_obeyed_does_not_come_again_after_the_next_start(
    mosquitto: Mosquitto, tmp_path: Path, runtime: str
) -> None:
    board = Board(tmp_path / "board", mosquitto.url, runtime=runtime)
    async with watching(mosquitto) as subscriber:
        async with board.running() as process:
            await online(subscriber, b"1")
            await command(mosquitto, subscriber, '{"do": "stop", "id": 1}')
            await process.wait()
        async with board.running():
            await online(subscriber, b"1")
            answer = await command(mosquitto, subscriber, '{"do": "ping", "id": 2}')
            assert answer["id"] == 2


async def test_a_board_that_dies_is_reported_by_its_will_and_retained(
    mosquitto: Mosquitto, tmp_path: Path, runtime: str
) -> None:
    board = Board(tmp_path / "board", mosquitto.url, runtime=runtime)
    async with watching(mosquitto) as subscriber:
        async with board.running() as process:
            await online(subscriber, b"1")
            process.kill()
        await online(subscriber, b"0")
        async with MosquittoSub(mosquitto.port, "-t", f"{TOPIC}/online") as late:
            message = await late.get()
        assert (message.payload, message.retain) == (b"0", True)
        async with board.running():
            await online(subscriber, b"1")


async def test_a_command_that_is_too_large_is_answered_and_the_next_one_obeyed(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    board = Board(tmp_path / "board", mosquitto.url)
    async with watching(mosquitto) as subscriber, board.running():
        await online(subscriber, b"1")
        large = tmp_path / "large"
        large.write_bytes(bytes(5000))
        await mosquitto_pub(mosquitto.port, "-t", f"{TOPIC}/command", "-q", "2", "-f", str(large))
        answer = json.loads((await next_of(subscriber, "answer")).payload)
        assert answer["error"].endswith(f"bytes to {TOPIC}/command is too large for this board")
        answer = await command(mosquitto, subscriber, '{"do": "ping", "id": 2}')
        assert answer["id"] == 2


@pytest.mark.parametrize("damage", ["a flipped bit", "emptied", "zeros"])
async def test_a_damaged_journal_is_set_aside_said_and_the_board_works(
    mosquitto: Mosquitto, tmp_path: Path, damage: str
) -> None:
    board = Board(tmp_path / "board", mosquitto.url)
    journal = board.folder / "journal"
    async with watching(mosquitto) as subscriber:
        async with board.running() as process:
            await online(subscriber, b"1")
            await numbers(subscriber, "count", 5)
            process.kill()
        data = bytearray(journal.read_bytes())
        if damage == "a flipped bit":
            data[40] ^= 4
        else:
            data = bytearray(0 if damage == "emptied" else len(data))
        journal.write_bytes(data)
        async with board.running():
            while not (problem := (await next_of(subscriber, "problem")).payload.decode()):
                pass
            assert "journal" in problem
            assert problem in board.output
            await online(subscriber, b"1")
            answer = await command(mosquitto, subscriber, '{"do": "ping", "id": 2}')
            assert answer["id"] == 2
            await next_of(subscriber, "count")


async def test_a_board_that_loses_power_goes_on_with_the_next_number(
    mosquitto: Mosquitto, tmp_path: Path, runtime: str
) -> None:
    board = Board(tmp_path / "board", mosquitto.url, runtime=runtime)
    async with watching(mosquitto) as subscriber:
        found: list[int] = []
        for up_to in (10, 40):
            async with board.running() as process:
                found += await numbers(subscriber, "count", up_to)
                process.kill()
        async with board.running():
            found += await numbers(subscriber, "count", found[-1] + 20)
    assert found == list(range(1, len(found) + 1))


async def test_a_restart_of_the_broker_loses_nothing_at_qos_2_and_the_board_says_that_it_is_back(
    mosquitto: Mosquitto, tmp_path: Path, runtime: str
) -> None:
    async with watching(mosquitto) as subscriber, Board(tmp_path / "board", mosquitto.url, runtime=runtime).running():
        await online(subscriber, b"1")
        before = await numbers(subscriber, "count", 10)
        mosquitto.stop()
        mosquitto.start()
        found = before + await numbers(subscriber, "count", before[-1] + 30)
        assert found == list(range(1, len(found) + 1))
        async with MosquittoSub(mosquitto.port, "-t", f"{TOPIC}/online") as late:
            await online(late, b"1")


FAILING = """
from mqttlite_board.api import Application

calls = []

def broken():
    calls.append(1)
    if len(calls) in (3, 4, 5):
        raise ValueError("the sensor on pin 4 does not answer")
    return len(calls)

def application(options):
    app = Application()
    app.measure("broken", broken, every_s=0.02)
    app.measure("whole", lambda: 1, every_s=0.02, qos=2, counted=True)
    return app
"""


async def test_a_sensor_that_fails_is_said_once_and_retried_and_the_others_go_on(
    mosquitto: Mosquitto, tmp_path: Path, runtime: str
) -> None:
    board = Board(tmp_path / "board", mosquitto.url, runtime=runtime, app=FAILING)
    async with watching(mosquitto) as subscriber, board.running():
        await online(subscriber, b"1")
        while not (problem := (await next_of(subscriber, "problem")).payload.decode()):
            pass
        assert problem == "broken: the sensor on pin 4 does not answer"
        assert not (await next_of(subscriber, "problem")).payload
        await numbers(subscriber, "whole", 20)
        answer = await command(mosquitto, subscriber, '{"do": "ping"}')
        lost = answer["lost"]
        assert isinstance(lost, dict)
        lost.pop("unmeasured", None)  # of a machine that is busy with other work
        assert lost == {"failed": 3}
        assert board.output.count("the sensor on pin 4 does not answer") == 1
        assert "broken: works again after 3 failures" in board.output
