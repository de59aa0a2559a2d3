"""docs/access.md: its programs run as they stand."""

import asyncio
import json
import sqlite3
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mqttlite import Client, RefusedError, SubscribeError
from mqttlite.broker.access.passwords import hashed
from tests.broker.raw import TIMEOUT_S
from tests.docs.pages import program
from tests.docs.running import running
from tests.peers import free_port

PAGE = "docs/access.md"


async def sees(reader: Client, writer: Client, topics: dict[str, bytes]) -> list[str]:
    """The topics of what `reader` gets when `writer` publishes these payloads, and then `home/end`."""
    for topic, payload in topics.items():
        await writer.publish(topic, payload, qos=0)
    await writer.publish("home/end", b"", qos=0)
    found: list[str] = []
    async with asyncio.timeout(TIMEOUT_S):
        async for message in reader:
            if message.topic == "home/end":
                break
            found.append(message.topic)
    return found


async def test_users_and_rules_of_a_program(tmp_path: Path) -> None:
    url = f"mqtt://127.0.0.1:{free_port()}"
    async with running(program(PAGE, "access=Access("), url, tmp_path) as output:
        assert await output.readline() == b"ready\n"
        anna = Client(url, client_id="phone", username="anna", password="a long sentence")
        kitchen = Client(url, client_id="board", username="kitchen", password="saffron")
        async with anna, kitchen:
            await anna.subscribe("home/#")
            with pytest.raises(SubscribeError):
                await kitchen.subscribe("#")
            await kitchen.subscribe("home/#")  # of which it may receive a part
            await kitchen.publish("home/anna/x", b"")
            await kitchen.publish("home/kitchen/x", b"")
            said = {"home/1": b"", "home/set/board": b"", "home/set/phone": b""}
            assert await sees(anna, anna, said) == ["home/kitchen/x", *said]
            async with asyncio.timeout(TIMEOUT_S):
                assert (await anext(aiter(kitchen))).topic == "home/set/board"
        with pytest.raises(RefusedError):
            async with Client(url, username="anna", password="saffron"):
                pass


class Service(BaseHTTPRequestHandler):
    """Says of each user what it may."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if asked["password"] != "saffron":
            self.send_error(403)
            return
        answer = {"groups": ["all"], "read": ["home/#"], "write": [f"home/{asked['user']}/#", "home/end"]}
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/login"
    server.shutdown()
    thread.join()
    server.server_close()


async def test_a_service_with_http_says_who_may_what(service: str, tmp_path: Path) -> None:
    url = f"mqtt://127.0.0.1:{free_port()}"
    source = program(PAGE, "urllib.request.Request").replace("http://127.0.0.1:8000/login", service)
    async with running(source, url, tmp_path) as output:
        assert await output.readline() == b"ready\n"
        anna = Client(url, client_id="a", username="anna", password="saffron")
        async with anna, Client(url, client_id="b", username="bert", password="saffron") as bert:
            await anna.subscribe("home/#")
            assert await sees(anna, bert, {"home/bert/1": b"", "home/anna/1": b"", "x": b""}) == ["home/bert/1"]
        with pytest.raises(RefusedError) as refused:
            async with Client(url, username="anna", password="salt"):
                pass
        assert refused.value.code == 4


async def test_a_database_says_who_may_what_and_messages_are_inspected(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "devices.db") as database:
        database.execute("CREATE TABLE device (name, password)")
        database.execute("CREATE TABLE right (device, topic, action)")
        database.execute("INSERT INTO device VALUES ('door', ?), ('maintenance', ?)", 2 * (hashed(b"oak"),))
        rights = [("door", "#", "publish"), ("maintenance", "+/#", "subscribe"), ("maintenance", "#", "receive")]
        database.executemany("INSERT INTO right VALUES (?, ?, ?)", rights)
    database.close()
    url = f"mqtt://127.0.0.1:{free_port()}"
    async with running(program(PAGE, "import aiosqlite"), url, tmp_path) as output:
        assert await output.readline() == b"ready\n"
        reader = Client(url, client_id="m", username="maintenance", password="oak")
        async with reader, Client(url, client_id="d", username="door", password="oak") as door:
            await reader.subscribe("#")
            said = {"json/1": b"{}", "json/2": b"{", "internal/x": b"", "door": b"open"}
            assert await sees(reader, door, said) == ["json/1", "door"]
        with pytest.raises(RefusedError):
            async with Client(url, username="window", password="oak"):
                pass
