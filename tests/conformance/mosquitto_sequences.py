"""Mosquitto's own byte sequences against our broker, and why each answer that differs does.

    python -m tests.conformance.mosquitto_sequences FOLDER [--all]

FOLDER: Mosquitto's sources of 2.1 (`apt-get source mosquitto`, where deb-src names Debian's sid). Its test/broker/data
has some 1,770 sequences of packets, each with what Mosquitto answers, for MQTT 3.1, 3.1.1 and 5.0. A broker of ours is
started; answers are compared by packet, return or reason code and contents, not by the properties of CONNACK. Exit code
1 where one differs in a way that stands in no line of WHY. `--all`: lists them one by one.
"""

import argparse
import asyncio
import json
import logging
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from mqttlite.broker import Broker, Limits
from mqttlite.core.codec import body_at, prefixed
from mqttlite.core.packet_types import CONNACK, CONNECT, DISCONNECT, PINGREQ, PINGRESP, PUBREL
from mqttlite.core.properties import varint

TIMEOUT_S = 5.0
CONTROL_CHARACTERS = (b"\x01", b"\x1f", b"\x7f", b"\xc2\x9f")  # those that the sequences have
LEVELS = {3: b"\0\6MQIsdp\3", 4: b"\0\4MQTT\4", 5: b"\0\4MQTT\5"}

WHY = {
    "0x81 for 0x82": "a property that the packet cannot have, reserved flags, no such type: malformed (2.1.3, 2.2.2.2)",
    "0x82 for 0x81": "no topic filter, QoS or Retain Handling 3, identifier 0, neither topic nor alias (3.3.2, 3.8.3)",
    "0x81 for 0x85": "a client identifier that is no UTF-8 string is malformed (1.5.4)",
    "says why, and ends": "a client of 5.0 hears the reason before the end (4.13.1)",
    "return code 1 for 5.0's 0x84": "an unknown level is refused as 3.1 and 3.1.1 have it [MQTT-3.1.2-2]",
    "0x10 for 0x00": "a message that nobody gets is acknowledged as such (3.5.2.1)",
    "taken: control characters": "they should not be there, and may be (1.5.3 of 3.1.1, 1.5.4)",
    "taken: topic alias": "the broker takes 32 of them, and says so; Mosquitto takes 10 (3.3.2.3.4)",
    "taken: 3.1 without client identifier": "as in 3.1.1, it gets one",
    "ends: flags of CONNECT's first byte in 3.1": "3.1 does not use them, 3.1.1 reserves them: refused in both",
}


class Sequence(NamedTuple):
    name: str
    level: int
    connects: bool  # first, as everybody does
    ends: bool  # the connection, afterwards
    messages: list[dict[str, Any]]


class OtherError(Exception):
    """Another answer, by what it is called in WHY, or in its own words."""


def sequences(folder: Path) -> list[Sequence]:
    found = []
    for path in sorted((folder / "test/broker/data").glob("*.json")):
        for group in json.loads(path.read_text("utf-8")):
            for test in () if group.get("disable") else group["tests"]:
                of = {"ver": 4, "connect": True, "expect_disconnect": True} | group | test
                name = f"{path.stem}: {group['group'].strip()}: {test['name'].strip()}"
                found.append(Sequence(name, of["ver"], of["connect"], of["expect_disconnect"], test["msgs"]))
    return found


def length(number: int) -> bytes:
    """As a Variable Byte Integer, also where it is too large for one."""
    found = bytearray()
    while True:
        number, digit = number >> 7, number & 127
        found.append(digit | (128 if number else 0))
        if not number:
            return bytes(found)


def parsed(text: str) -> bytes:
    """Bytes in Mosquitto's notation: 'text', i8 bits, H k m s16, L32, r v a length, and else hexadecimal."""
    found, rest = b"", text.strip()
    while rest:
        if rest[0] == "'":
            inside, _, rest = rest[1:].partition("'")
            found += inside.encode()
        else:
            word, _, rest = rest.partition(" ")
            kind, number = word[0], word[1:]
            if kind in "rv":
                found += length(int(number))
            elif kind in "iHkmsL":
                found += int(number).to_bytes({"i": 1, "L": 4}.get(kind, 2), "big")
            else:
                found += bytes.fromhex(word)
        rest = rest.lstrip()
    return found


def packets(data: bytes) -> list[bytes]:
    found = []
    while data:
        size, at = varint(data, 1, len(data))
        found.append(data[: at + size])
        data = data[at + size :]
    return found


def connect(client_id: str, level: int) -> bytes:
    rest = LEVELS[level] + b"\2\0\x3c" + (b"\0" if level == 5 else b"") + prefixed(client_id.encode())
    return bytes((CONNECT,)) + length(len(rest)) + rest


class Peer:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def packet(self, sent: bytes = b"") -> bytes:
        """The next one; b"": the connection has ended. `sent`: what it answers."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                found = await self.reader.readexactly(2)
                while found[-1] > 127:
                    found += await self.reader.readexactly(1)
                return found + await self.reader.readexactly(varint(found, 1, len(found))[0])
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        except TimeoutError:
            raise OtherError("taken: " + taken_in(sent)) from None

    async def must_say(self, wanted: bytes, sent: bytes) -> None:
        got = await self.packet(sent)
        kind = wanted[0]
        if not got:
            is_old = sent[2:8] == b"\0\6MQIs" and sent[0] != CONNECT
            raise OtherError("ends: flags of CONNECT's first byte in 3.1" if is_old else f"ends, for {wanted.hex(' ')}")
        if got[0] != kind:
            taken = "taken: " + taken_in(sent)
            raise OtherError(taken if kind == DISCONNECT else f"{got.hex(' ')} for {wanted.hex(' ')}")
        at, end = (1, 2) if kind == CONNACK else (0, 1) if kind == DISCONNECT else (2, 3)
        mine, theirs = got[body_at(got) :], wanted[body_at(wanted) :]
        if kind >> 4 not in (2, 4, 5, 6, 7, 14):
            if mine != theirs:
                raise OtherError(f"{got.hex(' ')} for {wanted.hex(' ')}")
            return
        if mine[:at] != theirs[:at]:
            raise OtherError(f"{got.hex(' ')} for {wanted.hex(' ')}")
        code, other = (mine[at:end] or b"\0")[0], (theirs[at:end] or b"\0")[0]
        if code != other and kind == CONNACK and code == 0:
            raise OtherError("taken: " + taken_in(sent))
        if kind == CONNACK and len(mine) == 2 and (code, other) == (1, 0x84):
            raise OtherError("return code 1 for 5.0's 0x84")
        if code != other:
            raise OtherError(f"0x{code:02x} for 0x{other:02x}")

    async def must_end(self, sent: bytes) -> None:
        got = await self.packet(sent)
        if not got:
            return
        at = body_at(got) + (got[0] == CONNACK)
        code = got[at : at + 1]
        if got[0] in (CONNACK, DISCONNECT) and code >= b"\x80" and not await self.packet():
            raise OtherError("says why, and ends")
        raise OtherError("taken: " + taken_in(sent))


def taken_in(sent: bytes) -> str:
    """What it is in a packet that is taken here, and not there."""
    if sent[2:8] == b"\0\6MQIs":
        return "3.1 without client identifier"
    if sent[0] >> 4 == 3 and b"\x23" in sent:
        return "topic alias"
    return "control characters" if any(each in sent[4:] for each in CONTROL_CHARACTERS) else sent.hex(" ")


async def publish(url: tuple[str, int], message: dict[str, Any]) -> None:
    """What a third one publishes."""
    peer = Peer(*await asyncio.open_connection(*url))
    qos = message["qos"]
    rest = prefixed(message["topic"].encode()) + (b"\0\1" if qos else b"") + message["payload"].encode()
    peer.writer.write(connect("helper", 4) + bytes((0x30 | qos << 1,)) + length(len(rest)) + rest)
    for _ in range(2 if qos else 1):
        await peer.packet()
    if qos == 2:
        peer.writer.write(bytes((PUBREL, 2, 0, 1)))
        await peer.packet()
    peer.writer.close()


async def play(address: tuple[str, int], number: int, sequence: Sequence) -> None:
    """OtherError when something is answered otherwise."""
    peer = Peer(*await asyncio.open_connection(*address))
    sent = b""
    try:
        if sequence.connects:
            peer.writer.write(connect(f"c{number}", sequence.level))
            await peer.must_say(bytes((CONNACK, 2, 0, 0)), sent)
        for message in sequence.messages:
            if message["type"] == "send":
                sent = parsed(message["payload"])
                peer.writer.write(sent)
            elif message["type"] == "publish":
                await publish(address, message)
            else:
                for packet in packets(parsed(message["payload"])):
                    await peer.must_say(packet, sent)
        if sequence.ends:
            await peer.must_end(sent)
        else:
            peer.writer.write(bytes((PINGREQ, 0)))
            await peer.must_say(bytes((PINGRESP, 0)), sent)
    finally:
        peer.writer.transport.abort()


async def run(folder: Path, show: bool) -> int:
    """How many differ and stand in no line of WHY."""
    found = sequences(folder)
    if not found:
        raise SystemExit(f"{folder}: no test/broker/data/*.json in there; the sources of Mosquitto 2.1 have them")
    others: list[tuple[Sequence, str]] = []
    limits = Limits(connects_per_address=100_000, connects_a_second=100_000)
    async with Broker(["mqtt://127.0.0.1:0"], limits=limits) as broker:
        host, _, port = broker.addresses[0].removeprefix("mqtt://").rpartition(":")
        for number, sequence in enumerate(found):
            try:
                await play((host, int(port)), number, sequence)
            except OtherError as error:
                others.append((sequence, str(error)))
    for level, name in ((3, "MQTT 3.1"), (4, "MQTT 3.1.1"), (5, "MQTT 5.0")):
        count = sum(each.level == level for each in found)
        same = count - sum(each.level == level for each, _ in others)
        print(f"{name:12}{count:5} sequences, {same:5} answered as Mosquitto does")
    kinds = Counter(kind for _, kind in others)
    for kind, why in WHY.items():
        print(f"{kinds[kind]:5}  {kind}: {why}")
    unexplained = [(sequence, kind) for sequence, kind in others if kind not in WHY]
    for sequence, kind in others if show else unexplained:
        print(f"{sequence.name}: {kind}")
    return len(unexplained)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--all", action="store_true", help="each one that differs")
    args = parser.parse_args()
    logging.getLogger("mqttlite").setLevel(logging.CRITICAL)
    sys.exit(1 if asyncio.run(run(args.folder, args.all)) else 0)


if __name__ == "__main__":
    main()
