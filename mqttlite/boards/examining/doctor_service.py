"""Steps of the doctor with the board's program running: through the broker, as everybody else sees it. For a board on
the USB cable this is the gateway meanwhile.
"""

import asyncio
import contextlib
import json
import os
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from ...core.errors import MQTTError
from ..reaching.first_message import Hearing, Where, listening, why_not
from ..report import Clock
from ..settings import trusted_certificate
from ..settings.settings_file import urls_of
from .doctor_case import Case, LeftOut, Trouble
from .doctor_prompt import leave

if TYPE_CHECKING:
    from ...client.host import Client
    from ...client.messages import Message

CONNECT_S = 10.0
BROKER = "mqtt://localhost:1883"
_T = TypeVar("_T")


class Service:
    """What lasts from one of these steps to the next: the event loop, the client, the gateway, what was heard."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._runner: asyncio.Runner | None = None
        self._stack = contextlib.ExitStack()
        self._reader: asyncio.Task[None] | None = None
        self._came = asyncio.Event()
        self._asked = 0
        self.client: Client | None = None
        self.where: Where | None = None
        self.hearing = Hearing(case.report)
        self.messages: list[Message] = []

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run a part of a step."""
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(work)

    def close(self) -> None:
        """End the gateway and the connection."""
        if self._runner is not None:
            self._runner.run(self._close())
            self._runner.close()

    async def _close(self) -> None:
        if self._reader:
            self._reader.cancel()
        self._stack.close()
        if self.client:
            await self.client.close()

    @property
    def topic(self) -> str:
        """The board's own."""
        assert self._case.settings is not None
        topic: str = self._case.settings["topic"]
        return topic

    async def connect(self) -> None:
        """To the broker, as another client of it."""
        from ...client.host import Client

        settings, wishes = self._case.settings, self._case.wishes
        assert settings is not None
        urls = urls_of(settings)
        over_network = [url for url in urls if url.startswith(("mqtt:", "mqtts:"))]
        url = wishes.broker or (over_network[0] if over_network and len(urls) == 1 else BROKER)
        usb = wishes.path if "serial:usb" in urls else None
        login = {"username": settings["username"], "password": settings["password"]} if over_network else {}
        login |= trusted_certificate.options(settings) if url.startswith("mqtts:") else {}
        self.where = Where(self.topic, url, wishes.path, wishes.link or usb, **login)
        self._case.values["broker"] = url
        client = Client(url, client_id=f"mqttlite-doctor-{os.getpid()}", clean_session=True, **login)
        try:
            async with asyncio.timeout(CONNECT_S):
                await client.start()
                await client.subscribe(self.topic + "/#", qos=2)
        except (OSError, MQTTError, TimeoutError) as error:
            await client.close()
            raise Trouble(
                f"{url} is not reached from here: {error or 'no answer'}",
                "start it (`mqttlite broker` is one), or name another one with --broker",
            ) from None
        self.client = client
        self._reader = asyncio.create_task(self._read(client))

    async def _read(self, client: "Client") -> None:
        async for message in client:
            self.messages.append(message)
            self._came.set()

    async def until(self, found: Callable[["Message"], bool], begin: int, within_s: float) -> "Message":
        """The first message from number `begin` on that is `found`. TimeoutError."""
        async with asyncio.timeout(within_s):
            while True:
                for message in self.messages[begin:]:
                    if found(message):
                        return message
                self._came.clear()
                await self._came.wait()

    async def ask(self) -> str:
        """Send the board a command that it only answers; its number."""
        assert self.client is not None
        self._asked += 1
        name = f"doctor-{os.getpid()}-{self._asked}"
        await self.client.publish(self.topic + "/command", json.dumps({"do": "ping", "id": name}), qos=2)
        return name

    async def answer(self, name: str, begin: int, within_s: float) -> dict[str, Any]:
        """What the board answers to that. TimeoutError."""
        message = await self.until(lambda message: self._answers(message) == name, begin, within_s)
        answer: dict[str, Any] = json.loads(message.payload)
        return answer

    def answers(self, name: str) -> int:
        """How often it has answered that."""
        return sum(self._answers(message) == name for message in self.messages)

    def _answers(self, message: "Message") -> str | None:
        if message.topic != self.topic + "/answer":
            return None
        try:
            name: str | None = json.loads(message.payload).get("id")
        except (ValueError, AttributeError):
            return None
        return name

    def listen(self) -> None:
        """From now on: the gateway, where this is it, and what the board prints."""
        assert self.where is not None
        self._stack.enter_context(listening(self.where, self.hearing))


def broker(case: Case) -> str:
    """A client of its own reaches it."""
    service: Service = case.service
    service.run(service.connect())
    return f"{case.values['broker']} is reached from here"


def link(case: Case) -> str:
    """Start the board, and wait until it says that it is there."""
    service: Service = case.service
    leave(case, restart=True)
    return service.run(_link(case, service))


async def _link(case: Case, service: Service) -> str:
    assert service.where is not None
    clock = Clock()
    service.listen()
    try:
        await service.until(_is_online(service), 0, case.wishes.wait_s)
    except TimeoutError:
        raise Trouble(why_not(service.where, service.hearing, case.wishes.wait_s), _todo(service.where)) from None
    case.values["online_s"] = round(clock.s, 1)
    carried = "through this computer as its gateway" if service.where.link else "through the broker"
    return f"'{service.topic}' is online {carried}, {clock.s:.0f} s after its start"


def _is_online(service: Service) -> Callable[["Message"], bool]:
    return lambda message: (
        message.topic == service.topic + "/online" and bytes(message.payload) == b"1" and not message.retain
    )


def _is_offline(service: Service) -> Callable[["Message"], bool]:
    return lambda message: message.topic == service.topic + "/online" and bytes(message.payload) == b"0"


def _todo(where: Where) -> str:
    if where.link:
        return "look at what the board prints above; then at the wiring (hardware/README.md)"
    return "does a gateway carry its link (mqttlite gateway), or Wi-Fi reach it? look at what the board prints above"


def message(case: Case) -> str:
    """A command to the board and its answer, both at QoS 2."""
    service: Service = case.service
    return service.run(_message(case, service))


async def _message(case: Case, service: Service) -> str:
    clock = Clock()
    begin = len(service.messages)
    name = await service.ask()
    try:
        answer = await service.answer(name, begin, case.wishes.wait_s)
    except TimeoutError:
        raise Trouble(
            "the board is online and does not answer a command",
            "an older program, or one of your own? it has to subscribe to its topic `command`",
        ) from None
    case.values.update(round_trip_s=round(clock.s, 3), boot=answer.get("boot"), free=answer.get("free"))
    return f"a command and its answer, each exactly once, in {clock.s * 1000:.0f} ms"


def power(case: Case) -> str:
    """A command that waits while the board has no power is obeyed once; readings go on where they were."""
    service: Service = case.service
    if not case.wishes.resets and not case.asker.may_ask:
        raise LeftOut("somebody has to pull the plug; --reset restarts the board instead, which shows less")
    return service.run(_power(case, service))


async def _power(case: Case, service: Service) -> str:
    within_s = case.wishes.wait_s
    first = await service.answer(await service.ask(), 0, within_s)
    begin = len(service.messages)
    assert service.client is not None
    if case.wishes.resets:
        await service.client.publish(service.topic + "/command", '{"do": "restart"}', qos=2)
        await service.until(_is_offline(service), begin, within_s)
        held = await service.ask()
    else:
        await asyncio.to_thread(case.asker.is_yes, "pull the board's plug, and leave it out; done?")
        held = await service.ask()
        await asyncio.to_thread(case.asker.is_yes, "plug it in again; done?")
    try:
        await service.until(_is_online(service), begin, within_s)
        answer = await service.answer(held, begin, within_s)
        await service.answer(await service.ask(), begin, within_s)  # what comes twice is here before it
    except TimeoutError:
        raise Trouble(
            "the board does not come back, or has not got the command that waited for it",
            "press Reset (EN); look at what it prints: mqttlite doctor --only link",
        ) from None
    case.values.update(boots=[first.get("boot"), answer.get("boot")], answers=service.answers(held))
    if answer.get("boot") == first.get("boot"):
        raise Trouble("the board has not been off: it counts no start", "pull all plugs that it gets power from")
    if service.answers(held) != 1:
        raise Trouble(
            f"the command that waited was answered {service.answers(held)} times",
            'is `store` in the settings empty? "journal" keeps what is known over a loss of power',
        )
    numbered = _check_numbers(service)
    readings = f"; {numbered} numbered readings without a gap" if numbered else ""
    what = "a restart (which is no power cut)" if case.wishes.resets else "a power cut"
    return f"a command that waited over {what} was obeyed once{readings}"


def _check_numbers(service: Service) -> int:
    """The number of readings that have one, none of which is missing; at QoS 2 none comes twice."""
    found: dict[str, list[int]] = {}
    qos: dict[str, int] = {}
    for message in service.messages:
        with contextlib.suppress(ValueError):
            values = json.loads(message.payload)
            if message.qos and not message.retain and isinstance(values, dict) and isinstance(values.get("n"), int):
                first = values["n"]
                found.setdefault(message.topic, []).extend(range(first, first + len(values.get("dt", "1"))))
                qos[message.topic] = message.qos
    for topic, numbers in found.items():
        missing = set(range(min(numbers), max(numbers) + 1)) - set(numbers)
        if missing:
            raise Trouble(
                f"{topic}: readings {', '.join(map(str, sorted(missing)[:5]))} are missing",
                "is `store` in the settings empty? did its `problem` say that the flash is full?",
            )
        if qos[topic] == 2 and len(set(numbers)) < len(numbers):
            raise Trouble(f"{topic}: readings have come twice", "tell us: that must not be")
    return sum(map(len, found.values()))
