"""What runs on a board while it is measured, from its prompt: a text, for MicroPython. It writes no file."""

PROGRAM = """
import asyncio, gc, json, sys
for folder in {folders}:
    sys.path.insert(0, folder)
from mqttlite import Client
import machine
TOPIC = {topic}

async def bench():
    client = Client({url}, client_id={name}, clean_session=True)
    async with client:
        await client.subscribe(TOPIC + "/do", qos=1)
        await client.subscribe(TOPIC + "/down", qos=2)
        gc.collect()
        await client.publish(TOPIC + "/ready", json.dumps({{"free": gc.mem_free()}}), qos=1)
        left = 0
        async for message in client:
            if message.topic == TOPIC + "/down":
                left -= 1
                if left == 0:
                    await client.publish(TOPIC + "/got", json.dumps({{"free": gc.mem_free()}}), qos=1)
                continue
            do = json.loads(message.payload)
            if do["what"] == "end":
                break
            if do["what"] == "echo":
                await client.publish(TOPIC + "/echo", b"", qos=do["qos"])
            elif do["what"] == "down":
                left = do["count"]
                await client.publish(TOPIC + "/waits", b"", qos=1)
            else:
                payload = b"x" * do["size"]
                receipt = None
                for _ in range(do["count"]):
                    receipt = await client.publish(TOPIC + "/up", payload, qos=do["qos"])
                if receipt and do["qos"]:
                    await receipt.completed()
                await client.publish(TOPIC + "/sent", json.dumps({{"free": gc.mem_free()}}), qos=1)
try:
    asyncio.run(bench())
finally:
    machine.reset()
"""


def program(url: str, name: str, topic: str, half: str) -> str:
    """It, for one board; `half`: the folder that its program is in."""
    folders = [f"/{half}/lib", f"{half}/lib"] if half else ["/lib", "lib"]
    return PROGRAM.format(url=repr(url), name=repr(name), topic=repr(topic), folders=repr(folders))
