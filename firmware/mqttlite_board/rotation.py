"""New credentials for a board, over MQTT: kept beside the old ones until a connection with them is confirmed.

    {"do": "rotate", "id": …, "counter": n, "sealed": base64}

`sealed` (sealing.py) holds what is new as JSON: `username`, `password`, `wifi`, `key`; it is signed together with the
board's name and the counter, which grows from one command to the next: a repeated command is refused. In the settings,
`trial` has the new ones. A board on trial starts with the new ones and the old ones in turns. The new ones are kept
when the broker has confirmed a message; they are given up when the old ones have had a connection TRIES times and the
new ones none. A broker that answers neither decides nothing. So nobody is locked out by a broker that is down, or that
learns of the new password before the board or after it. Both runtimes.

Each change is one `settings.save`: a power cut at any moment leaves a board that has the old ones, or both.
"""

import asyncio
import json
from binascii import a2b_base64, unhexlify

from . import settings
from .sealing import unseal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PURPOSE = b"mqttlite rotate"
CHANGEABLE = ("username", "password", "wifi", "key")
TRIES = 5
TURN_S = 20  # so long a turn may take until there is a connection,
JOIN_S = 60  # and where there is another network to join
AGAIN_S = 20  # so long the old ones are connected before it is the new ones' turn

STORED = "stored"  # what is reported: kept, and will be tried
WAITING = "waiting"  # not let in until now; connected with the old ones
DONE = "done"  # connected with the new ones, the old ones are forgotten
FAILED = "failed"  # not let in; the old ones stay


def about(name: str, counter: int) -> bytes:
    """What is signed with the values."""
    return name.encode() + b"\0" + counter.to_bytes(8, "big")


def accept(path: str, command: "dict[str, Any]") -> None:
    """Keep what a command brings, to be tried at the next start. ValueError says what is wrong with it."""
    values = settings.read(path)
    if not values.get("key"):
        raise ValueError("this board has no key")
    counter = command.get("counter")
    if not isinstance(counter, int) or isinstance(counter, bool) or not 0 < counter < 1 << 62:
        raise ValueError("no counter")
    sealed = command.get("sealed")
    if not isinstance(sealed, str):
        raise ValueError("nothing is sealed in it")
    text = unseal(unhexlify(values["key"]), PURPOSE, about(values["name"], counter), a2b_base64(sealed))
    if counter <= values.get("counter", 0):
        raise ValueError("counter %d has been used: repeated?" % counter)
    new = json.loads(text)
    for key in new:
        if key not in CHANGEABLE:
            raise ValueError("%s cannot be changed so" % key)
    merged = _without_trial(values)
    merged.update(new)
    settings.check(merged)
    name = command.get("id")
    new["tries"] = 0
    new["id"] = name if isinstance(name, (int, str)) else None
    values["trial"] = new
    values["counter"] = counter
    settings.save(path, values)


def _without_trial(values: "dict[str, Any]") -> "dict[str, Any]":
    left = dict(values)
    left.pop("trial", None)
    return left


def is_on_trial(values: "dict[str, Any]") -> bool:
    """Whether new credentials are to be tried; else there may be something to report."""
    return "tries" in values.get("trial", {})


def uses_new(values: "dict[str, Any]") -> bool:
    """Whether this start is a turn of the new ones."""
    return is_on_trial(values) and values["trial"]["tries"] % 2 == 0


def chosen(values: "dict[str, Any]") -> "dict[str, Any]":
    """The settings for this start: a copy, with the new credentials where it is their turn. What comes signed is still
    signed with the old key.
    """
    found = dict(values)
    if uses_new(values):
        for key in CHANGEABLE:
            if key in values["trial"] and key != "key":
                found[key] = values["trial"][key]
    return found


def turn(path: str, has_connected: bool) -> bool:
    """The other ones' turn: this start has had its time, and a connection or none. False: there is no other turn, since
    the old ones have a connection again and again, and the new ones none.
    """
    values = settings.read(path)
    trial = values["trial"]
    if has_connected and not uses_new(values):
        trial["failed"] = trial.get("failed", 0) + 1
    trial["tries"] += 1
    goes_on: bool = trial.get("failed", 0) < TRIES
    if not goes_on:
        values["trial"] = {"id": trial.get("id"), "state": "there was no connection with the new ones"}
    settings.save(path, values)
    return goes_on


def confirmed(path: str) -> None:
    """The new ones have let the board in: they are the only ones from now on."""
    values = settings.read(path)
    trial = values.pop("trial")
    for key in CHANGEABLE:
        if key in trial:
            values[key] = trial[key]
    settings.save(path, values)


def reported(path: str) -> None:
    """That it has failed has been told."""
    settings.save(path, _without_trial(settings.read(path)))


def report(values: "dict[str, Any]") -> "dict[str, Any]":
    """What is to be told once there is a connection."""
    trial = values["trial"]
    state = FAILED if "state" in trial else DONE if uses_new(values) else WAITING
    told: "dict[str, Any]" = {"id": trial.get("id"), "rotate": state, "counter": values.get("counter", 0)}
    if state == FAILED:
        told["error"] = trial["state"]
    return told


# -- as parts of the program


async def obey(program: "Any", command: "dict[str, Any]") -> "dict[str, object]":
    """The command: see commands.py."""
    accept(program.start.SETTINGS, command)
    program.stop("restart")
    return {"rotate": STORED, "counter": command["counter"]}


async def follow(program: "Any") -> None:
    """Bring what is on trial to an end; for ever. The program's settings have `trial` until then."""
    path = program.start.SETTINGS
    values = program.settings
    is_trial = is_on_trial(values)
    within_s = JOIN_S if "wifi" in values["trial"] else TURN_S
    try:
        await asyncio.wait_for(program.connected.wait(), within_s if is_trial else None)
    except asyncio.TimeoutError:
        turn(path, False)
        program.stop("restart")
    else:
        await _settle(program, path, is_trial)
    await asyncio.Event().wait()


async def _settle(program: "Any", path: str, is_trial: bool) -> None:
    """There is a connection."""
    values = program.settings
    receipt = await program.publish("answer", json.dumps(report(values)), 2)
    if not is_trial or uses_new(values):
        await receipt.completed()
        if is_trial:
            confirmed(path)
            values["key"] = values["trial"].get("key", values["key"])
        else:
            reported(path)
    else:
        await asyncio.sleep(AGAIN_S)
        if turn(path, True):
            program.stop("restart")
            return
        told = report(settings.read(path))
        await (await program.publish("answer", json.dumps(told), 2)).completed()
        reported(path)
    values.pop("trial")
