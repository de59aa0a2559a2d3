"""What an application can do, against a real broker: public.py PORT CLOSED_PORT FEATURE... prints what came of it.

Only public names. CLOSED_PORT is one on which nobody listens; FEATURE are those of core/features.py that are there.
"""

import asyncio
import sys

from mqttlite import (
    Client,
    ClosedError,
    ConnectError,
    InDoubtError,
    Message,
    MQTTError,
    ProtocolError,
    PublishError,
    Receipt,
    RefusedError,
    SetAsideError,
    SettingError,
    StoreError,
    SubscribeError,
    Will,
)

URL = "mqtt://127.0.0.1:" + sys.argv[1]
CLOSED_URL = "mqtt://127.0.0.1:" + sys.argv[2]
FEATURES = sys.argv[3:]
for kind in (ClosedError, ConnectError, InDoubtError, ProtocolError, PublishError, SetAsideError, SubscribeError):
    assert issubclass(kind, MQTTError)
assert issubclass(RefusedError, ConnectError) and issubclass(SettingError, ConnectError)
assert issubclass(StoreError, MQTTError)


async def refused(what, coroutine):
    """Print the error that something ends with."""
    try:
        await asyncio.wait_for(coroutine, 10)
        print(what, "not refused")
    except Exception as error:
        print(what, type(error).__name__, error, getattr(error, "code", ""))  # `rule` is a number in a bundle


async def connecting():
    await refused("closed port", Client(CLOSED_URL).start())
    for url in ("http://x", "mqtt://", "mqtt://h:x"):
        try:
            await refused(url, Client(url).start())
        except Exception as error:
            print(url, type(error).__name__, error)
    told = []
    client = Client(
        "mqtt://user:p%40ss@127.0.0.1:" + sys.argv[1],
        client_id="first",
        clean_session=True,
        keep_alive_s=10,
        will=Will("will", b"gone", 1, True),
        on_connection=lambda *what: told.append(what),
    )
    print(client.client_id, client.is_connected, client.session_present, client.qos0_dropped, client.oversized)
    await client.publish("nobody", b"offline", 0)
    print("dropped", client.qos0_dropped)
    async with client:
        print(client.is_connected, client.session_present, told)
        await client.start()  # again does no harm
    print(client.is_connected, told[0])
    await refused("closed", client.publish("a", b"", 1))
    await refused("closed", client.subscribe("a"))


async def publishing(client):
    for topic in ("", "a/+", "#", "nul\0", "a\nb", "x" * 65536):
        await refused("topic %r" % topic[:8], client.publish(topic, b"", 1))
    await refused("QoS 3", client.publish("a", b"", 3))
    await refused("size", client.publish("a", bytes(5000), 1))
    for qos in range(3):
        receipt = await client.publish("out/%d" % qos, "text é", qos, retain=True)
        assert isinstance(receipt, Receipt)
        await receipt.completed()
        await receipt
        print("published", qos, receipt.done, receipt.error)
    receipts = []
    for n in range(50):  # more than queue_max
        receipts.append(await client.publish("out/many", b"%d" % n, 1 + n % 2))
    assert await client.drain()
    print("all done", all(receipt.done for receipt in receipts))


async def subscribing(client):
    for topic_filter in ("", "a#", "a/#/b", "a+", "nul\0"):
        await refused("filter %r" % topic_filter, client.subscribe(topic_filter))
    await refused("QoS 3", client.subscribe("a", 3))
    for qos in range(3):
        print("granted", await client.subscribe("in/%d" % qos, qos))
    print("granted", await client.subscribe("out/+"))
    got = []
    for _ in range(3):
        got.append(await client.__anext__())
    for message in sorted(got, key=lambda message: message.topic):
        assert isinstance(message, Message)
        retained = message.topic, message.payload[:6], message.qos, message.retain, message.dup
        print(*retained, message.matches("out/+"), message.matches("in/#"))
    for qos in range(3):
        await client.publish("in/%d" % qos, b"%d" % qos, 2)
        message = await client.__anext__()
        print(message.topic, message.payload, message.qos, message.retain)
    await asyncio.gather(client.unsubscribe("out/+"), client.unsubscribe("in/0"), client.unsubscribe("none"))
    await client.publish("in/0", b"not wanted", 1)
    await client.publish("in/1", b"wanted", 1)
    print((await client.__anext__()).payload)
    await asyncio.gather(*[client.subscribe("in/both", 1), client.subscribe("in/both", 2)])
    receipt = await client.publish("in/both", b"once", 1)
    print((await client.__anext__()).payload)
    await receipt.completed()


async def oversized():
    told = []
    options = {"size_max": 500, "on_oversized": lambda *what: told.append(what)}
    async with Client(URL, client_id="small", **options) as small, Client(URL) as large:
        await small.subscribe("size/#", 2)
        for qos in range(3):
            await large.publish("size/%d" % qos, bytes(2000), qos)
        await large.publish("size/end", b"fits", 1)
        print((await small.__anext__()).topic)
        while len(told) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        print(told, small.oversized)


async def stored():
    from mqttlite import Journal

    async with Client(URL, client_id="keeper", store="keeper.journal") as client:
        for n in range(5):
            await client.enqueue("kept", b"%d" % n, 2)
        await client.stored()
        await client.drain()
    async with Client(URL, client_id="keeper", store=Journal("keeper.journal")) as client:
        print("kept", client.session_present, type(client.store).__name__ != "", client.error)
        if "KEYS" in FEATURES:
            print("number", client.last_number("n"))
            await client.publish("kept", b"a", 1, key=("n", 7))
            receipt = await client.publish("kept", b"again", 1, key=("n", 7))
            print("number", client.last_number("n"), receipt.seq)
    try:
        Client(URL, store="nameless.journal")
    except ValueError as error:
        print(error)


async def by_hand():
    async with Client(URL, client_id="hand", manual_ack=True) as client:
        await client.subscribe("hand", 2)
        for n in range(3):
            await client.publish("hand", b"%d" % n, 2)
        messages = []
        for _ in range(3):
            messages.append(await client.__anext__())
        for message in reversed(messages):
            client.acknowledge(message)
        print("by hand", [message.payload for message in messages])


async def five():
    """What only MQTT 5.0 has."""
    from mqttlite import ExpiredError

    options = {"version": "5.0", "client_id": "five", "session_expiry_s": 60}
    will = Will("will", b"gone", 1, False, delay_s=5, content_type="text")
    async with Client(URL, will=will, **options) as client, Client(URL, version="5.0") as other:
        print("granted", await client.subscribe("five/#", 2, no_local=True, retain_as_published=True))
        await client.publish("five/own", b"not heard", 1)
        for qos in range(3):
            await other.publish(
                "five/%d" % qos,
                "21.5 °C",
                qos,
                expires_after_s=100,
                content_type="text/plain",
                response_topic="five/answers",
                correlation_data=b"\0\1",
                payload_is_text=True,
                user_properties=[("unit", "°C"), ("unit", "K")],
            )
            message = await client.__anext__()
            print(message.topic, message.qos, message.expires_after_s, message.content_type, message.response_topic)
            print(message.correlation_data, message.payload_is_text, message.user_properties)
        await other.publish("five/without", b"x", 1)
        message = await client.__anext__()
        print(message.expires_after_s, message.content_type, message.correlation_data, message.user_properties)
        print(message.payload_is_text, message.subscription_identifiers)
    async with Client(URL, **options) as client:
        print("kept for a while:", client.session_present)
    alone = Client(CLOSED_URL, **options)
    later = await alone.publish("late", b"x", 2, expires_after_s=1000)
    receipt = await alone.publish("late", b"x", 1, expires_after_s=1)
    try:
        await receipt.completed()
    except ExpiredError as error:
        print("expired", alone.expired, receipt.done, later.done, str(error)[:8] != "")
    await alone.close()
    async with Client(URL) as client:
        for call in (client.publish("a", b"", 1, content_type="x"), client.subscribe("a", 1, no_local=True)):
            try:
                await call
            except ValueError as error:
                print(str(error).replace(" needs ", " need "))  # hosts know one from several


async def main():
    await connecting()
    async with Client(URL, client_id="main", clean_session=True) as client:
        await publishing(client)
        await subscribing(client)
        if "DOUBTS" in FEATURES:
            print("pending", client.pending())
            await refused("settle", client.settle(12345))
    await oversized()
    if "JOURNAL" in FEATURES:
        await stored()
    if "MANUAL_ACK" in FEATURES:
        await by_hand()
    if "V5" in FEATURES:
        await five()
    print("end")


asyncio.run(main())
