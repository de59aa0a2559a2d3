"""devices.toml: who may read it, what it survives, what it is refused for."""

import stat
import threading
from pathlib import Path

import pytest

from mqttlite.boards.updating.devices import Device, Devices, DevicesError, default_path

KEY = "5e" * 32


@pytest.fixture
def devices(tmp_path: Path) -> Devices:
    return Devices(tmp_path / "config" / "devices.toml")


def test_a_device_is_kept_and_found(devices: Devices) -> None:
    assert devices.names() == []
    pump = Device('pump "7"', KEY, "halls/3", "esp32-devkitc", "mqtt://b", "image.bin", "1.0", "pump", 7)
    devices.put(pump)
    devices.put(Device("valve"))
    assert devices.get(pump.name) == pump
    assert (devices.get("valve").topics, pump.topics) == ("boards/valve", "halls/3")
    assert devices.names() == [pump.name, "valve"]
    assert devices.get(pump.name).key_bytes() == bytes.fromhex(KEY)
    devices.put(Device("valve", KEY))
    devices.remove(pump.name)
    devices.remove("nobody")
    assert (devices.names(), devices.find("nobody")) == (["valve"], None)


def test_its_owner_alone_can_read_it(devices: Devices) -> None:
    devices.put(Device("pump", KEY))
    assert stat.S_IMODE(devices.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(devices.path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602])
def test_it_is_refused_while_others_can_read_or_change_it(devices: Devices, mode: int) -> None:
    devices.put(Device("pump", KEY))
    devices.path.chmod(mode)
    for attempt in (devices.names, lambda: devices.get("pump"), lambda: devices.put(Device("valve"))):
        with pytest.raises(DevicesError, match=f"mode {mode:o}.*chmod 600"):
            attempt()


def test_a_key_is_not_shown(devices: Devices) -> None:
    device = Device("pump", KEY)
    assert KEY not in repr(device)
    devices.put(device)
    with pytest.raises(DevicesError) as caught:
        devices.get("other")
    assert "has no device 'other'; there is pump (mqttlite flash and mqttlite board setup enter" in str(caught.value)
    with pytest.raises(DevicesError, match="no key of device 'valve' is known"):
        Device("valve").key_bytes()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pump = 5\n", "pump: must be a table"),
        (f'[pump]\nkey = "{KEY}"\nkeys = 5\n', r"\[pump\]: unknown key 'keys'"),
        (f'[pump]\nkey = ["{KEY}"]\n', r"\[pump\]: key must be a text"),
        ("[pump]\ncounter = true\n", r"\[pump\]: counter must be a whole number"),
        (f'[pump]\nkey = "{KEY}\n', r"at line 2"),
    ],
)
def test_what_is_wrong_in_it_is_said_without_keys(devices: Devices, text: str, words: str) -> None:
    devices.path.parent.mkdir()
    devices.path.write_text(text)
    devices.path.chmod(0o600)
    with pytest.raises(DevicesError, match=words) as caught:
        devices.names()
    assert KEY not in str(caught.value)


def test_counters_only_grow(devices: Devices) -> None:
    devices.put(Device("pump", KEY, counter=5))
    assert [devices.next_counter("pump", now) for now in (100, 100, 50, 200)] == [100, 101, 102, 200]
    assert devices.get("pump").counter == 200
    with pytest.raises(DevicesError, match="no device 'nobody'"):
        devices.next_counter("nobody", 1)


def test_two_commands_at_once_lose_nothing(devices: Devices) -> None:
    def add(first: int) -> None:
        for number in range(first, first + 20):
            devices.put(Device(f"device-{number}", KEY))

    threads = [threading.Thread(target=add, args=(20 * n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(devices.names()) == 60


def test_the_place_is_in_the_users_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert default_path() == tmp_path / "mqttlite" / "devices.toml"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_path() == tmp_path / ".config" / "mqttlite" / "devices.toml"
