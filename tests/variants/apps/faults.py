"""An application that goes step by step with tests/variants/peer.py, as many times at once as the peer has faults.

    faults.py PORT CONTROL NAME...         without a store
    faults.py PORT CONTROL FOLDER/ NAME... with a journal for each NAME in FOLDER, and a life before or after this one

Each NAME is a client with a session of its own. A step publishes a group of messages at once and waits until the peer
says "go", which it does when nothing is under way any more: so what is sent does not depend on time. Prints each
message that a client receives.
"""

import asyncio
import sys

from mqttlite import Client

STEPS = 3


def group(name, step):
    """(topic, payload, qos, retain) of the messages of a step; the last one says that it is."""
    if step == 0:
        for n, qos in enumerate((0, 1, 2, 1, 2)):
            yield "up/" + name, b"%d.%d" % (step, n), qos, False
    elif step == 1:  # more than the window
        for n in range(6):
            yield "up/" + name, b"%d.%d" % (step, n), 1 + n % 2, False
    else:
        yield "up/" + name + "/é°", b"x" * 400, 2, False
        yield "up/" + name, b"", 1, True
    yield "up/" + name, b"end %d" % step, 2, False


class App:
    def __init__(self, port, name, folder):
        self.name = name
        self.step = -1  # the last one whose messages are accepted
        self.going = -1
        self.go = asyncio.Event()
        options = {}
        if folder:
            self.file = folder + name + ".step"
            options["store"] = folder + name
            try:
                with open(self.file) as file:
                    self.step = int(file.read())
            except OSError:
                pass
        else:
            self.file = None
        will = ("will/" + name, b"gone", 1, True)
        url = "mqtt://127.0.0.1:" + port
        self.client = Client(
            url, client_id=name, username="u", password="p", will=will, window=4, retry_first=True, **options
        )

    def accepted(self):
        self.step += 1
        if self.file:
            with open(self.file, "w") as file:
                file.write(str(self.step))

    async def consume(self):
        async for message in self.client:
            if message.topic == "go":
                self.going = int(message.payload)
                self.go.set()
            else:
                print(self.name, (message.topic, message.payload, message.qos, message.retain))

    async def run(self):
        client = self.client
        await client.start()
        consumer = asyncio.create_task(self.consume())
        if self.step < 0:
            assert await client.subscribe("down/" + self.name + "/#", 2) == 2
            assert await client.subscribe("other/+", 1) == 1
            await client.unsubscribe("other/+")
        assert await client.subscribe("ready/" + self.name, 0) == 0  # from here on, the peer answers
        while True:
            while self.going < self.step:
                self.go.clear()
                await self.go.wait()
            if self.step == STEPS - 1:
                break
            for topic, payload, qos, retain in group(self.name, self.step + 1):
                await (client.enqueue if self.file else client.publish)(topic, payload, qos, retain)
            if self.file:
                await client.stored()
            self.accepted()
        await client.unsubscribe("down/" + self.name + "/#")
        await client.close()
        await consumer
        print(self.name, "done")


async def control(port, apps):
    """For each line that comes, let all others do what they can, store what they have, then answer it.

    Turns alone would not do: on a loaded machine a client looks, for up to 50 ms, at what has arrived before it
    acknowledges. Who waits for less than these turns take together has its turn before the answer, on any machine. And
    that a message is done waits for the next commit, which it shares, or not, as its answer came with another or not.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
    while True:
        line = await reader.readline()
        if not line:
            return
        for _ in range(100):
            await asyncio.sleep(0.002)
        for app in apps:
            if app.file:
                await app.client.stored()
        writer.write(line)
        await writer.drain()


async def main(port, control_port, *names):
    folder = ""
    if names[0].endswith("/"):
        folder, *names = names
    apps = [App(port, name, folder) for name in names]
    settling = asyncio.create_task(control(control_port, apps))
    await asyncio.gather(*[app.run() for app in apps])
    settling.cancel()


asyncio.run(main(*sys.argv[1:]))
