"""`mqttlite bench URL`: any broker, a serial line, brokers that stop or go away, and Ctrl-C. Boards: tests/hardware."""

import asyncio
import itertools
import json
import os
import signal
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from mqttlite.broker import Broker
from mqttlite.cli import main
from mqttlite.cli.demo.pty_line import NoisyLine
from mqttlite.cli.examining.measure import figures
from mqttlite.cli.examining.measure.figures import Figures, Times, percentile
from mqttlite.cli.examining.measure.plot import svg
from tests.cli.commands import mqttlite, running
from tests.peers import Mosquitto, free_port

QUICK = ("--seconds", "0.4", "--warm-up", "0.05")


async def measured(*args: str) -> dict[str, object]:
    result = await mqttlite("bench", *args, "--json", check=True)
    assert result.stderr == ""
    found: dict[str, object] = json.loads(result.stdout)
    return found


def complete(run: dict[str, object]) -> bool:
    times = run["delivered_ms"]
    assert isinstance(times, dict)
    return bool(run["n"]) and not run["missing"] and 0 < times["least"] <= times["p50"] <= times["most"]


@pytest.mark.parametrize("version", ["3.1.1", "5.0"])
async def test_mosquitto_is_measured_at_each_qos_and_nothing_is_missing(mosquitto: Mosquitto, version: str) -> None:
    found = await measured(mosquitto.url, *QUICK, "-V", version, "--pairs", "2")
    runs = found["runs"]
    assert isinstance(runs, list)
    assert [(run["qos"], run["window"]) for run in runs] == [(qos, window) for qos in (0, 1, 2) for window in (1, 18)]
    assert all(complete(run) for run in runs)
    assert (found["mqtt"], found["pairs"], found["is_whole"]) == (version, 2, True)
    assert str(found["broker"]).startswith("mosquitto version")
    one = [run for run in runs if run["window"] == 1]
    assert [run["confirmed_ms"]["p50"] is not None for run in one] == [False, True, True]
    assert all(run["own_cpu_us"] > 0 for run in runs)


async def test_our_broker_is_measured_with_a_table_and_a_plot(tmp_path: Path) -> None:
    plot = tmp_path / "plot.svg"
    async with Broker(["mqtt://127.0.0.1:0"]) as broker:
        args = (broker.addresses[0], *QUICK, "--qos", "0,1", "-o", str(plot))
        result = await mqttlite("bench", *args, check=True)
    said = result.stdout.splitlines()
    assert "payloads of 64 bytes, 1 pair of publisher and subscriber; 0.4 s each" in said[0]
    assert [line[:16].rstrip() for line in said if line[:1].isdigit()] == [
        "0  one at a time",
        "0  18 under way",
        "1  one at a time",
        "1  18 under way",
    ]
    texts = [text for element in ET.fromstring(plot.read_text()).iter() if (text := element.text)]
    assert "QoS 1, one at a time" in texts and "50 %" in texts


async def test_at_a_rate_nobody_waits_for_what_is_under_way(mosquitto: Mosquitto) -> None:
    found = await measured(mosquitto.url, "--seconds", "0.5", "--qos", "1", "--rate", "40", "-t", "a/b")
    (run,) = found["runs"]  # type: ignore[misc]
    assert 1 <= run["n"] <= 25 and complete(run)
    assert (run["rate"], run["window"]) == (40, None)
    assert 0 <= run["left_late_ms"]["p50"] <= run["delivered_ms"]["p50"]
    assert "'a/b/" in mosquitto.log


async def test_a_broker_that_stops_answering_ends_with_what_there_was(mosquitto: Mosquitto) -> None:
    async with running("bench", mosquitto.url, "--qos", "1", "--window", "5", "--seconds", "60", "--json") as bench:
        await mosquitto.logged("Received PUBLISH", 20)
        assert mosquitto._process is not None
        os.kill(mosquitto._process.pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(0.6)  # beyond the warm-up: it is measured that nothing comes
            bench.send_signal(signal.SIGINT)
            out, _ = await bench.communicate()
        finally:
            os.kill(mosquitto._process.pid, signal.SIGCONT)
    assert bench.returncode == 130
    found = json.loads(out)
    assert found["is_whole"] is False
    (run,) = found["runs"]
    assert run["is_whole"] is False and 1 <= run["missing"] <= 5


async def test_a_broker_that_goes_away_ends_it_with_its_reason(quick_mosquitto: Mosquitto) -> None:
    result = await mqttlite("bench", f"mqtt://127.0.0.1:{free_port()}", *QUICK)
    assert result.code == 1
    assert "nothing listens at" in result.stderr and result.stderr.count("\n") == 1
    async with running("bench", quick_mosquitto.url, "--qos", "0", "--window", "5", "--seconds", "60") as bench:
        assert bench.stdout
        while not (await bench.stdout.readline()).startswith(b"QoS"):
            pass
        await quick_mosquitto.logged("Received SUBSCRIBE", 2)  # who it is, and what is measured
        quick_mosquitto.kill()
        assert bench.stderr
        assert b"trying again" in await bench.stderr.readline()
        bench.send_signal(signal.SIGTERM)
        assert await bench.wait() == 143


async def test_a_broker_that_lets_nothing_through_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "acl").write_text("topic readwrite other/#\n")
    with Mosquitto(tmp_path / "broker", settings={"acl_file": tmp_path / "acl"}) as broker:
        result = await mqttlite(
            "bench", broker.url, "--qos", "0", "--window", "2", "--seconds", "0.1", "--warm-up", "0"
        )
    assert result.code == 1
    assert "Nothing arrived at QoS 0 2 under way: may this client publish and subscribe there" in result.stdout


async def test_it_ends_at_once_on_ctrl_c_while_nobody_answers() -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(mute, "127.0.0.1", 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        async with running("bench", f"mqtt://127.0.0.1:{port}") as bench:
            assert bench.stdout and b"after 0.5 s of warm-up" in await bench.stdout.readline()
            began = asyncio.get_running_loop().time()
            bench.send_signal(signal.SIGINT)
            assert await bench.wait() == 130
            assert asyncio.get_running_loop().time() - began < 8  # connecting would be given up after ten


async def test_a_serial_line_is_measured_with_both_ends_here() -> None:
    async with NoisyLine(115200) as line:
        url = f"serial://{line.a_path}?baud=115200"
        args = (url, "--far", str(line.b_path), "--qos", "1", "--window", "8", "--seconds", "0.5")
        found = await measured(*args)
    (run,) = found["runs"]  # type: ignore[misc]
    assert complete(run)
    assert 0.05 < run["of_line"] < 1
    assert run["bytes_per_s"] <= 11520


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "give either the URL of a broker or a serial line, or --device"),
        ("mqtt://h --device /dev/null", "give either the URL"),
        ("mqtt://h --wakes 3", "go with --device"),
        ("--device /dev/null", "give the kind of board"),
        ("mqtt://h --size 7", "--size is a whole number from 8"),
        ("mqtt://h --qos 3", "'3' is not a list of 0, 1 and 2"),
        ("mqtt://h --seconds nan", "--seconds is a number from"),
        ("mqtt://h --rate 5 --window 1", "--rate does not go with --window"),
        ("mqtt://h -t a/#", "wildcard in topic name"),
        ("mqtt://h --far /dev/null", "--far is the other end of a serial line"),
        ("serial:///dev/null --pairs 2", "a serial line has one client"),
        ("ftp://h", "'ftp' is not a known scheme"),
        ("foo", "not a URL: 'foo'"),
        ("mqtt://h -k 70000", "keep_alive_s must be 0 to 65535"),
    ],
)
def test_what_cannot_be_measured_is_said(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *line.split()]) == 1
    out, err = capsys.readouterr()
    assert message in err
    assert out == ""


def test_a_percentile_is_the_nearest_rank_and_not_stated_of_a_few() -> None:
    hundred = [float(n) for n in range(1, 101)]
    assert [percentile(hundred, p) for p in (50.0, 90.0, 99.0)] == [50.0, 90.0, None]
    assert percentile([], 50.0) is None
    assert percentile([3.0], 50.0) == 3.0
    assert percentile([float(n) for n in range(1, 1001)], 99.0) == 990.0


def test_of_many_times_an_even_choice_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "SAMPLES_MAX", 100)
    times = Times()
    for number in range(1000):
        times.add(float(number))
    kept = times.sorted()
    assert times.count == 1000
    assert len(kept) <= 100
    assert {b - a for a, b in itertools.pairwise(kept)} == {16.0}


def test_nothing_is_plotted_where_nothing_has_arrived() -> None:
    with pytest.raises(ValueError, match="nothing to plot"):
        svg("a", [Figures(0, 1, None, 64)])
