"""Which ports are served: by what they are, as they come and go; and that no line stalls another."""

import asyncio
import fcntl
import os
import statistics
import struct
import termios
import threading
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest
from serial.tools import list_ports

from mqttlite.cli.demo.pty_line import NoisyLine
from mqttlite.client import Client
from mqttlite.serial import ports as serial_ports
from mqttlite.serial.ports import PortError, open_port
from mqttlite_gateway.lines import ports as ports_module
from mqttlite_gateway.lines.line import GatewayLine
from mqttlite_gateway.lines.ports import Plugged, Ports
from mqttlite_gateway.lines.udev import PortEvents
from mqttlite_gateway.lines.upstream import Upstream
from mqttlite_gateway.settings.errors import ConfigError
from mqttlite_gateway.settings.port import PortRule, SerialPort, parsed
from tests.gateway.world import BAUD, OPTIONS, gateway
from tests.peers import RUN_TIMEOUT_S, Mosquitto

CP210X = "10c4:ea60"
CH340 = "1a86:7523"
EVENTS = sorted(Path("/sys/class/tty").glob("tty[0-9]*/uevent"))


class Bench:
    """Ports that fit rules, without devices: `there` is what is plugged in; lines are made and do nothing."""

    def __init__(self) -> None:
        self.there: list[Plugged] = []
        self.lines: list[GatewayLine] = []
        self.begun = asyncio.Event()  # a line has
        self.ports = Ports(
            self.lines,
            lambda port: GatewayLine(port, Upstream("mqtt://localhost")),
            self._run,
            lambda: self.there,
            asks=False,
        )

    def _run(self, line: GatewayLine) -> "asyncio.Task[None]":
        self.begun.set()
        return asyncio.create_task(asyncio.sleep(3600))

    async def look(self, *rules: PortRule) -> list[str]:
        """The paths that are served by these rules."""
        await self.ports.take([], rules)
        return [line.config.path for line in self.lines]


async def test_a_rule_means_ports_by_usb_id_serial_number_and_path_and_the_first_that_fits_has_its_options() -> None:
    bench = Bench()
    bench.there = [
        Plugged("/dev/ttyS0"),
        Plugged("/dev/ttyUSB0", CP210X, "0001"),
        Plugged("/dev/ttyUSB1", CP210X, "0002"),
        Plugged("/dev/ttyUSB2", CH340),
    ]
    assert await bench.look(PortRule(usb=CP210X.upper())) == ["/dev/ttyUSB0", "/dev/ttyUSB1"]
    assert await bench.look(PortRule(serial="0002")) == ["/dev/ttyUSB1"]
    assert await bench.look(PortRule(usb=CP210X, pattern="/dev/ttyUSB0")) == ["/dev/ttyUSB0"]
    assert await bench.look(PortRule(usb=CH340, serial="0001")) == []
    assert bench.ports.missing == ["USB id 1a86:7523, serial number 0001"]
    both = PortRule(serial="0001", options={"baud": 9600}), PortRule(usb=CP210X)
    assert await bench.look(*both) == ["/dev/ttyUSB0", "/dev/ttyUSB1"]
    assert [line.config.baud for line in bench.lines] == [9600, 115200]
    assert not bench.ports.missing
    await bench.ports.close()


async def test_a_line_outlives_its_adapter_for_a_while_and_a_path_is_never_served_twice(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bench = Bench()
    bench.there = [Plugged("/dev/ttyUSB0", CP210X)]
    rule = PortRule(usb=CP210X)
    await bench.look(rule)
    (line,) = bench.lines
    bench.there = []
    assert await bench.look(rule) == ["/dev/ttyUSB0"]
    assert bench.ports.missing
    bench.there = [Plugged("/dev/ttyUSB0", CP210X)]
    await bench.look(rule)
    assert bench.lines == [line]
    await bench.ports.take([SerialPort("/dev/ttyUSB0", 9600)], [rule])
    assert [each.config.baud for each in bench.lines] == [9600]
    await bench.look(rule)
    bench.there = []
    monkeypatch.setattr(ports_module, "GONE_S", 0.0)
    assert await bench.look(rule) == []
    await bench.ports.close()


async def test_a_rule_never_means_the_port_of_a_bus(tmp_path: Path) -> None:
    device, name = tmp_path / "ttyUSB0", tmp_path / "usb-RS485"
    device.touch()
    name.symlink_to(device)
    rule = PortRule(pattern=f"{tmp_path}/ttyUSB*")
    bench = Bench()
    await bench.ports.take([], [rule], but=[str(name)])
    assert bench.lines == []
    await bench.ports.take([], [rule])
    assert [line.config.path for line in bench.lines] == [str(device)]
    await bench.ports.take([], [rule], but=[str(name)])  # it has become one
    assert bench.lines == []
    await bench.ports.close()


async def test_the_first_rule_may_come_while_the_gateway_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports_module, "LOOK_S", 0.01)
    bench = Bench()
    await bench.ports.take([], [])
    looking = asyncio.create_task(bench.ports.run())
    await asyncio.sleep(0)
    assert await bench.look(PortRule(usb=CP210X)) == []
    bench.there = [Plugged("/dev/ttyUSB0", CP210X)]
    async with asyncio.timeout(RUN_TIMEOUT_S):
        await bench.begun.wait()
    looking.cancel()
    await bench.ports.close()


def test_an_adapter_that_goes_while_it_is_looked_at_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def half_gone() -> list[object]:
        raise TypeError("int() can't convert non-string with explicit base")  # what pyserial makes of it

    monkeypatch.setattr(list_ports, "comports", half_gone)
    assert ports_module.plugged() == []


async def test_an_adapter_is_called_by_the_name_that_survives_unplugging(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    device = tmp_path / "ttyUSB0"
    device.touch()
    name = tmp_path / "usb-Silicon_Labs-0001"
    name.symlink_to(device)
    monkeypatch.setattr(ports_module, "STABLE_NAMES", (f"{tmp_path}/usb-*",))
    bench = Bench()
    bench.there = [Plugged(str(device), CP210X)]
    assert await bench.look(PortRule(usb=CP210X)) == [str(name)]
    await bench.ports.close()


def test_rules_on_the_command_line() -> None:
    assert parsed("usb:10c4:ea60?baud=9600") == PortRule(usb=CP210X, options={"baud": 9600})
    assert parsed("serial:0001") == PortRule(serial="0001")
    assert parsed("/dev/ttyUSB*?window=16") == PortRule(pattern="/dev/ttyUSB*", options={"window": 16})
    assert parsed("/dev/ttyUSB0") == SerialPort("/dev/ttyUSB0")
    for text, said in {
        "usb:10c4": "must be VENDOR:PRODUCT as lsusb shows it",
        "serial:": "one of them has to say which ports",
        "tty*": "must be one of devices",
        "/dev/tty*?baud=0": "baud 0: must be 300",
    }.items():
        with pytest.raises(ConfigError, match=said):
            parsed(text)


async def test_the_kernel_says_that_a_port_has_come() -> None:
    """As udev does, where it runs: pyudev hears either."""
    if not EVENTS or not os.access(EVENTS[0], os.W_OK):
        pytest.skip("no event can be made on this machine")
    heard = asyncio.Event()
    events = PortEvents(heard.set)
    assert events.open()
    try:
        EVENTS[0].write_text("add")
        async with asyncio.timeout(RUN_TIMEOUT_S):
            await heard.wait()
    finally:
        events.close()


async def test_a_serial_port_is_locked_against_programs_that_know_of_no_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serial_ports, "_PTY_MAJORS", ())  # it is opened as any serial device
    master, slave = os.openpty()
    port = open_port(os.ttyname(slave))
    try:
        exclusive = fcntl.ioctl(slave, 0x80045440, struct.pack("I", 0))  # TIOCGEXCL, which is not in termios
        assert struct.unpack("I", exclusive) == (1,)
        with pytest.raises(PortError, match=rf"is in use by .*\(process {os.getpid()}\)"):
            open_port(os.ttyname(slave))
    finally:
        port.close()
        fcntl.ioctl(slave, termios.TIOCNXCL)
        os.close(master)
        os.close(slave)


BAD = {
    "noise": bytes(range(1, 256)) * 16,
    "zeros": bytes(4096),
    "text": b"I am babbling, and nobody stops me\r\n" * 100,
    "frames": bytes([0, 0x81, 0x90, 1, 2, 3, 4, 5, 6, 7, 8, 9]) * 300,
}


class Babbling:
    """Devices that send without end, as fast as a pseudo-terminal takes it, and read nothing."""

    def __init__(self) -> None:
        self._ends = [os.openpty() for _ in BAD]
        for _, slave in self._ends:
            tty.setraw(slave)
        self.paths = [os.ttyname(slave) for _, slave in self._ends]
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._babble, args=(master, data))
            for (master, _), data in zip(self._ends, BAD.values(), strict=True)
        ]

    def _babble(self, master: int, data: bytes) -> None:
        os.set_blocking(master, False)
        while not self._stop.wait(0.0005):
            try:
                while not self._stop.is_set():
                    os.write(master, data)
            except BlockingIOError:
                pass

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            if thread.ident:
                thread.join()
        for ends in self._ends:
            for end in ends:
                os.close(end)


@pytest.fixture
def babbling() -> Iterator[Babbling]:
    devices = Babbling()
    yield devices
    devices.end()


async def test_who_does_not_wait_for_a_port_any_more_does_not_keep_it_from_its_line() -> None:
    line = GatewayLine(SerialPort("/dev/no-such-port"), Upstream("mqtt://localhost"))
    async with line.lent():
        waiting = asyncio.create_task(line.lent().__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert not line._is_wanted.is_set()
    async with line.lent():
        pass


async def test_devices_that_babble_do_not_stall_another(mosquitto: Mosquitto, babbling: Babbling) -> None:
    """Without a limit of what is read of each, a message took five times as long as without them."""

    async def round_trip_ms(client: Client, count: int) -> float:
        times = []
        for _ in range(count):
            began = asyncio.get_running_loop().time()
            await (await client.publish("t/up", "x", qos=1)).completed()
            times.append(asyncio.get_running_loop().time() - began)
        return 1000 * statistics.median(times)

    async with NoisyLine(BAUD) as line, gateway(mosquitto.url, line.a_path, *babbling.paths) as box:
        await box.says("open at", 1 + len(BAD))
        async with Client(f"serial://{line.b_path}{OPTIONS}", client_id="device", retry_first=True) as client:
            alone_ms = await round_trip_ms(client, 40)
            babbling.start()
            for path in babbling.paths:
                await box.says(f"{path}: more than 184320 bytes a second come")
            beside_ms = await round_trip_ms(client, 40)
            print(f"a round trip: {alone_ms:.1f} ms alone, {beside_ms:.1f} ms beside {len(BAD)} that babble")
            assert beside_ms < 3 * alone_ms + 20
        assert await box.stop() == 0
