"""Bytes of heap allocated per message on MicroPython, by the client end of the core: exact figures, not timings.

A heap of a few dozen kilobytes fragments, so what is allocated and freed for each message is what a board pays. Counted
from the call of the application to the last acknowledgement, with the join that makes one write of each answer, without
any shell or socket. 64 bytes of payload, a topic of 14 bytes. On 32 bits (as a board) and on 64.

    python -m benchmarks.board_alloc
"""

import json
import subprocess
import sys

from tests import runtimes
from tests.runtimes import ROOT

COUNT = 40  # messages of each kind, after as many that let dictionaries and lists grow to their size
KINDS = ("publish QoS 0", "publish QoS 1", "publish QoS 2", "receive QoS 0", "receive QoS 1", "receive QoS 2")

SCRIPT = """
import gc, json, sys
if sys.maxsize == 2147483647:  # the WebAssembly build has binascii in Python; in C it makes an object of a large number
    class binascii:
        crc32 = staticmethod(lambda data, crc=0: 0x5EADBEEF + len(data))
    sys.modules["binascii"] = binascii
from mqttlite.core.client import ClientProtocol
from mqttlite.core.codec import acknowledgement, publish_head
from mqttlite.core.session import Session

COUNT = %d
TOPIC = b"house/1/sensor"
PAYLOAD = bytes(64)

class Owner:
    def on_connected(self, session_present):
        pass

    def on_message(self, flags, topic, payload, packet_id, generation, properties):
        if packet_id:
            client.session.handled(packet_id, generation)

    def on_finished(self, seq, in_doubt):
        pass

    on_suback = on_unsuback = on_finished

client = ClientProtocol(Owner(), (b"board", False, 60, None, None, None), Session(), 1000, 5000)
client.digest_shift = 18  # as client/board.py has it
client.connect(0)
client.receive(b"\\x20\\x02\\0\\0", 0)
client.out.clear()

def write():
    b"".join(client.out)
    client.out.clear()

def publish(flags, answers):
    client.publish(flags, TOPIC, PAYLOAD)
    write()
    for answer in answers:
        client.receive(answer, 0)
        if client.out:
            write()

def receive(flags, packets):
    for packet in packets:
        client.receive(packet, 0)
        if client.out:
            write()

def measured(do, flags, packets):
    for at in range(COUNT):
        do(flags, packets[at])
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    for at in range(COUNT, 2 * COUNT):
        do(flags, packets[at])
    allocated = gc.mem_alloc() - before
    gc.enable()
    return allocated // COUNT

figures = []
empty = [()] * (2 * COUNT)
base = measured(lambda flags, packets: None, 0, empty)
figures.append(measured(publish, 0, empty) - base)
first = client.session.next
figures.append(measured(publish, 2, [(acknowledgement(0x40, first + n + 1),) for n in range(2 * COUNT)]) - base)
first = client.session.next
answers = [(acknowledgement(0x50, first + n + 1), acknowledgement(0x70, first + n + 1)) for n in range(2 * COUNT)]
figures.append(measured(publish, 4, answers) - base)
for qos in range(3):
    head = publish_head(qos << 1, TOPIC, len(PAYLOAD))
    packets = []
    for n in range(2 * COUNT):
        packet_id = bytes((0, n + 1)) if qos else b""
        packet = head + packet_id + PAYLOAD
        packets.append((packet, acknowledgement(0x62, n + 1)) if qos == 2 else (packet,))
    figures.append(measured(receive, qos << 1, packets) - base)
assert not client.session.messages and not client.session.inbound
print(json.dumps(figures))
"""


def figures_64() -> list[int]:
    """Bytes per message of each kind on the Unix interpreter."""
    program = runtimes.micropython()
    if not program:
        raise SystemExit("MicroPython (unix) is not installed: make setup")
    command = runtimes.micropython_argv(program, SCRIPT % COUNT, heap="1m")
    done = subprocess.run(command, env=runtimes.micropython_env(), capture_output=True, check=True, timeout=60)
    return _figures(done.stdout)


def figures_32() -> list[int]:
    """The same on the WebAssembly interpreter, which has the word size of a board."""
    package = runtimes.wasm_package()
    if not package:
        raise SystemExit("MicroPython (WebAssembly) is not installed: make setup")
    files = [ROOT / "mqttlite" / "__init__.py", ROOT / "mqttlite" / "core"]
    request = runtimes.wasm_request(package, SCRIPT % COUNT, files=files)
    done = subprocess.run(runtimes.wasm_argv(), input=request, capture_output=True, check=True, timeout=60)
    return _figures(done.stdout)


def _figures(printed: bytes) -> list[int]:
    figures: list[int] = json.loads(printed)
    assert len(figures) == len(KINDS)
    return figures


def main() -> int:
    """Prints the table."""
    print(f"{'bytes allocated per message':<28} {'32 bits':>8} {'64 bits':>8}")
    for kind, small, large in zip(KINDS, figures_32(), figures_64(), strict=True):
        print(f"{kind:<28} {small:>8} {large:>8}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
