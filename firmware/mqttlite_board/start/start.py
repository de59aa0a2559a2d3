"""The starter: chooses which half of the flash runs, starts its program, and the board again whenever that fails.

An update over MQTT replaces everything but this file, boot.py and main.py, so whatever it brings, this has to come
through it. The halves are the folders a and b at the root: an application and its lib/. `half.json` says which one is
good, and whether the other one is on trial: it is started `of` times at most, each start counted before anything of it
is imported, and becomes the good one when a message of its application has been confirmed (`good`). Otherwise the board
goes back. Without a half there is what lies at the root, or in the image.

Ten starts in a row of which none was good end in safe mode (`is_safe`): the program runs without the application.

Nothing that can be missing, damaged or wrong is imported before it can be caught: settings, program, application. So
whatever fails is said, the board comes back by itself, and Ctrl-C leads to the prompt at any time. Also runs on
MicroPython's Unix port and on CPython, where a failure ends the program.
"""

import json
import os
import sys
import time

import window

try:
    import machine

    IS_BOARD = hasattr(machine, "reset")
except ImportError:
    IS_BOARD = False

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WINDOW_S = 2  # at each start, for Ctrl-C
RESTART_S = 10  # from a failure to the restart,
EARLY_S = 60  # from one in the first minute, which will probably come again: each start writes to the flash
ASKED_MS = 15000  # how long a client of Improv that asks for a board with settings may be silent
WRONG_S = 3600  # from what no restart mends: a wrong setting, no program in either half
PROMPT_S = 3600  # how long the watchdog lets you work at the prompt after Ctrl-C
FEED_S = 1
BAD_MAX = 10  # starts in a row; the next one is in safe mode
FINE_S = 600  # who has run for so long is no bad start, whatever it has delivered
TRIAL_STARTS = 3  # unless half.json says `of`,
TRIAL_S = 600  # and `within_s`: so long each of them may take until a message is confirmed

HALVES = ("a", "b")
ROOT = os.getcwd().rstrip("/") + "/"
SETTINGS = ROOT + "settings.json"
HALF = ROOT + "half.json"
BOOTS = ROOT + "boots.txt"
PART = "/part"  # in a half: it is being written

boots = 0  # how often the board has started, with this time
half = ""  # which half runs: a, b, or "" where there is none
is_trial = False
is_safe = False
is_good = False  # this start
watchdog: "Any" = None  # once it is started; it cannot be stopped
led: "Any" = None  # its pin, once the settings have said it
record: "dict[str, Any]" = {}  # of half.json; empty without one
_bad = 0  # starts in a row that were not good, with this one
_begun = 0
_timer: "Any" = None  # ends a trial that hangs


# -- this start, and the ones before


def begin() -> None:
    """Count this start and choose the half. Raises nothing: what cannot be read or written is said."""
    global boots, is_safe, _bad, _begun
    _begun = _now_s()
    try:
        with open(BOOTS) as file:
            words = file.read().split(" ")
        boots, _bad = int(words[0]), int(words[1]) if len(words) > 1 else 0
    except (OSError, ValueError):  # the first start, or the file holds no numbers
        boots = _bad = 0
    if reset_cause() != "DEEPSLEEP" or not boots:  # to sleep is to end well; a wake-up counts itself (sleeping.py)
        boots += 1
        _bad += 1
        _write_boots()
    _choose()
    is_safe = _bad > BAD_MAX and not is_trial


def reset_cause() -> str:
    """Why the board has started: PWRON, HARD, WDT, DEEPSLEEP or SOFT; "" on a computer."""
    if IS_BOARD and hasattr(machine, "reset_cause"):
        cause = machine.reset_cause()
        for name in ("PWRON", "HARD", "WDT", "DEEPSLEEP", "SOFT"):
            if getattr(machine, name + "_RESET", None) == cause:
                return name
    return ""


def write(path: str, data: "str | bytes") -> None:
    """Replace a small file: after a power cut there is the old one or the new one."""
    with open(path + ".new", "w" if isinstance(data, str) else "wb") as file:
        file.write(data)
    os.rename(path + ".new", path)


def exists(path: str) -> bool:
    """Whether there is such a file or folder."""
    try:
        os.stat(path)
    except OSError:
        return False
    return True


def _write_boots() -> None:
    try:
        write(BOOTS, "%d %d" % (boots, _bad))
    except OSError as error:
        print("the number of starts is not stored:", error)


def _choose() -> None:
    global is_trial, record
    there = [name for name in HALVES if exists(ROOT + name) and not exists(ROOT + name + PART)]
    good = there[0] if there else ""
    chosen = None
    try:
        with open(HALF) as file:
            record = json.load(file)
        for name in ("count", "starts", "of", "within_s"):  # who reads them later relies on it
            if not isinstance(record.get(name, 0), int):
                raise ValueError(name)
        if record["good"] in there or record["good"] == "":
            good = record["good"]
        trial = record["trial"]
        if trial in there and trial != good:
            chosen = trial
        if chosen or record.get("image"):
            _try()
    except Exception as error:  # whatever the file holds
        if not isinstance(error, OSError) or error.errno != 2:
            print("half.json:", repr(error))
        is_trial = False  # what is not counted is not tried
        if not isinstance(error, OSError):
            record = {}
    use(chosen if is_trial and chosen else good)


def _try() -> None:
    """One more start of what is on trial, or none."""
    global is_trial
    image = record.get("image")
    is_trial = record["starts"] < record.get("of", TRIAL_STARTS)
    if image:
        import esp32

        Partition: "Any" = esp32.Partition
        is_new = Partition(Partition.RUNNING).info()[4] == image["new"]
        if is_new and not is_trial:
            Partition.find(label=image["old"])[0].set_boot()
            undo("it was started %d times, and delivered nothing" % record["starts"])
            write(HALF, json.dumps(record))
            machine.reset()
        if is_trial and not is_new:
            if exists(ROOT + "update/manifest"):  # the power was cut before the slot was chosen
                record["starts"] += 1
                write(HALF, json.dumps(record))
                Partition.find(label=image["new"])[0].set_boot()
                machine.reset()
            is_trial = False  # the boot loader has gone back
    if is_trial:
        record["starts"] += 1
    else:
        undo("it was started %d times, and delivered nothing" % record["starts"])
    write(HALF, json.dumps(record))


def keep(new: "dict[str, Any]") -> None:
    """Replace half.json, then `record`, by another one."""
    write(HALF, json.dumps(new))
    record.clear()
    record.update(new)


def undo(why: str) -> None:
    """The trial in `record` is over: what was good stays. To be written, and told (update.py)."""
    record["trial"] = record["image"] = None
    record["tell"] = why


def use(name: str) -> None:
    """Modules come from this half first, and from no other one."""
    global half
    for folder in [ROOT + other + below for other in HALVES for below in ("", "/lib")]:
        if folder in sys.path:
            sys.path.remove(folder)
    half = name
    if name:
        sys.path.insert(0, ROOT + name + "/lib")
        sys.path.insert(0, ROOT + name)


def good() -> bool:
    """The application has delivered: PUBCOMP for a message of this start, or PUBACK where it has none of QoS 2. So this
    start was a good one; whether that has ended a trial. To be asked again until `is_good`: the flash may be full.
    """
    global is_good, is_trial, _timer
    was_trial = is_trial
    try:
        if is_trial:
            now = dict(record)
            now.update({"good": half, "trial": None, "image": None, "tell": "good"})
            if record.get("image"):
                from esp32 import Partition

                Partition.mark_app_valid_cancel_rollback()
            keep(now)
            is_trial = False
            if _timer:
                _timer.deinit()
                _timer = None
    except OSError as error:
        print("half.json:", error)
        return False
    is_good = True
    _forgive()
    return was_trial


def _forgive() -> None:
    global _bad
    if _bad:
        _bad = 0
        _write_boots()


def feed() -> None:
    """Tell the watchdog, if there is one, that all is well; to be called all the time. Ends a trial that takes too long
    by a restart.
    """
    if watchdog:
        watchdog.feed()
    if is_trial:
        if _age_s() > record.get("within_s", TRIAL_S):
            print("on trial: nothing was delivered in its time")
            restart()
    elif _bad and not is_safe and _age_s() > FINE_S:
        _forgive()


def restart(forgive: bool = False) -> None:
    """Start the board again; on a computer, end the program. `forgive`: the starts until now count no more, so that
    safe mode ends.
    """
    if forgive:
        _forgive()
    if IS_BOARD:
        machine.reset()
    raise SystemExit


def _now_s() -> int:
    """Seconds that no clock which is set makes jump."""
    clock: "Any" = time
    return int(clock.ticks_ms() // 1000 if hasattr(clock, "ticks_ms") else clock.monotonic())


def _age_s() -> int:
    age = _now_s() - _begun
    return age if age >= 0 else FINE_S + TRIAL_S  # ticks wrap after days


# -- the program


def run() -> None:
    """Run the program. A board comes back from whatever goes wrong, and says what it was."""
    global _bad
    try:
        wait()
        begin()
        try:
            _serve()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # on a board, a cancelled task is no Exception
            if not IS_BOARD:
                raise
            early = _age_s() <= EARLY_S and not is_trial  # the number of its starts is small
            wait_and_reset(error, EARLY_S if early else RESTART_S)
    except KeyboardInterrupt as error:
        if window.asked(error):
            _answer()
        if _bad:  # somebody is there, and sees what happens
            _bad -= 1
            _write_boots()
        feed_at_the_prompt()
        window.prompt(error)
        raise


def wait() -> None:
    """At each start but a waking: some time in which Ctrl-C leads to the prompt, with nothing started. Without settings
    nothing will be started, so there is nothing to wait for.
    """
    if IS_BOARD and reset_cause() != "DEEPSLEEP" and exists(SETTINGS):
        print("starting in %d s; Ctrl-C prevents it" % WINDOW_S)
        window.pause(WINDOW_S * 1000)


def _answer() -> None:
    """A client of Improv speaks on the console: answer it as long as it does, then start again."""
    window.free()
    _module("provisioning").run(SETTINGS, feed, "", ASKED_MS)
    restart()


def _serve() -> None:
    """Start the watchdog, then run the program to its end."""
    global led, watchdog
    if IS_BOARD and is_trial:
        _end_at(record.get("within_s", TRIAL_S) + EARLY_S)
    load = _module("settings").load
    problem = None
    try:
        settings = load(SETTINGS)
        if IS_BOARD and settings["watchdog_s"]:
            watchdog = machine.WDT(timeout=settings["watchdog_s"] * 1000)
        led = settings["led"]
    except Exception as error:
        problem = error
    if problem:
        if IS_BOARD and not is_trial:
            _wait_for_settings(problem)
        raise WrongSettings(problem)
    if "serial:usb" not in settings["url"]:
        window.catch_ctrl_c(True)
    if is_safe:
        print("safe mode, after %d starts that failed: no application" % (_bad - 1))
    load = None  # it holds its module
    forget("settings")
    _module("program").run(settings, sys.modules[__name__])


def _wait_for_settings(problem: Exception) -> None:
    """Nobody can work without settings: take some on the console, then start again. Where there is no console, return;
    what is damaged is read again after a while.
    """
    _forgive()
    is_missing = isinstance(problem, OSError)
    run = _module("provisioning").run
    if run(SETTINGS, feed, "" if is_missing else str(problem), 0 if is_missing else WRONG_S * 1000):
        restart()


class WrongSettings(Exception):
    """settings.json cannot be read; `args[0]` is why."""


class NoProgram(Exception):
    """No half has a program that can be imported; `args[0]` is why."""


def _module(name: str) -> "Any":
    """A module of the program, from the half or, where it cannot be imported, from the other one."""
    tried = half
    problem = None
    for other in (half, "b" if half == "a" else "a"):
        if other != half:
            if is_trial or not exists(ROOT + other) or exists(ROOT + other + PART):
                break
            print("half %s cannot be imported: %r; trying half %s" % (half, problem, other))
            use(other)
            for module in list(sys.modules):
                if module == "app" or module.split(".")[0] in ("mqttlite", "mqttlite_board"):
                    del sys.modules[module]
        try:
            __import__("mqttlite_board." + name)
            return sys.modules["mqttlite_board." + name]
        except MemoryError:
            raise
        except Exception as error:
            problem = error
    use(tried)
    raise NoProgram(problem)


def forget(name: str) -> None:
    """Give back the memory of a module of the program. Who needs it again loads it again."""
    if sys.implementation.name == "micropython":
        sys.modules.pop("mqttlite_board." + name, None)
        package = sys.modules.get("mqttlite_board")
        if hasattr(package, name):
            delattr(package, name)


def _end_at(seconds: int) -> None:
    """Restart the board then, even when it hangs, unless `good` was called."""
    global _timer
    for number in (1, 0, -1):  # boards differ in which they have
        try:
            _timer = machine.Timer(number)
            _timer.init(mode=machine.Timer.ONE_SHOT, period=seconds * 1000, callback=lambda _: machine.reset())
            return
        except Exception:
            _timer = None


def wait_and_reset(error: BaseException, pause_s: int) -> None:
    """Say what has failed, blink, and restart the board after a while."""
    pin = None
    try:
        pin, pause_s = explain(error, pause_s)
    except Exception as failure:  # no memory, perhaps
        print(repr(error), repr(failure))
    for left_s in range(pause_s, 0, -1):
        if left_s % 10 == 0:
            print("%r; restarting in %d s; Ctrl-C prevents it" % (error, left_s))
        for _ in range(4):
            if watchdog:
                watchdog.feed()
            if pin:
                pin.value(not pin.value())
            window.pause(250)
    machine.reset()


def explain(error: BaseException, pause_s: int) -> "tuple[Any, int]":
    """Print what has failed and what to do; the LED, if the settings name one, and how long to wait."""
    import gc

    gc.collect()
    cause = error.args[0] if isinstance(error, (WrongSettings, NoProgram)) else error
    sys.print_exception(cause)
    try:
        from mqttlite_board import crash

        crash.save(cause, sys.modules[__name__])
    except Exception as failure:
        print("not kept:", repr(failure))
    if isinstance(error, WrongSettings) or type(error).__name__ == "SettingError":
        print("settings.json is wrong: correct it, copy it to the board, press reset")
        pause_s = RESTART_S if is_trial else WRONG_S
    elif isinstance(error, NoProgram):
        print("there is no program that can be imported: copy it to the board again, press reset")
        if _bad > BAD_MAX:
            pause_s = WRONG_S
    elif isinstance(error, OSError):
        try:
            from mqttlite.core.oserror import words

            print(words(error))
        except ImportError:
            pass  # a bundle has no words
    if led is None:
        return None, pause_s
    try:
        return machine.Pin(led, machine.Pin.OUT), pause_s
    except (ValueError, TypeError):  # it may be what is wrong
        return None, pause_s


def feed_at_the_prompt() -> None:
    """Somebody has pressed Ctrl-C: a timer feeds the watchdog for a while."""
    if _timer:
        _timer.deinit()
    if not watchdog:
        return
    left = [PROMPT_S]

    def tick(timer: "Any") -> None:
        left[0] -= FEED_S
        if left[0] > 0:
            watchdog.feed()

    try:
        timer = machine.Timer(0)
    except ValueError:  # where there are only timers without a number
        timer = machine.Timer(-1)
    timer.init(period=FEED_S * 1000, callback=tick)
    print("the watchdog restarts the board in", PROMPT_S // 60, "minutes")
