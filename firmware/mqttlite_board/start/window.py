"""Ctrl-C while the program does not run: the window at each start, and the pauses after a failure. Imports no mqttlite.

The USB socket may be a gateway's line (url "serial:usb"), on which 0x03 is a byte like any other, and MicroPython's own
Ctrl-C would end the program at every start at which a frame has one. So it is switched off here, and 0x03 counts when
nothing but control characters follows, and then nothing for a moment: a frame ends with 0x00, and comes in one piece.

What runs before (boot.py, main.py) says kbd_intr(-1) first of all, since MicroPython switches it on for each file.

Where MicroPython has no os.dupterm (Unix port) and on CPython, all of this is a sleep.
"""

import os
import sys
import time

IS_BOARD = hasattr(os, "dupterm")
QUIET_MS = 100  # after 0x03
OLD = 16  # bytes that have waited: more of them are what is left of frames
ASKED = 2  # argument of a KeyboardInterrupt that is the beginning of a packet of Improv, whose type is the byte 3
PACKET = b"IMPROV\x01"
_raw: "list[bool]" = []

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def pause(ms: int) -> None:
    """Wait so long. Raises KeyboardInterrupt when Ctrl-C is pressed meanwhile: with the argument 1 if Ctrl-A has
    followed, as from mpremote; with ASKED when it was none. Leaves MicroPython's own Ctrl-C switched off.
    """
    if not IS_BOARD:
        time.sleep(ms / 1000)
        return
    catch_ctrl_c(False)
    poll = _poller()
    stdin: "Any" = sys.stdin.buffer
    last = b""
    clock: "Any" = time
    end = clock.ticks_add(clock.ticks_ms(), ms)
    waiting = b""
    while poll.poll(0) and len(waiting) <= OLD:
        waiting += stdin.read(1)
    if len(waiting) > OLD:
        while poll.poll(0):
            waiting += stdin.read(1)
        if PACKET in waiting:
            raise KeyboardInterrupt(ASKED)
        waiting = b""
    pressed = raw = False
    while True:
        last = (last + waiting)[-OLD:]
        if PACKET in last:
            raise KeyboardInterrupt(ASKED)
        for byte in waiting:
            if byte == 3:
                pressed = True
                raw = False
            elif byte == 1:
                raw = pressed
            elif byte > 13 or not byte:
                pressed = False
        left = clock.ticks_diff(end, clock.ticks_ms())
        if pressed:
            left = QUIET_MS
        if left <= 0:
            return
        waiting = b""
        if poll.poll(left):
            waiting = stdin.read(1)
        elif pressed:
            raise KeyboardInterrupt(1) if raw else KeyboardInterrupt


def catch_ctrl_c(on: bool) -> None:
    """Switch MicroPython's own Ctrl-C on or off."""
    if IS_BOARD:
        from micropython import kbd_intr

        kbd_intr(3 if on else -1)


def _poller() -> "Any":
    import select

    poll = select.poll()
    poll.register(sys.stdin, select.POLLIN)
    return poll


def asked(error: BaseException) -> bool:
    """Whether the Ctrl-C that has ended the program was the byte 3 in a packet of Improv: what stands before it in the
    packet is still there to be read.
    """
    if not IS_BOARD or error.args:
        return error.args == (ASKED,)
    catch_ctrl_c(False)
    poll = _poller()
    before = b""
    while poll.poll(20) and len(before) < 300:
        before += sys.stdin.buffer.read(1)
    _raw.append(b"\1" in before)  # Ctrl-A behind Ctrl-C, from mpremote: `prompt` gives it back
    return PACKET in before


def free() -> None:
    """Give up what the program has imported and started, so that its memory can be used again."""
    asyncio: "Any" = sys.modules.get("asyncio")
    if asyncio:
        asyncio.new_event_loop()  # the old one has all tasks, and they have everything else;
        asyncio.core.cur_task = None  # so has the one that was running
    for name in list(sys.modules):
        if name.split(".")[0] in ("mqttlite", "mqttlite_board", "app"):
            del sys.modules[name]


def prompt(error: BaseException) -> None:
    """The program has ended with this KeyboardInterrupt. Makes ready for the prompt: MicroPython's own Ctrl-C is back,
    what the program has imported and started is given up, so that it can be started again in the same memory, and a
    tool that waits for the raw prompt gets it.
    """
    if not IS_BOARD:
        return
    catch_ctrl_c(True)
    free()
    if error.args or True in _raw:
        press(1)


def press(byte: int) -> None:
    """The prompt reads this byte as if it had been typed."""
    import io

    keys = [byte]
    system: "Any" = os

    class Key(io.IOBase):
        """A terminal that gives one byte."""

        def readinto(self, buf: "Any") -> "int | None":
            """That byte, then nothing."""
            if not keys:
                return None
            buf[0] = keys.pop()
            system.dupterm(None)
            return 1

        def write(self, buf: "Any") -> int:
            """What is printed is printed elsewhere, too."""
            return len(buf)

        def ioctl(self, request: int, argument: int) -> int:
            """Nothing is known."""
            return 0

    system.dupterm(Key())
    if hasattr(system, "dupterm_notify"):  # the ESP32 does not ask by itself
        system.dupterm_notify(None)
