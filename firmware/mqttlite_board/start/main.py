"""Runs after boot.py: starts the program (mqttlite_board.program), and the board again whenever that fails.

Nothing that can be missing, damaged or wrong is imported before it can be caught: settings, program, application. So
whatever fails is said, the board comes back by itself, and Ctrl-C leads to the prompt at any time. Also runs on
MicroPython's Unix port and on CPython, where a failure ends the program.
"""

import sys
import time

try:
    from machine import WDT, reset

    IS_BOARD = True
except ImportError:
    IS_BOARD = False

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

RESTART_S = 10  # from a failure to the restart,
EARLY_S = 60  # from one in the first minute, which will probably come again: each start writes to the flash
WRONG_S = 3600  # from a wrong setting, which no restart mends
PROMPT_S = 3600  # how long the watchdog lets you work at the prompt after Ctrl-C
FEED_S = 1
SETTINGS = "settings.json"

watchdog: "Any" = None  # once it is started; it cannot be stopped
led: "Any" = None  # its pin, once the settings have said it


def feed() -> None:
    """Tell the watchdog, if there is one, that all is well."""
    if watchdog:
        watchdog.feed()


def start() -> None:
    """Start the watchdog, then run the program to its end."""
    global watchdog, led
    problem = None
    try:
        from mqttlite_board.settings import load

        settings = load(SETTINGS)
        if IS_BOARD and settings["watchdog_s"]:
            watchdog = WDT(timeout=settings["watchdog_s"] * 1000)
        led = settings["led"]
    except Exception as error:
        problem = error
    if problem:
        raise WrongSettings(problem)
    from mqttlite_board import program

    program.run(settings, feed)


class WrongSettings(Exception):
    """settings.json cannot be read; `args[0]` is why."""


def run() -> None:
    """Run the program. A board comes back from whatever goes wrong, and says what it was."""
    begun = time.time()
    try:
        try:
            start()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # on a board, a cancelled task is no Exception
            if not IS_BOARD:
                raise
            wait_and_reset(error, RESTART_S if time.time() - begun > EARLY_S else EARLY_S)
    except KeyboardInterrupt:
        feed_at_the_prompt()
        raise


def wait_and_reset(error: BaseException, pause_s: int) -> None:
    """Say what has failed, blink, and restart the board after a while."""
    led = None
    try:
        led, pause_s = explain(error, pause_s)
    except Exception as failure:  # no memory, perhaps
        print(repr(error), repr(failure))
    for left_s in range(pause_s, 0, -1):
        if left_s % 10 == 0:
            print("%r; restarting in %d s; Ctrl-C prevents it" % (error, left_s))
        for _ in range(4):
            feed()
            if led:
                led.value(not led.value())
            time.sleep(0.25)
    reset()


def explain(error: BaseException, pause_s: int) -> "tuple[Any, int]":
    """Print what has failed and what to do; the LED, if the settings name one, and how long to wait."""
    import gc

    gc.collect()
    cause = error.args[0] if isinstance(error, WrongSettings) else error
    sys.print_exception(cause)
    if isinstance(error, WrongSettings) or type(error).__name__ == "SettingError":
        print("settings.json is wrong: correct it, copy it to the board, press reset")
        pause_s = WRONG_S
    elif isinstance(error, OSError):
        try:
            from mqttlite.core.oserror import words

            print(words(error))
        except ImportError:
            pass  # a bundle has no words
    if led is None:
        return None, pause_s
    from machine import Pin

    try:
        return Pin(led, Pin.OUT), pause_s
    except (ValueError, TypeError):  # it may be what is wrong
        return None, pause_s


def feed_at_the_prompt() -> None:
    """Somebody has pressed Ctrl-C: a timer feeds the watchdog for a while."""
    if not watchdog:
        return
    left = [PROMPT_S]

    def tick(timer: "Any") -> None:
        left[0] -= FEED_S
        if left[0] > 0:
            watchdog.feed()

    from machine import Timer

    try:
        timer = Timer(0)
    except ValueError:  # where there are only timers without a number
        timer = Timer(-1)
    timer.init(period=FEED_S * 1000, callback=tick)
    print("the watchdog restarts the board in", PROMPT_S // 60, "minutes")


if __name__ == "__main__":
    run()
