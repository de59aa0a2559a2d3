"""One client doing one thing against a broker, in a process of its own; prints its processor time per message in µs.

    python -m benchmarks.client_worker CLIENT publish|receive|load QOS COUNT PORT [VERSION]

Publishing counts from the first publish until the broker has confirmed all, QoS 0 until it has confirmed a QoS 1
message behind them. Receiving counts from "ready" on (printed when the broker has granted the subscription) until all
are received, each client's in the cheapest way that it has. Payload of 64 bytes; at most 20 messages unfinished.
VERSION: 3.1.1 (default) or 5.0, without properties.
"""

import asyncio
import resource
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mqttium.enums import MQTTProtocolVersion

TOPIC = "bench/client"
PAYLOAD = b"x" * 64
WINDOW = 20
LOAD_WINDOW = 18  # of what a receiver receives: beyond it, Mosquitto may confirm a QoS 2 message and drop it
VERSION = sys.argv[6] if len(sys.argv) > 6 else "3.1.1"


def cpu_us() -> float:
    """Processor time of this process, all threads, user and system."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return (used.ru_utime + used.ru_stime) * 1e6


async def mqttlite_publish(qos: int, count: int, port: int, window: int = WINDOW) -> float:
    from mqttlite.client import Client

    async with Client(f"mqtt://127.0.0.1:{port}", version=VERSION, window=window) as client:
        began = cpu_us()
        for _ in range(count):
            await client.publish(TOPIC, PAYLOAD, qos)
        if not qos:
            await (await client.publish(TOPIC, PAYLOAD, 1)).completed()
        await client.drain(600)
        return cpu_us() - began


async def mqttlite_receive(qos: int, count: int, port: int) -> float:
    from mqttlite.client import Client

    async with Client(f"mqtt://127.0.0.1:{port}", version=VERSION) as client:
        await client.subscribe(TOPIC, qos)
        print("ready", flush=True)
        began = cpu_us()
        async for _ in client:
            count -= 1
            if not count:
                break
        return cpu_us() - began


async def comfort_publish(qos: int, count: int, port: int) -> float:
    """As `mqttlite_publish`, by publish_many."""
    from mqttlite.client import Client

    async with Client(f"mqtt://127.0.0.1:{port}", version=VERSION, window=WINDOW) as client:
        began = cpu_us()
        for at in range(0, count, 1000):
            await client.publish_many([(TOPIC, PAYLOAD)] * min(1000, count - at), qos)
        if not qos:
            await (await client.publish(TOPIC, PAYLOAD, 1)).completed()
        await client.drain(600)
        return cpu_us() - began


async def comfort_receive(qos: int, count: int, port: int) -> float:
    """As `mqttlite_receive`, by a subscription with messages of its own."""
    from mqttlite.client import Client

    async with (
        Client(f"mqtt://127.0.0.1:{port}", version=VERSION) as client,
        client.subscription(TOPIC, qos) as messages,
    ):
        print("ready", flush=True)
        began = cpu_us()
        async for _ in messages:
            count -= 1
            if not count:
                break
        return cpu_us() - began
    raise RuntimeError("the client was closed")


def paho_client(port: int) -> Any:
    import paho.mqtt.client as paho
    from paho.mqtt.enums import CallbackAPIVersion

    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5 if VERSION == "5.0" else paho.MQTTv311)
    client.max_inflight_messages_set(WINDOW)
    client.max_queued_messages_set(0)
    connected = threading.Event()
    client.on_connect = lambda *_: connected.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    connected.wait()
    return client


async def paho_publish(qos: int, count: int, port: int) -> float:
    client = paho_client(port)
    began = cpu_us()
    for _ in range(count):
        last = client.publish(TOPIC, PAYLOAD, qos)
    if not qos:
        last = client.publish(TOPIC, PAYLOAD, 1)
    last.wait_for_publish()
    return cpu_us() - began


async def paho_receive(qos: int, count: int, port: int) -> float:
    client = paho_client(port)
    granted, done = threading.Event(), threading.Event()
    left = count

    def on_message(*_: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()

    client.on_subscribe = lambda *_: granted.set()
    client.on_message = on_message
    client.subscribe(TOPIC, qos)
    granted.wait()
    print("ready", flush=True)
    began = cpu_us()
    done.wait()
    return cpu_us() - began


async def gmqtt_client(port: int) -> Any:
    import gmqtt
    from gmqtt.mqtt.constants import MQTTv50, MQTTv311

    client = gmqtt.Client("bench-gmqtt")
    await client.connect("127.0.0.1", port, version=MQTTv50 if VERSION == "5.0" else MQTTv311)
    return client


async def gmqtt_publish(qos: int, count: int, port: int) -> float:
    client = await gmqtt_client(port)
    storage = client._persistent_storage
    window = asyncio.Semaphore(WINDOW - (VERSION == "5.0"))  # of a Receive Maximum of 20 it uses 19 identifiers
    remove = storage.remove_message_by_mid

    def removed(mid: int) -> None:
        remove(mid)
        window.release()

    storage.remove_message_by_mid = removed
    began = cpu_us()
    for number in range(count):
        if qos:
            await window.acquire()
        elif not number % WINDOW:
            await asyncio.sleep(0)
        client.publish(TOPIC, PAYLOAD, qos)
    if not qos:
        client.publish(TOPIC, PAYLOAD, 1)
    await storage.wait_empty()
    return cpu_us() - began


async def gmqtt_receive(qos: int, count: int, port: int) -> float:
    client = await gmqtt_client(port)
    granted, done = asyncio.Event(), asyncio.Event()
    left = count

    def on_message(*_: object) -> int:
        nonlocal left
        left -= 1
        if not left:
            done.set()
        return 0

    client.on_subscribe = lambda *_: granted.set()
    client.on_message = on_message
    client.subscribe(TOPIC, qos)
    await granted.wait()
    print("ready", flush=True)
    began = cpu_us()
    await done.wait()
    return cpu_us() - began


def mqttium_version() -> "MQTTProtocolVersion":
    from mqttium.enums import MQTTProtocolVersion

    return MQTTProtocolVersion.MQTTv5 if VERSION == "5.0" else MQTTProtocolVersion.MQTTv311


async def mqttium_publish(qos: int, count: int, port: int) -> float:
    from mqttium.api import AsyncClient

    client = AsyncClient(protocol=mqttium_version(), max_outbound_inflight=WINDOW)
    await client.connect("127.0.0.1", port)
    began = cpu_us()
    receipts = [await client.publish(TOPIC, PAYLOAD, qos=qos) for _ in range(count)]
    if not qos:
        receipts = [await client.publish(TOPIC, PAYLOAD, qos=1)]
    for receipt in receipts:
        await receipt.wait()
    used = cpu_us() - began
    await client.disconnect()
    return used


async def mqttium_receive(qos: int, count: int, port: int) -> float:
    from mqttium.api import AsyncClient

    # Its own 100 in 5.0 is exceeded by Mosquitto, which counts until PUBREC, and it disconnects.
    client = AsyncClient(protocol=mqttium_version(), message_delivery="callback", max_inbound_inflight=65535)
    done = asyncio.Event()
    left = count

    def on_message(message: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()

    client.on_message = on_message
    await client.connect("127.0.0.1", port)
    await client.subscribe(TOPIC, qos=qos)
    print("ready", flush=True)
    began = cpu_us()
    await done.wait()
    used = cpu_us() - began
    await client.disconnect()
    return used


async def load(qos: int, count: int, port: int) -> float:
    """What a receiver receives. At QoS 0 it is paced by acknowledgements, so that no buffer overflows."""
    return await mqttlite_publish(qos or 1, count, port, LOAD_WINDOW)


TASKS = {
    ("mqttlite", "publish"): mqttlite_publish,
    ("mqttlite", "receive"): mqttlite_receive,
    ("mqttlite", "load"): load,
    ("comfort", "publish"): comfort_publish,
    ("comfort", "receive"): comfort_receive,
    ("paho-mqtt", "publish"): paho_publish,
    ("paho-mqtt", "receive"): paho_receive,
    ("gmqtt", "publish"): gmqtt_publish,
    ("gmqtt", "receive"): gmqtt_receive,
    ("mqttium", "publish"): mqttium_publish,
    ("mqttium", "receive"): mqttium_receive,
}


if __name__ == "__main__":
    name, what, qos, count, port = sys.argv[1:6]
    print(asyncio.run(TASKS[name, what](int(qos), int(count), int(port))) / int(count), flush=True)
