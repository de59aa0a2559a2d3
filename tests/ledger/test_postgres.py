"""`mqttlite verify` and PostgreSQL: the table of an inbox, and the messages of a gateway, on a real server."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from mqttlite.cli import main
from mqttlite.core.keys import SPAN
from mqttlite.database import psycopg_database
from tests.database.postgres import Postgres

_MESSAGES = """CREATE TABLE mqttlite_messages (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, topic text NOT NULL,
    key text)"""


@pytest.fixture
async def dsn(postgres: Postgres) -> str:
    """A schema of its own, with the tables of an inbox that has handled board/0/10 to board/0/19 but for 15."""
    schema = f"v{uuid4().hex}"
    found = postgres.dsn(schema)
    async with await psycopg.AsyncConnection.connect(found, autocommit=True) as connection:
        await connection.execute(f"CREATE SCHEMA {schema}".encode())
    async with await psycopg.AsyncConnection.connect(found) as connection:
        await psycopg_database(connection).create_tables()
        bits = ((1 << 10) - 1) ^ 1 << 4
        await connection.execute(
            "INSERT INTO mqttlite_keys VALUES ('inbox', %s, 0, 19, %s)", (b"board", bits.to_bytes(SPAN // 8, "big"))
        )
        await connection.commit()
    return found


def verified(capsys: pytest.CaptureFixture[str], path: Path, dsn: str, *words: str) -> tuple[int, Any]:
    code = main(["verify", str(path), dsn, "--json", *words])
    return code, json.loads(capsys.readouterr().out)


def keys(path: Path, numbers: range) -> Path:
    path.write_text("".join(f"board/0/{number}\n" for number in numbers))
    return path


async def test_an_inbox_in_postgresql_names_what_it_has_not_handled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], dsn: str
) -> None:
    sent = keys(tmp_path / "sent.txt", range(10, 20))
    code, found = verified(capsys, sent, dsn)
    assert code == 1 and [each["key"] for each in found["missing"]["named"]] == ["board/0/15"]
    assert found["to"][0]["what"] == "inbox in PostgreSQL" and "test@" not in found["to"][0]["name"]
    code, found = verified(capsys, sent, dsn, "--inbox", "another")
    assert found["missing"]["count"] == 10


async def test_the_messages_of_a_gateway_reach_further_back_than_its_windows_and_show_repeats(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], dsn: str
) -> None:
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        await connection.execute(_MESSAGES)
        rows = [f"board/0/{number}" for number in (*range(3000, 5000), 4000) if number != 3100]
        async with connection.cursor() as cursor:
            await cursor.executemany(
                "INSERT INTO mqttlite_messages (topic, key) VALUES ('t', %s)", [(row,) for row in rows]
            )
        await connection.execute("UPDATE mqttlite_keys SET highest = 4999, bitmap = %s", (b"\xff" * (SPAN // 8),))
        await connection.commit()
    code, found = verified(capsys, keys(tmp_path / "sent.txt", range(2999, 5000)), dsn)
    assert code == 1
    assert [each["key"] for each in found["missing"]["named"]] == ["board/0/3100"]
    assert found["untold"]["runs"] == [{"producer": "board", "epoch": 0, "first": 2999, "last": 2999}]
    assert found["repeats"]["named"] == [{"key": "board/0/4000", "times": 2}]
