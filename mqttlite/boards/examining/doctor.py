"""A board examined step by step, from its port to a message that survives a power cut: `mqttlite doctor --board`.

Each step says what it has found, or what is wrong and what to do about it; a step that needs another one that is wrong
is left out. They are in the order of bringing up a board: those at MicroPython's prompt are in doctor_prompt.py, those
with the board's program running in doctor_service.py.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mqttlite_gateway.operating.doctor.finding import LEFT_OUT, OK, WRONG, Finding

from ...serial.ports import PortError
from ..extras import MissingPartError, have
from ..reaching import chip, ports
from . import doctor_prompt, doctor_service
from .doctor_case import Case, LeftOut, Trouble, Wishes

__all__ = ["LEFT_OUT", "OK", "WRONG", "Case", "Finding", "LeftOut", "Trouble", "Wishes", "examine", "steps"]


@dataclass(frozen=True)
class Step:
    """One of them. `needs`: those that must be right before."""

    name: str
    take: Callable[[Case], str]
    needs: tuple[str, ...] = ()


def steps() -> list[Step]:
    """All of them, in order."""
    prompt = ("port", "prompt")
    service = ("port", "settings", "broker")
    return [
        Step("port", port),
        Step("chip", the_chip, ("port",)),
        Step("prompt", doctor_prompt.prompt, ("port",)),
        Step("version", doctor_prompt.version, prompt),
        Step("loop", doctor_prompt.loop, prompt),
        Step("flash", doctor_prompt.flash, prompt),
        Step("heap", doctor_prompt.heap, prompt),
        Step("files", doctor_prompt.files, prompt),
        Step("settings", doctor_prompt.settings, prompt),
        Step("wifi", doctor_prompt.wifi, ("settings",)),
        Step("broker", doctor_service.broker, ("settings",)),
        Step("link", doctor_service.link, ("files", *service)),
        Step("message", doctor_service.message, ("link",)),
        Step("power", doctor_service.power, ("message",)),
    ]


def examine(case: Case) -> Iterator[Finding]:
    """Take the steps, one after the other."""
    states: dict[str, str] = {}
    wanted = case.wishes.only
    case.service = doctor_service.Service(case)
    try:
        for step in steps():
            missing = [name for name in step.needs if states.get(name) == WRONG]
            if wanted and step.name not in wanted and step.name not in _needed(wanted):
                continue
            if missing:
                finding = Finding(step.name, LEFT_OUT, f"needs the step '{missing[0]}'")
                states[step.name] = WRONG  # and so does what needs this one
            else:
                finding = _taken(step, case)
                states[step.name] = finding.state
            yield finding
    finally:
        case.service.close()
        doctor_prompt.leave(case)


def _needed(names: tuple[str, ...]) -> set[str]:
    """The steps that these need."""
    known = {step.name: step for step in steps()}
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        for name in known[waiting.pop()].needs:
            if name not in found:
                found.add(name)
                waiting.append(name)
    return found


def _taken(step: Step, case: Case) -> Finding:
    case.values = {}
    begun = time.monotonic()
    state, todo = OK, ""
    try:
        text = step.take(case)
    except Trouble as trouble:
        state, text, todo = WRONG, str(trouble), trouble.todo
    except LeftOut as why:
        state, text = LEFT_OUT, str(why)
    except (chip.FlashError, MissingPartError, OSError, ValueError) as error:
        state, text = WRONG, str(error)
    return Finding(step.name, state, text, todo, {**case.values, "s": round(time.monotonic() - begun, 3)})


# -- the first two steps


def port(case: Case) -> str:
    """Open it, and close it again."""
    path = case.wishes.path
    try:
        ports.opened(path, chip.ROM_BAUD).close()
    except PortError as error:
        raise Trouble(
            str(error), "plug it in with a cable that carries data; end what else uses it (a gateway, a terminal)"
        ) from None
    usb = ports.usb_ids(path)
    if usb is None:
        return f"{path}"
    case.values["usb"] = f"{usb[0]:04x}:{usb[1]:04x}"
    if usb not in case.data.usb_ids:
        return f"{path}: {usb[0]:04x}:{usb[1]:04x}, which the board file does not know (a copy, perhaps, or an adapter)"
    return f"{path}: {usb[0]:04x}:{usb[1]:04x}, as the board file says"


def the_chip(case: Case) -> str:
    """Ask the ROM of the chip, and start the board again."""
    path, does = case.wishes.path, case.wishes.does_chip
    if case.data.port != "esp32":
        raise LeftOut(f"an {case.data.chip} has no download mode that can be asked over a serial port")
    if not have("esptool"):
        raise LeftOut("esptool is not installed")
    if does is None:
        with ports.opened(path, chip.ROM_BAUD) as opened:
            does = ports.has_lines(opened)
    if not does:
        raise LeftOut("it could not be reset afterwards; --chip asks all the same, with the board in download mode")
    try:
        with chip.connected(path, case.report, baud=chip.ROM_BAUD, stub=False, attempts=3) as found:
            case.values.update(chip=found.name, flash_bytes=found.flash_bytes, mac=found.mac)
            told = found.start()
    except chip.FlashError as error:
        raise Trouble("the chip does not answer", str(error)) from None
    if found.name != case.data.chip:
        raise Trouble(
            f"it is an {found.name}, and {case.data.name} has an {case.data.chip}",
            "name the right board with --board; `mqttlite board list` shows them",
        )
    if found.flash_bytes and found.flash_bytes < case.data.flash.image_bytes:
        raise Trouble(
            f"its flash has {found.flash_bytes >> 20} MiB, and the image is made for "
            f"{case.data.flash.image_bytes >> 20} MiB",
            f"take the variant for its size from {case.data.download}",
        )
    if not told:
        raise Trouble("it is in download mode still", "press Reset (EN)")
    return f"{found.description}, {found.flash_bytes >> 20} MiB of flash, {found.mac}"
