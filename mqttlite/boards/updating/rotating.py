"""New credentials for a board, over MQTT: the computer's side of mqttlite_board.rotation."""

import asyncio
import dataclasses
import json
import secrets
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from mqttlite_board import rotation
from mqttlite_board.sealing import NONCE, seal

from ...core.shown import shown
from .devices import Device, Devices

if TYPE_CHECKING:
    from ...client.host import Client

STORED_S = 60.0  # for the board to take the command
DONE_S = 600.0  # for it to connect with what is new: it tries five times
_WRONG_KEY = "not signed"


class RotationError(ValueError):
    """The board has no new credentials; says what it has, and what to do."""


def new_password() -> str:
    """A password that nobody has to type."""
    return secrets.token_urlsafe(24)


def command(device: Device, counter: int, new: dict[str, Any], key: str = "") -> dict[str, Any]:
    """The command that brings a device what is `new`, signed and sealed with its key, or with `key`."""
    by = dataclasses.replace(device, key=key or device.key).key_bytes()
    about = rotation.about(device.name, counter)
    sealed = seal(by, rotation.PURPOSE, about, json.dumps(new).encode(), secrets.token_bytes(NONCE))
    return {"do": "rotate", "id": f"rotate-{counter}", "counter": counter, "sealed": b64encode(sealed).decode()}


async def rotate(
    client: "Client",
    devices: Devices,
    name: str,
    new: dict[str, Any],
    *,
    at_broker: Callable[[], Awaitable[object]],
    say: Callable[[str], object],
    stored_s: float = STORED_S,
    done_s: float = DONE_S,
) -> None:
    """Give device `name` what is `new` (rotation.CHANGEABLE) through the connected `client`, which may read its
    answers. `at_broker` makes the broker know it, once the board has it. Raises RotationError, and what `at_broker`
    raises; the board goes on with what it has in any case.
    """
    device = devices.get(name)
    device.key_bytes()
    answers = f"{device.topics}/answer"
    await client.subscribe(answers, qos=2)
    told = _Answers(client, answers)
    try:
        if "key" in new:  # before the board gets it: if nobody had it, nobody could command the board again
            device = dataclasses.replace(device, next_key=new["key"])
            devices.put(device)
        answer = await _sent(client, devices, device, new, told, stored_s)
        if answer.get("rotate") != rotation.STORED:
            raise RotationError(f"'{shown(name)}' refuses: {shown(str(answer.get('error', answer)), 200)}")
        say(f"'{shown(name)}' has the new credentials, sealed, and keeps the old ones until they work")
        await at_broker()
        await _until_done(told, name, answer["id"], say, done_s)
    finally:
        told.close()
        await client.unsubscribe(answers)
    device = devices.get(name)
    devices.put(
        dataclasses.replace(
            device,
            key=new.get("key") or device.key,
            next_key="",
            username=new.get("username") or device.username,
        )
    )


async def _sent(
    client: "Client", devices: Devices, device: Device, new: dict[str, Any], told: "_Answers", stored_s: float
) -> dict[str, Any]:
    """Send the command; the board's answer. With another key where a rotation of keys has not come to its end."""
    answer: dict[str, Any] = {}
    for key in dict.fromkeys([device.key, device.next_key] if device.next_key else [device.key]):
        counter = devices.next_counter(device.name, int(time.time()))
        sent = command(device, counter, new, key)
        await client.publish(f"{device.topics}/command", json.dumps(sent), qos=2)
        try:
            answer = await told.to(sent["id"], stored_s)
        except TimeoutError:
            raise RotationError(
                f"'{shown(device.name)}' does not answer within {stored_s:g} s: is it connected, and may this user "
                f"publish to {device.topics}/command and read {device.topics}/answer? The command may still reach it: "
                "then it tries what is new, and goes back to what it has"
            ) from None
        if _WRONG_KEY not in str(answer.get("error", "")):
            return answer
    return answer


async def _until_done(told: "_Answers", name: str, sent: str, say: Callable[[str], object], done_s: float) -> None:
    try:
        async with asyncio.timeout(done_s):
            while True:
                answer = await told.to(sent, done_s)
                state = answer.get("rotate")
                if state == rotation.DONE:
                    say(f"'{shown(name)}' is connected with the new credentials, and has forgotten the old ones")
                    return
                if state == rotation.FAILED:
                    raise RotationError(
                        f"'{shown(name)}' keeps its old credentials: {shown(str(answer.get('error')), 200)}. Give the "
                        "broker the old ones again, where it has them no more"
                    )
                if state == rotation.WAITING:
                    say(f"'{shown(name)}' is not let in with the new ones yet; it tries again")
    except TimeoutError:
        raise RotationError(
            f"no word from '{shown(name)}' within {done_s:g} s; it has both, and takes turns with them until one lets "
            "it in. Leave the broker as it is, and see whether the board comes back"
        ) from None


class _Answers:
    """What a board answers: read in a task of its own, since the client has one reader."""

    def __init__(self, client: "Client", topic: str) -> None:
        self._answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._task = asyncio.create_task(self._read(client, topic))

    async def _read(self, client: "Client", topic: str) -> None:
        async for message in client:
            if message.topic == topic:
                try:
                    answer = json.loads(message.payload)
                except ValueError:
                    continue
                if isinstance(answer, dict):
                    self._answers.put_nowait(answer)

    async def to(self, sent: str, timeout_s: float) -> dict[str, Any]:
        """The next answer to the command with this id. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while True:
                getting = asyncio.ensure_future(self._answers.get())
                try:
                    await asyncio.wait([getting, self._task], return_when=asyncio.FIRST_COMPLETED)
                    if not getting.done():
                        self._task.result()  # raises why the client has ended
                        raise RotationError("the connection to the broker has ended")
                    answer = getting.result()
                finally:
                    getting.cancel()
                if answer.get("id") == sent:
                    return answer

    def close(self) -> None:
        """Read no more."""
        self._task.cancel()
