"""`mqttlite rr` against Mosquitto, with Mosquitto's tools as those who answer, in both versions; and mosquitto_rr."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from mqttlite import AnswerError
from mqttlite.cli import main
from mqttlite.client import Client, Message
from tests.cli.commands import mqttlite, running
from tests.peers import Mosquitto, MosquittoSub, mosquitto_pub, program, run


def at(broker: Mosquitto) -> tuple[str, ...]:
    return ("-h", "127.0.0.1", "-p", str(broker.port))


@contextlib.asynccontextmanager
async def answering(broker: Mosquitto, *answers: str) -> AsyncIterator[None]:
    """Somebody who answers each request with these payloads, as MQTT 5.0 wants it."""
    async with Client(broker.url, version="5.0") as client:
        await client.subscribe("ask")

        async def answer() -> None:
            async for message in client:
                assert message.response_topic
                for payload in answers:
                    await client.publish(message.response_topic, payload, 1, correlation_data=message.correlation_data)

        task = asyncio.create_task(answer())
        yield
        task.cancel()


async def test_a_request_gets_its_answer(mosquitto: Mosquitto) -> None:
    async with answering(mosquitto, "noon"):
        assert await mqttlite("rr", *at(mosquitto), "-t", "ask", "-m", "time") == (0, "noon\n", "")


async def test_several_answers_are_taken_by_number_or_until_the_time_is_over(mosquitto: Mosquitto) -> None:
    async with answering(mosquitto, "one", "two", "three"):
        ask = ("rr", *at(mosquitto), "-t", "ask", "-n", "-q", "1")
        assert (await mqttlite(*ask, "-C", "2")).stdout == "one\ntwo\n"
        assert await mqttlite(*ask, "-C", "0", "-W", "2") == (0, "one\ntwo\nthree\n", "")
        assert await mqttlite(*ask, "-C", "4", "-W", "2") == (
            27,
            "one\ntwo\nthree\n",
            "mqttlite rr: timed out; 3 answers to the request to 'ask'\n",
        )


async def test_who_is_not_answered_is_told_and_the_exit_code_is_27(mosquitto: Mosquitto) -> None:
    result = await mqttlite("rr", *at(mosquitto), "-t", "nobody", "-m", "x", "-W", "0.3")
    assert result == (27, "", "mqttlite rr: timed out; no answers to the request to 'nobody'\n")


async def test_an_answer_to_another_request_is_none_and_one_without_correlation_data_is(mosquitto: Mosquitto) -> None:
    async with running("rr", *at(mosquitto), "-t", "ask", "-e", "answers", "-m", "x", "-q", "1", "-d") as rr:
        assert rr.stderr and rr.stdout
        while b"has been published" not in await rr.stderr.readline():
            pass
        wrong = ("-D", "publish", "correlation-data", "of another one")
        await mosquitto_pub(mosquitto.port, "-V", "5", "-t", "answers", "-m", "wrong", *wrong)
        assert b"not an answer to this request" in await rr.stderr.readline()
        await mosquitto_pub(mosquitto.port, "-t", "answers", "-m", "right")
        assert await rr.stdout.read() == b"right\n"
        assert await rr.wait() == 0


async def test_in_3_1_1_whatever_comes_on_the_topic_of_the_answers_is_one(mosquitto: Mosquitto) -> None:
    async with MosquittoSub(mosquitto.port, "-t", "ask") as other:
        args = ("rr", *at(mosquitto), "-V", "3.1.1", "-t", "ask", "-e", "answers/+", "-m", "x", "-v")
        async with running(*args) as rr:
            assert (await other.get()).payload == b"x"
            await mosquitto_pub(mosquitto.port, "-t", "answers/1", "-m", "y")
            assert rr.stdout
            assert await rr.stdout.read() == b"answers/1 y\n"
            assert await rr.wait() == 0


async def test_the_request_carries_what_D_says(mosquitto: Mosquitto) -> None:
    async with Client(mosquitto.url, version="5.0") as client:
        await client.subscribe("ask")
        given = ("correlation-data", "mine", "content-type", "text/plain", "response-topic", "answers")
        words = [w for n in range(0, 6, 2) for w in ("-D", "publish", *given[n : n + 2])]
        async with running("rr", *at(mosquitto), "-t", "ask", "-m", "x", *words) as rr:
            message = await anext(client)
            assert (message.response_topic, message.correlation_data) == ("answers", b"mine")
            assert message.content_type == "text/plain"
            await client.publish("answers", "y", correlation_data=b"mine")
            assert await rr.wait() == 0


async def test_a_program_that_serves_requests_answers_both_tools(mosquitto: Mosquitto) -> None:
    """`client.serve`; what fails there is an answer, too."""

    def double(message: Message) -> str:
        return str(2 * int(message.payload))

    async with Client(mosquitto.url, version="5.0") as client:
        serving = asyncio.create_task(client.serve("double", double))
        await mosquitto.logged("Sending SUBACK")
        assert (await mqttlite("rr", *at(mosquitto), "-t", "double", "-m", "21", "-q", "1")).stdout == "42\n"
        words = ("-t", "double", "-e", "answers", "-m", "4", "-W", "30")
        assert (await run(program("mosquitto_rr"), *at(mosquitto), *words)).stdout == "8\n"
        serving.cancel()


@pytest.mark.parametrize("version", ["5.0", "3.1.1"])
async def test_an_answer_that_says_it_is_an_error_goes_to_stderr(mosquitto: Mosquitto, version: str) -> None:
    """Also with characters for which Mosquitto drops a user property with its connection."""

    def refuse(message: Message) -> None:
        raise AnswerError("too \x1b[31mmuch\x00")

    async with Client(mosquitto.url, version=version) as client:
        serving = asyncio.create_task(client.serve("ask", refuse))
        await mosquitto.logged("Sending SUBACK")
        asked = "mqttlite-request 1\nanswer: answers\nid: 1\n\n" if version == "3.1.1" else "x"
        ask = ("rr", *at(mosquitto), "-V", version, "-t", "ask", "-e", "answers", "-m", asked, "-q", "1", "-W", "30")
        said = "mqttlite rr: the answer is an error: too \\x1b[31mmuch\\x00\n"
        assert await mqttlite(*ask) == (1, "", said)
        assert await mqttlite(*ask, "--quiet") == (1, "", "")
        serving.cancel()


async def test_of_several_answers_those_that_are_errors_are_told_apart(mosquitto: Mosquitto) -> None:
    async with Client(mosquitto.url, version="5.0") as client:
        await client.subscribe("ask")

        async def answer() -> None:
            async for message in client:
                of = {"correlation_data": message.correlation_data}
                error = {"user_properties": {"mqttlite-error": "full"}}
                await client.publish(message.response_topic, "", 1, **of, **error)  # type: ignore[arg-type]
                await client.publish(message.response_topic, "done", 1, **of)

        task = asyncio.create_task(answer())
        ask = ("rr", *at(mosquitto), "-t", "ask", "-n", "-q", "1")
        said = "mqttlite rr: the answer is an error: full\n"
        assert await mqttlite(*ask, "-C", "1") == (1, "", said)
        assert await mqttlite(*ask, "-C", "2") == (1, "done\n", said)
        assert await mqttlite(*ask, "-C", "0", "-W", "2") == (1, "done\n", said)
        task.cancel()


async def test_mosquitto_rr_gets_its_answer_from_whoever_answers_ours(mosquitto: Mosquitto) -> None:
    async with answering(mosquitto, "noon"):
        words = ("-t", "ask", "-e", "answers", "-m", "time", "-W", "30")
        assert (await run(program("mosquitto_rr"), *at(mosquitto), *words)).stdout == "noon\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("-m x", "give one topic: -t TOPIC"),
        ("-t a -m x -V 3.1.1", "give their topic with -e"),
        ("-t a -m x -e b/#", "-e is a topic name without wildcards"),
        ("-t a -m x -C 0", "or 0 with -W"),
        ("-t a -l", "one of the arguments -m/--message"),
    ],
)
def test_what_is_no_request_is_said(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rr", *line.split()]) == 1
    assert message in capsys.readouterr().err
