"""Requests and their answers, over 3.1.1 and 5.0; the first answer to a key is the only one."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import gmqtt
import pydantic
import pytest

from mqttlite import AnswerError, Client, ClosedError, Message, StoreError
from mqttlite.client import first_answers
from mqttlite.client.first_answers import Answer, FileAnswers, MemoryAnswers
from mqttlite.client.requests.typed import from_payload, to_payload
from tests.peers import Mosquitto

VERSIONS = ("3.1.1", "5.0")


@contextlib.asynccontextmanager
async def serving(url: str, topic_filter: str, function: Callable[..., Any], **options: Any) -> AsyncIterator[Client]:
    """A client that serves; it is gone at the end of the block."""
    of_client = {name: options.pop(name) for name in ("version", "client_id", "store", "size_max") if name in options}
    async with Client(url, **of_client) as server:
        task = asyncio.create_task(server.serve(topic_filter, function, **options))
        while not any(wanted.request == 0 for wanted in server._life.protocol.subscriptions.values()):
            await server._life.progress.wait()
        try:
            yield server
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


@pytest.mark.parametrize(("version", "server_version"), [("3.1.1", "3.1.1"), ("3.1.1", "5.0"), ("5.0", "5.0")])
async def test_an_answer_comes_back_to_who_has_asked(url: str, version: str, server_version: str) -> None:
    """Response topic and correlation data; [MQTT-3.3.2-15] [MQTT-3.3.2-16]: they go to the other side unchanged."""

    def square(message: Message) -> int:
        return int(message.payload) ** 2

    async with serving(url, "square/+", square, version=server_version), Client(url, version=version) as client:
        answers = await asyncio.gather(*(client.request(f"square/{n}", str(n), qos=n % 3) for n in range(6)))
        assert [answer.payload for answer in answers] == [b"0", b"1", b"4", b"9", b"16", b"25"]
        assert not client._requests._waiting  # type: ignore[union-attr]
        assert await client.request("square/7", "7", into=int) == 49


@dataclasses.dataclass
class Order:
    item: str
    count: int


@dataclasses.dataclass
class Price:
    cents: int


class Total(pydantic.BaseModel):
    cents: int


@pytest.mark.parametrize("version", VERSIONS)
async def test_requests_and_answers_may_have_types(url: str, version: str) -> None:
    async def price(order: Order, message: Message) -> Price:
        assert message.topic == "price"
        return Price(cents=len(order.item) * order.count)

    async with serving(url, "price", price, into=Order, version=version), Client(url, version=version) as client:
        assert await client.request("price", Order("nut", 7), into=Price) == Price(cents=21)
        assert await client.request("price", {"item": "é", "count": 2}, into=Total) == Total(cents=2)
        for wrong in (b"{", b"[]", b'{"item": "x"}', b"\xff"):
            with pytest.raises(AnswerError, match="the payload is no Order"):
                await client.request("price", wrong)
        with pytest.raises(pydantic.ValidationError):
            await client.request("price", Order("nut", 7), into=pydantic.create_model("Other", euros=(int, ...)))
        with pytest.raises(ValueError, match="invalid literal"):
            await client.request("price", Order("nut", 7), into=lambda payload: int(payload))


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_function_that_raises_answers_with_an_error_and_goes_on(
    url: str, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    def picky(message: Message) -> str:
        if message.payload == b"poor":
            raise AnswerError("the card is\nrefused")
        return f"{1 / int(message.payload)}"

    async with serving(url, "charge", picky, version=version), Client(url, version=version) as client:
        with pytest.raises(AnswerError, match="the card is refused"):
            await client.request("charge", "poor")
        with pytest.raises(AnswerError, match="log says why"):
            await client.request("charge", "0")
        assert "picky, at a request to 'charge': ZeroDivisionError" in caplog.text
        assert await client.request("charge", "2", into=float) == 0.5


ODD = "\x1b[31mno\x1b[0m, \0 \x7f \ud800 \ufffe\n\u00e9nd"
ODD_SAID = r"\x1b[31mno\x1b[0m, \x00 \x7f \ud800 \ufffe \u00e9nd".replace(r"\u00e9", "\u00e9")


def refuse(message: Message) -> None:
    raise AnswerError(message.payload.decode() or ODD)


@pytest.mark.parametrize(("version", "key"), [("3.1.1", None), ("5.0", None), ("5.0", "order-1")])
async def test_what_a_broker_would_not_pass_on_in_the_words_of_an_error_is_escaped(
    mosquitto: Mosquitto, tmp_path: Path, version: str, key: str | None
) -> None:
    """Mosquitto ends the connection for a control character in a user property (5.0: 1.5.4), time and again."""
    store = str(tmp_path / "server.db")
    options = {"version": version, "client_id": "server", "store": store}
    async with serving(mosquitto.url, "ask", refuse, **options), Client(mosquitto.url, version=version) as client:
        for _ in range(2):
            with pytest.raises(AnswerError) as refusal:
                await client.request("ask", key=key)
            assert str(refusal.value) == ODD_SAID
    assert "malformed" not in mosquitto.log.lower()


async def test_an_error_without_words_is_an_error(url: str) -> None:
    async with serving(url, "ask", refuse), Client(url) as client:
        with pytest.raises(AnswerError, match="log says why"):
            await client.request("ask", " \n ")


async def test_a_request_that_is_tried_again_is_still_one(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = MemoryAnswers()
    put = answers.put
    tries = 0

    async def full(key: str, answer: Answer) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise StoreError("the disk is full")
        await put(key, answer)

    monkeypatch.setattr(answers, "put", full)
    async with (
        serving(url, "echo", lambda message: message.payload, answers=answers, tries=2, pause_s=0),
        Client(url) as client,
    ):
        assert await client.request("echo", "a", key="order-1", into=str) == "a"
    assert tries == 2


async def test_a_request_may_have_user_properties_or_none(url: str) -> None:
    async with (
        serving(url, "echo", lambda message: message.user_properties, version="5.0"),
        Client(url, version="5.0") as client,
    ):
        assert await client.request("echo", user_properties=None, into=list) == []
        assert await client.request("echo", user_properties={"a": "b"}, into=list) == [["a", "b"]]
        assert await client.request("echo", user_properties=[("a", "b")] * 2, into=list) == [["a", "b"]] * 2


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_repeated_key_gets_the_first_answer_and_other_content_is_refused(url: str, version: str) -> None:
    calls: list[bytes] = []

    def charge(message: Message) -> str:
        calls.append(message.payload)
        if message.payload == b"poor":
            raise AnswerError("refused")
        return f"receipt {len(calls)}"

    async with serving(url, "charge/+", charge, version=version), Client(url, version=version) as client:
        for _ in range(3):
            assert await client.request("charge/1", "5 EUR", key="order-1", into=str) == "receipt 1"
        assert await client.request("charge/1", "5 EUR", key="order-2", into=str) == "receipt 2"
        for topic, payload in (("charge/1", "6 EUR"), ("charge/2", "5 EUR")):
            with pytest.raises(AnswerError, match="used for another request"):
                await client.request(topic, payload, key="order-1")
        for _ in range(2):  # an error is an answer, too
            with pytest.raises(AnswerError, match="refused"):
                await client.request("charge/1", "poor", key="order-3")
    assert calls == [b"5 EUR", b"5 EUR", b"poor"]


async def test_with_a_store_the_first_answer_survives_a_restart(url: str, tmp_path: Path) -> None:
    calls = 0

    def count(message: Message) -> str:
        nonlocal calls
        calls += 1
        return str(calls)

    for _ in range(2):
        options = {"client_id": "server", "store": str(tmp_path / "state.db")}
        async with serving(url, "count", count, **options), Client(url) as client:
            assert await client.request("count", key="a", into=int) == 1
    assert oct((tmp_path / "state.db-answers").stat().st_mode)[-3:] == "600"


@pytest.mark.parametrize("version", VERSIONS)
async def test_without_an_answer_the_time_is_over_and_nothing_is_left(url: str, version: str) -> None:
    async with Client(url, version=version) as client:
        with pytest.raises(TimeoutError, match=r"no answer to the request to 'nobody' within 0\.05 s"):
            await client.request("nobody", timeout_s=0.05)
        while client._tasks and client.unconfirmed():
            await client._life.progress.wait()
        assert not client._requests._waiting  # type: ignore[union-attr]


async def test_closing_the_client_ends_a_request_in_words(url: str) -> None:
    async with Client(url) as client:
        asking = asyncio.create_task(client.request("nobody"))
        while not client._life.protocol.subscriptions:
            await client._life.progress.wait()
        await client.close()
        with pytest.raises(ClosedError):
            await asking


async def test_what_nobody_waits_for_is_not_answered_and_a_wrong_topic_for_the_answer_does_no_harm(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    got: list[bytes] = []

    def note(message: Message) -> bytes:
        got.append(message.payload)
        return message.payload

    async with serving(url, "note", note), Client(url) as client:
        await client.publish("note", "a", 2)
        await client.publish("note", b"mqttlite-request 1\nanswer: a/#\nid: 1\n\nb", 2)
        await client.publish("note", b"mqttlite-request 1\nanswer: x", 2)  # not whole: a payload as any other
        assert await client.request("note", "c", 2, into=str) == "c"
    assert got == [b"a", b"b", b"mqttlite-request 1\nanswer: x", b"c"]
    assert "the answer to a request to 'note' cannot be published" in caplog.text


async def test_a_request_that_leaves_no_room_for_words_of_an_error_costs_nobody_else_the_answer(url: str) -> None:
    def large(message: Message) -> bytes:
        return bytes(2000) if message.payload == b"large" else message.payload

    async with serving(url, "large", large, size_max=1000), Client(url) as client:
        await client.publish("large", b"mqttlite-request 1\nanswer: answer\nid: " + 930 * b"i" + b"\n\nlarge", 2)
        with pytest.raises(AnswerError, match="the request failed"):
            await client.request("large", "large", 2)
        assert await client.request("large", "c", 2, into=str) == "c"


async def test_gmqtt_asks_and_answers_by_response_topic(mosquitto: Mosquitto) -> None:
    """Who has only what 5.0 says, response topic and correlation data, is understood and understands."""
    peer = gmqtt.Client("peer")
    got: asyncio.Queue[tuple[str, bytes, dict[str, Any]]] = asyncio.Queue()

    def on_message(_: object, topic: str, payload: bytes, qos: int, properties: dict[str, Any]) -> int:
        got.put_nowait((topic, payload, properties))
        return 0

    peer.on_message = on_message
    await peer.connect("127.0.0.1", mosquitto.port)
    async with (
        serving(mosquitto.url, "double", lambda message: message.payload * 2, version="5.0"),
        Client(mosquitto.url, version="5.0") as client,
    ):
        peer.subscribe([gmqtt.Subscription("mine", 1), gmqtt.Subscription("triple", 1)])
        await client.publish("mine", "ready", 1, retain=True)
        assert (await got.get())[1] == b"ready"
        peer.publish("double", b"ab", qos=1, response_topic="mine", correlation_data=b"7")
        topic, payload, properties = await got.get()
        assert (topic, payload, properties["correlation_data"]) == ("mine", b"abab", [b"7"])
        asking = asyncio.create_task(client.request("triple", "x", into=str))
        topic, payload, properties = await got.get()
        [answer_topic], [correlation] = properties["response_topic"], properties["correlation_data"]
        peer.publish(answer_topic, payload * 3, qos=1, correlation_data=correlation)
        assert await asking == "xxx"
    await peer.disconnect()


@pytest.mark.parametrize("kind", ["memory", "file"])
async def test_first_answers_are_bounded_and_the_oldest_are_forgotten(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(*bounds: Any) -> MemoryAnswers | FileAnswers:
        return MemoryAnswers(*bounds) if kind == "memory" else FileAnswers(tmp_path / "answers", *bounds)

    answers = make(3, 100_000, 60)
    for key in "abcd":
        await answers.put(key, Answer(b"x", key.encode(), "words" if key == "d" else ""))
    assert [await answers.get(key) for key in "abcd"] == [
        None,
        Answer(b"x", b"b"),
        Answer(b"x", b"c"),
        Answer(b"x", b"d", "words"),
    ]
    await answers.put("large", Answer(b"x", bytes(99_700)))
    assert [await answers.get(key) is not None for key in ("b", "c", "d", "large")] == [False, False, True, True]
    for clock in ("monotonic", "time"):
        later = getattr(first_answers.time, clock)() + 61
        monkeypatch.setattr(first_answers.time, clock, lambda later=later: later)
    assert await answers.get("large") is None
    await answers.put("new", Answer(b"x", b""))
    assert await answers.get("new") == Answer(b"x", b"")
    await answers.close()


async def test_two_that_keep_answers_in_one_file_share_its_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As two functions that one client serves do."""
    one, other = (FileAnswers(tmp_path / "answers", 3, 100_000, 60) for _ in range(2))
    for key in "abc":
        await one.put(key, Answer(b"x", b""))
    await other.put("d", Answer(b"x", b""))
    assert [await one.get(key) is not None for key in "abcd"] == [False, True, True, True]
    later = first_answers.time.time() + 61
    monkeypatch.setattr(first_answers.time, "time", lambda: later)
    await other.put("e", Answer(b"x", b""))  # and forgets all others
    await one.put("f", Answer(b"x", b""))
    assert [await one.get(key) is not None for key in "def"] == [False, True, True]
    await one.close()
    await other.close()


def test_what_is_no_payload_is_told() -> None:
    for value in (object(), float("nan"), {1j}):
        with pytest.raises(TypeError, match="a payload is bytes, str"):
            to_payload(value)
    assert to_payload(Total(cents=3)) == '{"cents":3}'
    assert (to_payload(None), to_payload("é"), to_payload(bytearray(b"x")), to_payload([1])) == (b"", "é", b"x", "[1]")
    assert (from_payload(b"[1]", list), from_payload(b"{}", dict), from_payload(b"x", bytes)) == ([1], {}, b"x")
    with pytest.raises(ValueError, match="JSON of a list"):
        from_payload(b"{}", list)


async def test_wrong_arguments_of_a_request_are_told(url: str) -> None:
    async with Client(url) as client:
        for wrong, words in (
            ({"key": 7}, "key must be str"),
            ({"key": "a\nb"}, "printable"),
            ({"timeout_s": 0}, "timeout_s"),
            ({"response_topic": "t"}, "request\\(\\) says response_topic itself"),
            ({"correlation_data": b"1"}, "request\\(\\) says correlation_data itself"),
        ):
            with pytest.raises((TypeError, ValueError), match=words):
                await client.request("t", **wrong)  # type: ignore[arg-type]
