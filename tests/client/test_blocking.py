"""The client for scripts, without async."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

import mqttlite
from mqttlite import blocking
from mqttlite.core.errors import ClosedError, ConnectError, PublishError
from tests.peers import RUN_TIMEOUT_S, Mosquitto, free_port


@pytest.fixture
def client(mosquitto: Mosquitto) -> Iterator[blocking.Client]:
    with blocking.Client(mosquitto.url) as made:
        yield made


def test_a_script_publishes_and_receives(client: blocking.Client) -> None:
    assert client.subscribe("t/#") == 2
    for qos in range(3):
        client.publish("t/1", str(qos), qos).wait(timeout_s=10)
    client.publish_many([("t/2", "a"), ("t/2", "b")])[1].wait()
    got = []
    for message in client.messages():
        got.append(message.payload)
        if len(got) == 5:
            break
    assert got == [b"0", b"1", b"2", b"a", b"b"]
    assert list(client.messages(timeout_s=0.01)) == []  # b is handled with that
    assert client.drain()
    assert client.statistics().published.total == 5
    client.unsubscribe("t/#")
    assert client.is_connected
    assert client.unconfirmed() == 0
    assert repr(client).startswith("<blocking Client 'mqttlite-")


def test_subscriptions_of_their_own_side_by_side(client: blocking.Client) -> None:
    with client.subscription("a", 1) as a, client.subscription("b") as b:
        assert (a.qos, b.qos) == (1, 2)
        client.publish_many([("a", "1"), ("b", "2"), ("a", "3")])
        first, second = a.get(), a.get()
        assert first and second
        assert (first.payload, second.payload) == (b"1", b"3")
        for message in b:
            assert message.payload == b"2"
            break
        assert b.get(timeout_s=0) is None
        assert a.dropped == 0
    with pytest.raises(RuntimeError, match="async with"):
        b.get()


def test_functions_are_called_in_threads_and_may_use_the_client(client: blocking.Client) -> None:
    done = threading.Event()

    @client.on("in")
    def forward(message: mqttlite.Message) -> None:
        client.publish("out", message.payload * 2, retain=True).wait()

    @client.on("out")
    def end(message: mqttlite.Message) -> None:
        done.set()

    client.publish("in", "ab", retain=True)  # for when its subscription is there
    try:
        assert done.wait(RUN_TIMEOUT_S)
    finally:
        client.publish("in", b"", retain=True)


def test_requests_are_answered(mosquitto: Mosquitto) -> None:
    with blocking.Client(mosquitto.url) as server, blocking.Client(mosquitto.url) as client:
        serving = threading.Thread(target=server.serve, args=("double", lambda message: message.payload * 2))
        serving.start()
        server.subscribe("double")  # when this returns, the broker has it, whichever of the two came first
        assert client.request("double", "ab", into=str) == "abab"
        server.close()
        serving.join(RUN_TIMEOUT_S)
        assert not serving.is_alive()


def test_errors_are_those_of_the_other_client() -> None:
    port = free_port()
    client = blocking.Client(f"mqtt://127.0.0.1:{port}", size_max=100)
    with pytest.raises(RuntimeError, match=r"with mqttlite\.blocking\.Client"):
        client.publish("t")
    with pytest.raises(ConnectError, match="nothing listens"):
        client.start()
    assert client.error is not None
    assert not [thread for thread in threading.enumerate() if thread.name == "mqttlite client"]
    with pytest.raises(TypeError, match="no argument 'host'"):
        blocking.Client("mqtt://localhost", host="x")


def test_a_closed_client_says_that_it_is_closed(mosquitto: Mosquitto) -> None:
    with blocking.Client(mosquitto.url) as client, client.subscription("t") as messages:
        client.publish("t", "x").wait()
    for use in (client.publish, client.subscribe, client.unsubscribe):
        with pytest.raises(ClosedError, match="the client is closed"):
            use("t")
    with pytest.raises(ClosedError, match="the client is closed"), client:
        pass
    assert list(client) == []
    assert messages.get() is None
    assert client.statistics().published.total == 1
    client.close()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("on_message", r"client\.messages\(\)"),
        ("on_connect", "on_connection=function"),
        ("loop_start", "'with Client"),
        ("loop_forever", r"client\.run\(\)"),
        ("connect", "'with Client"),
        ("ws_set_options", "ws://host/path"),
        ("max_inflight_messages_set", "window="),
        ("handle", "@client.on"),
    ],
)
def test_what_paho_calls_it_is_told_in_words_without_async(name: str, words: str) -> None:
    client = blocking.Client("mqtt://localhost")
    with pytest.raises(AttributeError, match=f"Client has no '{name}'.*{words}") as error:
        getattr(client, name)
    assert "await" not in str(error.value)
    assert "async" not in str(error.value)
    if name.startswith("on_"):
        with pytest.raises(AttributeError, match=f"Client has no '{name}' to set: .*{words}"):
            setattr(client, name, print)
        with pytest.raises(TypeError, match=f"Client has no '{name}' to set: .*{words}"):
            blocking.Client("mqtt://localhost", **{name: print})


def test_what_only_the_client_in_its_event_loop_has_is_told() -> None:
    with pytest.raises(AttributeError, match=r"client\.asynchronous\.heard"):
        blocking.Client("mqtt://localhost").heard()  # type: ignore[attr-defined]


def test_what_paho_calls_it_of_a_receipt_is_told(client: blocking.Client) -> None:
    receipt = client.publish("t")
    with pytest.raises(AttributeError, match=r"Receipt has no 'wait_for_publish': write receipt\.wait"):
        receipt.wait_for_publish()  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match=r"Receipt has no 'wait_for_publish': write 'await receipt'"):
        receipt._receipt.wait_for_publish()  # type: ignore[attr-defined]
    receipt.wait()


def test_an_error_in_the_block_is_raised_and_the_thread_ends(mosquitto: Mosquitto) -> None:
    with pytest.raises(PublishError), blocking.Client(mosquitto.url, size_max=100) as client:
        client.publish("t", bytes(200))
    assert not [thread for thread in threading.enumerate() if thread.name == "mqttlite client"]
    client.close()  # again


def test_its_own_thread_does_not_wait_for_itself(client: blocking.Client) -> None:
    found: list[str] = []

    async def inside() -> None:
        try:
            client.publish("t")
        except RuntimeError as error:
            found.append(str(error))

    client._wait(inside())
    assert "use client.asynchronous here" in found[0]


def test_after_an_interruption_the_time_of_the_next_call_counts(
    client: blocking.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.subscribe("a")

    def interrupted(timeout_s: float | None) -> None:
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr("concurrent.futures.Future.result", _interrupt)
            next(client.messages(timeout_s))

    interrupted(None)
    assert list(client.messages(timeout_s=0.01)) == []
    interrupted(0.01)
    coming = client._rest._coming
    assert coming and coming.result() is None
    client.publish("a", "x")
    assert next(client.messages(timeout_s=RUN_TIMEOUT_S)).payload == b"x"


def test_a_call_that_is_interrupted_when_it_has_just_asked_loses_no_message(
    client: blocking.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it has what it is to wait for: nobody has that, and the next message comes to it."""
    client.subscribe("a")
    submit = blocking.Client._submit

    def interrupted(timeout_s: float | None) -> None:
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(blocking.Client, "_submit", lambda *args: _interrupt(submit(*args)))
            next(client.messages(timeout_s))

    interrupted(None)
    client.publish("a", "x")
    assert next(client.messages(timeout_s=RUN_TIMEOUT_S)).payload == b"x"
    client.publish("a", "y")
    assert next(client.messages(timeout_s=RUN_TIMEOUT_S)).payload == b"y"
    interrupted(None)
    assert list(client.messages(timeout_s=0.01)) == []
    interrupted(0.01)
    client.publish("a", "z")
    assert next(client.messages(timeout_s=RUN_TIMEOUT_S)).payload == b"z"


def _interrupt(*args: object) -> None:
    raise KeyboardInterrupt


def test_ctrl_c_ends_what_waits_and_loses_no_message(mosquitto: Mosquitto) -> None:
    program = f"""
import mqttlite.blocking
with mqttlite.blocking.Client({mosquitto.url!r}) as client:
    client.subscribe("t", 1)
    got = 0
    while got < 2:
        try:
            print("ready", flush=True)
            for message in client.messages():
                got += 1
                print(message.payload.decode(), flush=True)
                if got == 2:
                    break
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    print("last", flush=True)
    client.request("nobody", timeout_s=100)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    line = process.stdout.readline
    try:
        with blocking.Client(mosquitto.url) as other:
            assert line() == "ready\n"
            os.kill(process.pid, signal.SIGINT)
            assert [line(), line()] == ["interrupted\n", "ready\n"]
            other.publish("t", "a", 1)
            assert line() == "a\n"
            os.kill(process.pid, signal.SIGINT)
            other.publish("t", "b", 1)  # about the same time
            lines = [line()]
            while lines[-1] != "last\n":
                lines.append(line())
            assert [text for text in lines if text == "b\n"] == ["b\n"]
            os.kill(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=RUN_TIMEOUT_S)
    finally:
        process.kill()
        process.wait()
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert "never retrieved" not in errors
    assert "was destroyed" not in errors
