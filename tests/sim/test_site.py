"""A site with power cuts and an upstream that is away, for some minutes; `make site` is a day of it. Bugs of a bridge
that lose or repeat a message are planted, and found.
"""

import sys
from dataclasses import replace

import pytest

from benchmarks.site import show
from mqttlite.core.packet_types import PUBACK, PUBCOMP, PUBREC
from mqttlite.sim.check.ledger import Publisher, ToPublish
from mqttlite.sim.scene import attempt
from mqttlite.sim.site.site import Plan, Site
from mqttlite_gateway.bridge.relay import Packets, Relay

SLICE = Plan(devices=4, awake=1, hours=0.2, every_s=10.0, cut_every_s=100.0, away=(183.0, 180.0), off_s=2.0)
planted = pytest.mark.source("bugs are planted as pieces of it")


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)  # apsw tells it of each death in the middle of a write


def test_nothing_is_lost_or_comes_twice_at_a_site_whose_power_is_cut_and_whose_upstream_is_away() -> None:
    site = Site(1, SLICE)
    assert attempt(site) == []
    report = site.report()
    assert report["accepted"] == report["handled"]["inbox"] == 4 * 72
    assert report["came again"] == {"inbox": {}, "plain": {}}
    assert report["power cuts of the gateway"] >= 5
    assert report["lives of the gateway"] == report["power cuts of the gateway"] + 1
    assert report["late_s"]["most"] > 150  # what came while the upstream was away has waited for it
    assert report["for the upstream, at most"] > 4 * 150 / 10 / 2
    assert report["gateway"]["syncs"] > 288


def test_what_came_twice_without_breaking_a_promise_is_counted_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    site = Site(1, SLICE)
    without_key = Publisher("device0", "cloud")
    for number in (1, 2, 3):
        message = ToPublish(f"device0 {number}", number, "p/device0", f"device0 {number}", 1)
        site.ledger.try_(without_key, message, 0)
    site.ledger.readings["inbox"].effects += ["device0 1", "device0 2", "device0 2", "device0 3", "device0 3"]
    report = {"came again": site.report()["came again"], "problems": site.ledger.problems()}
    assert report == {"came again": {"inbox": {"of QoS 1 without a key": 2}, "plain": {}}, "problems": []}
    show(report)
    said = capsys.readouterr().out.splitlines()
    assert said[-2:] == [
        "came more than once to the consumer 'inbox', as it may: 2 of QoS 1 without a key",
        "nothing lost, nothing else twice, nothing left over",
    ]


def test_the_same_seed_is_the_same_site() -> None:
    sites = [Site(3, replace(SLICE, hours=0.03, away=(30.0, 20.0), cut_every_s=40.0)) for _ in range(2)]
    assert [attempt(site) for site in sites] == [[], []]
    assert sites[0].world.digest() == sites[1].world.digest()


@planted
def test_a_bridge_that_counts_as_acknowledged_what_it_has_sent_is_found_to_lose_messages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    send = Relay._send

    def with_bug(self: Relay, first: int, body: bytes, now: int) -> None:
        before = set(self.owed)
        send(self, first, body, now)
        for packet_id in set(self.owed) - before:
            del self.owed[packet_id]
            self._finish(packet_id, first >> 1 & 3)

    monkeypatch.setattr(Relay, "_send", with_bug)
    site = Site(1, SLICE)
    site.calm_s = 300.0
    assert any("missing" in problem for problem in attempt(site))


@planted
def test_a_bridge_that_numbers_anew_what_it_sends_again_is_found_to_repeat_messages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from_engine, from_upstream = Relay.from_engine, Relay.from_upstream
    other = 0x4000

    def numbered(self: Relay, packets: Packets, now: int) -> None:
        moved = self.__dict__.setdefault("moved", set())
        at = len(self.to_upstream)
        from_engine(self, packets, now)
        for number, data in enumerate(self.to_upstream[at:], at):
            place = 4 + int.from_bytes(data[2:4], "big") if data[0] & 0xF0 == 0x30 else 2
            packet_id = int.from_bytes(data[place : place + 2], "big")
            if data[0] & 0xF8 == 0x38 and data[1] < 128:
                moved.add(packet_id)
                data = bytes((data[0] & ~8,)) + data[1:]
            if packet_id in moved and data[0] in (0x32, 0x34, 0x62):
                self.to_upstream[number] = data[:place] + (packet_id ^ other).to_bytes(2, "big") + data[place + 2 :]

    def numbered_back(self: Relay, first: int, body: bytes, now: int) -> None:
        packet_id = int.from_bytes(body[:2], "big")
        if first & 0xF0 in (PUBACK, PUBREC, PUBCOMP) and packet_id ^ other in self.__dict__.get("moved", ()):
            body = (packet_id ^ other).to_bytes(2, "big") + body[2:]
        from_upstream(self, first, body, now)

    monkeypatch.setattr(Relay, "from_engine", numbered)
    monkeypatch.setattr(Relay, "from_upstream", numbered_back)
    site = Site(1, SLICE)
    site.calm_s = 300.0
    problems = attempt(site)
    assert any("sent again with identifier" in problem for problem in problems)
