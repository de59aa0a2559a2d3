"""What Home Assistant is told: the form of its messages against another's program, and when which is due."""

import json
from dataclasses import replace
from typing import Any

import pytest
from ha_mqtt_discoverable import DeviceInfo
from ha_mqtt_discoverable.sensors import BinarySensorInfo, NumberInfo, SensorInfo, SwitchInfo

from mqttlite_gateway.home.payloads import Seen, config, config_topic, device_id, object_id, state, without
from mqttlite_gateway.home.plan import Plan, Publication
from mqttlite_gateway.settings.home_assistant import HomeSettings, Reading

READINGS = (
    Reading(
        "devices/{name}/climate", "Temperature", "green*", "value_json.t", "sensor", "temperature", "°C", "measurement"
    ),
    Reading("devices/{name}/door", "Door", "green*", component="binary_sensor", device_class="door"),
    Reading("devices/{name}/pump", "Pump", "green*", component="switch", more={"command_topic": "devices/x/command"}),
    Reading("devices/{name}/level", "Level", "green*", component="number", more={"min": 0, "max": 5}),
)
SETTINGS = HomeSettings(id="hall", reading=READINGS)
GATEWAY = Seen("the gateway", "gateway", True, queued=3, in_doubt=1)
LINE = Seen("greenhouse-7", "line", True, 99.26, 12.0, 0)
NETWORK = Seen("Küche/1", "network", False, queued=7)

MODELS = {"binary_sensor": BinarySensorInfo, "sensor": SensorInfo, "switch": SwitchInfo, "number": NumberInfo}
# Keys of MQTT that ha-mqtt-discoverable writes beside its models, and such as it has none of
BESIDE = {"platform", "state_topic", "value_template", "availability", "availability_mode", "command_topic"}


@pytest.mark.parametrize("seen", [GATEWAY, LINE, NETWORK], ids=lambda seen: seen.kind)
def test_each_component_has_the_form_that_ha_mqtt_discoverable_gives_it(seen: Seen) -> None:
    told = json.loads(json.dumps(config(SETTINGS, seen)))
    device = DeviceInfo.model_validate(told["device"])
    assert device.model_dump(exclude_none=True, mode="json") == told["device"]
    assert set(told) == {"device", "origin", "components", "state_topic", "availability"}
    assert told["origin"]["name"] == "mqttlite"
    ids = [each["unique_id"] for each in told["components"].values()]
    assert len(ids) == len(set(ids))
    for key, each in told["components"].items():
        model = MODELS[each["platform"]]
        rest = {name: value for name, value in each.items() if name not in BESIDE}
        theirs = model.model_validate({"component": each["platform"], "device": told["device"], **rest})
        assert set(rest) <= set(model.model_fields), key  # nothing that they do not know
        written = theirs.model_dump(exclude_none=True, mode="json")
        assert {name: written[name] for name in rest} == rest


def test_a_device_has_its_line_and_its_readings_and_one_in_the_network_no_line() -> None:
    line, network, gateway = (config(SETTINGS, seen)["components"] for seen in (LINE, NETWORK, GATEWAY))
    own = {"connected", "quality", "rtt_ms", "queued"}
    assert own < set(line) and len(line) == len(own) + len(READINGS)
    assert set(network) == {"connected", "queued"}
    assert set(gateway) == {"connected", "queued", "in_doubt", "problem"}
    assert json.loads(state(LINE)) == {"connected": "ON", "problem": "", "quality": 99.3, "rtt_ms": 12.0, "queued": 0}
    [reading] = [each for each in line.values() if each["name"] == "Temperature"]
    assert reading["state_topic"] == "devices/greenhouse-7/climate"
    assert reading["value_template"] == "{{ value_json.t }}"


def test_ids_are_of_plain_signs_and_differ_where_names_do() -> None:
    names = ["a", "b", "a_b", "a-b", "ä", "ö", "a b", "a/b", "A", "x" * 80, "x" * 81, "", "{{ 1 }}"]
    pairs = [(one,) for one in names] + [(one, other) for one in names for other in names]
    ids = {object_id(*pair) for pair in pairs}
    assert len(ids) == len(pairs)
    assert all(set(each) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") for each in ids)


def test_no_name_of_a_device_gets_into_a_template() -> None:
    evil = Seen("{{ states('x') }}", "line", True, 1.0, 1.0, 0)
    told = config(HomeSettings(id="hall", reading=(Reading("d/{name}/t", "T"),)), evil)
    for each in told["components"].values():
        assert "states" not in each.get("value_template", "")
        assert all("states" not in one.get("value_template", "") for one in each.get("availability", []))


def topics(found: list[Publication]) -> list[tuple[str, bool]]:
    return [(each.topic.split("/")[-2], bool(each.payload)) for each in found if each.is_config]


def test_a_configuration_is_said_once_and_a_state_when_a_device_goes_and_now_and_then() -> None:
    plan = Plan(SETTINGS)
    first = list(plan.due(0, [GATEWAY, LINE]))
    assert topics(first) == [("mqttlite_hall", True), ("mqttlite_hall_greenhouse-7", True)]
    assert len(first) == 4
    assert list(plan.due(1, [GATEWAY, LINE])) == []
    assert list(plan.due(2, [GATEWAY, replace(LINE, rtt_ms=13.0, queued=5)])) == []
    away = replace(LINE, is_connected=False)
    [gone] = plan.due(3, [GATEWAY, away])
    assert json.loads(gone.payload)["connected"] == "OFF"
    assert [each.is_config for each in plan.due(40, [GATEWAY, away])] == [False, False]


def test_a_device_that_is_no_more_is_removed_also_one_of_an_earlier_life_and_nobody_elses() -> None:
    before = {each.topic: each.payload for each in Plan(SETTINGS).due(0, [GATEWAY, LINE, NETWORK]) if each.is_config}
    other = Plan(HomeSettings(id="other"))
    before |= {each.topic: each.payload for each in other.due(0, [GATEWAY, LINE]) if each.is_config}
    before["homeassistant/device/zigbee/config"] = '{"device": {"identifiers": "z"}, "components": {}}'
    before["homeassistant/device/broken/config"] = "{"
    plan = Plan(SETTINGS)
    for topic, payload in before.items():
        plan.found(topic, payload.encode())
    found = list(plan.due(0, [GATEWAY, LINE]))
    assert [(each.topic, each.payload) for each in found if each.is_config] == [
        (config_topic(SETTINGS, device_id(SETTINGS, NETWORK)), "")
    ]
    assert topics(list(plan.due(1, [GATEWAY]))) == [("mqttlite_hall_greenhouse-7", False)]


def test_a_component_that_is_no_more_is_removed_by_its_platform_first() -> None:
    plan = Plan(HomeSettings(id="hall"))
    old = config(SETTINGS, LINE)
    plan.found(config_topic(SETTINGS, device_id(SETTINGS, LINE)), json.dumps(old).encode())
    less, new = (json.loads(each.payload) for each in plan.due(0, [LINE]) if each.is_config)
    gone = {key: each for key, each in less["components"].items() if key not in new["components"]}
    assert len(gone) == len(READINGS)
    assert all(set(each) == {"platform"} for each in gone.values())
    assert without(new, new) is new


def test_when_home_assistant_starts_all_is_said_again_after_a_pause() -> None:
    plan = Plan(SETTINGS)
    first = list(plan.due(0, [GATEWAY, LINE]))
    plan.birth(10, 3)
    assert list(plan.due(12, [GATEWAY, LINE])) == []
    again = list(plan.due(13, [GATEWAY, LINE]))
    assert again == first
    assert list(plan.due(14, [GATEWAY, LINE])) == []


@pytest.mark.parametrize("is_config", [True, False])
def test_what_could_not_be_published_is_due_again(is_config: bool) -> None:
    plan = Plan(SETTINGS)
    failed = [each for each in plan.due(0, [LINE]) if each.is_config is is_config]
    plan.failed(failed[0])
    assert next(plan.due(1, [LINE])).topic == failed[0].topic
    removals = [each for each in plan.due(2, []) if each.is_config]
    plan.failed(removals[0])
    assert [each.payload for each in plan.due(3, [])] == [""]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"prefix": "a/#"}, "prefix"),
        ({"state_topic": "homeassistant/x"}, "lies below homeassistant"),
        ({"every_s": 0.0}, "every_s 0"),
        ({"birth_jitter_s": 601.0}, "birth_jitter_s 601"),
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        HomeSettings(**values)


@pytest.mark.parametrize(
    "written",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        json.dumps({"device": {"identifiers": ["mqttlite_hall"]}}).encode("utf-16"),
        b'{"device": {"identifiers": ["mqttlite_hall"], "name": "\xed\xa0\x80"}}',
        b'{"device": {"identifiers": ["mqttlite_hall"]}, "components": []}',
        b'{"device": {"identifiers": ["mqttlite_hall"]}, "components": {"\\ud800": {"platform": "sensor", "name": 1}}}',
        b'{"device": {"identifiers": ["mqttlite_hall"]}, "components": {"a": {"platform": [], "name": 1}}}',
        b'{"device": []}',
        b"\xff",
    ],
    ids=lambda written: written[:12].decode(errors="replace"),
)
def test_nothing_that_somebody_has_retained_there_stops_the_gateway(written: bytes) -> None:
    plan = Plan(SETTINGS)
    topic = config_topic(SETTINGS, device_id(SETTINGS, GATEWAY))
    plan.found(topic, written)
    said = list(plan.due(0, [GATEWAY]))
    assert [each.payload.encode() for each in said]  # it can be published
    assert json.loads(next(each.payload for each in reversed(said) if each.is_config)) == config(SETTINGS, GATEWAY)
