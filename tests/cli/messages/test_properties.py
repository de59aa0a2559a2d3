"""`-D`, `-x`, options of subscriptions and %-formats of MQTT 5.0, beside Mosquitto's own tools."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from mqttlite.cli import main
from tests.cli.commands import Sub, mqttlite
from tests.peers import Mosquitto, mosquitto_pub, program, run

ALL = (
    *("-D", "publish", "user-property", "n1", "v1", "-D", "publish", "user-property", "n1", '-v"2'),
    *("-D", "publish", "content-type", "text/plain", "-D", "publish", "correlation-data", 'c"d'),
    *("-D", "publish", "message-expiry-interval", "60", "-D", "publish", "payload-format-indicator", "1"),
    *("-D", "PUBLISH", "response-topic", "r/t"),
)
FORMAT = "%A|%C|%D|%E|%F|%P|%R|%S|%m|%05E|%3F|%05S|%-14C|%.2R|%05A|%q|%r"
IDENTIFIED = ("-D", "subscribe", "subscription-identifier", "7")


def at(broker: Mosquitto) -> tuple[str, ...]:
    return ("-h", "127.0.0.1", "-p", str(broker.port))


def without_time(line: str) -> object:
    """A line of %j: its time is another (mosquitto_sub 2.0.11 writes the offset of the zone behind a Z), and properties
    stand there in the order in which they came.
    """
    return json.loads("{" + line.partition(",")[2], object_pairs_hook=lambda pairs: sorted(map(repr, pairs)))


@pytest.mark.parametrize("form", [FORMAT, "%j", "%J"])
async def test_properties_come_and_are_printed_as_with_mosquittos_tools(mosquitto: Mosquitto, form: str) -> None:
    """Both senders' messages at both receivers: all four print the same line."""
    receiving = ("-V", "5", "-t", "a", "-q", "1", "-C", "2", "-F", form)
    theirs = asyncio.create_task(run(program("mosquitto_sub"), *at(mosquitto), *IDENTIFIED, *receiving))
    await mosquitto.logged("Sending SUBACK")
    async with Sub(*at(mosquitto), *IDENTIFIED, *receiving) as ours:
        message = ("-V", "5", "-t", "a", "-q", "1", "-m", '{"x":1}', *ALL)
        await mosquitto_pub(mosquitto.port, *message)
        await mqttlite("pub", *at(mosquitto), *message, check=True)
        printed = (await ours.ended())[1].decode().splitlines()
    expected = (await theirs).stdout.splitlines()
    if form == FORMAT:
        assert printed == expected
        assert printed[0] == '|text/plain|c"d|60|1|n1:v1 n1:-v"2|r/t|7|1|00060|  1|00007|text/plain    |r/|00000|1|0'
    else:
        assert [without_time(line) for line in printed] == [without_time(line) for line in expected]
        assert json.loads(printed[0])["properties"]["message-expiry-interval"] == 60


async def test_a_message_without_properties_prints_as_nothing_where_they_would_stand(mosquitto: Mosquitto) -> None:
    for version in ("5", "311"):
        async with Sub(*at(mosquitto), "-V", version, "-t", "a", "-C", "1", "-F", "%C%D%E%F%P%R%S|%m|%t") as sub:
            await mosquitto_pub(mosquitto.port, "-t", "a", "-m", "x")
            assert (await sub.ended())[1] == b"|0|a\n"


async def test_the_session_is_kept_for_as_long_as_x_says(mosquitto: Mosquitto) -> None:
    session = (*at(mosquitto), "-V", "5", "-t", "a", "-q", "1", "-i", "reader", "-c")
    for ending in (("-x", "0"), ("-x", "3600", "-D", "disconnect", "session-expiry-interval", "0")):
        assert (await mqttlite("sub", *session, "-x", "3600", "-E")).code == 0
        await mosquitto_pub(mosquitto.port, "-t", "a", "-q", "1", "-m", "kept")
        assert (await mqttlite("sub", *session, *ending, "-C", "1")).stdout == "kept\n"
        await mosquitto_pub(mosquitto.port, "-t", "a", "-q", "1", "-m", "lost")
        assert (await mqttlite("sub", *session, "-x", "0", "-W", "0.5")).stdout == ""


async def test_options_of_subscriptions_reach_the_broker(mosquitto: Mosquitto) -> None:
    await mosquitto_pub(mosquitto.port, "-t", "a", "-m", "old", "-r", "-q", "1")
    args = (*at(mosquitto), "-V", "5.0", "-t", "a", "-F", "%p %r")
    async with Sub(*args, "--retain-handling", "never", "--retain-as-published", "-C", "1") as sub:
        await mosquitto_pub(mosquitto.port, "-t", "a", "-m", "new", "-r", "-q", "1")
        assert (await sub.ended())[1] == b"new 1\n"
    async with Sub(*args, "-R", "-C", "1") as sub:
        await mosquitto_pub(mosquitto.port, "-t", "a", "-m", "newer", "-r", "-q", "1")
        assert (await sub.ended())[1] == b"newer 0\n"


async def test_the_wills_properties_arrive_with_it(mosquitto: Mosquitto) -> None:
    will = ("--will-topic", "w", "--will-payload", "gone", "-D", "will", "user-property", "why", "lost")
    async with (
        Sub(*at(mosquitto), "-V", "5", "-t", "w", "-C", "1", "-F", "%p %P %E") as watcher,
        Sub(*at(mosquitto), "-V", "5", "-t", "x", *will, "-D", "will", "message-expiry-interval", "9") as sub,
    ):
        sub.process.kill()
        assert (await watcher.ended())[1] == b"gone why:lost 9\n"


async def test_what_the_connection_announces_can_be_said(mosquitto: Mosquitto) -> None:
    """One message at a time is on its way to a client that has announced so."""
    args = ("-V", "5", "-t", "a", "-q", "1", "-C", "20", "-D", "connect", "receive-maximum", "1")
    async with Sub(*at(mosquitto), *args) as sub:
        await mosquitto_pub(mosquitto.port, "-t", "a", "-l", "-q", "1", stdin=b"x\n" * 20)
        assert (await sub.ended())[1] == b"x\n" * 20
    steps = re.findall(r"Sending (PUBLISH) to mqttlite|Received (PUBACK) from mqttlite", mosquitto.log)
    assert steps == [("PUBLISH", ""), ("", "PUBACK")] * 20


async def test_user_properties_of_other_packets_are_taken(mosquitto: Mosquitto) -> None:
    own = [word for packet in ("connect", "subscribe") for word in ("-D", packet, "user-property", "a", "b")]
    assert (await mqttlite("sub", *at(mosquitto), "-V", "5", "-t", "a", "-E", *own)).code == 0
    own = ["-D", "unsubscribe", "user-property", "a", "b"]
    assert (await mqttlite("sub", *at(mosquitto), "-V", "5", "-U", "a", "-E", *own)).code == 0


async def test_a_broker_that_refuses_in_5_ends_it_with_its_reason_code() -> None:
    async with _Refusing(0x87) as port:
        result = await mqttlite("pub", "-p", str(port), "-h", "127.0.0.1", "-V", "5", "-t", "a", "-m", "x")
        assert result.code == 0x87
        assert "not authorised" in result.stderr.lower()


async def test_what_the_broker_refuses_is_told_once_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "acl").write_text("topic readwrite ok\n")
    with Mosquitto(tmp_path / "broker", settings={"acl_file": tmp_path / "acl", "max_qos": 1}) as broker:
        pub = ("pub", *at(broker), "-V", "5", "-m", "x")
        for qos, topic, why in (("1", "no", "not authorised"), ("2", "ok", "the broker does not have this QoS")):
            result = await mqttlite(*pub, "-q", qos, "-t", topic)
            assert (result.code, result.stderr.count("\n")) == (1, 1), result
            assert why in result.stderr
        assert (await mqttlite(*pub, "-q", "1", "-t", "ok")) == (0, "", "")


class _Refusing:
    """A listener that answers CONNECT of 5.0 with a reason code."""

    def __init__(self, reason: int) -> None:
        self._answer = bytes((0x20, 3, 0, reason, 0))

    async def __aenter__(self) -> int:
        self._server = await asyncio.start_server(self._refuse, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _refuse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(self._answer)
        writer.close()

    async def __aexit__(self, *_: object) -> None:
        self._server.close()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("-D publish content-type", "ends too early: write -D PACKET NAME VALUE"),
        ("-V 5 -D publish user-property a", "ends too early: write -D PACKET user-property NAME VALUE"),
        ("-V 5 -D puback content-type a", "there are properties of connect, publish,"),
        ("-V 5 -D publish content-typ a", "is not taken: there are content-type,"),
        ("-V 5 -D publish will-delay-interval 5", "-D publish will-delay-interval is not taken"),
        ("-V 5 -D publish topic-alias 5", "the client decides about topic aliases itself"),
        ("-V 5 -D publish message-expiry-interval x", "-expiry-interval takes a whole number from 1 to 4294967295"),
        ("-V 5 -D publish message-expiry-interval 99999999999", "takes a whole number from 1 to 4294967295"),
        ("-V 5 -D publish payload-format-indicator 2", "takes a whole number from 0 to 1"),
        ("-V 5 -D connect maximum-packet-size 4294967295", "takes a whole number from 16 to 268435455"),
        ("-V 5 -D publish content-type a -D publish content-type b", "-D publish content-type is given twice"),
        ("-D publish content-type a", "-D needs MQTT 5.0, add -V 5.0"),
        ("-x 5", "-x needs MQTT 5.0"),
        ("-V 5 -x -1", "a session that does not expire needs a client identifier, to be found again: add -i"),
        ("-V 5 -x 5 -D disconnect session-expiry-interval 4294967295", "to be found again: add -i"),
        ("-V 5 -x -2", "or -1 for a session that does not expire"),
        ("-V 5 -x 5 -D connect session-expiry-interval 5", "are the same: give one of them"),
        ("-V 5 -i q -D disconnect session-expiry-interval 5", "that is not kept: add -x, or -c and -i"),
        ("-V 5 -i q -x 0 -D disconnect session-expiry-interval 5", "that is not kept: add -x, or -c and -i"),
        ("-V 5 -D disconnect user-property a b", "-D disconnect user-property is not taken"),
        ("-V 5 -D will content-type a", "options for a will need --will-topic"),
    ],
)  # fmt: skip
def test_a_property_that_is_none_is_said(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pub", "-t", "a", "-m", "x", *line.split()]) == 1
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


def test_options_of_subscriptions_need_5(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sub", "-t", "a", "--no-local"]) == 1
    assert "--no-local needs MQTT 5.0: add -V 5.0" in capsys.readouterr().err
