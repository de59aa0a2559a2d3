"""Who gets in, and what they may: users, sessions, rights, requests from elsewhere, programs that only read."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from mqttlite.broker import READ, Access, Broker, Rule
from mqttlite.broker.access.passwords import hashed
from mqttlite.broker.access.rules import Rules
from mqttlite.broker.access.users import Users
from mqttlite_gateway.page.door import Door
from mqttlite_gateway.page.people import IDLE_MS, LIFE_MS, SESSIONS_MAX, LoginError, People
from mqttlite_gateway.page.server import Page
from mqttlite_gateway.settings.errors import ConfigError
from mqttlite_gateway.settings.page import PageSettings

from . import shown
from .browser import Tab

GROUPS = {"admin": frozenset({"ann"}), "reader": frozenset({"bob"})}
PASSWORDS = {"ann": b"sesame", "bob": b"street", "pump-7": b"secret"}


@pytest.fixture(scope="module")
def kept() -> dict[str, str]:
    return {name: hashed(password) for name, password in PASSWORDS.items()}


@pytest.fixture
def users(kept: dict[str, str]) -> Users:
    return Users(kept, GROUPS)


@asynccontextmanager
async def page_of(gateway: Any, users: Users | None = None, **settings: Any) -> AsyncIterator[Page]:
    access = Access(users=users) if users else None
    page = Page(gateway, PageSettings(listen="http://127.0.0.1:0", **settings), guard=lambda: access)
    async with page:
        yield page


class Browser:
    """What a program can send that looks like one."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url
        self.csrf = ""

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        async with self.session.get(self.url + path, headers=headers, allow_redirects=False) as answer:
            return answer.status, await answer.text()

    async def post(self, path: str, found: Any, **headers: str) -> tuple[int, dict[str, Any]]:
        sent = {"Content-Type": "application/json", "X-CSRF-Token": self.csrf} | headers
        data = json.dumps(found).encode()
        async with self.session.post(self.url + path, data=data, headers=sent) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text.startswith("{") else {"text": text}

    async def log_in(self, name: str, password: str) -> int:
        status, _ = await self.post("/api/login", {"name": name, "password": password})
        if status == 200:
            self.csrf = json.loads((await self.get("/api/me"))[1])["csrf"]
        return status


@asynccontextmanager
async def browsing(page: Page) -> AsyncIterator[Browser]:
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        yield Browser(session, page.url)


# -- users


async def test_where_there_are_users_nothing_is_shown_to_who_has_not_logged_in(users: Users) -> None:
    async with page_of(shown.gateway(), users) as page, browsing(page) as browser:
        assert (await browser.get("/"))[0] == 303
        for path in ("/events", "/api/me", "/api/samples", "/api/set-aside", "/api/ways", "/nothing"):
            assert (await browser.get(path))[0] == 401, path
        assert (await browser.post("/api/publish", {"topic": "a"}))[0] == 401
        assert (await browser.get("/login"))[0] == (await browser.get("/static/login.js"))[0] == 200


async def test_an_admin_logs_in_acts_and_logs_out(users: Users) -> None:
    cloud = shown.Uplink("cloud", [{"id": 1, "topic": "a", "payload": b""}])
    async with page_of(shown.gateway(uplinks=(cloud,)), users) as page, browsing(page) as browser:
        assert await browser.log_in("ann", "wrong") == 403
        assert await browser.log_in("ann", "sesame") == 200
        cookie = next(iter(browser.session.cookie_jar))
        assert cookie["httponly"] and cookie["samesite"] == "Strict" and not cookie["secure"]
        drop = {"of": "cloud", "id": 1, "do": "drop"}
        assert (await browser.post("/api/set-aside", drop))[0] == 200 and cloud.done == [("drop", 1)]
        assert (await browser.post("/api/logout", {}))[0] == 200
        browser.session.cookie_jar.update_cookies({cookie.key: cookie.value})  # whoever has kept it
        assert (await browser.get("/api/me"))[0] == 401


async def test_a_reader_looks_and_changes_nothing(users: Users) -> None:
    cloud = shown.Uplink("cloud", [{"id": 1, "topic": "a", "payload": b""}])
    async with page_of(shown.gateway(uplinks=(cloud,)), users) as page, browsing(page) as browser:
        assert await browser.log_in("bob", "street") == 200
        assert (await browser.get("/api/set-aside"))[0] == 200
        for path in ("/api/set-aside", "/api/publish"):
            status, found = await browser.post(path, {"of": "cloud", "id": 1, "do": "drop", "topic": "a"})
            assert status == 403 and "change nothing" in found["error"]
        assert not cloud.done


async def test_a_devices_own_password_opens_nothing(users: Users) -> None:
    async with page_of(shown.gateway(), users) as page, browsing(page) as browser:
        status, found = await browser.post("/api/login", {"name": "pump-7", "password": "secret"})
        assert status == 403 and "neither of the groups admin and reader" in found["error"]


async def test_who_guesses_passwords_is_slowed(users: Users) -> None:
    async with page_of(shown.gateway(), users) as page, browsing(page) as browser:
        answers = [await browser.log_in("ann", f"guess {number}") for number in range(12)]
        assert answers[:10] == [403] * 10 and answers[10:] == [429] * 2
        assert await browser.log_in("ann", "sesame") == 429  # also with the right one: it is not looked at


async def test_the_form_logs_in_and_says_why_not(tab: Tab, users: Users) -> None:
    async with page_of(shown.gateway(shown.line("/dev/ttyUSB0", "pump")), users) as page:
        await tab.go(f"{page.url}/#health")
        await tab.until("location.pathname === '/login'")
        await tab.fill("#name", "ann")
        await tab.fill("#password", "wrong")
        await tab.press("Enter", 13, "\r")
        assert "wrong password" in await tab.until("document.querySelector('#why').innerText")
        await tab.fill("#password", "sesame")
        await tab.press("Enter", 13, "\r")
        await tab.until("location.pathname === '/' && document.querySelector('#user').innerText === 'ann'")
        assert await tab.ask("document.cookie") == ""
        await tab.go(f"{page.url}/login#topics")  # as a link from another page leads there, without the cookie
        await tab.until("location.pathname + location.hash === '/#topics'")
        await tab.click("#logout")
        await tab.until("location.pathname === '/login'")
    tab.errors.clear()


async def test_a_reader_sees_no_button_that_would_be_refused(tab: Tab, users: Users) -> None:
    async with (
        Broker(["mqtt://127.0.0.1:0"]) as broker,
        page_of(
            shown.gateway(uplinks=(shown.Uplink("cloud", [{"id": 1, "topic": "a"}]),), broker=broker), users
        ) as page,
    ):
        await tab.go(page.url)
        await tab.fill("#name", "bob")
        await tab.fill("#password", "street")
        await tab.click("#go")
        await tab.until("document.querySelector('#user').innerText.includes('looks only')")
        await tab.ask("location.hash = 'messages'")
        await tab.until("document.querySelector('.actions')")
        assert (
            await tab.ask("[...document.querySelectorAll('.act')].some(each => each.getClientRects().length)") is False
        )


def test_a_session_ends_by_time_and_with_another_password_or_group(kept: dict[str, str]) -> None:
    access = Access(users=Users(kept, GROUPS))
    people = People(lambda: access, PageSettings())

    def is_in(token: str, now: int) -> bool:
        return people.who(token, "10.0.0.7:1234", False, now) is not None

    assert is_in(people.open("ann", 0), IDLE_MS) and not is_in(people.open("ann", 0), IDLE_MS + 1)
    token = people.open("ann", 0)
    assert all(is_in(token, now) for now in range(0, LIFE_MS + 1, IDLE_MS)) and not is_in(token, LIFE_MS + 1)
    token = people.open("ann", 0)
    access = Access(users=Users(kept, GROUPS))
    assert is_in(token, 1)  # the file was read again, and says the same
    access = Access(users=Users({**kept, "ann": kept["bob"]}, GROUPS))
    assert not is_in(token, 2)
    token = people.open("ann", 0)
    access = Access(users=Users(kept, {"admin": frozenset({"bob"})}))
    assert not is_in(token, 3)


def test_so_many_sessions_are_kept_and_the_one_goes_that_was_not_used_for_longest(users: Users) -> None:
    people = People(lambda: Access(users=users), PageSettings())
    tokens = [people.open("ann", now) for now in range(SESSIONS_MAX)]
    assert people.who(tokens[0], "10.0.0.7:1234", False, 1000)
    people.open("ann", 1001)
    assert people.who(tokens[0], "10.0.0.7:1234", False, 1002) and not people.who(
        tokens[1], "10.0.0.7:1234", False, 1002
    )


def test_a_name_that_there_is_not_says_no_more_than_a_wrong_password(users: Users) -> None:
    people = People(lambda: Access(users=users), PageSettings())
    words = set()
    for name in ("ann", "nobody"):
        check = people.ask(name, "guess", "10.0.0.7:1234", 0)
        assert callable(check) and not check()
        with pytest.raises(LoginError) as error:
            people.answered(name, "10.0.0.7:1234", False, 0)
        words.add(str(error.value))
    assert len(words) == 1


# -- without users


async def test_without_users_this_machine_alone_is_let_in_and_not_through_a_proxy() -> None:
    async with page_of(shown.gateway()) as page, browsing(page) as browser:
        assert json.loads((await browser.get("/api/me"))[1])["may_act"]
        assert (await browser.get("/api/me", **{"X-Forwarded-For": "10.0.0.9"}))[0] == 401
    people = People(lambda: None, PageSettings())
    assert people.who("", "127.0.0.1:1", False, 0) and people.who("", "[::1]:1", False, 0)
    assert not people.who("", "10.0.0.9:1", False, 0)


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "192.0.2.1"])
async def test_the_network_gets_no_page_without_users_unless_the_file_says_so(host: str) -> None:
    gateway = shown.gateway()
    with pytest.raises(ConfigError, match=r"mqttlite passwd /etc/mqttlite/users ann`, and name it"):
        await Page(gateway, PageSettings(listen=f"http://{host}:0")).__aenter__()


async def test_the_network_gets_a_page_where_the_file_says_that_anybody_may() -> None:
    access = Access(anonymous=True)
    async with Page(shown.gateway(), PageSettings(listen="http://0.0.0.0:0"), guard=lambda: access) as page:
        assert page.url.startswith("http://0.0.0.0:")
    people = People(lambda: access, PageSettings())
    assert people.who("", "10.0.0.9:1", False, 0)


async def test_users_of_whom_none_may_log_in_are_a_mistake(kept: dict[str, str]) -> None:
    access = Access(users=Users(kept))
    with pytest.raises(ConfigError, match=r'below \[groups\]: admin = \["ann"\]'):
        await Page(shown.gateway(), PageSettings(listen="http://127.0.0.1:0"), guard=lambda: access).__aenter__()


async def test_https_needs_a_certificate_and_a_port_in_use_is_said() -> None:
    with pytest.raises(ConfigError, match="needs a certificate"):
        await Page(shown.gateway(), PageSettings(listen="https://127.0.0.1:0")).__aenter__()
    async with page_of(shown.gateway()) as page:
        with pytest.raises(ConfigError, match="the port is in use"):
            await Page(shown.gateway(), PageSettings(listen=page.url)).__aenter__()


# -- requests from elsewhere


async def test_what_is_refused_stays_so_where_an_answer_is_false(monkeypatch: pytest.MonkeyPatch, users: Users) -> None:
    """As in aiohttp 3.8, Debian 12's: an answer is a mapping there, and an empty one is false."""
    monkeypatch.setattr(web.StreamResponse, "__bool__", lambda self: False, raising=False)
    async with page_of(shown.gateway(), users) as page, browsing(page) as browser:
        assert (await browser.get("/api/me"))[0] == 401
        assert (await browser.get("/login", Host="evil.example"))[0] == 421
        assert (await browser.post("/api/login", {}, Origin="http://evil.example"))[0] == 403


async def test_a_name_that_was_made_to_lead_here_is_not_answered() -> None:
    async with page_of(shown.gateway(), names=["pi.example.net"]) as page, browsing(page) as browser:
        port = page.url.rpartition(":")[2]
        for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.nip.io", "localhost.evil.example", "", "["):
            status, _ = await browser.get("/api/me", Host=host)
            assert status in (400, 421), host
        assert "names = " in (await browser.get("/", Host="evil.example"))[1]
        for host in (f"localhost:{port}", f"127.0.0.1:{port}", "pi.example.net", f"PI.Example.net.:{port}", "[::1]:80"):
            assert (await browser.get("/api/me", Host=host))[0] == 200, host


async def test_another_page_cannot_have_anything_done() -> None:
    cloud = shown.Uplink("cloud", [{"id": 1, "topic": "a"}])
    drop = {"of": "cloud", "id": 1, "do": "drop"}
    async with page_of(shown.gateway(uplinks=(cloud,))) as page, browsing(page) as browser:
        assert (await browser.post("/api/set-aside", drop))[0] == 403  # without its token
        browser.csrf = json.loads((await browser.get("/api/me"))[1])["csrf"]
        for headers in (
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
            {"Origin": page.url.replace("127.0.0.1", "localhost")},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Content-Type": "text/plain"},
            {"Content-Type": "application/x-www-form-urlencoded"},
            {"X-CSRF-Token": browser.csrf[:-1]},
        ):
            assert (await browser.post("/api/set-aside", drop, **headers))[0] == 403, headers
        assert not cloud.done
        assert (await browser.post("/api/set-aside", drop, Origin=page.url))[0] == 200


async def test_no_answer_is_kept_framed_or_read_by_another_page() -> None:
    async with page_of(shown.gateway()) as page, browsing(page) as browser:
        for path in ("/", "/api/me", "/login", "/nothing", "/static/app.js", "/events"):
            async with browser.session.get(browser.url + path, headers={"Origin": "http://evil.example"}) as answer:
                assert "default-src 'none'" in answer.headers["Content-Security-Policy"], path
                assert "unsafe" not in answer.headers["Content-Security-Policy"]
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
                assert answer.headers["Cache-Control"] in ("no-store", "no-cache")
                assert "Access-Control-Allow-Origin" not in answer.headers


async def test_only_what_the_page_consists_of_can_be_asked_for() -> None:
    async with page_of(shown.gateway()) as page, browsing(page) as browser:
        for path in ("/static/../server.py", "/static/%2e%2e/server.py", "/static//etc/passwd", "/static/index.html"):
            assert (await browser.get(path))[0] == 404, path
        async with browser.session.get(browser.url + "/static/style.css") as answer:
            tag = answer.headers["ETag"]
        assert (await browser.get("/static/style.css", **{"If-None-Match": tag}))[0] == 304


@pytest.mark.parametrize(
    "found", [None, [], "x", {"topic": 1}, {"topic": "a/#"}, {"topic": "$SYS/x"}, {"topic": "a", "qos": 3},
              {"topic": "a", "qos": True}, {"topic": "a", "payload": 5}, {"topic": "a", "hex": True, "payload": "0g"},
              {"topic": "a", "payload": "x" * 200_000}, {"topic": "\0"}, {"topic": ""}]
)  # fmt: skip
async def test_a_request_that_makes_no_sense_is_refused_in_words(found: Any) -> None:
    async with (
        Broker(["mqtt://127.0.0.1:0"]) as broker,
        page_of(shown.gateway(broker=broker)) as page,
        browsing(page) as browser,
    ):
        browser.csrf = json.loads((await browser.get("/api/me"))[1])["csrf"]
        status, answer = await browser.post("/api/publish", found)
        assert status == 400 and len(answer["error"]) > 5
        assert broker.stats.messages_received == 0


async def test_nothing_that_is_sent_makes_an_unexpected_error(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    (tmp_path / "sensor").mkdir()
    (tmp_path / "sensor" / "app.py").touch()
    line = shown.line("/dev/ttyUSB0")
    sent = {"Content-Type": "application/json"}
    async with page_of(shown.gateway(line), boards=str(tmp_path)) as page, browsing(page) as browser:
        for data, headers in (
            (b"[" * 200_000, sent),
            (b"{}", {"Content-Type": "application/json; charset=nothing"}),
            (b"{}", sent | {"Origin": "http://["}),
        ):
            async with browser.session.post(page.url + "/api/login", data=data, headers=headers) as answer:
                assert answer.status in (400, 403), headers
        port = int(page.url.rpartition(":")[2])
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST /api/login HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: 9\r\n\r\n{{".encode())
        await asyncio.sleep(0.1)
        writer.transport.abort()  # in the middle of what it sends
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nno header\r\n\r\n")
        assert b" 400 " in await reader.readline()
        writer.transport.abort()
        page._collector.sample(time.time())
        browser.csrf = json.loads((await browser.get("/api/me"))[1])["csrf"]
        assert (await browser.get("/api/samples?of=line//dev/ttyUSB0&span=year"))[0] == 400
        (tmp_path / "image.bin").touch()
        for path in ("socket://192.0.2.1:80", str(tmp_path), "/dev/ttyUSB0\nx"):
            status, found = await browser.post("/api/flash", {"image": "image.bin", "name": "x", "port": path})
            assert status == 400 and "there is no serial port" in found["error"]
        for name in ("--broker=mqtt://evil.example", "pump\n7"):
            status, found = await browser.post("/api/update", {"application": "sensor", "devices": [name]})
            assert status == 400 and "no device can be called" in found["error"]
    assert not caplog.records or all(each.levelname != "ERROR" for each in caplog.records)


@pytest.mark.parametrize(
    ("check", "says", "attack"),
    [
        ("_is_own", True, {"Host": "evil.example"}),
        ("_foreign", "", {"Origin": "http://evil.example"}),
        ("_foreign", "", {"Sec-Fetch-Site": "cross-site"}),
        ("_foreign", "", {"Content-Type": "text/plain"}),
    ],
)
async def test_each_check_is_what_stops_its_attack(
    monkeypatch: pytest.MonkeyPatch, check: str, says: object, attack: dict[str, str]
) -> None:
    """Without it the same request is answered: so the tests above show something."""
    cloud = shown.Uplink("cloud", [{"id": 1, "topic": "a"}])
    drop = {"of": "cloud", "id": 1, "do": "drop"}
    async with page_of(shown.gateway(uplinks=(cloud,))) as page, browsing(page) as browser:
        browser.csrf = json.loads((await browser.get("/api/me"))[1])["csrf"]
        assert (await browser.post("/api/set-aside", drop, **attack))[0] in (403, 421)
        monkeypatch.setattr(Door, check, lambda *_: says)
        assert (await browser.post("/api/set-aside", drop, **attack))[0] == 200 and cloud.done


# -- the rights of the broker


async def test_the_rules_of_the_broker_say_what_may_be_watched_and_published(kept: dict[str, str]) -> None:
    rules = Rules([Rule("home/#", user="ann"), Rule("home/secret", READ, allow=False, user="ann")])
    access = Access(users=Users(kept, GROUPS), rules=rules)
    async with (
        Broker(["mqtt://127.0.0.1:0"], access=access) as broker,
        Page(shown.gateway(broker=broker), PageSettings(listen="http://127.0.0.1:0")) as page,
        browsing(page) as browser,
    ):
        assert await browser.log_in("ann", "sesame") == 200
        async with browser.session.get(page.url + "/events") as stream:
            name = json.loads(await event(stream, "hello"))["stream"]
            status, found = await browser.post("/api/tail", {"stream": name, "filter": "other/#"})
            assert status == 400 and "rules do not let you" in found["error"]
            assert (await browser.post("/api/tail", {"stream": name, "filter": "home/#"}))[0] == 200
            status, found = await browser.post("/api/publish", {"topic": "other/x", "payload": "1"})
            assert status == 400 and "rules do not let you" in found["error"]
            for topic in ("home/secret", "home/heat"):
                assert (await browser.post("/api/publish", {"topic": topic, "payload": "1", "qos": 1}))[0] == 200
            messages = json.loads(await event(stream, "tail"))["messages"]
            assert [each["topic"] for each in messages] == ["home/heat"]


async def test_who_leaves_a_group_is_shown_no_more_of_what_that_may_receive(kept: dict[str, str]) -> None:
    rules = Rules([Rule("home/#", user="ann"), Rule("work/#", group="staff"), Rule("#", frozenset(("subscribe",)))])

    def access(*staff: str) -> Access:
        return Access(users=Users(kept, {**GROUPS, "staff": frozenset(staff)}), rules=rules)

    async with (
        Broker(["mqtt://127.0.0.1:0"], access=access("ann")) as broker,
        Page(shown.gateway(broker=broker), PageSettings(listen="http://127.0.0.1:0")) as page,
        browsing(page) as browser,
    ):
        assert await browser.log_in("ann", "sesame") == 200
        async with browser.session.get(page.url + "/events") as stream:
            name = json.loads(await event(stream, "hello"))["stream"]
            assert (await browser.post("/api/tail", {"stream": name, "filter": "#"}))[0] == 200
            router = broker.engine.router
            for staff, topics in ((["ann"], ["work/x", "home/x"]), ([], ["home/x"]), (["ann"], ["work/x", "home/x"])):
                await broker.reload(broker.addresses, broker.limits, access(*staff), by="a test")
                seen: list[str] = []
                for topic in ("work/x", "home/x"):
                    router.publish(None, 0, topic.encode(), b"1")
                broker.changed()
                while "home/x" not in seen:
                    seen += [each["topic"] for each in json.loads(await event(stream, "tail"))["messages"]]
                assert seen == topics


async def event(stream: aiohttp.ClientResponse, kind: str) -> str:
    """The data of the next event of this kind."""
    async with asyncio.timeout(20):
        while True:
            line = (await stream.content.readline()).decode()
            assert line, "the stream has ended"
            if line == f"event: {kind}\n":
                return (await stream.content.readline()).decode().removeprefix("data: ")


# -- for programs
