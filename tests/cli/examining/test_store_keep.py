"""`mqttlite store backup`, `salvage` and `reset`, and `show` of what is not a client's database."""
# ruff: noqa: ASYNC240 - a test's own small files do not block anybody

import asyncio
import json
import os
import shutil
from pathlib import Path

import pytest

from mqttlite.broker import Broker
from mqttlite.cli import main
from mqttlite.client import Client
from mqttlite.core import records as r
from mqttlite.core.errors import ClosedError
from mqttlite.store.journal import Journal
from tests.cli.commands import mqttlite
from tests.peers import RUN_TIMEOUT_S
from tests.store.test_salvage import accepted, filled, flip


async def test_a_brokers_store_is_shown_and_backed_up_while_it_runs_and_restored(tmp_path: Path) -> None:
    async with Broker(["mqtt://127.0.0.1:0"], store=tmp_path / "broker.db") as broker:
        async with Client(broker.addresses[0], client_id="away", clean_session=False) as client:
            await client.subscribe("d/#", 1)
        async with Client(broker.addresses[0]) as client:
            for number in range(3):
                receipt = await client.publish(f"d/{number}", "x", 1, retain=number == 0)
                await receipt.completed()
        shown = await mqttlite("store", "show", str(tmp_path / "broker.db"), check=True)
        assert "broker, 1 sessions" in shown.stdout
        assert "away: d/# (QoS 1)" in shown.stdout
        assert "1 retained messages" in shown.stdout
        copied = await mqttlite("store", "backup", str(tmp_path / "broker.db"), str(tmp_path / "copy.db"), check=True)
        assert "checked" in copied.stdout
        shutil.copy(tmp_path / "broker.db", tmp_path / "alone.db")
        for _ in range(2):
            shown = await mqttlite("store", "show", str(tmp_path / "alone.db"), check=True)
            assert "is not whole: it was in use and has no -wal" in shown.stderr
        assert sorted(file.name for file in tmp_path.glob("alone*")) == ["alone.db"]
    shown = await mqttlite("store", "show", "--json", str(tmp_path / "copy.db"), check=True)
    (session,) = json.loads(shown.stdout)["sessions"]
    assert [message["topic"] for message in session["messages"]] == ["d/0", "d/1", "d/2"]
    async with Broker(["mqtt://127.0.0.1:0"], store=tmp_path / "copy.db") as broker:
        assert broker.engine.sessions


async def test_a_damaged_broker_store_is_refused_with_advice_that_its_user_can_follow(tmp_path: Path) -> None:
    path = tmp_path / "zeros.db"
    path.write_bytes(bytes(8192))
    refused = await mqttlite("broker", "--listen", "mqtt://127.0.0.1:0", "--store", str(path))
    assert refused.code == 1
    assert f"mqttlite store reset {path}" in refused.stderr
    reset = await mqttlite("store", "reset", str(path), check=True)
    assert "is now" in reset.stdout
    async with Broker(["mqtt://127.0.0.1:0"], store=path):
        pass
    assert next(tmp_path.glob("zeros.db.reset-*")).read_bytes() == bytes(8192)


async def test_a_journal_is_shown_and_salvaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "board.journal"
    await (await filled(lambda: Journal(path), 20)).close()
    assert main(["store", "show", str(path)]) == 0
    assert "20 messages not finished" in capsys.readouterr().out
    flip(path, path.stat().st_size // 2)
    assert main(["store", "show", str(path)]) == 0
    assert "is not whole: it is wrong at byte" in capsys.readouterr().err
    assert main(["store", "salvage", str(path)]) == 0
    out = capsys.readouterr().out
    assert "whole: 19 messages, 1 subscriptions" in out
    assert "kept as" in out
    journal = Journal(path)
    assert len((await journal.open()).messages) == 19
    await journal.close()
    assert main(["store", "backup", str(path), str(tmp_path / "copy")]) == 0
    assert (tmp_path / "copy").read_bytes() == path.read_bytes()


async def test_a_store_in_use_is_neither_salvaged_nor_reset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from mqttlite.store.sqlite import SqliteStore

    store = await filled(lambda: SqliteStore(tmp_path / "state.db"), 2)
    for action in ("salvage", "reset"):
        assert main(["store", action, str(tmp_path / "state.db")]) == 1
        assert "is open in this process already" in capsys.readouterr().err
    store.record(*accepted(2))
    store.record(r.DONE, 0)
    await store.close()
    shutil.copy(tmp_path / "state.db", tmp_path / "old.db")
    os.truncate(tmp_path / "old.db", 0)
    assert main(["store", "salvage", str(tmp_path / "old.db")]) == 1
    assert "is empty: there is nothing to be salvaged; restore a backup" in capsys.readouterr().err


async def test_a_broker_whose_store_is_deleted_acknowledges_nothing_more_and_says_why(tmp_path: Path) -> None:
    async with Broker(["mqtt://127.0.0.1:0"], store=tmp_path / "broker.db") as broker:
        async with Client(broker.addresses[0], client_id="away", clean_session=False) as client:
            await client.subscribe("d/#", 1)
        async with asyncio.timeout(RUN_TIMEOUT_S):
            client = Client(broker.addresses[0], client_id="producer", clean_session=True)
            await client.start()  # before: a commit that is late would see the loss
            for file in tmp_path.glob("broker.db*"):
                file.unlink()
            receipt = await client.publish("d/x", "after", 1)
            assert "no longer the file that was opened" in str(await broker.failed)
            await client.close()
            with pytest.raises(ClosedError):
                await receipt.completed()
