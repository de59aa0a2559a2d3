"""Improv over serial: packets among noise; a board, on the interpreter, and Improv's own client for browsers."""

import asyncio
import json
import os
import random
from pathlib import Path

import pytest

from mqttlite.boards.supplies import board_package
from mqttlite_board import improv
from mqttlite_board.improv import Parser, packet, rpc
from mqttlite_board.settings import decode, encode
from tests import runtimes
from tests.firmware.console_board import ConsoleBoard
from tests.firmware.consoles import RADIO, Console, waiting
from tests.peers import RUN_TIMEOUT_S, MicroPython, unavailable
from tests.runtimes import NODE_MODULES, ROOT

EXAMPLE = bytes.fromhex("494d50524f56 01 03 20 01 1e 0c") + b"MyWirelessAP" + b"\x10mysecurepassword"


def test_the_example_of_the_specification_is_what_is_sent() -> None:
    data = bytes([12]) + b"MyWirelessAP" + bytes([16]) + b"mysecurepassword"
    sent = rpc(improv.WIFI, data)
    assert sent == b"\n" + EXAMPLE + bytes([sum(EXAMPLE) & 0xFF]) + b"\n"
    [(kind, body)] = Parser().feed(sent)
    command = improv.command(body)
    assert (kind, command) == (improv.RPC, (improv.WIFI, data))
    assert improv.lengths(data) == [b"MyWirelessAP", b"mysecurepassword"]


def test_packets_are_found_in_any_pieces_among_noise_and_broken_ones() -> None:
    chance = random.Random(5)
    for _ in range(300):
        parser = Parser(10_000)
        stream, expected = b"", []
        for _ in range(chance.randrange(1, 6)):
            whole = packet(chance.randrange(1, 5), chance.randbytes(chance.choice((0, 1, 20, 255))))
            kind = chance.randrange(5)
            if kind == 0:  # noise; never a beginning of a header
                stream += bytes(byte for byte in chance.randbytes(30) if byte != ord("I"))
            elif kind == 1:  # torn off
                stream += whole[: chance.randrange(1, len(whole) - 2)]
            elif kind == 2:  # a byte that was damaged, behind the header and the length
                at = chance.randrange(10, len(whole) - 1)
                stream += whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
            else:
                stream += whole
                expected.append((whole[8], whole[10:-2]))
        found = []
        at = 0
        while at < len(stream):
            size = chance.randrange(1, 40)
            found += parser.feed(stream[at : at + size])
            at += size
        parser.idle()
        found += parser.feed(b"")
        assert found == expected


def test_the_ctrl_c_in_a_packet_is_none_and_one_beside_it_is() -> None:
    for broken in (b"", b"\x01"):
        parser = Parser()
        whole = rpc(improv.INFO)
        for byte in whole[:-2] + (broken or whole[-2:-1]) + b"\n":
            parser.feed(bytes([byte]))
        parser.idle()
        assert b"\x03" not in parser.noise
        parser.feed(b"\x03")
        assert b"\x03" in parser.noise


def test_noise_is_kept_up_to_its_bound() -> None:
    parser = Parser(8)
    parser.feed(b"0123456789")
    assert parser.noise == b"23456789"


def test_lengths_and_commands_that_do_not_fit_are_none() -> None:
    assert improv.lengths(b"\x05abc") is None
    assert improv.lengths(b"") == []
    assert improv.command(b"\x01") is None
    assert improv.command(b"\x01\x02a") is None


def test_a_result_that_is_too_large_is_cut() -> None:
    [(_, body)] = Parser().feed(improv.result(improv.INFO, ["a" * 200, "b" * 200]))
    parsed = improv.command(body)
    assert parsed
    assert [len(part) for part in improv.lengths(parsed[1]) or []] == [200, 51]


async def browser(console: Console | ConsoleBoard, *calls: list[object]) -> list[dict[str, object]]:
    """What Improv's own client makes of a board: its answers to these calls."""
    package = NODE_MODULES / "improv-wifi-serial-sdk"
    node = runtimes.installed("node")
    if not package.exists() or node is None:
        unavailable("improv-wifi-serial-sdk")
    line = os.open(console.path, os.O_RDWR | os.O_NOCTTY)
    process = await asyncio.create_subprocess_exec(
        *(node, ROOT / "tests" / "node" / "improv_client.mjs", package, json.dumps(calls)),
        stdin=line,
        stdout=line,
        stderr=asyncio.subprocess.PIPE,
    )
    os.close(line)
    _, said = await asyncio.wait_for(process.communicate(), RUN_TIMEOUT_S)
    assert process.returncode == 0, said
    return [json.loads(text) for text in said.decode().splitlines()]


async def test_improvs_own_client_detects_scans_and_is_told_what_is_wrong(tmp_path: Path) -> None:
    async with waiting(tmp_path, RADIO) as console:
        started, networks, unknown, no_network, no_password, hostname, bad, name, net = await browser(
            console,
            ["initialize", 5000],
            ["scan"],
            ["_sendRPCWithResponse", 99, []],
            ["provision", "elsewhere", "right-password"],
            ["provision", "home", "wrong-password"],
            ["setHostname", "pump-7"],
            ["setHostname", "pump_7"],
            ["getDeviceName"],
            ["requestNetworkState"],
        )
    info = started["result"]
    assert isinstance(info, dict)
    assert (info["firmware"], info["name"], info["osName"]) == ("mqttlite", "board", "micropython")
    assert started["state"] == 2
    home, cafe = {"name": "home", "rssi": -48, "secured": True}, {"name": "café", "rssi": -80, "secured": False}
    assert networks["result"] == [cafe, home]
    assert unknown["error"] == "UNKNOWN_RPC_COMMAND"
    assert [no_network["error"], no_password["error"]] == ["UNABLE_TO_CONNECT"] * 2
    assert hostname["result"] == name["result"] == "pump-7"
    assert bad["error"] == "BAD_HOSTNAME"
    assert isinstance(net["result"], dict)
    assert (net["result"]["online"], net["result"]["supportsWifi"]) == (False, True)
    assert not (tmp_path / "settings.json").exists()


async def test_a_board_that_knows_its_broker_is_set_up_by_improvs_own_client(tmp_path: Path) -> None:
    record = {"name": "pump", "url": "mqtt://192.0.2.1", "key": "ab" * 32}
    (tmp_path / "settings.json").write_bytes(encode(record))
    async with waiting(tmp_path, RADIO) as console:
        before, done, after = await browser(
            console, ["initialize", 5000], ["provision", "home", "right-password"], ["requestCurrentState"]
        )
    assert before["state"] == 2
    assert "error" not in done
    assert done["state"] == 4
    assert after["state"] == 4
    saved = decode((tmp_path / "settings.json").read_bytes())
    assert saved == {**record, "wifi": {"name": "home", "password": "right-password"}}


@pytest.mark.parametrize("late_s", [0.0, 1.2])
async def test_a_client_that_asks_before_the_board_is_ready_is_answered(tmp_path: Path, late_s: float) -> None:
    prepare = f"{RADIO}\nimport time\ntime.sleep({late_s})\n"
    async with waiting(tmp_path, prepare) as console:
        [said] = await browser(console, ["initialize", 1000 * late_s + 2000])
    assert said["state"] == 2


async def test_being_set_up_fits_into_a_small_heap() -> None:
    """As compiled files, 32 bits: docs/provisioning.md has the figure."""
    script = """
import gc
gc.threshold(4096)
from mqttlite_board import improv, settings
from mqttlite_board.provisioning import Setup
said = []
setup = Setup("settings.json", {}, said.append, None, 0)
record = settings.encode({"name": "x", "url": "mqtt://b", "app": {"text": 800 * "y"}})
settings.save = lambda path, values: None
for command in (improv.GET_STATE, improv.INFO, improv.SCAN):
    setup.receive(improv.rpc(command), 0)
for at in range(0, len(record), improv.PIECE):
    head = at.to_bytes(2, "big") + len(record).to_bytes(2, "big")
    setup.receive(improv.rpc(improv.PUT, head + record[at : at + improv.PIECE]), 0)
print(said[-1] == improv.result(improv.PUT, ["saved", ""]))
"""
    result = await MicroPython(32).run(script, heap="36k", path=[board_package()])
    assert result.stdout.splitlines()[-1] == "True"
