"""What a client says to who asks it too early, for what there is not, or by another client's names."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from mqttlite.broker import Broker
from mqttlite.client import Client, Message


@pytest.mark.parametrize("kind", ["lambda", "object"])
async def test_a_handler_that_returns_a_coroutine_runs_before_its_message_is_acknowledged(kind: str) -> None:
    seen = []

    async def keep(message: Message) -> None:
        await asyncio.sleep(0)
        seen.append(message.payload)
        if len(seen) == 2:
            raise EOFError

    class Handler:
        async def __call__(self, message: Message) -> None:
            await keep(message)

    handler: Any = Handler() if kind == "object" else lambda message: keep(message)
    async with Broker(["mqtt://127.0.0.1:0"]) as broker, Client(broker.addresses[0], client_id="c") as client:
        await client.subscribe("a")
        await client.publish("a", b"1")
        await client.publish("a", b"2")
        with pytest.raises(EOFError):
            await client.handle(handler)
    assert seen == [b"1", b"2"]


def test_before_start_nothing_is_said_about_messages() -> None:
    client = Client("mqtt://localhost", client_id="c")
    for ask in (client.pending, lambda: client.receipt(1), lambda: client.last_number("x")):
        with pytest.raises(RuntimeError, match="the client is not started"):
            ask()


async def test_a_number_that_was_never_given_out_has_no_receipt_and_cannot_be_settled() -> None:
    async with Broker(["mqtt://127.0.0.1:0"]) as broker, Client(broker.addresses[0], client_id="c") as client:
        receipt = await client.publish("a", b"1")
        await receipt
        assert client.receipt(receipt.seq).done
        if receipt.seq:
            with pytest.raises(ValueError, match="seq must be the number of a message that was accepted"):
                client.receipt(receipt.seq - 1)
        with pytest.raises(ValueError, match="not 1000000000"):
            await client.settle(10**9)


@pytest.mark.parametrize("name", ["client_id", "url"])
def test_what_is_fixed_cannot_be_set(name: str) -> None:
    with pytest.raises(AttributeError, match=f"{name} cannot be changed"):
        setattr(Client("mqtt://localhost"), name, "x")


def test_a_path_object_is_a_store(tmp_path: Path) -> None:
    Client("mqtt://localhost", client_id="c", store=tmp_path / "state.db")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("keepalive", "use keep_alive_s"),
        ("clean_start", "use clean_session"),
        ("identifier", "use client_id"),
        ("protocol", "use version"),
        ("port", "it stands in the URL"),
        ("hostname", "it stands in the URL"),
        ("tls_context", "use tls for an ssl.SSLContext, or ca"),
        ("cafile", "use ca"),
        ("keyfile", "use key_file"),
        ("transport", "it stands in the URL"),
        ("inbox_maxx", "use inbox_max"),
        ("zzz", "see help"),
    ],
)
def test_an_unknown_argument_is_named_with_what_to_write_instead(name: str, hint: str) -> None:
    with pytest.raises(TypeError, match=rf"^Client\(\) has no argument '{name}'.*{hint}"):
        Client("mqtt://localhost", **{name: 1})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["on_message", "connect", "loop_start", "username_pw_set", "will_set"])
def test_an_attribute_of_another_client_is_answered_with_what_to_write_instead(name: str) -> None:
    with pytest.raises(AttributeError, match=f"^Client has no '{name}'.*: "):
        getattr(Client("mqtt://localhost"), name)


def test_a_client_is_shown_with_its_address_and_without_a_password() -> None:
    client = Client("mqtt://ann:secret@localhost", client_id="c")
    assert repr(client) == "<Client 'c' of localhost:1883: not connected>"
