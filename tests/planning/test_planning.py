"""Planning: files that are read or refused, sizes and syncs as in the real code, and answers that arithmetic knows."""

import asyncio
import dataclasses
import json
import statistics
import tomllib
from pathlib import Path
from random import Random
from typing import Any

import pytest

from mqttlite.cli import main
from mqttlite.core import records
from mqttlite.core.codec import publish_head
from mqttlite.core.session import Session
from mqttlite.link.frames import MQTT
from mqttlite.link.link import Link
from mqttlite.planning import fleet as fleet_module
from mqttlite.planning import report, saturation, sizes
from mqttlite.planning.fleet import Commands, Devices, Fleet, FleetError, Messages, load
from mqttlite.planning.links import Line
from mqttlite.planning.model import outage, simulate
from mqttlite.sim.lines.noise import Noise
from mqttlite.store.area_raw import RawArea
from mqttlite.store.journal import Journal
from tests.link.virtual_line import VirtualLine

EXAMPLE = Path(__file__).parents[2] / "examples" / "fleet.toml"
SMALL = "[run]\ndetail = 400\n"


@pytest.fixture(autouse=True)
def short_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search for saturation that takes a moment."""
    monkeypatch.setattr(saturation, "MESSAGES", 400)
    monkeypatch.setattr(saturation, "MESSAGES_MAX", 400)


def parse(text: str, name: str = "plan") -> Fleet:
    return fleet_module.parse(tomllib.loads(text), text, name)


# --- the file


def test_an_empty_file_is_one_device_with_all_defaults() -> None:
    assert parse("") == Fleet()
    assert parse("").rate == 1.0


def test_the_example_says_every_key_that_there_is_and_no_other() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    chosen = load(EXAMPLE)
    group = chosen.devices[0]
    sections = [section for section in vars(chosen).values() if not isinstance(section, tuple)]
    for table in (*sections, group, group.commands, group.messages[0]):
        for field in dataclasses.fields(table):
            assert f"\n{field.name} = " in text or f".{field.name}]" in text, field.name


def test_the_comments_of_the_example_tell_defaults_from_choices() -> None:
    chosen = load(EXAMPLE)
    assert chosen.run == Fleet().run
    assert chosen.flash == Fleet().flash
    assert chosen.wifi == Fleet().wifi
    assert dataclasses.replace(chosen.serial, bit_errors=0.0) == Fleet().serial
    assert chosen.devices[0].messages[0] == Messages()
    assert chosen.devices[0].commands == Commands()
    assert dataclasses.replace(chosen.gateway, cuts_per_year=0.0) == Fleet().gateway
    assert dataclasses.replace(chosen.broker, store="memory") == Fleet().broker
    assert dataclasses.replace(chosen.consumer, inbox=False) == Fleet().consumer


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[devices]]\nbuad = 9600", ("fleet.toml", "line 2", "[devices]", "buad", "no such key", "baud")),
        ("[serail]", ("line 1", "serail", "no such key", "serial")),
        ("[serial]\n\nbaud = '9600'", ("line 3", "[serial]", "baud", "a whole number", "'9600'")),
        ("[serial]\nbaud = 9600.5", ("line 2", "a whole number", "9600.5")),
        ("[consumer]\ninbox = 1", ("line 2", "inbox", "true or false")),
        ("[serial]\nbaud = 0", ("line 2", "baud", "300 to 1e+07", "not 0")),
        ("[serial]\nbit_errors = 1.5", ("line 2", "bit_errors", "0 to 0.01")),
        ("[run]\nhours = nan", ("line 2", "hours", "not nan")),
        ("[broker]\nsync_ms = -1", ("line 2", "sync_ms", "not -1")),
        ("[broker]\nstore = 'disk'", ("line 2", "store", "memory, sqlite")),
        ("[[devices]]\nname='a'\n[[devices]]\nname='a'", ("line 4", "[devices]", "name", "two groups")),
        ("[[devices]]\n[[devices]]\nname='b'\n[[devices.messages]]\nqos = 3", ("line 5", "[devices.messages]", "qos")),
        ("[[devices]]\n[[devices.messages]]\n[[devices.messages]]\nqos = 2", ("line 2", "messages", "same name")),
        ("[devices]\ncount = 2", ("line 1", "devices", "list of tables", "[[devices]]")),
        ("[[serial]]\nbaud = 9600", ("line 1", "serial", "a table", "[serial]")),
        ("[[devices]]\ncount = 60000\n[[devices]]\nname='b'\ncount = 60000", ("100000 devices",)),
        ("serial = 3", ("line 1", "serial", "a table")),
    ],
)
def test_a_mistake_is_named_with_its_place_and_what_would_be_right(text: str, words: tuple[str, ...]) -> None:
    with pytest.raises(FleetError) as caught:
        parse(text, "fleet.toml")
    for word in words:
        assert word in str(caught.value)


def test_a_file_that_is_not_there_or_no_toml_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(FleetError, match="No such file"):
        load(tmp_path / "nothing.toml")
    for data, words in ((b"a = 1\n\xff", "line 2 is not UTF-8"), (b"[serial", "Expected")):
        (tmp_path / "plan.toml").write_bytes(data)
        with pytest.raises(FleetError, match=words):
            load(tmp_path / "plan.toml")


# --- sizes and syncs as in the real code


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("payload_bytes", [0, 64, 300])
def test_a_packet_has_the_bytes_that_a_session_sends(qos: int, payload_bytes: int) -> None:
    out: list[bytes] = []
    head = publish_head(qos << 1, b"site/a-1/reading", payload_bytes)
    if qos:
        session = Session()
        session.connected(out, True)
        session.publish(head, bytes(payload_bytes))
    else:
        out += (head, bytes(payload_bytes))
    assert sizes.publish("site/a-1/reading", payload_bytes, qos) == len(b"".join(out))


def bytes_of_real_links(packets: list[tuple[bool, int]]) -> tuple[int, int]:
    """Packets (whether up, bytes), each sent when the one before has arrived, on a line that was idle."""
    device, gateway = Link(1, receive_window=4096), Link(2, receive_window=4096)
    line = VirtualLine(device, gateway)
    left = list(packets)
    arrived = 0

    def send() -> None:
        if left:
            (device if left[0][0] else gateway).send(MQTT, bytes(left[0][1]))

    def received(link: Link, data: bytes | memoryview) -> None:
        nonlocal arrived
        link.consumed(len(data))
        arrived += len(data)
        if arrived == left[0][1]:
            arrived = 0
            left.pop(0)
            send()

    device.on_data = lambda _, data: received(device, data)
    gateway.on_data = lambda _, data: received(gateway, data)
    while not (device.up and gateway.up) or line.now < 50:
        arrived = line.ab.deliver(line.now) | line.ba.deliver(line.now)
        line.ab.step(line.now)
        line.ba.step(line.now)
        if not arrived:  # in small steps, or the next one could be the sign of life a second later
            line.now += 1
    before = device.stats.sent_bytes, gateway.stats.sent_bytes
    send()
    while left or device.unsettled() or gateway.unsettled():
        line.step()
    return device.stats.sent_bytes - before[0], gateway.stats.sent_bytes - before[1]


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("payload_bytes", [10, 64, 90, 300])
def test_a_message_takes_the_bytes_on_the_line_that_real_links_take(qos: int, payload_bytes: int) -> None:
    size = sizes.publish("site/a-1/reading", payload_bytes, qos)
    packets = [(True, size), *([(False, 4), (True, 4), (False, 4)][: 2 * qos - 1] if qos else [])]
    line = Line(Fleet().serial, 115200, Random(1))
    now = 1000.0
    for up, bytes_ in packets:
        now = (line.up if up else line.down).send(now, bytes_)
    line.up.finish(1e9)
    line.down.finish(1e9)
    up, down = bytes_of_real_links(packets)
    assert down == line.down.bytes
    # The link counts whole milliseconds, so between frames of one message it may take the line for idle: one 0x00.
    assert 0 <= up - line.up.bytes <= (size - 1) // 114


def delays_on_real_links(latency_ms: float, bit_errors: float, count: int) -> list[float]:
    """How long packets of 85 bytes take on a noisy line, one every half second."""
    device, gateway = Link(1, receive_window=4096), Link(2, receive_window=4096)
    noise = [Noise(seed, bit_errors=bit_errors) for seed in (1, 2)]
    line = VirtualLine(device, gateway, latency_ms=latency_ms, noise_ab=noise[0], noise_ba=noise[1])
    delays: list[float] = []
    begun = 0.0
    missing = 0

    def received(_: int, data: bytes | memoryview) -> None:
        nonlocal missing
        gateway.consumed(len(data))
        missing -= len(data)
        if not missing:
            delays.append(line.now - begun)

    gateway.on_data = received
    while not (device.up and gateway.up):
        line.step()
    for _ in range(count):
        begun, missing = line.now, 85
        device.send(MQTT, bytes(85))
        while line.now < begun + 500:
            arrived = line.ab.deliver(line.now) | line.ba.deliver(line.now)
            line.ab.step(line.now)
            line.ba.step(line.now)
            if not arrived:
                line.now = max(line.now + 0.01, min(line.ab.next_ms(), line.ba.next_ms(), begun + 500))
    return delays


@pytest.mark.parametrize("latency_ms", [0.5, 4.0, 8.0])
def test_on_a_noisy_line_packets_take_as_long_as_between_real_links(latency_ms: float) -> None:
    real = delays_on_real_links(latency_ms, 2e-4, 400)
    way = Line(dataclasses.replace(Fleet().serial, latency_ms=latency_ms, bit_errors=2e-4), 115200, Random(1)).up
    modelled = [way.send(1000.0 + 500 * n, 85) - (1000.0 + 500 * n) for n in range(4000)]
    assert len(real) > 390  # one that takes longer than half a second is not timed
    assert statistics.median(modelled) == pytest.approx(statistics.median(real), rel=0.01)
    # A packet in seven is repaired: what that takes is what differs between latencies.
    nine = [statistics.quantiles(delays, n=20)[17] for delays in (real, modelled)]
    assert nine[1] == pytest.approx(nine[0], rel=0.05)


class Flash:
    """A flash in memory that counts erases and programs."""

    def __init__(self, blocks: int) -> None:
        self.image = bytearray(b"\xff" * blocks * 4096)
        self.erases = self.programs = 0

    def readblocks(self, block: int, buf: bytearray, offset: int = 0) -> None:
        at = block * 4096 + offset
        buf[:] = self.image[at : at + len(buf)]

    def writeblocks(self, block: int, buf: Any, offset: int) -> None:
        at = block * 4096 + offset
        self.programs += 1
        self.image[at : at + len(buf)] = buf

    def ioctl(self, op: int, arg: int) -> int:
        if op == 4:
            return len(self.image) // 4096
        if op == 6:
            self.erases += 1
            self.image[arg * 4096 : (arg + 1) * 4096] = b"\xff" * 4096
        return 4096 if op == 5 else 0


class Counting(Journal):
    """A journal that counts its commits."""

    commits = 0

    async def commit(self) -> None:
        if self._pending:
            self.commits += 1
        await super().commit()


async def handshakes(qos: int, messages: int) -> tuple[float, float]:
    """Commits and erases for each message of a real session with a real journal on a raw partition; as the client does
    it: a commit before `publish` returns, and before a packet leaves that tells of a record.
    """
    flash = Flash(16)
    store = Counting(RawArea(flash))
    state = await store.open()
    store.record(records.IDENTITY, 1, b"device")
    await store.commit()
    session = Session()
    session.store = store

    def snapshot() -> records.State:
        session.save(state)
        return state

    store.snapshot = snapshot
    out: list[bytes] = []
    session.connected(out, True)
    begin = store.commits, flash.erases
    head = publish_head(qos << 1, b"site/device-0/reading", 64)
    for _ in range(messages):
        packet_id = session.publish(head, bytes(64)) % 65535 + 1
        await store.commit()
        session.wanted = False
        for first in (0x40,) if qos == 1 else (0x50, 0x70):
            session.acknowledged(first, packet_id)
            if session.wanted:
                session.wanted = False
                await store.commit()
        out.clear()
    return (store.commits - begin[0]) / messages, (flash.erases - begin[1]) / messages


@pytest.mark.parametrize("qos", [1, 2])
def test_a_device_commits_and_erases_as_a_real_journal_does(qos: int) -> None:
    commits, erases = asyncio.run(handshakes(qos, 1000))
    plan = parse(f"[run]\ndetail = 1000\n[[devices]]\nstore='raw'\n[[devices.messages]]\nqos = {qos}")
    group = simulate(plan).groups[0]
    messages = group.streams[0].finished
    assert group.syncs / messages == pytest.approx(commits, rel=0.005)
    assert group.erases / messages == pytest.approx(erases, rel=0.15)


@pytest.mark.parametrize(("qos", "syncs"), [(0, 0), (1, 2), (2, 3)])
def test_a_message_that_is_alone_costs_the_broker_two_syncs_at_qos_1_and_three_at_qos_2(qos: int, syncs: int) -> None:
    """Received and queued; the consumer's release; the device's release; done, which shares that at QoS 2."""
    plan = parse(f"{SMALL}[[devices]]\n[[devices.messages]]\nqos = {qos}\n[broker]\nstore = 'sqlite'\nsync_ms = 1")
    result = simulate(plan)
    assert result.flow.commits / result.finished == pytest.approx(syncs, rel=0.01)


def test_without_stores_nothing_is_synced() -> None:
    result = simulate(parse(SMALL))
    assert (result.device_syncs, result.flow.commits, result.flow.consumer_syncs) == (0, 0, 0)


def test_a_journal_on_littlefs_wears_out_with_each_commit_that_is_large_unless_messages_share_it() -> None:
    def erases(burst: int, size: int = 64) -> float:
        text = "[[devices]]\nstore = 'journal'\n[[devices.messages]]\n"
        text += f"every_s = {burst}\nburst = {burst}\npayload_bytes = {size}\n"
        found: float = report.figures(parse(SMALL + text))["groups"][0]["flash"]["erases_per_day"]
        return found

    assert erases(1, 40) == pytest.approx(86400 * 0.2, rel=0.1)
    assert erases(1) == pytest.approx(86400 * 0.36, rel=0.1)  # with its end it is a little more than a piece
    assert erases(1, 360) == pytest.approx(86400 * 1.12, rel=0.05)
    assert erases(10) == pytest.approx(86400 * 0.13, rel=0.1)


# --- answers that arithmetic knows


def test_every_message_arrives_at_the_rate_of_the_plan() -> None:
    result = simulate(parse("[run]\ndetail = 2000\n[[devices]]\ncount = 20\n[[devices.messages]]\nevery_s = 2"))
    assert result.simulated_ms == 200_000
    assert result.rate == pytest.approx(10, rel=0.02)
    assert result.offered - result.finished <= 2


def test_a_handler_of_10_ms_saturates_at_100_messages_a_second() -> None:
    found = saturation.find(parse("[[devices]]\ncount = 20\n[consumer]\nhandler_ms = 10"))
    assert 90 < found.messages_per_s < 104
    assert found.bottleneck == "consumer"
    assert found.sweep[-1].p50 > 5 * found.sweep[0].p50


def test_a_slow_line_saturates_where_its_bytes_say() -> None:
    plan = parse("[serial]\nbaud = 9600\n[[devices]]\ncpu_ms = 0\n[[devices.messages]]\nrandom = true")
    found = saturation.find(plan)
    frame = sizes.frame(sizes.publish("site/device-0/reading", 64, 1))
    assert 0.7 < found.messages_per_s / (960 / frame) < 1.15
    assert found.bottleneck == "baud rate"


def test_a_window_of_one_waits_for_each_confirmation() -> None:
    text = "[[devices]]\nwindow = 1\ncpu_ms = 0\n[broker]\nstore = 'sqlite'\nsync_ms = 90"
    found = saturation.find(parse(text))
    assert found.messages_per_s < 1000 / 90
    assert found.bottleneck in ("broker disk", "window of the devices")


def test_a_plan_beyond_saturation_says_so() -> None:
    found = saturation.find(parse("[[devices]]\ncount = 10\n[consumer]\nhandler_ms = 1000"))
    assert found.times_the_plan < 1
    assert found.messages_per_s == pytest.approx(1, rel=0.15)


def test_the_busier_the_broker_the_more_messages_share_a_sync() -> None:
    def syncs(devices: int) -> float:
        text = f"[[devices]]\ncount = {devices}\n[broker]\nstore = 'sqlite'\nsync_ms = 20\nslower = 1\n"
        result = simulate(parse("[run]\ndetail = 1000\n" + text + "[gateway]\nslower = 0.1"))
        return result.flow.commits / result.finished

    assert syncs(1) > 1.9
    assert syncs(300) < 0.5


def test_more_noise_means_more_bytes_more_repeats_and_longer_tails() -> None:
    results = [simulate(parse(f"{SMALL}[serial]\nbit_errors = {rate}")) for rate in (0, 1e-4, 1e-3)]
    ways = [result.groups[0].lines[0].up for result in results]
    assert ways[0].repeats == 0
    assert ways[0].bytes < ways[1].bytes < ways[2].bytes
    assert ways[1].repeats < ways[2].repeats
    assert results[0].latency.at(99) < results[2].latency.at(99)
    assert all(result.offered - result.finished <= 1 for result in results)


def test_a_slower_disk_shows_in_every_percentile() -> None:
    fast, slow = (simulate(parse(f"{SMALL}[broker]\nstore = 'sqlite'\nsync_ms = {ms}")) for ms in (1, 51))
    for percent in (50, 95, 99):
        assert slow.latency.at(percent) - fast.latency.at(percent) == pytest.approx(50, rel=0.1)
    assert slow.latency.longest >= slow.latency.at(99) >= slow.latency.at(95) >= slow.latency.at(50)


def test_the_latency_of_an_answer_counts_from_its_command() -> None:
    result = simulate(parse(f"{SMALL}[[devices]]\ncpu_ms = 100\n[devices.commands]\nevery_s = 5"))
    reading, answer = result.groups[0].streams
    assert answer.name == "answer"
    assert answer.finished > 10
    assert answer.latency.at(50) > 100 + 2 * 4
    assert reading.latency.at(50) > 100


def test_an_outage_keeps_what_the_fleet_publishes_meanwhile_and_hands_it_over_afterwards() -> None:
    text = "[[devices]]\ncount = 10\n[gateway]\ncuts_per_year = 12\noutage_s = 30\nslower = 0.5\n"
    cut = outage(parse(text))
    assert cut is not None
    assert cut.messages_waiting == pytest.approx(10 * 30, rel=0.05)
    assert cut.unconfirmed_on_one_device == pytest.approx(30, rel=0.1)
    assert 30 < cut.longest_s < 40
    assert cut.recovered_after_s < 10
    assert outage(parse("")) is None


def test_power_cuts_lose_only_what_no_store_keeps() -> None:
    def cuts(device_store: str, broker_store: str) -> dict[str, Any]:
        text = f"[[devices]]\nstore = '{device_store}'\ncuts_per_year = 1000\n[gateway]\ncuts_per_year = 1000\n"
        answer = report.figures(parse(f"{SMALL}{text}outage_s = 1\n[broker]\nstore = '{broker_store}'"))
        found: dict[str, Any] = answer["power_cuts"]
        return found

    memory = cuts("memory", "memory")
    assert memory["lost_at_devices_per_year"] > 1
    assert memory["lost_at_the_broker_per_year"] > 0
    durable = cuts("raw", "sqlite")
    assert durable["lost_at_devices_per_year"] == durable["lost_at_the_broker_per_year"] == 0


def test_wifi_devices_share_one_channel() -> None:
    text = "[[devices]]\nlink = 'wifi'\ncount = {}\ncpu_ms = 0\n[wifi]\noverhead_ms = 10\nloss = 0\nmbit_s = 100"
    few, many = (simulate(parse(SMALL + text.format(count))) for count in (1, 40))
    assert many.busy["Wi-Fi channel"] == pytest.approx(40 * few.busy["Wi-Fi channel"], rel=0.1)
    assert "gateway processor" not in {name for name, share in many.busy.items() if share}
    assert many.latency.at(95) > few.latency.at(95) + 5


# --- the report


def test_the_same_seed_gives_the_same_report_and_another_seed_another_one(tmp_path: Path) -> None:
    path = tmp_path / "noisy.toml"
    path.write_text(SMALL + "[serial]\nbit_errors = 1e-3\n[[devices]]\ncount = 3\n", encoding="utf-8")
    first = report.answer(path, as_json=True)
    assert report.answer(path, as_json=True, seed=1) == first
    assert report.answer(path, as_json=True, seed=2) != first


def test_the_command_says_that_it_is_a_model_and_what_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text(SMALL + "[[devices]]\nname = 'pump'\nstore = 'journal'\n", encoding="utf-8")
    assert main(["simulate", "--plan", str(path)]) == 0
    said = capsys.readouterr().out
    for words in ("A model, not a measurement", "Left out:", "pump", "Saturated above", "years until worn", "95 %"):
        assert words in said
    assert main(["simulate", "--plan", str(path), "--json", "--seed", "3"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["seed"] == 3
    assert answer["saturation"]["sweep"][0]["stable"]
    assert answer["groups"][0]["flash"]["erases_per_day"] > 16_000


def test_the_command_refuses_a_plan_with_a_mistake_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text("[[devices]]\ncount = 'many'\n", encoding="utf-8")
    assert main(["simulate", "--plan", str(path)]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "fleet.toml, line 2: [devices] count: must be a whole number, not 'many'" in said


def test_a_rate_beside_which_messages_are_rare_is_planned_for_as_well() -> None:
    plan = dataclasses.replace(Fleet(), devices=(Devices(messages=(Messages(every_s=86400.0),)),))
    answer = report.figures(plan)
    assert answer["messages"]["offered"] in (1, 2)
    assert answer["groups"][0]["line"]["bytes_up_per_message"] > 100_000  # signs of life, once a second


def test_signs_of_life_of_too_many_lines_leave_a_gateway_no_time_at_any_rate() -> None:
    text = "[run]\ndetail = 400\n[[devices]]\ncount = 300\n[[devices.messages]]\nevery_s = 60\n[gateway]\nslower = 100"
    answer = report.figures(parse(text))
    assert answer["busy"]["gateway processor"] > 1
    assert answer["saturation"]["times_the_plan"] == 0
    assert "Saturated at any rate" in report.text(answer, "fleet.toml")
