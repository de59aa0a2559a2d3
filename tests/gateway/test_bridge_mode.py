"""The broker inside the gateway: devices on lines are its clients, and it is looked after as a broker is."""

import asyncio
import json
import resource
import signal
import socket
from pathlib import Path
from typing import Self

import pytest

from mqttlite.broker import Broker
from mqttlite.broker.config.settings import Settings
from mqttlite.cli import main
from mqttlite.cli.demo.pty_line import NoisyLine
from mqttlite.client import Client
from mqttlite.core.errors import RefusedError
from mqttlite.serial.ports import open_port
from mqttlite_gateway.config import ConfigError, load
from mqttlite_gateway.inside.embedded import listeners_of
from mqttlite_gateway.settings.upstream import Route, UpstreamSettings
from tests.gateway.world import BAUD, COMMAND, OPTIONS, Program, device, numbers, watching
from tests.peers import Mosquitto, free_port, run

COUNT = 200


class Box:
    """A gateway in bridge mode, of a file that the test may change. `more`: lines of the file above its tables."""

    def __init__(self, folder: Path, *ports: str, more: str = "", tables: str = "") -> None:
        self.file = folder / "gateway.toml"
        self.url = f"mqtt://127.0.0.1:{free_port()}"
        self.control = folder / "control"
        self._head = f'mode = "bridge"\nlisten = ["{self.url}"]\nstore = "{folder}/gateway.db"\nconsole = ""\n'
        self._control = f'[control]\nsocket = "{self.control}"\n'
        self.write(*ports, more=more, tables=tables)
        self.program = Program(*COMMAND, "gateway", "--config", str(self.file))

    def write(self, *ports: str, more: str = "", tables: str = "") -> None:
        """Another file. `ports`: each the keys of a [[serial]], or a path."""
        tables += "".join(
            f"[[serial]]\nbaud = {BAUD}\nwindow = 16\n" + (f'path = "{port}"\n' if port[0] == "/" else port)
            for port in ports
        )
        self.file.write_text(self._head + more + self._control + tables)
        self.file.chmod(0o600)

    async def __aenter__(self) -> Self:
        await self.program.start()
        await self.program.says("to the broker inside")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.program.__aexit__()

    async def hang_up(self) -> str:
        """SIGHUP; what it says."""
        assert self.program.process
        said = len([line for line in self.program.lines if "SIGHUP: all files" in line])
        self.program.process.send_signal(signal.SIGHUP)
        return await self.program.says("SIGHUP: all files", said + 1)


def on_line(line: NoisyLine, name: str = "device", **options: str) -> Client:
    return Client(f"serial://{line.b_path}{OPTIONS}", client_id=name, retry_first=True, **options)


async def test_a_gateway_killed_in_the_middle_has_all_that_a_device_was_told_is_received(tmp_path: Path) -> None:
    async with NoisyLine(BAUD, bit_errors=1e-4) as line:
        box = Box(tmp_path, line.a_path)
        async with box, watching(box.url, "t/up") as watcher, device(line.b_path, count=COUNT) as board:
            await watcher.count("t/up", COUNT // 3)
            await box.program.kill()
            await box.program.start()
            await board.says("all confirmed")
            assert numbers(await watcher.count("t/up", COUNT)) == list(range(COUNT))
            assert await box.program.stop() == 0


def upstream(url: str) -> str:
    return f"""
[[upstream]]
name = "cloud"
url = "{url}"
out = [{{ filter = "t/#", to = "site-7/" }}]
in = [{{ filter = "site-7/t/down", strip = "site-7/" }}]
start_jitter_s = 0
reconnect_min_s = 0.05
reconnect_max_s = 0.2
"""


async def test_each_message_of_a_device_is_upstream_once_though_the_gateway_is_killed(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    async with NoisyLine(BAUD, bit_errors=1e-4) as line:
        box = Box(tmp_path, line.a_path, tables=upstream(mosquitto.url))
        async with (
            watching(mosquitto.url, "site-7/#") as watcher,
            box,
            device(line.b_path, count=COUNT, commands=3) as board,
        ):
            await watcher.count("site-7/t/up", COUNT // 4)
            await box.program.kill()
            await box.program.start()
            await watcher.count("site-7/t/up", COUNT // 2)
            for number in range(3):
                await (await watcher.client.publish("site-7/t/down", str(number), qos=2)).completed()
            await board.says("all confirmed")
            assert [line for line in board.lines if line.startswith("got ")] == [f"got {n}" for n in range(3)]
            assert numbers(await watcher.count("site-7/t/up", COUNT)) == list(range(COUNT))
            assert await box.program.stop() == 0


async def test_what_is_sent_while_the_upstream_is_away_is_sent_on_without_anything_new(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """Others hold a resumed queue back until something is published."""
    mosquitto.stop()
    async with NoisyLine(BAUD) as line:
        box = Box(
            tmp_path, line.a_path, more='status_topic = "gw"\nstatus_every_s = 0.2\n', tables=upstream(mosquitto.url)
        )
        async with box:
            async with device(line.b_path, count=20) as board:
                await board.says("all confirmed")
            async with Client(box.url, client_id="w") as client:
                await client.subscribe("gw/upstream/cloud")
                state = json.loads((await anext(client)).payload)
                while state["queued"] < 20 or not state["problem"]:
                    state = json.loads((await anext(client)).payload)
                assert (state["kind"], state["connected"], state["url"]) == ("mqtt", False, mosquitto.url)
            assert await box.program.stop() == 0
        mosquitto.start()
        async with watching(mosquitto.url, "site-7/#") as watcher, box:
            assert numbers(await watcher.count("site-7/t/up", 20)) == list(range(20))


async def test_upstreams_come_and_go_at_sighup_and_what_is_queued_for_one_that_went_stays(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    box = Box(tmp_path)
    async with watching(mosquitto.url, "site-7/#") as watcher, box, Client(box.url, client_id="p") as client:
        box.write(tables=upstream(mosquitto.url))
        assert "7 changes" in await box.hang_up()  # six are the limits and rules of its queue
        await (await client.publish("t/1", "1", qos=2)).completed()
        await watcher.count("site-7/t/1", 1)
        mosquitto.stop()
        await box.program.says("nothing listens")
        await (await client.publish("t/1", "2", qos=2)).completed()
        found = await run(*COMMAND, "ctl", "--socket", str(box.control), "status")
        assert "trouble       upstream cloud: nothing listens at" in found.stdout
        box.write()
        await box.hang_up()
        assert "stays (1)" in await box.program.says("cloud is not in the settings any more")
        await (await client.publish("t/1", "nobody's", qos=2)).completed()
        mosquitto.start()
        box.write(tables=upstream(mosquitto.url))
        await box.hang_up()
        assert numbers(await watcher.count("site-7/t/1", 2)) == [1, 2]
        box.write()
        await box.hang_up()
        found = await run(*COMMAND, "ctl", "--socket", str(box.control), "--json", "sessions")
        assert [session["client"] for session in json.loads(found.stdout)] == ["p"]
        told = [
            line.partition("audit: SIGHUP: upstream ")[2] for line in box.program.lines if "SIGHUP: upstream" in line
        ]
        assert told == [f"cloud is {what}" for what in ("added", "removed", "added", "removed")]
        assert not [line for line in box.program.lines if "at inside" in line or "dead-cloud" in line]


async def test_a_device_on_a_wire_is_who_it_says_that_it_is_but_no_user_with_a_password(tmp_path: Path) -> None:
    await run(*COMMAND, "passwd", "-b", str(tmp_path / "users"), "boss", "secret")
    access = f"""
[access]
password_file = "{tmp_path}/users"
[[rule]]
user = "greenhouse-7"
all = ["t/#"]
[[rule]]
user = "boss"
all = ["#"]
"""
    async with NoisyLine(BAUD) as line:
        box = Box(tmp_path, line.a_path, tables=access)
        async with box:
            await box.program.says("open at")
            async with Client(box.url, client_id="w", username="boss", password="secret") as watcher:
                await watcher.subscribe("#", qos=1)
                async with on_line(line, "greenhouse-7") as client:
                    await (await client.publish("t/1", "seen", qos=1)).completed()
                    await client.publish("other/1", "not seen", qos=1)
                    await (await client.publish("t/2", "seen", qos=1)).completed()
                assert [(await anext(watcher)).topic for _ in range(2)] == ["t/1", "t/2"]
                with pytest.raises(RefusedError):
                    async with Client(f"serial://{line.b_path}{OPTIONS}", client_id="boss"):
                        pass
                assert "'boss', and that user has a password" in await box.program.says("not authenticated")
                async with on_line(line, "boss", username="boss", password="secret") as client:
                    await (await client.publish("other/2", "seen", qos=1)).completed()
                assert (await anext(watcher)).topic == "other/2"
                box.write(line.a_path.join(("path = '", "'\nuser = 'boss'\n")), tables=access)
                await box.hang_up()
                async with on_line(line, "whoever") as client:
                    await (await client.publish("other/3", "seen", qos=1)).completed()
                assert (await anext(watcher)).topic == "other/3"


async def test_rules_name_devices_on_wires_and_their_groups_without_any_password(tmp_path: Path) -> None:
    access = """
[groups]
pumps = ["pump-1", "pump-2"]
[[rule]]
group = "pumps"
all = ["pumps/#"]
[[rule]]
client = "sensor-*"
publish = ["sensors/%c"]
[[rule]]
user = ""
subscribe = ["#"]
"""
    async with NoisyLine(BAUD) as line:
        box = Box(tmp_path, line.a_path, tables=access)
        async with box, Client(box.url, client_id="w") as watcher:  # a program of this machine, without a user name
            await watcher.subscribe("#", qos=1)
            for name, topic in (("pump-2", "pumps/2"), ("sensor-3", "pumps/3"), ("sensor-3", "sensors/sensor-3")):
                async with on_line(line, name) as client:
                    await (await client.publish(topic, name, qos=1)).completed()
            assert [(await anext(watcher)).topic for _ in range(2)] == ["pumps/2", "sensors/sensor-3"]


async def test_no_device_may_be_the_bridge(tmp_path: Path) -> None:
    async with NoisyLine(BAUD) as line:
        box = Box(tmp_path, line.a_path)
        async with box:
            await box.program.says("open at")
            with pytest.raises(RefusedError):
                async with Client(f"serial://{line.b_path}{OPTIONS}", client_id="$bridge/cloud"):
                    pass


async def test_its_lines_and_rules_are_read_again_at_sighup_all_of_it_or_nothing(tmp_path: Path) -> None:
    async with NoisyLine(BAUD) as one, NoisyLine(BAUD) as two:
        box = Box(tmp_path, one.a_path)
        async with box, Client(box.url, client_id="w") as watcher:
            await watcher.subscribe("gw/#")
            async with on_line(one, "one") as client:
                await (await client.publish("t", "1", qos=1)).completed()
                box.write(one.a_path, two.a_path, more='status_topic = "gw"\nstatus_every_s = 0.1\n')
                assert "2 changes" in await box.hang_up()
                async with on_line(two, "two") as other:
                    await (await other.publish("t", "1", qos=1)).completed()
                    while (await anext(watcher)).topic != "gw/two":
                        pass
                    await (await client.publish("t", "2", qos=1)).completed()
                box.write(one.a_path, more='status_every_s = 0\nstore = "x"\n')
                assert box.program.process
                box.program.process.send_signal(signal.SIGHUP)
                assert "is there twice" in await box.program.says("nothing is changed")
                box.write(one.a_path, more="server_reference = 'a:1883'\n")
                box.program.process.send_signal(signal.SIGHUP)
                assert "needs a restart" in await box.program.says("server_reference is another one")
                box.write(one.a_path)
                assert "2 changes" in await box.hang_up()
                assert "nothing has changed" in await box.hang_up()
                await (await client.publish("t", "3", qos=1)).completed()
                assert not [text for text in box.program.lines if "'one' is gone" in text]
            assert await box.program.stop() == 0


async def test_a_port_in_use_changes_nothing_at_sighup_and_is_said_in_words(tmp_path: Path) -> None:
    box = Box(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        async with box:
            box._head = box._head.replace("]", f', "mqtt://127.0.0.1:{taken.getsockname()[1]}"]')
            box.write()
            assert box.program.process
            box.program.process.send_signal(signal.SIGHUP)
            assert "is in use" in await box.program.says("SIGHUP: nothing is changed: cannot listen on")
            async with Client(box.url, client_id="still there"):
                pass
            assert await box.program.stop() == 0


async def test_ctl_looks_at_the_broker_inside(tmp_path: Path) -> None:
    async with NoisyLine(BAUD) as line:
        box = Box(tmp_path, line.a_path)
        async with box, on_line(line) as client:
            await (await client.publish("t", "1", qos=1)).completed()
            found = await run(*COMMAND, "ctl", "--socket", str(box.control), "--json", "clients")
            (found_client,) = json.loads(found.stdout)
            assert found_client["client"] == "device"
            assert found_client["address"] == f"serial line {line.a_path}"


async def test_a_store_that_fails_ends_it_with_words(tmp_path: Path) -> None:
    box = Box(tmp_path)
    (tmp_path / "gateway.db").mkdir()
    async with box.program:
        assert await box.program.ended() == 1
        assert "gateway.db" in box.program.lines[-1]


async def test_ports_are_served_as_they_come(tmp_path: Path) -> None:
    async with NoisyLine(BAUD) as one, NoisyLine(BAUD) as two:
        paths = [tmp_path / f"tty-{number}" for number in range(2)]
        for path, line in zip(paths, (one, two), strict=True):
            path.symlink_to(line.a_path)
        two.unplug("a")
        box = Box(tmp_path, f"pattern = '{tmp_path}/tty-*'\n")
        async with box:
            await box.program.says(f"{paths[0]}: open at")
            two.replug("a")
            await box.program.says(f"{paths[1]}: open at")
            async with on_line(two, "two") as client:
                await (await client.publish("t", "1", qos=1)).completed()
                two.unplug("a")
                await box.program.says(f"{paths[1]}: is gone")
                two.replug("a")
                await box.program.says(f"{paths[1]}: open at", 2)
                await (await client.publish("t", "1", qos=1)).completed()
            assert await box.program.stop() == 0


async def test_a_store_that_fails_later_ends_it_with_words_and_nothing_is_claimed(tmp_path: Path) -> None:
    async with NoisyLine(BAUD) as line:
        box = Box(tmp_path, line.a_path)
        async with box, on_line(line) as client:
            await (await client.publish("t", "1", qos=1)).completed()
            assert box.program.process
            resource.prlimit(box.program.process.pid, resource.RLIMIT_FSIZE, (0, 0))  # no file grows any more
            late = await client.publish("t", "2", qos=1, retain=True)
            assert await box.program.ended() == 1
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(late.completed(), 0.1)
            assert "all connections are closed" in await box.program.says("CRITICAL")
            assert not [text for text in box.program.lines if "Traceback" in text]
            await box.program.start()
            await late.completed()


async def test_a_board_at_its_prompt_is_diagnosed_and_its_console_served_as_in_forward_mode(tmp_path: Path) -> None:
    async with NoisyLine(BAUD) as line:
        socket = tmp_path / "console"
        box = Box(tmp_path, line.a_path, more='status_topic = "gw"\nstatus_every_s = 0.1\n')
        box.file.write_text(box.file.read_text().replace('console = ""', f'console = "{socket}"'))
        async with box, Client(box.url, client_id="w") as watcher:
            await box.program.says("open at")
            await watcher.subscribe("gw/#")
            board = open_port(line.b_path)
            await board.write(b"\r\nMicroPython v1.28 on a board\r\n>>> ")
            while json.loads((await anext(watcher)).payload or "0") in (0, 1):
                pass
            state = json.loads((await anext(watcher)).payload)
            while state == 1 or state["looks_like"] != "micropython prompt":
                state = json.loads((await anext(watcher)).payload)
            found = await run(*COMMAND, "console", "--socket", str(socket), "--list")
            assert line.a_path in found.stdout
            board.close()


def test_a_file_is_looked_at_without_being_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    box = Box(tmp_path, "/dev/ttyUSB*", "usb = '10c4:ea60'\n", tables=upstream("mqtt://localhost"))
    assert main(["gateway", "--config", str(box.file), "--test-config"]) == 0
    said = capsys.readouterr().out
    assert (
        "in order: bridge mode, 0 serial ports, 2 rules for ports as they are plugged in, 1 upstream, 1 listener, a"
        in said
    )
    box.file.write_text(box.file.read_text().replace("listen = ", "#"))
    assert main(["gateway", "--config", str(box.file), "--test-config"]) == 0
    assert "1 upstream, 0 listeners, a store" in capsys.readouterr().out  # the upstream listens where it would
    box.file.write_text(box.file.read_text().replace("mqtt://localhost", "mqtt://localhost:1884"))
    assert main(["gateway", "--config", str(box.file), "--test-config"]) == 0
    assert "for this machine at mqtt://127.0.0.1:1883, if that is free, a store" in capsys.readouterr().out
    box.write("usb = 'x'\n", "/dev/a", tables=upstream("http://localhost") + "[limits]\nfilter = 1\n")
    assert main(["gateway", "--config", str(box.file), "--test-config"]) == 1
    lines = [line.partition(": line ")[2] for line in capsys.readouterr().err.splitlines()]
    assert [line.partition(":")[0] for line in lines[:-1]] == ["10", "17", "21"]
    assert lines[0].startswith("10: [[upstream]] number 1: url: 'http' is not supported")
    assert not (tmp_path / "gateway.db").exists()


UPSTREAMS = {
    'url = "mqtt://h"\nout = "#"': "line 4: .*out must be a list of tables, as in out = ",
    'url = "mqtt://h"\nout = [{ filter = "#/a" }]': "line 4: .*filter = '#/a'",
    'url = "mqtt://h"\nout = [{ to = "a" }]': "line 4: .*filter is missing",
    'url = "mqtt://h"\nout = [{ filter = "a", qos = "2" }]': "line 4: .*qos must be a whole number",
    'url = "mqtt://h"\nout = [{ filter = "a", too = "2" }]': "line 4: .*there is no key 'too'; did you mean to",
    'url = "mqtt://h"': "line 2: .*nothing passes: say what",
    'url = "mqtt://u:5ecret@h/x"\nout = [{ filter = "a" }]': "line 3: .*what stands behind host and port",
    'url = "mqtt://h"\nout = [{ filter = "a" }]\nqueue_bytes = "1 TB"': "line 5: .*queue_bytes must be a whole number",
    'url = "mqtt://h"\nout = [{ filter = "a" }]\ntls = { ca = "/x" }': "line 5: .*ca= is about TLS",
    'url = "mqtt://h"\nout = [{ filter = "a" }]\nexchange = "x"': "line 5: .*there is no key 'exchange'",
    'out = [{ filter = "a" }]': "line 2: .*url is missing",
    'name = "a b"\nurl = "mqtt://h"\nout = [{ filter = "a" }]': "line 3: .*name = 'a b'",
}


@pytest.mark.parametrize("table", UPSTREAMS)
def test_what_is_wrong_with_an_upstream_is_said_with_line_and_key(tmp_path: Path, table: str) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(f'store = "memory"\n[[upstream]]\n{table}\n')
    with pytest.raises(ConfigError, match=UPSTREAMS[table]) as error:
        load(path)
    assert "5ecret" not in str(error.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_gateway_that_would_be_its_own_upstream_is_refused(
    host: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "gateway.toml"
    text = 'mode = "bridge"\nstore = "memory"\nlisten = ["mqtt://127.0.0.1:2883"]\n'
    file.write_text(text + f'[[upstream]]\nname = "cloud"\nurl = "mqtt://{host}:2883"\nout = [{{ filter = "#" }}]\n')
    main(["gateway", "--config", str(file), "--test-config"])
    said = capsys.readouterr()
    assert f"upstream cloud: mqtt://{host}:2883 is where the broker inside listens itself" in said.out + said.err
    file.write_text(file.read_text().replace('2883"\nout', '2884"\nout'))
    main(["gateway", "--config", str(file), "--test-config"])
    said = capsys.readouterr()
    assert "listens itself" not in said.out + said.err


def test_nothing_is_listened_on_by_default_where_an_upstream_is() -> None:
    cloud = UpstreamSettings("cloud", "mqtt://localhost", out=(Route("#"),))
    assert listeners_of(Settings(), Broker([]), [cloud]) == []
    free = Settings(listen=["mqtt://127.0.0.1:0"])
    assert [each.url for each in listeners_of(free, Broker([]), [cloud])] == free.listen


def test_a_store_is_not_taken_for_forward_mode(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gateway", "--serial", "/dev/ttyUSB0", "--store", "x.db"]) == 1
    assert "--store is for the broker of bridge mode: add --bridge" in capsys.readouterr().err
