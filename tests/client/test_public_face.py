"""What a program gets from `import mqttlite`, and what the client says to who expects another one."""

import asyncio
import inspect
import pydoc
import subprocess
import sys
from pathlib import Path

import pytest

import mqttlite
import mqttlite.blocking
from mqttlite.client import board
from mqttlite.core import errors, rare_errors
from tests.peers import RUN_TIMEOUT_S, MicroPython, Mosquitto
from tests.runtimes import ROOT

# Runs on both runtimes.
PROGRAM = """
import asyncio

import mqttlite
from mqttlite import Client, Message, MQTTError, PendingMessage, Receipt, RefusedError, SetAsideError, StoreError, Will
from mqttlite.client import Client as SameClient
from mqttlite.core import errors, rare_errors

assert Client is SameClient
assert RefusedError is errors.RefusedError and StoreError is errors.StoreError and issubclass(SetAsideError, MQTTError)
assert Will("a", b"b", 1, True) == ("a", b"b", 1, True)
assert PendingMessage(7, "accepted", "a", 1, b"").state == "accepted"

message = Message("room/1/state", b"x" * 70, 0x3B, 7, 0)
assert message.matches("room/+/state") and message.matches("#") and not message.matches("room/+")
print(message)

try:
    mqttlite.nothing
except AttributeError as error:
    print(error)


async def main():
    receipt = Receipt(5)
    print(receipt)

    async def confirm():
        await asyncio.sleep(0)
        receipt._finish(None)

    task = asyncio.create_task(confirm())
    await receipt
    await receipt
    await task
    print(receipt)
    receipt = Receipt(6)
    receipt._finish(MQTTError("refused"))
    try:
        await receipt
    except MQTTError as error:
        print(error)


asyncio.run(main())
"""
PRINTED = f"""\
Message('room/1/state', {b"x" * 60!r} and 10 more, qos=1, retain=True, dup=True)
module 'mqttlite' has no attribute 'nothing'
Receipt(5): not confirmed
Receipt(5): confirmed
refused
"""


def test_a_program_has_the_same_names_on_cpython(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == PRINTED, done.stderr


async def test_and_on_micropython() -> None:
    result = await MicroPython().run(PROGRAM, path=[ROOT], heap="1m")
    assert result.stdout == PRINTED, result.stderr


def test_importing_the_package_loads_nothing_of_it(tmp_path: Path) -> None:
    script = "import sys; before = set(sys.modules); import mqttlite; print(set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == "{'mqttlite'}\n", done.stderr


def test_every_public_name_is_there_and_listed() -> None:
    assert sorted(mqttlite.__all__) == mqttlite.__all__
    assert set(mqttlite.__all__) <= set(dir(mqttlite))
    for name in mqttlite.__all__:
        assert getattr(mqttlite, name).__name__ == name


def test_every_error_has_one_home() -> None:
    named = {name for name in (*vars(errors), *vars(rare_errors)) if name.endswith("Error")} | {"AnswerError"}
    assert named == {name for name in mqttlite.__all__ if name.endswith("Error")}


def test_help_tells_all_arguments_and_what_each_method_does() -> None:
    text = pydoc.plain(pydoc.render_doc(mqttlite.Client))
    for argument in ("keep_alive_s", "inbox_bytes", "manual_ack", "on_oversized"):
        assert f"{argument}: " in text, argument  # in the signature
        assert f" |  {argument} " in text, argument  # and explained
    for words in ("Accept a message for delivery", "Open the store and connect", "Disconnect and stop"):
        assert words in text  # of methods that are checked first on a host
    for name in dir(mqttlite.Client):
        if not name.startswith("_"):
            assert pydoc.inspect.getdoc(getattr(mqttlite.Client, name)), name
    assert "on_message" not in dir(mqttlite.Client)


@pytest.mark.parametrize("name", ["on_message", "on_connect", "on_disconnect", "on_publish", "on_subscribe", "on_log"])
def test_a_callback_of_another_client_is_refused_in_words(name: str) -> None:
    client = mqttlite.Client("mqtt://localhost")
    with pytest.raises(AttributeError, match=f"Client has no '{name}' to set: "):
        setattr(client, name, print)
    with pytest.raises(TypeError, match=f"Client has no '{name}' to set: "):
        mqttlite.Client("mqtt://localhost", **{name: print})


def test_a_callback_is_an_argument_and_no_attribute() -> None:
    client = mqttlite.Client("mqtt://localhost", on_connection=print)
    with pytest.raises(AttributeError, match=r"callbacks are arguments of Client\(...\)"):
        client.on_connection = print


def test_on_a_board_such_a_name_does_no_harm() -> None:
    client = board.Client("mqtt://localhost")
    client.on_message = client.on_connected = None  # type: ignore[attr-defined]
    client._life.on_message(0x31, b"t", b"x", 0, 0)
    assert [message.topic for message in client._incoming.inbox] == ["t"]


def test_both_clients_show_the_same_arguments() -> None:
    shown = inspect.signature(mqttlite.blocking.Client)
    assert shown == inspect.signature(mqttlite.Client)
    assert list(shown.parameters)[:2] == ["url", "version"]


@pytest.mark.parametrize(("version", "level"), [("3.1.1", 4), (4, 4), ("5.0", 5), (5, 5), ("5", 5)])
def test_a_version_is_said_as_the_standard_does_or_by_its_level(version: "str | int", level: int) -> None:
    client = mqttlite.Client("mqtt://localhost", version=version)
    packet = client._life.protocol.connect_packet
    assert packet[packet.index(b"MQTT") + 4] == level


async def test_what_is_pending_has_names_and_a_will_may_be_a_plain_tuple(mosquitto: Mosquitto) -> None:
    async with mqttlite.Client(mosquitto.url, will=("w", "lost", 0, False)) as client:
        client._life.protocol.is_connected = False  # nothing leaves any more
        client._life.session.out = None
        receipt = await client.publish("t", "x", 2)
        [pending] = client.pending()
        assert pending == (receipt.seq, "accepted", "t", 2, b"x")
        assert (pending.seq, pending.state, pending.payload) == (receipt.seq, "accepted", b"x")
        await client.close()
        with pytest.raises(mqttlite.ClosedError):
            await receipt


async def test_a_will_with_names_is_published(mosquitto: Mosquitto) -> None:
    async with mqttlite.Client(mosquitto.url) as reader:
        await reader.subscribe("w")
        client = mqttlite.Client(mosquitto.url, will=mqttlite.Will("w", b"lost", 1, False))
        await client.start()
        client._connector.transport.close()  # type: ignore[union-attr]
        async with asyncio.timeout(RUN_TIMEOUT_S):
            message = await anext(reader)
        assert (message.topic, message.payload) == ("w", b"lost")
        await client.close()
