"""What programs read of the page: /healthz and /metrics."""

import base64
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from mqttlite.broker import Broker
from mqttlite.broker.access.users import Users
from tests.gateway.world import COMMAND, Program
from tests.peers import free_port

from . import shown
from .test_door import browsing, kept, page_of, users  # noqa: F401


async def test_healthz_is_false_without_an_adapter_or_an_upstream() -> None:
    line, cloud = shown.line("/dev/ttyUSB0", "pump"), shown.Uplink("cloud")
    async with page_of(shown.gateway(line, uplinks=(cloud,))) as page, browsing(page) as browser:
        assert await browser.get("/healthz") == (200, "ok\n")
        line.state |= {"link": False, "looks_like": "silence"}  # a device that is switched off
        assert (await browser.get("/healthz"))[0] == 200
        line.state |= {"looks_like": "no port", "advice": "is the adapter plugged in?"}
        cloud.state |= {"connected": False, "problem": "nothing listens there"}
        status, text = await browser.get("/healthz")
        assert status == 503
        assert text == "upstream cloud: nothing listens there\n/dev/ttyUSB0: is the adapter plugged in?\n"


async def test_metrics_are_as_prometheus_wants_them() -> None:
    line = shown.line("/dev/ttyUSB0", "pump", up_bytes=1000, rtt_ms=20)
    line.state["frames"] |= {"sent": 40, "damaged": 2}
    cloud = shown.Uplink("cloud", [{"id": 1}], queued=7, oldest_s=None, in_doubt={"sent": 3}, dropped={"age": 2})
    async with (
        Broker(["mqtt://127.0.0.1:0"]) as broker,
        page_of(shown.gateway(line, uplinks=(cloud,), broker=broker, ledger=shown.Ledger())) as page,
        browsing(page) as browser,
    ):
        found = {
            (sample.name.removeprefix("mqttlite_gateway_"), *sorted(sample.labels.values())): sample.value
            for family in text_string_to_metric_families((await browser.get("/metrics"))[1])
            for sample in family.samples
        }
    assert found["line_received_bytes_total", "/dev/ttyUSB0"] == 1000
    assert found["line_round_trip_seconds", "/dev/ttyUSB0"] == 0.02
    assert found["line_frames_total", "/dev/ttyUSB0", "damaged"] == 2
    assert found["upstream_queued_messages", "cloud"] == 7 and ("upstream_oldest_seconds", "cloud") not in found
    assert (
        found["upstream_set_aside_messages", "cloud"] == 1 and found["upstream_in_doubt_messages", "cloud", "sent"] == 3
    )
    assert found["upstream_dropped_messages_total", "age", "cloud"] == 2
    assert found["healthy",] == 1 and found["ledger_messages",] == 0
    assert found["mqttlite_messages_received_total",] == 0  # and all that the broker inside tells


@pytest.mark.parametrize("mode", ["forward", "bridge"])
async def test_the_gateways_metrics_need_no_page(tmp_path: Path, mode: str) -> None:
    port = free_port()
    file = tmp_path / "gateway.toml"
    bridge = f'mode = "bridge"\nlisten = ["mqtt://127.0.0.1:{free_port()}"]\nstore = "memory"\n'
    file.write_text(
        (bridge if mode == "bridge" else 'upstream = "mqtt://127.0.0.1:1"\n')
        + f'console = ""\n[metrics]\nlisten = "127.0.0.1:{port}"\n[[serial]]\npath = "{tmp_path}/none"\n'
        + ("[control]\nsocket = false\n" if mode == "bridge" else "")
    )
    async with Program(*COMMAND, "gateway", "--config", str(file)) as program, aiohttp.ClientSession() as session:
        await program.says("metrics on")
        await program.says("looking again")
        async with session.get(f"http://127.0.0.1:{port}/healthz") as answer:
            assert answer.status == 503 and f"{tmp_path}/none" in await answer.text()
        async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
            text = await answer.text()
    assert f'mqttlite_gateway_line_port_open{{port="{tmp_path}/none"}} 0' in text
    assert ("mqttlite_messages_received_total" in text) == (mode == "bridge")
    assert text.count("# TYPE process_cpu_seconds_total counter") == 1


async def test_from_elsewhere_metrics_need_a_name_and_healthz_says_no_more_than_yes_or_no(
    users: Users,  # noqa: F811
) -> None:
    cloud = shown.Uplink("cloud", connected=False, problem="secret host")
    elsewhere = {"X-Forwarded-For": "10.0.0.9"}
    async with page_of(shown.gateway(uplinks=(cloud,)), users) as page, browsing(page) as browser:
        assert await browser.get("/healthz", **elsewhere) == (503, "not ok\n")
        assert (await browser.get("/metrics", **elsewhere))[0] == 401
        for name, password, status in (("bob", "wrong", 401), ("pump-7", "secret", 401), ("bob", "street", 200)):
            shown_name = {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}
            assert (await browser.get("/metrics", **elsewhere, **shown_name))[0] == status
