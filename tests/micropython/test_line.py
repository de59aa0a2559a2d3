"""The pump on the real MicroPython interpreter: a board's program on a noisy pty, a host at the other end."""

import asyncio

from mqttlite.cli.demo.pty_line import NoisyLine
from mqttlite.link import Link, Stream
from mqttlite.link.frames import LOG
from mqttlite.serial.line import Line
from mqttlite.serial.ports import open_port
from tests.peers import MicroPython

BAUD = 115200
SIZE = 5000

# Opens a connection and sends back what comes, as a device would; ends when the host closes.
BOARD = """
import asyncio, sys
from mqttlite.serial.board_port import open_tty
from mqttlite.serial.line import Line
from mqttlite.link import Link, Stream

async def main():
    stream = Stream(Link(7, device_id=b"echo", reset_cause=1))
    closed = asyncio.Event()
    waiting = bytearray()
    def flush():
        taken = stream.send(waiting)
        waiting[:taken] = b""
        stream.consumed(taken)
    def arrived(data):
        waiting.extend(data)
        flush()
    stream.link.on_up = lambda peer: stream.open()
    stream.on_data = arrived
    stream.on_writable = flush
    stream.on_close = lambda reason: closed.set()
    stream.link.send(2, b"hello from the board")
    pump = asyncio.create_task(Line(stream.link, open_tty(sys.argv[1])).run())
    await closed.wait()
    pump.cancel()
    print("repaired", stream.link.stats.repaired)

asyncio.run(main())
"""


async def test_a_board_echoes_over_a_noisy_line(micropython: MicroPython) -> None:
    data = bytes(i * 7 & 255 for i in range(SIZE))
    got = bytearray()
    logged = bytearray()
    complete = asyncio.Event()
    waiting = bytearray(data)
    async with NoisyLine(BAUD, bit_errors=1e-4, dropped=1e-3, seed=2) as line:
        stream = Stream(Link(8, baud=BAUD))

        def feed() -> None:
            del waiting[: stream.send(waiting)]

        def accept(n: int) -> None:
            stream.accept(n)
            feed()

        def arrived(piece: bytes | memoryview) -> None:
            got.extend(piece)
            stream.consumed(len(piece))
            if len(got) >= SIZE:
                complete.set()

        stream.on_open = accept
        stream.on_data = arrived
        stream.on_writable = feed
        stream.on_side = lambda channel, text: logged.extend(text) if channel == LOG else None
        pump = asyncio.create_task(Line(stream.link, open_port(line.a_path, BAUD), BAUD).run())
        async with micropython.process(BOARD, line.b_path, heap="512k") as board:  # it compiles what it imports
            ended = asyncio.create_task(board.communicate())
            ended.add_done_callback(lambda _: complete.set())
            await complete.wait()
            stream.close()
            out, errors = await ended
        pump.cancel()
        await asyncio.gather(pump, return_exceptions=True)
    assert out.startswith(b"repaired"), (out + errors).decode()
    assert bytes(got) == data
    assert b"hello from the board" in logged
