"""`mqttlite verify`: a planted loss and a planted repeat are named, with how far the message came."""

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from mqttlite import Client
from mqttlite.broker import Broker
from mqttlite.cli import main
from mqttlite.core.keys import SPAN
from mqttlite.database import Inbox, sqlite
from mqttlite.ledger import Ledger
from mqttlite.ledger.file import LedgerFile
from mqttlite.ledger.notes import Notes
from mqttlite.ledger.steps import ACCEPTED, ACKNOWLEDGED, FORWARDED, HANDLED, STORED
from tests.broker.test_server import until

TIMEOUT_S = 20
NOW = 1_764_512_345_678


def ledger(path: Path, node: str, *steps: tuple[int, int, str]) -> str:
    """A ledger with these steps of keys board/1/NUMBER: (step, number, peer)."""
    file = LedgerFile(path, node, 1_000_000, 1 << 30, 0)
    file.open()
    notes = Notes()
    for step, number, peer in steps:
        topic = b"sensors/even" if number % 2 == 0 else b"sensors/odd"
        notes.note(step, (b"board", 1, number), peer.encode(), NOW, topic, 5)
    file.write(notes.take(), 0, NOW)
    file.close()
    return str(path)


def verify(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["verify", *words])
    said = capsys.readouterr()
    return code, said.out, said.err


def as_data(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    return json.loads(verify(capsys, *words, "--json")[1])


def test_all_there_once_is_said_and_the_exit_code_is_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = ledger(tmp_path / "a.db", "gateway", *((ACCEPTED, number, "board") for number in range(2000)))
    end = ledger(tmp_path / "b.db", "far", *((HANDLED, number, "") for number in range(2000)))
    code, out, _ = verify(capsys, start, end)
    assert code == 0 and "Each of 2,000 keys has arrived, once." in out and "means accepted" not in out
    assert as_data(capsys, start, end)["is_clean"] is True


def test_a_far_end_that_has_accepted_alone_is_said_to_be_no_last_stop(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start, end = (
        ledger(tmp_path / name, name, *((ACCEPTED, number, "board") for number in range(5)))
        for name in ("a", "gateway")
    )
    code, out, _ = verify(capsys, start, end)
    assert code == 0 and " that means accepted, and no more: " in out


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([ACCEPTED], "gateway: accepted from board"),
        ([ACCEPTED, STORED], "gateway: stored for cloud, never sent to it"),
        ([ACCEPTED, STORED, FORWARDED], "gateway: sent to cloud, which has not acknowledged it"),
        ([ACCEPTED, STORED, FORWARDED, ACKNOWLEDGED], "gateway: acknowledged by cloud, which has taken it over"),
    ],
)
def test_what_is_missing_is_named_with_how_far_it_came_and_where_it_was_never_seen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], steps: list[int], words: str
) -> None:
    peers = {ACCEPTED: "board"}
    planted = [(step, 7, peers.get(step, "$bridge/cloud")) for step in steps]
    start = ledger(tmp_path / "a.db", "gateway", (ACCEPTED, 6, "board"), (ACCEPTED, 8, "board"), *planted)
    end = ledger(tmp_path / "b.db", "far", (HANDLED, 6, ""), (HANDLED, 8, ""))
    code, out, _ = verify(capsys, start, end)
    assert code == 1
    assert "MISSING  1 key:" in out and "\n  board/1/7  sensors/odd\n" in out
    assert words in out and "\n      far: never seen\n" in out
    assert "2 of 3 keys arrived; 1 missing, 0 more than once" in out
    data = as_data(capsys, start, end)
    assert data["missing"]["runs"] == [{"producer": "board", "epoch": 1, "first": 7, "last": 7}]
    assert data["missing"]["named"][0]["not_seen"] == ["far"]


def test_what_was_handled_more_than_once_is_named_with_how_often(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = ledger(tmp_path / "a.db", "gateway", (ACCEPTED, 1, "board"), (ACCEPTED, 1, "board"), (ACCEPTED, 2, "board"))
    end = ledger(tmp_path / "b.db", "far", (HANDLED, 1, ""), (HANDLED, 2, ""), (HANDLED, 2, ""), (HANDLED, 2, ""))
    code, out, _ = verify(capsys, start, end)
    assert code == 1
    assert "TWICE    1 key" in out and "board/1/2  3 times" in out
    assert "board/1/1" not in out  # its sender had to repeat it, and that was recognised


def test_what_a_ledger_had_no_room_for_any_more_is_not_called_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sent = tmp_path / "sent.txt"
    sent.write_text("".join(f"board/1/{number}\n" for number in range(100)))
    small = LedgerFile(tmp_path / "far.db", "far", 40, 1 << 30, 0)
    small.open()
    for number in range(99):
        notes = Notes()
        notes.note(HANDLED, (b"board", 1, number), b"", NOW, b"t", 5)
        small.write(notes.take(), 0, NOW)
    assert small.gone == 99 - small.entries > 0
    small.close()
    data = as_data(capsys, str(sent), str(tmp_path / "far.db"))
    assert data["untold"]["runs"] == [{"producer": "board", "epoch": 1, "first": 0, "last": small.gone - 1}]
    assert [each["key"] for each in data["missing"]["named"]] == ["board/1/99"]
    sent.write_text("".join(f"board/1/{number}\n" for number in range(99)))
    assert verify(capsys, str(sent), str(tmp_path / "far.db"))[0] == 2


def test_lists_are_ends_too_as_lines_or_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent, came = tmp_path / "sent.txt", tmp_path / "came.txt"
    sent.write_text("# sent\nboard/1/1\nboard/1/2\n\na/b/c/0/9\n")
    came.write_text('{"key": "board/1/1"}\n{"key": "a/b/c/0/9", "topic": "t"}\n{"key": "board/1/1"}\nboard/1/77\n')
    data = as_data(capsys, str(sent), str(came))
    assert [each["key"] for each in data["missing"]["named"]] == ["board/1/2"]
    assert data["repeats"] == {"count": 1, "named": [{"key": "board/1/1", "times": 2}]}
    assert data["extra"]["runs"] == [{"producer": "board", "epoch": 1, "first": 77, "last": 77}]


def test_only_what_is_asked_for_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = ledger(tmp_path / "a.db", "gateway", *((ACCEPTED, number, "board") for number in range(10)))
    end = ledger(tmp_path / "b.db", "far", *((HANDLED, number, "") for number in range(0, 10, 2)))
    assert verify(capsys, start, end)[0] == 1
    assert verify(capsys, start, end, "--topic", "sensors/even")[0] == 0
    assert verify(capsys, start, end, "--producer", "other-*")[0] == 0
    assert as_data(capsys, start, end, "--topic", "+/odd")["missing"]["count"] == 5


def test_what_was_accepted_just_now_may_be_on_its_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = ledger(tmp_path / "a.db", "gateway", (ACCEPTED, 1, "board"))
    (tmp_path / "none.txt").write_text("")
    connection = sqlite3.connect(start)
    with connection:
        connection.execute("UPDATE ledger_steps SET accepted = unixepoch() * 1000")
    connection.close()
    assert verify(capsys, start, str(tmp_path / "none.txt"))[0] == 1
    code, out, _ = verify(capsys, start, str(tmp_path / "none.txt"), "--settle", "600")
    assert code == 0 and "ON ITS WAY  1 key" in out


async def far_end(tmp_path: Path, numbers: range) -> tuple[str, str]:
    """An inbox that has handled these; its database and its ledger."""
    async with asyncio.timeout(TIMEOUT_S), Broker(["mqtt://127.0.0.1:0"]) as broker:
        url = broker.addresses[0]
        far = Ledger(tmp_path / "far.db", "far")
        client = Client(url, client_id="far", keys=True, clean_session=False, ledger=far, queue_max=5000)
        connection = sqlite3.connect(tmp_path / "app.db")
        inbox = Inbox(client, sqlite(connection))
        async with client:
            await client.subscribe("t", 2)
            running = asyncio.create_task(inbox.run(lambda db, message: None))
            async with Client(url, client_id="board", keys=True) as board:
                for number in numbers:
                    await board.publish("t", "1", 2, key=("board", number))
            await until(lambda: inbox.handled == len(numbers))
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        connection.close()
    return str(tmp_path / "app.db"), str(tmp_path / "far.db")


async def test_the_table_of_an_inbox_names_a_loss_and_says_what_it_has_forgotten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app, far = await far_end(tmp_path, range(0, 3 * SPAN, 64))
    sent = tmp_path / "sent.txt"
    lines = [f"board/0/{number}" for number in range(0, 3 * SPAN, 64)]
    sent.write_text("\n".join(lines))
    code, out, _ = verify(capsys, str(sent), app)
    assert code == 2 and "UNTOLD" in out and "name its ledger, too" in out
    assert verify(capsys, str(sent), far, app)[0] == 0
    sent.write_text("\n".join([*lines, f"board/0/{3 * SPAN - 63}"]))
    data = as_data(capsys, str(sent), far, app)
    assert [each["key"] for each in data["missing"]["named"]] == [f"board/0/{3 * SPAN - 63}"]


def test_a_chart_shows_one_way_over_several_places(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = ledger(
        tmp_path / "a.db",
        "gateway",
        (ACCEPTED, 7, "board"),
        (STORED, 7, "$bridge/cloud"),
        (FORWARDED, 7, "$bridge/cloud"),
        (FORWARDED, 7, "$bridge/cloud"),
        (ACKNOWLEDGED, 7, "$bridge/cloud"),
    )
    middle = ledger(tmp_path / "b.db", "cloud", (ACCEPTED, 7, "gateway"), (FORWARDED, 7, "far"))
    code, out, _ = verify(capsys, "--chart", "board/1/7", start, middle)
    lines = out.splitlines()
    assert code == 0
    names = next(line for line in lines if "gateway" in line and "board" in line and "far" in line)
    assert names.split() == ["board", "gateway", "cloud", "far"]
    assert any("─ accepted ─" in line and "▶" in line for line in lines)
    assert any("◀" in line and "acknowledged" in line for line in lines)
    data = json.loads(verify(capsys, "--chart", "board/1/7", start, middle, "--json")[1])
    assert data["lanes"] == ["board", "gateway", "cloud", "far"]
    assert [(step["from"], step["what"]) for step in data["steps"]] == [
        ("board", "accepted"),
        ("gateway", "stored"),
        ("gateway", "forwarded"),
        ("gateway", "accepted"),
        ("cloud", "forwarded"),
        ("cloud", "acknowledged"),
    ]
    assert "2 times, the first" in [step["detail"] for step in data["steps"] if step["what"] == "forwarded"]
    drawn = tmp_path / "way.svg"
    assert verify(capsys, "--chart", "board/1/7", start, middle, "-o", str(drawn))[0] == 0
    assert drawn.read_text().count('class="wire"') >= 5
    code, _, err = verify(capsys, "--chart", "board/1/8", start)
    assert code == 1 and "nothing is known of board/1/8" in err and "--keys" in err


def test_the_newest_keys_of_ledgers_are_listed_for_whoever_wants_a_chart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = ledger(tmp_path / "a.db", "gateway", *((ACCEPTED, number, "board") for number in range(200)))
    end = ledger(tmp_path / "b.db", "far", (HANDLED, 199, ""), (HANDLED, 7, ""))
    code, out, _ = verify(capsys, "--keys", start, end, "--named", "3")
    lines = [line.split() for line in out.splitlines()]
    assert code == 0 and [line[0] for line in lines] == ["key", "board/1/199", "board/1/198", "board/1/197"]
    assert lines[1][-2:] == ["handled", "sensors/odd"] and lines[2][-2:] == ["accepted", "sensors/even"]
    found = as_data(capsys, "--keys", start, end, "--topic", "sensors/odd", "--producer", "boa*")["keys"]
    assert len(found) == 100 and found[0]["key"] == "board/1/199" and found[0]["done"] == ["accepted", "handled"]
    assert all(each["topic"] == "sensors/odd" for each in found)
    code, _, err = verify(capsys, "--keys", start, "--producer", "nobody")
    assert code == 1 and "no message with an idempotency key" in err
    assert "keys=True" not in err  # there are some
    code, _, err = verify(capsys, "--keys", ledger(tmp_path / "c.db", "empty"))
    assert code == 1 and "Client(..., keys=True)" in err
    code, _, err = verify(capsys, "--keys", start, "--named", "0")
    assert code == 2 and "N must be 1 or more" in err


def test_a_key_that_is_listed_has_come_as_far_as_any_ledger_says_however_much_that_one_has_noted_since(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = ledger(tmp_path / "a.db", "gateway", (ACCEPTED, 7, "board"))
    end = ledger(tmp_path / "b.db", "far", (HANDLED, 7, ""), *((HANDLED, number, "") for number in range(100, 200)))
    (found,) = as_data(capsys, "--keys", start, end, "--named", "1")["keys"]
    assert (found["key"], found["done"]) == ("board/1/7", ["accepted", "handled"])


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["nowhere.db", "b.db"], "nowhere.db"),
        (["sent.txt"], "two ends are compared"),
        (["sent.txt", "wrong.txt"], "wrong.txt, line 2: 'board-1-2' is no idempotency key"),
        (["sent.txt", "other.db"], "other.db is a SQLite file without a ledger or an inbox"),
        (["sent.txt", "sent.txt", "--via", "other.db"], "other.db cannot be read as a delivery ledger: no such table"),
        (["--chart", "board/1/2", "sent.txt"], "sent.txt cannot be read as a delivery ledger: file is not a database"),
        (["--chart", "board", "sent.txt"], "is no idempotency key"),
        (["sent.txt", "postgresql://u:secret@127.0.0.1:1/x"], "127.0.0.1:1/x cannot be read"),
    ],
)
def test_what_cannot_be_read_is_said_with_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str], why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sent.txt").write_text("board/1/2\n")
    Path("wrong.txt").write_text("board/1/2\nboard-1-2\n")
    connection = sqlite3.connect("other.db")
    connection.execute("CREATE TABLE t (a)")
    connection.close()
    code, out, err = verify(capsys, *words)
    assert code == 2 and why in err and out == "" and "secret" not in err
