"""What all sinks have from the uplink: queue, order, trying again, dead letters, what is shown."""

import asyncio
from pathlib import Path

import pytest

from mqttlite.broker.connections.turns import now_ms
from mqttlite.broker.inside import end_session, kept, session_of
from mqttlite.store.in_sqlite.sqlite_reserve import Reserve
from mqttlite_gateway.settings.upstream import Route
from mqttlite_gateway.sinks.uplink import SinkUplink
from tests.gateway.sinks.world import Notebook, broker, publish, publisher, settings, until, uplink

URL = "amqp://nowhere"


async def test_what_was_published_before_the_sink_could_be_had_comes_in_order(tmp_path: Path) -> None:
    of, book = settings(URL), Notebook()
    book.is_away = True
    async with broker(tmp_path, of) as inside, uplink(inside, of, book.make) as up, publisher(inside) as client:
        await publish(client, *(b"%d" % number for number in range(300)), qos=2)
        await until(lambda: book.opened > 1)
        told = up.describe()
        assert (told["connected"], told["problem"], told["queued"]) == (False, "the notebook is away", 300)
        assert told["queued_bytes"] > 300 * 64
        book.is_away = False
        await until(lambda: len(book.written) == 300)
        assert book.payloads == [b"%d" % number for number in range(300)]
        assert {message.topic for message in book.written} == {"site/x"}
        await until(lambda: up.describe()["queued"] == 0)
        assert up.describe() | {"since_s": 0} == {
            "name": "sink",
            "kind": "notebook",
            "url": URL,
            "target": "page 1",
            "connected": True,
            "since_s": 0,
            "problem": "",
            "queued": 0,
            "queued_bytes": 0,
            "oldest_s": 0,
            "in_doubt": {"sent": 0, "released": 0},
            "drained_a_second": up.describe()["drained_a_second"],
            "sent": 300,
            "acknowledged": 300,
            "refused": 0,
            "expired": 0,
            "dropped": {},
            "received": 0,
            "set_aside": 0,
        }


async def test_what_the_sink_has_not_settled_comes_again_in_its_order_with_its_name(tmp_path: Path) -> None:
    of, book = settings(URL), Notebook()
    book.is_away = True
    book.fails = [3, 0, 1]
    async with broker(tmp_path, of) as inside, uplink(inside, of, book.make), publisher(inside) as client:
        await publish(client, *(b"%d" % number for number in range(10)))
        book.is_away = False
        await until(lambda: len(book.written) == 10)
        assert book.payloads == [b"%d" % number for number in range(10)]
        assert not book.fails
        assert len({message.name for message in book.written}) == 10


async def test_what_was_written_and_not_said_comes_again_under_the_same_name_over_a_restart(tmp_path: Path) -> None:
    of, book = settings(URL), Notebook()
    async with broker(tmp_path, of) as inside, uplink(inside, of, book.make) as up, publisher(inside) as client:
        await publish(client, b"first")
        await until(lambda: up.counts.acknowledged == 1)
        book.forgets = book.is_away = True  # and then it is gone
        await publish(client, b"second")
        await until(lambda: len(book.written) == 2)
    book.is_away = False
    async with broker(tmp_path, of) as inside, uplink(inside, of, book.make):
        await until(lambda: len(book.written) == 3)
        first, second, again = book.written
        assert first.name != second.name
        assert (second.name, second.payload) == (again.name, again.payload)
        assert again.is_repeat


async def test_names_never_come_again_when_the_store_was_lost(tmp_path: Path) -> None:
    of, book = settings(URL), Notebook()
    for count, life in enumerate(("a", "b"), 1):
        (tmp_path / life).mkdir()
        async with broker(tmp_path / life, of) as inside, uplink(inside, of, book.make), publisher(inside) as client:
            await publish(client, b"same")
            await until(lambda count=count: len(book.written) == count)
    async with broker(tmp_path / "b", of) as inside:
        end_session(inside, of.name)
        async with uplink(inside, of, book.make), publisher(inside) as client:
            await publish(client, b"same")
            await until(lambda: len(book.written) == 3)
    assert len({message.name for message in book.written}) == 3


async def test_a_queue_that_was_removed_begins_anew_with_other_names_and_no_age(tmp_path: Path) -> None:
    of, book = settings(URL, queue_qos0=True, max_age_s=1), Notebook()
    async with broker(tmp_path, of) as inside, uplink(inside, of, book.make) as up, publisher(inside) as client:
        await publish(client, *(b"%d" % number for number in range(20)))
        await until(lambda: len(book.written) == 20)
        await until(lambda: up._ages.below(1000, up._clock()) > 5)  # so many were there a second ago
        book.is_away = True
        end_session(inside, of.name)
        await until(lambda: session_of(inside, of.name) and not up.connected)
        await client.publish("s/x", b"of QoS 0", qos=0)
        await publish(client, b"of QoS 1")
        await until(lambda: up.describe()["queued"] == 2)
        book.is_away = False
        await until(lambda: len(book.written) == 22)
        assert book.payloads[20:] == [b"of QoS 0", b"of QoS 1"]
        assert len({message.name for message in book.written}) == 22
        assert not up.counts.dropped


async def test_a_refused_message_is_set_aside_durably_and_holds_up_no_other(tmp_path: Path) -> None:
    of, book = settings(URL), Notebook()
    book.refuses = lambda message: "illegible" if message.payload == b"1" else ""
    async with broker(tmp_path, of) as inside, uplink(inside, of, book.make) as up, publisher(inside) as client:
        await publish(client, b"0", b"1", b"2")
        await until(lambda: up.describe()["queued"] == 0)
        assert book.payloads == [b"0", b"2"]
        assert (up.describe()["refused"], up.describe()["set_aside"]) == (1, 1)
    async with broker(tmp_path, of) as inside, uplink(inside, of, book.make) as up:
        (letter,) = up.dead_letters()
        assert (letter["topic"], letter["payload"], letter["cause"]) == ("s/x", "1", "illegible")
        book.refuses = lambda message: ""
        up.retry(letter["id"])
        await until(lambda: b"1" in book.payloads)
        assert up.dead_letters() == []
        assert book.written[-1].topic == "site/x"


async def test_a_dead_letter_can_be_dropped(tmp_path: Path) -> None:
    of, book = settings(URL), Notebook()
    book.refuses = lambda message: "never"
    async with broker(tmp_path, of) as inside, uplink(inside, of, book.make) as up, publisher(inside) as client:
        await publish(client, b"0")
        await until(up.dead_letters)
        up.drop(up.dead_letters()[0]["id"])
        assert up.describe()["set_aside"] == 0
        with pytest.raises(ValueError, match="no message"):
            up.drop(0)


async def test_when_there_is_no_room_for_dead_letters_nothing_is_lost_and_somebody_is_asked(tmp_path: Path) -> None:
    of, book = settings(URL, dead_bytes=1024), Notebook()
    book.refuses = lambda message: "never"
    async with broker(tmp_path, of) as inside, uplink(inside, of, book.make) as up, publisher(inside) as client:
        await publish(client, bytes(400), bytes(400))
        await until(lambda: "is full" in up.problem)
        assert (up.describe()["set_aside"], up.describe()["queued"]) == (1, 1)
        up.drop(up.dead_letters()[0]["id"])
        await until(lambda: up.describe()["queued"] == 0)
        assert (up.describe()["set_aside"], up.problem) == (1, "")


async def test_a_sink_that_says_nothing_any_more_is_given_up_and_opened_again(tmp_path: Path) -> None:
    of, book = settings(URL, ack_timeout_s=0.1), Notebook()
    book.mute = True
    async with broker(tmp_path, of) as inside, uplink(inside, of, book.make) as up, publisher(inside) as client:
        await publish(client, b"0")
        await until(lambda: book.aborted)
        book.mute = False
        await until(lambda: book.written)
        assert book.opened > 1
        assert up.connected


async def test_messages_go_no_faster_than_the_rate(tmp_path: Path) -> None:
    of, book = settings(URL, rate=50), Notebook()
    async with broker(tmp_path, of) as inside, uplink(inside, of, book.make) as up, publisher(inside) as client:
        await publish(client, *(b"%d" % number for number in range(20)))
        assert len(book.written) < 20
        await until(lambda: len(book.written) == 20)
        assert book.payloads == [b"%d" % number for number in range(20)]
        assert up.counts.sent == 20


@pytest.mark.parametrize("version", ["3.1.1", "5.0"])
async def test_the_key_of_a_message_is_its_own_and_not_its_payloads(tmp_path: Path, version: str) -> None:
    of, book = settings(URL), Notebook()
    async with broker(tmp_path, of) as inside, uplink(inside, of, book.make):
        async with publisher(inside, version=version, keys=True) as client:
            await publish(client, b"0", b"1", qos=2)
        await until(lambda: len(book.written) == 2)
    assert book.payloads == [b"0", b"1"]
    keys = [message.key for message in book.written]
    assert all(key and key[0] == b"board" for key in keys)
    assert len(set(keys)) == 2
    assert [message.user_properties for message in book.written] == [[], []]


async def test_only_what_a_route_has_goes_to_the_sink_and_qos_0_has_no_name(tmp_path: Path) -> None:
    of, book = settings(URL, out=(Route("a/+", qos=0), Route("b/#", to="x/"))), Notebook()
    async with broker(tmp_path, of) as inside, uplink(inside, of, book.make) as up, publisher(inside) as client:
        await until(lambda: up.connected)
        for topic in ("c/1", "a/1", "b/2/3", "a/1/2"):
            await publish(client, b"", topic=topic)
        await until(lambda: len(book.written) == 2)
    assert [(message.topic, bool(message.name)) for message in book.written] == [("a/1", False), ("x/b/2/3", True)]


async def test_a_store_that_has_filled_its_disk_takes_messages_again_when_the_sink_has_emptied_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 5 << 20

    def free(reserve: Reserve) -> int:
        return max(0, size - sum(each.stat().st_size for each in tmp_path.iterdir()))

    monkeypatch.setattr(Reserve, "free", free)
    of, book = settings(URL), Notebook()
    book.is_away = True
    async with broker(tmp_path, of) as inside, uplink(inside, of, book.make) as up, publisher(inside) as client:
        more = asyncio.ensure_future(publish(client, *([bytes(3000)] * 2000)))
        await until(lambda: inside.stats.limits["store"])
        queued = up.describe()["queued"]
        assert 100 < queued < 2000
        book.is_away = False
        await more
        await until(lambda: len(book.written) == 2000)
        assert not up.describe()["queued"]


async def test_a_queue_whose_last_messages_were_dropped_has_no_age_and_its_age_is_only_kept_where_it_counts(
    tmp_path: Path,
) -> None:
    of, book = settings(URL), Notebook()
    book.is_away = True
    async with broker(tmp_path, of) as inside, uplink(inside, of, book.make) as up, publisher(inside) as client:
        await publish(client, b"1", b"2")
        await until(lambda: up._ages.marks[-1][0] == 2)
        up._ages.marks[:] = [[0, up._clock() - 5000]]
        assert up.describe()["oldest_s"] == 5
        session = inside.engine.sessions[b"$bridge/sink"].session
        assert session.drop_oldest()
        assert session.drop_oldest()
        assert (up.describe()["queued"], up.describe()["oldest_s"]) == (0, 0)
        assert kept(inside, "sink").endswith(b'"marks":[],"takes_one":""}')


async def test_messages_that_expire_before_the_sink_can_be_had_are_counted(tmp_path: Path) -> None:
    notebook = Notebook()
    of = settings("amqp://localhost")
    async with broker(tmp_path, of) as inside:
        SinkUplink(of, inside, notebook.make).prepare()
        async with publisher(inside, version="5.0") as client:
            await (await client.publish("s/x", b"x", 1, expires_after_s=1))
            await (await client.publish("s/x", b"y", 1))
        inside.engine.router.epoch += 2000
        async with uplink(inside, of, notebook.make) as up:
            await until(lambda: up.counts.acknowledged == 1)
            assert notebook.payloads == [b"y"]
            assert up.describe()["expired"] == 1


async def test_messages_expire_while_they_wait_for_the_sink_that_has_others_in_hand(tmp_path: Path) -> None:
    of, book = settings(URL, dead_bytes=1024), Notebook()
    book.refuses = lambda message: "never" if len(message.payload) == 400 else ""
    async with broker(tmp_path, of) as inside, uplink(inside, of, book.make) as up:
        async with publisher(inside, version="5.0") as client:
            await publish(client, bytes(400), bytes(400))
            await until(lambda: "is full" in up.problem)  # so all that comes behind these waits
            receipts = [await client.publish("s/x", b"%d" % s, 1, expires_after_s=s) for s in (1, 600)]
            for receipt in receipts:
                await receipt
        begun = now_ms()
        await until(lambda: now_ms() - begun > 1100)  # the time of the first of them
        up.drop(up.dead_letters()[0]["id"])
        await until(lambda: up.describe()["queued"] == 0)
        (written,) = book.written
        assert written.payload == b"600" and written.expires_after_s is not None and written.expires_after_s < 600
        assert up.describe()["expired"] == 1
