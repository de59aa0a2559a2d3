"""The sensors, each with a bus of paper that says what the examples of the datasheets say, bit by bit."""

import asyncio
import struct
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from mqttlite_board.sensors import adc, bh1750, bme280, chip, dht, ds18b20, i2c, sht3x
from tests.firmware.boards import PACKAGE, run


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Conversions take no time."""
    plain = asyncio.sleep
    for module in (ds18b20, sht3x, bh1750, bme280):
        monkeypatch.setattr(module, "asyncio", SimpleNamespace(sleep=lambda _: plain(0)))


def install(monkeypatch: pytest.MonkeyPatch, name: str, **things: object) -> None:
    """A module of MicroPython."""
    module = ModuleType(name)
    vars(module).update(things)
    monkeypatch.setitem(sys.modules, name, module)


def pin(number: object) -> object:
    return number


async def test_every_sensor_compiles_on_both_runtimes(runtime: str, tmp_path: Path) -> None:
    names = sorted(path.stem for path in (PACKAGE / "sensors").glob("[a-z]*.py"))
    script = "".join(f"import mqttlite_board.sensors.{name}\n" for name in names) + "print('all')"
    assert await run(runtime, tmp_path, script) == "all\n"


# -- ADC


class Converter:
    """An ADC whose samples are given, in microvolts."""

    samples: tuple[int, ...] = ()
    ATTN_11DB = 3

    def __init__(self, pin: object) -> None:
        if pin == 99:
            raise ValueError("invalid pin")
        self.attenuation = 0
        self._left = list(self.samples)

    def atten(self, attenuation: int) -> None:
        self.attenuation = attenuation

    def read_uv(self) -> int:
        assert self.attenuation == self.ATTN_11DB
        return self._left.pop(0)


def test_a_voltage_is_the_mean_of_the_samples_in_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "machine", ADC=Converter, Pin=pin)
    monkeypatch.setattr(Converter, "samples", (3_300_000, 1_000_000, 1_200_000, 0) * 2)
    assert adc.Adc(34, samples=8).read() == pytest.approx(1.1)
    assert adc.Adc(34, samples=8, scale=2).read() == pytest.approx(2.2)


def test_two_points_make_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "machine", ADC=Converter, Pin=pin)
    for microvolts, percent in ((2_600_000, 0), (1_100_000, 100), (1_850_000, 50), (800_000, 120)):
        monkeypatch.setattr(Converter, "samples", (microvolts,))
        assert adc.Adc(34, samples=1, points=((2.6, 0), (1.1, 100))).read() == pytest.approx(percent)


def test_a_chip_without_calibration_is_measured_against_its_supply(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "machine", ADC=lambda _: SimpleNamespace(read_u16=lambda: 32768), Pin=pin)
    assert adc.Adc(26).read() == pytest.approx(1.65, abs=0.001)


def test_a_pin_without_a_converter_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "machine", ADC=Converter, Pin=pin)
    with pytest.raises(ValueError, match="pin 99 cannot measure a voltage: invalid pin"):
        adc.Adc(99)
    with pytest.raises(ValueError, match="two different voltages"):
        adc.Adc(34, points=((1, 0), (1, 100)))


# -- DS18B20


class Wire:
    """A 1-Wire bus with DS18B20s, each by its address: nine bytes of scratchpad."""

    there: dict[bytes, bytes]

    def __init__(self, pin: object) -> None:
        self._selected = b""
        self._converted: set[bytes] = set()
        self._command = 0

    def scan(self) -> list[bytearray]:
        return [bytearray(rom) for rom in self.there]

    def reset(self) -> bool:
        self._command = 0
        return bool(self.there)

    def select_rom(self, rom: bytes) -> None:
        self._selected = bytes(rom)

    def writebyte(self, byte: int) -> None:
        self._command = byte
        if byte == 0x44:
            self._converted.add(self._selected)

    def readinto(self, data: bytearray) -> None:
        assert self._command == 0xBE
        assert self._selected in self._converted
        data[:] = self.there.get(self._selected, b"\xff" * 9)


ONE = bytes.fromhex("28ff641e8616043c")
TWO = bytes.fromhex("28aabbccddeeff11")


def scratchpad(raw: int, left: int = 0x10) -> bytes:
    data = struct.pack("<H", raw) + bytes((0x4B, 0x46, 0x7F, 0xFF, left, 0x10))
    return data + bytes((ds18b20.crc8(data),))


def test_the_crc_of_the_bus_is_that_of_the_application_note() -> None:
    assert ds18b20.crc8(bytes.fromhex("021cb801000000")) == 0xA2  # Maxim, application note 27


@pytest.mark.parametrize(
    ("raw", "celsius"),
    [(0x07D0, 125), (0x0550, 85), (0x0191, 25.0625), (0x0008, 0.5), (0, 0), (0xFFF8, -0.5), (0xFC90, -55)],
)
async def test_temperatures_are_those_of_the_datasheet(
    monkeypatch: pytest.MonkeyPatch, raw: int, celsius: float
) -> None:
    install(monkeypatch, "machine", Pin=pin)
    install(monkeypatch, "onewire", OneWire=Wire)
    monkeypatch.setattr(Wire, "there", {ONE: scratchpad(raw)}, raising=False)
    assert await ds18b20.Ds18b20(4).read() == celsius


async def test_one_of_several_is_read_by_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "machine", Pin=pin)
    install(monkeypatch, "onewire", OneWire=Wire)
    monkeypatch.setattr(Wire, "there", {ONE: scratchpad(0x0191), TWO: scratchpad(0x00A2)}, raising=False)
    assert await ds18b20.Ds18b20(4, TWO.hex()).read() == 10.125
    assert ds18b20.Ds18b20(4).addresses() == [ONE.hex(), TWO.hex()]
    with pytest.raises(ValueError, match="DS18B20 on pin 4: 2 sensors answer"):
        await ds18b20.Ds18b20(4).read()


@pytest.mark.parametrize(
    ("there", "words"),
    [
        ({}, "no sensor answers"),
        ({ONE: scratchpad(0x0191)[:-1] + b"\0"}, "damaged"),
        ({ONE: b"\xff" * 9}, "no sensor answers"),
        ({ONE: scratchpad(0x0550, left=0x0C)}, "lost its power"),
    ],
)
async def test_what_is_wrong_with_a_wire_is_said_with_its_pin(
    monkeypatch: pytest.MonkeyPatch, there: dict[bytes, bytes], words: str
) -> None:
    install(monkeypatch, "machine", Pin=pin)
    install(monkeypatch, "onewire", OneWire=Wire)
    monkeypatch.setattr(Wire, "there", there, raising=False)
    with pytest.raises(ValueError, match=f"DS18B20 on pin 4: .*{words}"):
        await ds18b20.Ds18b20(4).read()


# -- DHT


def driver(measure: Callable[[], None], celsius: float, humidity: float) -> Callable[[object], object]:
    return lambda _: SimpleNamespace(measure=measure, temperature=lambda: celsius, humidity=lambda: humidity)


def test_a_dht_says_both(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "machine", Pin=pin)
    install(monkeypatch, "dht", DHT22=driver(lambda: None, -10.1, 65.2))
    assert dht.Dht(4).read() == {"celsius": -10.1, "humidity": 65.2}


@pytest.mark.parametrize(
    ("error", "values", "words"),
    [
        (OSError(116), (0, 0), "no answer"),
        (Exception("checksum error"), (0, 0), r"damaged \(checksum\)"),
        (None, (281.6, 1664.0), "is it a DHT11"),
    ],
)
def test_what_is_wrong_with_a_dht_is_said_with_its_pin(
    monkeypatch: pytest.MonkeyPatch, error: Exception | None, values: tuple[float, float], words: str
) -> None:
    def measure() -> None:
        if error:
            raise error

    install(monkeypatch, "machine", Pin=pin)
    install(monkeypatch, "dht", DHT22=driver(measure, *values))
    with pytest.raises(ValueError, match=f"DHT22 on pin 4: .*{words}"):
        dht.Dht(4).read()


# -- I²C


class Bus:
    """An I²C bus: registers by address, and what a device answers after which command."""

    def __init__(self) -> None:
        self.registers: dict[int, bytearray] = {}
        self.answers: dict[int, dict[bytes, bytes]] = {}
        self.last: dict[int, bytes] = {}

    def __str__(self) -> str:
        return "I2C(0, scl=22, sda=21)"

    def _must_be_there(self, address: int) -> None:
        if address not in self.scan():
            raise OSError(19)  # ENODEV

    def scan(self) -> list[int]:
        return [*self.registers, *self.answers]

    def writeto(self, address: int, data: bytes) -> None:
        self._must_be_there(address)
        self.last[address] = bytes(data)

    def readfrom(self, address: int, size: int) -> bytes:
        self._must_be_there(address)
        return self.answers[address][self.last[address]][:size]

    def readfrom_mem(self, address: int, register: int, size: int) -> bytes:
        self._must_be_there(address)
        return bytes(self.registers[address][register : register + size])

    def writeto_mem(self, address: int, register: int, data: bytes) -> None:
        self._must_be_there(address)
        self.registers[address][register : register + len(data)] = data


def test_the_crc_of_an_sht3x_is_that_of_the_datasheet() -> None:
    assert sht3x.crc8(b"\xbe\xef") == 0x92


async def test_an_sht3x_says_both() -> None:
    bus = Bus()
    bus.answers[0x44] = {b"\x24\x00": b"\x66\x66" + bytes((sht3x.crc8(b"\x66\x66"),)) + b"\xbe\xef\x92"}
    found = await sht3x.Sht3x(bus).read()
    assert found["celsius"] == pytest.approx(-45 + 175 * 0.4, abs=0.01)
    assert found["humidity"] == pytest.approx(100 * 0xBEEF / 65535)


async def test_a_damaged_answer_of_an_sht3x_is_no_reading() -> None:
    bus = Bus()
    bus.answers[0x44] = {b"\x24\x00": b"\x66\x67\x93\xbe\xef\x92"}
    with pytest.raises(ValueError, match=r"SHT3x at 0x44 on I2C\(0, scl=22, sda=21\): .*CRC"):
        await sht3x.Sht3x(bus).read()


async def test_light_is_that_of_the_datasheet() -> None:
    bus = Bus()
    bus.answers[0x23] = {b"\x20": b"\x83\x90"}
    assert round(await bh1750.Bh1750(bus).read()) == 28067  # BH1750FVI, measurement sequence example


def bme(kind: int = bme280.BME) -> Bus:
    """The example of the datasheet of the BMP280, 3.12, and a humidity."""
    bus = Bus()
    registers = bus.registers[0x76] = bytearray(256)
    registers[0xD0] = kind
    registers[0x88:0xA0] = struct.pack(
        "<HhhHhhhhhhhh", 27504, 26435, -1000, 36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000
    )
    registers[0xA1] = 75
    registers[0xE1:0xE8] = struct.pack("<hBbBbb", 362, 0, 0x14, 0x0D, 0x03, 30)  # H4 0x14D = 333, H5 0x030 = 48
    for at, raw in ((0xF7, 415148), (0xFA, 519888)):
        registers[at : at + 3] = bytes((raw >> 12, raw >> 4 & 255, raw << 4 & 255))
    registers[0xFD:0xFF] = struct.pack(">H", 27000)
    return bus


async def test_temperature_and_pressure_are_those_of_the_datasheet() -> None:
    found = await bme280.Bme280(bme(bme280.BMP)).read()
    assert set(found) == {"celsius", "hpa"}
    assert found["celsius"] == pytest.approx(25.08, abs=0.005)
    assert found["hpa"] == pytest.approx(1006.5327, abs=0.0005)


async def test_humidity_is_that_of_the_integer_formula_of_the_datasheet() -> None:
    def integers(fine: int, raw: int) -> float:  # BME280 datasheet, 4.2.3
        h1, h2, h3, h4, h5, h6 = 75, 362, 0, 333, 48, 30
        x = fine - 76800
        x = (((raw << 14) - (h4 << 20) - (h5 * x) + 16384) >> 15) * (
            ((((((x * h6) >> 10) * (((x * h3) >> 11) + 32768)) >> 10) + 2097152) * h2 + 8192) >> 14
        )
        x -= ((((x >> 15) * (x >> 15)) >> 7) * h1) >> 4
        return (min(max(x, 0), 419430400) >> 12) / 1024

    found = await bme280.Bme280(bme()).read()
    assert found["humidity"] == pytest.approx(integers(128422, 27000), abs=0.05)
    assert 20 < found["humidity"] < 80


async def test_another_device_at_the_address_is_no_bme280() -> None:
    with pytest.raises(ValueError, match="0x76 is no BME280: it says 0x55"):
        await bme280.Bme280(bme(0x55)).read()


async def test_a_bme280_that_has_measured_nothing_is_calibrated_anew() -> None:
    bus = bme()
    sensor = bme280.Bme280(bus)
    whole = bytes(bus.registers[0x76][0xFA:0xFD])
    bus.registers[0x76][0xFA:0xFD] = b"\x80\0\0"
    with pytest.raises(ValueError, match="has measured nothing"):
        await sensor.read()
    bus.registers[0x76][0xFA:0xFD] = whole
    assert (await sensor.read())["celsius"] == pytest.approx(25.08, abs=0.005)


SILENT: dict[str, Callable[[Bus], Awaitable[Any]]] = {
    "SHT3x at 0x44": lambda bus: sht3x.Sht3x(bus).read(),
    "BH1750 at 0x23": lambda bus: bh1750.Bh1750(bus).read(),
    "BME280 at 0x76": lambda bus: bme280.Bme280(bus).read(),
}


@pytest.mark.parametrize("what", SILENT)
async def test_a_device_that_does_not_answer_is_named_with_its_pins_and_what_else_does(what: str) -> None:
    bus = Bus()
    words = f"{what} on I2C(0, scl=22, sda=21) does not answer; "
    with pytest.raises(ValueError) as found:
        await SILENT[what](bus)
    assert str(found.value).startswith(words + "nothing else does.")
    bus.registers[0x3C] = bytearray()
    with pytest.raises(ValueError) as found:
        await SILENT[what](bus)
    assert str(found.value).startswith(words + "others do: 0x3c.")


def test_what_a_device_says_is_read_after_what_it_was_asked() -> None:
    bus = Bus()
    bus.answers[0x10] = {b"\x01": b"\x07"}
    assert i2c.ask("X", bus, 0x10, b"\x01", 1) == b"\x07"


# -- the chip


@pytest.mark.parametrize(
    ("module", "celsius"),
    [({"mcu_temperature": lambda: 31}, 31), ({"raw_temperature": lambda: 122}, 50)],
    ids=["newer chips", "the first ESP32"],
)
def test_the_chips_temperature(monkeypatch: pytest.MonkeyPatch, module: dict[str, Any], celsius: float) -> None:
    install(monkeypatch, "esp32", **module)
    assert chip.temperature() == celsius


def test_the_temperature_of_an_rp2040_is_that_of_the_datasheet(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "machine", ADC=lambda _: SimpleNamespace(read_u16=lambda: round(0.706 / 3.3 * 65535)))
    assert chip.temperature() == pytest.approx(27, abs=0.1)


def test_a_chip_without_a_sensor_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "esp32")
    with pytest.raises(ValueError, match="has no sensor"):
        chip.temperature()
