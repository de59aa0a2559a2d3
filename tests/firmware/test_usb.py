"""The link on a board's own USB socket (serial:usb), beside what is printed and the prompt: MicroPython with a board's
console, of 32 bits and with 110 kB of heap, through the gateway to Mosquitto.
"""

import asyncio
import contextlib
import os
import random
import shutil
import tty
from collections.abc import AsyncIterator
from pathlib import Path

from mqttlite.boards.settings.settings_file import to_json
from mqttlite.boards.supplies import file_system
from mqttlite.cli.demo.pty_line import NoisyLine
from mqttlite.serial.ports import open_port
from tests.firmware.boards import START, fill, settings
from tests.firmware.console_board import ConsoleBoard
from tests.firmware.test_window import Terminal, mpremote
from tests.gateway.world import COMMAND, Program, Watcher, beside, watching
from tests.peers import RUN_TIMEOUT_S, Mosquitto, mosquitto_pub
from tests.variants.variants import library


def board_in(folder: Path, line: NoisyLine | None = None, *, is_usb: bool = False) -> ConsoleBoard:
    """A board with the bundle `all` and usb_device.py as its main.py."""
    (folder / "lib").mkdir(parents=True)
    shutil.copytree(library("all") / "mqttlite", folder / "lib" / "mqttlite")
    shutil.copy(START / "window.py", folder)
    shutil.copy(Path(__file__).with_name("usb_device.py"), folder / "main.py")
    return ConsoleBoard(folder, line=line, is_usb=is_usb)


def gateway(broker: Mosquitto, board: ConsoleBoard) -> Program:
    """`mqttlite gateway` on the board's port, with what the board prints."""
    return Program(*COMMAND, "gateway", "--upstream", broker.url, "--serial", board.path, "-v")


class World:
    """A board, a gateway, a broker and a subscriber."""

    def __init__(self, broker: Mosquitto, board: ConsoleBoard, program: Program, watcher: Watcher) -> None:
        self.broker = broker
        self.board = board
        self.gateway = program
        self.watcher = watcher

    async def more(self, count: int = 20) -> None:
        """Wait for so many more numbers; all of them have come once, in order."""
        before = len(self.watcher.got.get("usb/n", ()))
        found = await self.watcher.count("usb/n", before + count)
        assert [int(payload) for payload in found] == list(range(1, len(found) + 1))

    async def do(self, python: str) -> None:
        """The board runs this."""
        await mosquitto_pub(self.broker.port, "-t", "usb/do", "-q", "2", "-m", python)
        await self.watcher.until("usb/done", python.encode())


@contextlib.asynccontextmanager
async def world(broker: Mosquitto, folder: Path, line: NoisyLine | None = None) -> AsyncIterator[World]:
    """All of it, running."""
    board = board_in(folder / "board", line)
    async with (
        watching(broker.url, "usb/n", "usb/done") as watcher,
        board.running(),
        gateway(broker, board) as program,
    ):
        found = World(broker, board, program, watcher)
        await found.more()
        yield found


class Console(Program):
    """`mqttlite console`, whose keys are typed through a pipe."""

    def __init__(self, *args: str) -> None:
        super().__init__(*COMMAND, "console", *args)
        self._keys = -1

    async def start(self, stdin: int = 0) -> None:
        reading, self._keys = os.pipe()
        try:
            await super().start(stdin=reading)
        finally:
            os.close(reading)

    async def type(self, keys: bytes) -> None:
        """Press keys."""
        await asyncio.to_thread(os.write, self._keys, keys)

    async def __aexit__(self, *_: object) -> None:
        os.close(self._keys)
        await super().__aexit__()


async def test_what_is_printed_reaches_the_log_and_damages_no_message_on_a_bad_line(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    async with world(mosquitto, tmp_path, NoisyLine(bit_errors=2e-5, dropped=2e-5, seed=3)) as found:
        await found.gateway.says("number 10 at 21.5 °C")
        await found.do("print('x' * 4000)")  # more than is kept: some of it is left out
        # The log may lose lines on a bad line, so each is said more than once.
        await found.do("for i in range(9): sys.print_exception(ValueError('written past the link'))")
        await found.gateway.says("ValueError: written past the link")
        await found.do("for i in range(300): sys.stdout.write('between two frames %d\\n' % i)")
        await found.gateway.says("between two frames 29")
        await found.more()
        assert not [line for line in found.gateway.lines if "WARNING" in line]


async def test_ctrl_c_leads_to_the_prompt_ctrl_d_back_and_no_message_is_lost(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    async with world(mosquitto, tmp_path) as found, Console(found.board.path) as console:
        await console.says("through the gateway")
        await console.says("number")
        await console.type(b"these keys mean nothing to a program" * 300)
        await found.more(5)
        await console.type(b"\x03")
        await console.says("KeyboardInterrupt")
        await found.gateway.says("its program has left the line")
        async with Console(found.board.path) as another:
            await another.says("MicroPython's prompt")
            await console.type(b"\rprint(6 * 7)\r")  # behind a prompt that is not a line of the log already
            await console.says("42")
            await another.says("42")
        await found.gateway.says(">>> print(6 * 7)")  # and nothing that the gateway has typed there
        await console.type(b"\x04")
        await console.says("soft reboot")
        await found.more(5)
        await console.type(b"\x1d")
        assert await console.ended() == 0


async def test_ctrl_c_in_the_window_at_a_start_comes_through_the_gateway(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with world(mosquitto, tmp_path) as found, Console(found.board.path) as console:
        await console.says("number")
        main = found.board.folder / "main.py"
        text = main.read_text()
        await found.board.power_off()  # in the middle of a frame, perhaps
        main.write_text(text.replace("window.pause(300)", "print('the window')\n    window.pause(60000)"))
        await found.board.power_on()
        await console.says("the window")

        async def press() -> None:
            while True:  # what comes with frames, before the window, does not count
                await console.type(b"\x03")
                await asyncio.sleep(1)

        async with beside(press()):
            await console.says("KeyboardInterrupt")
        main.write_text(text)
        await console.type(b"\x04")
        await found.more(5)


async def test_mpremote_breaks_in_when_the_gateway_has_gone_and_the_board_comes_back(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    async with world(mosquitto, tmp_path) as found:
        assert await found.gateway.stop() == 0
        assert (await mpremote(found.board, "exec", "print(6 * 7)")).strip() == "42"
        await mpremote(found.board, "soft-reset")
        await mpremote(found.board, "reset")
        await found.gateway.start()
        await found.more(5)


async def test_a_console_without_a_gateway_speaks_the_link_itself(tmp_path: Path) -> None:
    board = board_in(tmp_path / "board")
    async with board.running(), Console(board.path) as console:
        await console.says("without a gateway")
        await console.says("the program runs")
        await console.type(b"\x03")
        await console.says("KeyboardInterrupt")
        await console.type(b"print(6 * 7)\r")
        await console.says("42")
        await console.type(b"\x1d")
        assert await console.ended() == 0


async def test_noise_terminals_and_wrong_speeds_neither_stop_the_board_nor_cost_a_message(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    async with world(mosquitto, tmp_path) as found:
        await found.gateway.kill()
        await found.board.power_off()
        await found.board.power_on()
        host = open_port(found.board.path)
        noise = random.Random(5)

        async def read() -> None:
            while await host.read():
                pass

        async with beside(read()):
            await host.write(b"help()\r\nls -l\r\n" * 50)
            for _ in range(8):  # each a burst, then silence, which is when Ctrl-C would count
                await host.write(noise.randbytes(700))
                await asyncio.sleep(0.1)
            await host.write(b"\x03")  # once: it could begin a frame
        host.close()
        found.board.line.baud_b = 57600
        await found.gateway.start()
        await asyncio.sleep(1)
        found.board.line.baud_b = 115200
        await found.more()
        assert b"KeyboardInterrupt" not in "\n".join(found.gateway.lines).encode()


COUNTING = """
from micropython import kbd_intr
kbd_intr(-1)
import asyncio
from mqttlite import Client

async def count():
    while True:
        with open("ticks", "a") as file:
            file.write(".")
        print("x" * 100)
        await asyncio.sleep(0.02)

async def main():
    asyncio.create_task(count())
    async with Client("serial:usb", client_id="usb", retry_first=True) as client:
        await client.publish("usb/n", "1", qos=2)
        await asyncio.sleep(1000)

asyncio.run(main())
"""


async def test_a_host_that_does_not_read_native_usb_holds_the_program_up_for_a_moment_only(tmp_path: Path) -> None:
    board = board_in(tmp_path / "board", is_usb=True)
    (board.folder / "main.py").write_text(COUNTING)
    master, slave = os.openpty()
    try:
        tty.setraw(slave)
        await board.power_on(os.ttyname(slave))
        ticks = board.folder / "ticks"
        async with asyncio.timeout(RUN_TIMEOUT_S):
            while not ticks.exists() or ticks.stat().st_size < 200:  # noqa: ASYNC110 (a file tells nobody)
                await asyncio.sleep(0.05)
        assert len(os.read(master, 100000)) > 2000  # it was full
    finally:
        await board.power_off()
        os.close(master)
        os.close(slave)


async def test_after_ctrl_c_the_program_can_be_started_again_in_the_same_memory(tmp_path: Path) -> None:
    fill(tmp_path, file_system("all"))
    (tmp_path / "settings.json").write_bytes(to_json(settings("serial:usb")))
    board = ConsoleBoard(tmp_path)
    async with board.running():
        port = open_port(board.path)
        terminal = Terminal(port)
        await terminal.says(b"one")  # its name, in the link's first frame
        await terminal.type(b"\x03\x03\x03")
        await terminal.says(b">>> ")
        await terminal.type(b"start.run()\r")
        await terminal.says(b"starting")
        await terminal.says(b"one")
        port.close()
