"""`mqttlite store show`: what a store holds, without touching it."""

import asyncio
import contextlib
import json
import sqlite3
from pathlib import Path

import pytest

from mqttlite.cli import main
from mqttlite.core import records as r
from mqttlite.core.codec import publish_head
from mqttlite.store.journal import Journal
from mqttlite.store.sqlite import SqliteStore
from tests.cli.commands import mqttlite


async def filled(path: Path) -> SqliteStore:
    store = SqliteStore(path)
    await store.open()
    store.record(r.IDENTITY, 2, b"pump-7")
    store.record(r.SUBSCRIBED, 1, b"commands/#")
    store.record(r.HELD, 17)
    store.record(r.HELD, 4)
    for seq, qos in ((65_534, 1), (65_535, 2), (65_536, 2)):
        payload = b"21.5 \xff" * 50
        store.record(r.ACCEPTED, seq, publish_head(qos << 1, "tank/ä".encode(), len(payload)), payload)
    store.record(r.RELEASED, 65_535)
    store.record(r.RELEASED, 65_536)
    store.record(r.DOUBT, 65_536)
    await store.commit()
    return store


async def test_a_store_is_shown_while_its_client_runs(tmp_path: Path) -> None:
    store = await filled(tmp_path / "state.db")
    try:
        result = await mqttlite("store", "show", str(tmp_path / "state.db"), check=True)
    finally:
        await store.close()
    shown = [line.split() for line in result.stdout.splitlines()]
    assert shown[0] == ["client", "pump-7,", "epoch", "2,", "next", "message", "65537"]
    assert shown[4][:6] == ["65534", "65535", "1", "accepted", "300", "tank/ä"]
    assert shown[5][:6] == ["65535", "1", "2", "released", "300", "tank/ä"]
    assert shown[6][:7] == ["65536", "2", "2", "in", "doubt", "300", "tank/ä"]
    assert "'21.5 \\xff21.5 \\xff" in result.stdout
    assert ["4", "17"] in shown
    assert shown[-1] == ["QoS", "1", "commands/#"]


async def test_json_tells_all_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await (await filled(tmp_path / "state.db")).close()
    assert main(["store", "show", "--json", str(tmp_path / "state.db")]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [message["state"] for message in shown["messages"]] == ["accepted", "released", "in doubt"]
    assert bytes.fromhex(shown["messages"][0]["payload"]) == b"21.5 \xff" * 50
    assert shown["received"] == [4, 17]
    assert shown["subscriptions"] == [{"filter": "commands/#", "qos": 1}]
    assert (shown["client_id"], shown["epoch"], shown["next"]) == ("pump-7", 2, 65_537)


async def test_showing_changes_nothing(tmp_path: Path) -> None:
    await (await filled(tmp_path / "state.db")).close()
    before = (tmp_path / "state.db").read_bytes()
    assert main(["store", "show", str(tmp_path / "state.db")]) == 0
    assert (tmp_path / "state.db").read_bytes() == before
    store = SqliteStore(tmp_path / "state.db")
    assert (await store.open()).next == 65_537
    await store.close()


def test_a_file_that_is_no_store_is_an_error_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refusal(name: str) -> str:
        assert main(["store", "show", str(tmp_path / name)]) == 1
        return capsys.readouterr().err

    assert "there is no such file" in refusal("missing.db")
    with contextlib.closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        connection.execute("CREATE TABLE ledger (amount)")
    assert "another program" in refusal("ledger.db")
    (tmp_path / "notes.db").write_text("These are notes.\n" * 100)
    assert "cannot be read: file is not a database" in refusal("notes.db")
    with contextlib.closing(sqlite3.connect(tmp_path / "later.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA application_id = 0x6d717474")
        connection.execute("PRAGMA user_version = 77")
    assert "schema version 77" in refusal("later.db")
    (tmp_path / "empty.db").touch()
    assert main(["store", "show", str(tmp_path / "empty.db")]) == 0
    assert "an empty store" in capsys.readouterr().out


async def set_aside(path: Path, name: str) -> Path:
    """A store with message 7 refused, 8 in doubt and 9 accepted."""
    store: SqliteStore | Journal = SqliteStore(path / name) if name.endswith(".db") else Journal(path / name)
    await store.open()
    store.record(r.IDENTITY, 2, b"pump-7")
    for seq in (7, 8, 9):
        store.record(r.ACCEPTED, seq, publish_head(4, b"photo", 3), b"abc", b"")
    store.record(r.RELEASED, 8)
    store.record(r.DOUBT, 7)
    store.record(r.DOUBT, 8)
    await store.commit()
    await store.close()
    return path / name


def states(path: Path, capsys: pytest.CaptureFixture[str]) -> list[tuple[int, str]]:
    capsys.readouterr()
    assert main(["store", "show", "--json", str(path)]) == 0
    return [(message["seq"], message["state"]) for message in json.loads(capsys.readouterr().out)["messages"]]


@pytest.mark.parametrize("name", ["state.db", "state.journal"])
def test_a_message_that_was_set_aside_is_shown_dropped_and_sent_again(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = asyncio.run(set_aside(tmp_path, name))
    assert states(path, capsys) == [(7, "refused"), (8, "in doubt"), (9, "accepted")]
    assert main(["store", "retry", str(path), "7"]) == 0
    assert "will be sent again, as message 10" in capsys.readouterr().out
    assert states(path, capsys) == [(8, "in doubt"), (9, "accepted"), (10, "accepted")]
    assert main(["store", "retry", str(path), "8"]) == 0
    assert states(path, capsys) == [(9, "accepted"), (10, "accepted"), (11, "accepted")]
    path = asyncio.run(set_aside(tmp_path, f"other-{name}"))
    assert main(["store", "drop", str(path), "7"]) == 0
    assert main(["store", "drop", str(path), "8"]) == 0
    assert states(path, capsys) == [(9, "accepted")]
    for seq in ("7", "9", "12"):
        assert main(["store", "drop", str(path), seq]) == 1
        assert f"message {seq} is neither refused nor in doubt" in capsys.readouterr().err


async def test_what_a_client_has_open_is_left_to_it(tmp_path: Path) -> None:
    store = await filled(tmp_path / "state.db")
    try:
        result = await mqttlite("store", "drop", str(tmp_path / "state.db"), "65536")
    finally:
        await store.close()
    assert result.code == 1
    assert "in use" in result.stderr
