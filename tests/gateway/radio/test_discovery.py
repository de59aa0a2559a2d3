"""Brokers announced by multicast DNS, and found again: by zeroconf, by a computer, by a board's program."""

import asyncio
import base64
import contextlib
import json
import re
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from mqttlite import Client
from mqttlite.broker import Access, Broker, Listener, Tls
from mqttlite.broker.access.passwords import hashed
from mqttlite.broker.access.users import Users
from mqttlite.cli import main
from mqttlite_board import mdns
from mqttlite_gateway.config import Config, load
from mqttlite_gateway.gateway import Gateway
from mqttlite_gateway.radio import announce
from mqttlite_gateway.radio.announce import Announcer, services_of
from mqttlite_gateway.radio.discover import FoundBroker, discover
from mqttlite_gateway.settings.mdns import MdnsSettings, check_name
from tests.certificates import Certificates
from tests.firmware.boards import Board
from tests.peers import free_port

HERE = "127.0.0.1"
# The board asks on this machine's own interface.
ASKS_HERE = f"import mqttlite_board.discovery as d; d.INTERFACE = {socket.inet_aton(HERE)!r}; d.LOST_S = 2; del d\n"


@contextlib.asynccontextmanager
async def announced(name: str, *urls: str, host: str = "", at: str = HERE) -> AsyncIterator[Announcer]:
    async with Announcer(name, services_of(urls), host=host or name, interfaces=[at]) as announcer:
        yield announcer


async def looked_for(**options: object) -> list[FoundBroker]:
    return await asyncio.to_thread(discover, 1.0, interface=HERE, **options)  # type: ignore[arg-type]


def test_what_others_cannot_reach_is_not_announced() -> None:
    urls = ["mqtt://127.0.0.1:1883", "mqtts://[::1]:8883", "unix:///run/b.sock", "wss://0.0.0.0:443/mqtt"]
    urls.append("http://localhost:8080")
    assert services_of(urls) == []
    [mqtts, mqtt] = services_of(["mqtts://0.0.0.0:8883", "mqtt://192.168.1.5:1883", "mqtt://[::]:1884"])
    assert (mqtts.kind, mqtts.port, mqtts.address) == ("_secure-mqtt._tcp", 8883, "")
    assert (mqtt.kind, mqtt.port, mqtt.address) == ("_mqtt._tcp", 1883, "192.168.1.5")
    [page] = services_of(["http://0.0.0.0:8080"])
    assert (page.kind, page.texts["path"]) == ("_http._tcp", "/")


@pytest.mark.parametrize("name", ["", " pi", "a.b", "x" * 60, "a\nb"])
def test_a_name_that_no_instance_can_have_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"is empty|more than"):
        check_name(name)


async def test_an_announced_broker_is_found_by_zeroconf_and_by_us_and_is_gone_at_the_end() -> None:
    async with (
        announced("Gewächshaus 7", "mqtts://0.0.0.0:8883", host="greenhouse"),
        AsyncZeroconf(interfaces=[HERE]) as other,
    ):
        info = AsyncServiceInfo("_secure-mqtt._tcp.local.", "Gewächshaus 7._secure-mqtt._tcp.local.")
        assert await info.async_request(other.zeroconf, 3000)
        assert (info.server, info.port, info.parsed_addresses()) == ("greenhouse.local.", 8883, [HERE])
        assert info.decoded_properties["mqtt"] == "3.1.1,5.0"
        [found] = [each for each in await looked_for() if each.name == "Gewächshaus 7"]
        assert found[:5] == ("Gewächshaus 7", f"mqtts://{HERE}:8883", "greenhouse.local", 8883, HERE)
        assert found.texts["version"]
    assert not [each for each in await looked_for() if each.name == "Gewächshaus 7"]


async def test_of_two_brokers_of_one_name_the_second_is_called_otherwise() -> None:
    """Each with an address of its own, as on two machines: the answer to who asks for its name goes to an address, and
    of two programs that listen there the kernel draws one.
    """
    urls = ("mqtt://0.0.0.0:1883",)
    async with announced("twice", *urls), announced("twice", *urls, at="127.0.0.2") as second:
        assert second.announced == ["twice-2._mqtt._tcp.local."]


def test_no_bytes_of_an_answer_make_the_reader_fail_or_grow() -> None:
    from zeroconf import DNSOutgoing, DNSPointer, DNSService

    out = DNSOutgoing(0x8400)
    out.add_answer_at_time(DNSPointer("_mqtt._tcp.local.", 12, 1, 120, "pi._mqtt._tcp.local."), 0)
    out.add_answer_at_time(DNSService("pi._mqtt._tcp.local.", 33, 1, 120, 0, 0, 1883, "pi.local."), 0)
    [good] = out.packets()
    gathered = mdns.Gathered()
    assert gathered.take(good)
    assert gathered.services("_mqtt._tcp") == [("pi", "pi.local", 1883, "", {})]
    for at in range(len(good)):
        mdns.Gathered().take(good[:at])
        for value in (0, 1, 0x3F, 0xC0, 0xFF):
            mdns.Gathered().take(good[:at] + bytes((value,)) + good[at + 1 :])
    loop = good[:12] + b"\xc0\x0c" + good[12:]  # a name that is itself
    assert not mdns.Gathered().take(loop)
    many = mdns.Gathered()
    for number in range(200):
        out = DNSOutgoing(0x8400)
        name = f"n{number}._mqtt._tcp.local."
        out.add_answer_at_time(DNSPointer("_mqtt._tcp.local.", 12, 1, 120, name), 0)
        out.add_answer_at_time(DNSService(name, 33, 1, 120, 0, 0, 1883, "pi.local."), 0)
        many.take(out.packets()[0])
    assert len(many.services("_mqtt._tcp")) == 32


@pytest.mark.parametrize("owner", ["local", "_mqtt._tcp.local"])
def test_a_name_that_no_question_can_hold_is_not_asked_for(owner: str) -> None:
    name = b"".join(bytes((len(each),)) + each.encode() for each in owner.split("."))
    instance = b"".join(bytes((63,)) + bytes((97 + each,)) * 63 for each in range(12)) + name + b"\0"
    size = len(instance).to_bytes(2, "big")
    answer = b"\0\0\x84\0\0\0\0\1\0\0\0\0" + name + b"\0\0\x0c\0\1\0\0\0\x78" + size + instance
    gathered = mdns.Gathered()
    gathered.take(answer)
    assert [mdns.place_query(each) for each in gathered.unplaced()] == []


async def test_a_board_finds_its_broker_by_its_name_and_again_when_it_has_moved(tmp_path: Path) -> None:
    """Without a password, nothing is given away: TLS is for the next test."""
    board = Board(tmp_path / "board", "mqtt://discover/moving")
    port = free_port()
    async with board.running(ASKS_HERE):
        for url in (f"mqtt://{HERE}:{port}", f"mqtt://{HERE}:{free_port()}"):
            async with (
                Broker([url]) as broker,
                announced("moving", url.replace(HERE, "0.0.0.0")),
                Client(broker.addresses[0], client_id="watcher", clean_session=True) as client,
            ):
                await client.subscribe("boards/one/online", 1)
                async for message in client:
                    if message.payload == b"1":
                        break
    assert f"broker at {HERE}:{port}" in board.output


async def test_a_board_gives_its_password_to_no_broker_but_the_one_of_its_ca(tmp_path: Path) -> None:
    made, other = Certificates(tmp_path / "own"), Certificates(tmp_path / "other")
    heard: list[str | None] = []

    def tls(certificates: Certificates) -> Tls:
        pair = certificates.server("home.local", "a-thief.local")
        return Tls(pair.certificate, pair.key)

    class Curious(Users):
        def quick(self, name: str, password: bytes) -> bool | None:
            heard.append(name)
            return super().quick(name, password)

    ca = base64.b64encode(ssl.PEM_cert_to_DER_cert(made.ca.read_text())).decode()
    ports = free_port(), free_port()
    board = Board(tmp_path / "board", "mqtts://discover", username="one", password="sesame", ca=ca)
    access = Access(users=Users({"one": hashed(b"sesame"), "see": hashed(b"see")}))
    thief = Curious({"one": hashed(b"sesame")})
    async with (
        Broker([Listener(f"mqtts://{HERE}:{ports[0]}", tls(other))], access=Access(users=thief)),
        Broker([Listener(f"mqtts://{HERE}:{ports[1]}", tls(made)), f"mqtt://{HERE}:0"], access=access) as broker,
        announced("a-thief", f"mqtts://0.0.0.0:{ports[0]}"),
        announced("home", f"mqtts://0.0.0.0:{ports[1]}"),
        Client(broker.addresses[1], client_id="watcher", username="see", password="see") as client,
        board.running(ASKS_HERE),
    ):
        await client.subscribe("boards/one/online", 1)
        async for message in client:
            if message.payload == b"1":
                break
    assert f"broker at {HERE}:{ports[0]}" in board.output  # it was there first, and was asked who it is
    assert not heard


async def test_the_command_prints_what_is_announced_and_the_url_of_one(capsys: pytest.CaptureFixture[str]) -> None:
    async def run(*words: str) -> tuple[int, str]:
        code = await asyncio.to_thread(main, ["discover", *words, "--wait", "0.7", "--interface", HERE])
        return code, "".join(capsys.readouterr())

    async with announced("one", "mqtts://0.0.0.0:8883", "mqtt://0.0.0.0:1883", host="first"):
        code, said = await run("first")
        assert (code, said) == (0, f"mqtts://{HERE}:8883\n")
        code, said = await run("--json")
        assert {"mqtts", "mqtt"} <= {each["url"].partition(":")[0] for each in json.loads(said)}
        code, said = await run()
        assert code == 0
        assert f"mqtt://{HERE}:1883" in said
        assert await run("second") == (1, "mqttlite discover: no broker 'second' is announced here within 0.7 s\n")


def bridge(folder: Path, text: str) -> Config:
    path = folder / "gateway.toml"
    path.write_text(f'mode = "bridge"\nstore = "memory"\nconsole = ""\n{text}')
    return load(path)


async def test_a_gateway_announces_what_its_broker_listens_on_and_what_it_does_after_a_reload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announce, "LOOK_S", 0.05)
    first, second = free_port(), free_port()
    text = f'[access]\nanonymous = "anybody-on-the-network"\n[mdns]\nname = "Hall 3"\ninterfaces = ["{HERE}"]\n'

    def read(port: int) -> Config:
        return bridge(tmp_path, f'listen = ["mqtt://0.0.0.0:{port}"]\ncontrol.socket = false\n{text}')

    async def ports() -> set[int]:
        return {each.port for each in await looked_for() if each.name == "Hall 3"}

    async with Gateway(read(first), read=lambda: read(second)) as gateway:
        while await ports() != {first}:
            pass
        await gateway.reload("the test")
        while await ports() != {second}:
            pass


async def test_without_zeroconf_a_gateway_says_so_once_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "zeroconf", None)
    monkeypatch.setitem(sys.modules, "zeroconf.asyncio", None)
    listen = f'listen = ["mqtt://0.0.0.0:{free_port()}"]\ncontrol.socket = false\n'
    config = bridge(tmp_path, listen + '[access]\nanonymous = "anybody-on-the-network"\n')
    async with Gateway(config) as gateway:
        while "zeroconf is not installed" not in caplog.text:  # noqa: ASYNC110 (a log tells nobody)
            await asyncio.sleep(0.01)
        assert gateway.broker
        async with Client(gateway.broker.addresses[0], client_id="a"):
            pass
    assert caplog.text.count("zeroconf is not installed") == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('name = "a.b"', "line 6: [mdns]: name: 'a.b' is empty, has a dot"),
        ("name = 3", 'line 6: [mdns]: name must be a text in quotes, as in name = "Hall 3"'),
        ('interfaces = ["eth0"]', "line 6: [mdns]: interfaces: 'eth0' is no address of this machine"),
        ('nam = "x"', "line 6: [mdns]: there is no key 'nam'; did you mean name?"),
    ],
)
def test_what_mdns_cannot_be_told_is_named_with_its_line(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        bridge(tmp_path, f"\n[mdns]\n{line}\n")


def test_an_instance_is_called_as_the_machine_where_nothing_is_said() -> None:
    assert MdnsSettings().instance == socket.gethostname().partition(".")[0]
    assert MdnsSettings(name="Hall 3").instance == "Hall 3"
