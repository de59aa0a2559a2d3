"""The same application file runs on CPython and on MicroPython, with the same output."""

import asyncio
import sys
from pathlib import Path

from tests.peers import RUN_TIMEOUT_S, MicroPython, Mosquitto, MosquittoSub, end, mosquitto_pub
from tests.runtimes import ROOT, micropython_argv, micropython_env
from tests.variants.variants import SOURCE, library

APP = Path(__file__).parent / "app.py"
HEAP = "160k"  # 64 bits; with full queues it takes 66 KiB at 32 bits, 1.8 times as much here (docs/board.md)


async def converse(
    command: list[str], env: dict[str, str], folder: Path, broker: Mosquitto
) -> tuple[str, list[tuple[bytes, int]]]:
    """Run the application, command it at every QoS, stop it: what it printed, what it answered."""
    async with MosquittoSub(broker.port, "-t", "board/state", "-t", "board/answer", "-q", "2") as sub:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=folder, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        try:
            async with asyncio.timeout(RUN_TIMEOUT_S):
                said = asyncio.create_task(process.communicate())
                while not said.done():
                    state = asyncio.create_task(sub.get())
                    await asyncio.wait((state, said), return_when=asyncio.FIRST_COMPLETED)
                    if state.done() and state.result().payload == b"ready":
                        break
                    state.cancel()
                answers = []
                for qos in (0, 1, 2) if not said.done() else ():
                    text = "stop" if qos == 2 else f"do {qos}"
                    await mosquitto_pub(broker.port, "-t", "board/command/x", "-q", str(qos), "-m", text)
                    answer = await sub.get()
                    answers.append((answer.payload, answer.qos))
                output = (await said)[0].decode()
        finally:
            await end(process)
        assert process.returncode == 0, output
        return output, answers


async def test_the_application_does_the_same_on_both_runtimes(tmp_path: Path, micropython: MicroPython) -> None:
    board = library(SOURCE)
    outputs = []
    for command, env, folder in (
        ([sys.executable, "-m", "tests.client.app"], {}, ROOT),
        (micropython_argv(micropython.program, APP, heap=HEAP), micropython_env([board]), board),
    ):
        with Mosquitto(tmp_path / str(len(outputs))) as broker:
            output, answers = await converse([*command, broker.url, "board"], env, folder, broker)
        assert answers == [(b"do 0: done", 0), (b"do 1: done", 1), (b"stop: done", 2)]
        outputs.append(output)
    on_cpython, on_micropython = outputs
    assert on_micropython == on_cpython
    lines = on_cpython.splitlines()
    for qos in (0, 1, 2):
        readings = [line for line in lines if line.startswith(f"/echo/{qos} ")]
        assert len(readings) == 30
        assert readings[3] == f"/echo/{qos} {qos} {'reading 3: 1.5 °C'.encode()!r}"
    assert lines[-1] == "dropped: 0"
