"""The programs of a feature's world: who is there in some spans of the script, and the producer."""

import asyncio
from typing import Any

from ...client import Client
from ...client.will import Will
from ...core.errors import ClosedError
from ..check.ledger import Publisher, ToPublish
from ..disks.app_database import ledger_database
from ..process import Process
from ..programs import Program, Publishing, read, replay
from .base import FeatureScene
from .feature import Actor

TOPIC = "t"
WILLS = "t/gone"
WILL_QOS = 2


class Producer(Publishing):
    """Says what it has to, each at its time; what is late at once."""

    burst = 1

    def __init__(self, run: FeatureScene, process: Process) -> None:
        super().__init__(process, run.ledger, run.publisher)
        self.run_of = run
        self._left: list[float] = []

    def left(self) -> list[ToPublish]:
        """As Publishing.left."""
        found = []
        for number, said in enumerate(self.run_of.feature.says):
            name = f"message {said.name}"
            if name not in self.ledger.entries:
                self._left.append(said.at_s)
                stream, qos = f"s{said.delay_s}", self.run_of.feature.qos
                found.append(ToPublish(name, number, said.topic, name, qos, stream=stream, more=said.more))
        return found

    def client(self) -> Client:
        """As Publishing.client."""
        options: dict[str, Any] = {"keys": True, "session_expiry_s": 0} if self.run_of.feature.keys else {}
        return self.run_of.client(self.process, store=self.process.sqlite_store(), **options)

    def topic_of(self, message: ToPublish) -> str:
        """As Publishing.topic_of."""
        delay_s = self.run_of.feature.says[message.number].delay_s
        return f"$delayed/{delay_s}/{message.topic}" if delay_s else message.topic

    async def publish(self, client: Client, message: ToPublish) -> None:
        """As Publishing.publish, when it is time."""
        run = self.run_of
        await run.until(self._left.pop(0))
        run.on_publishing(client)
        await super().publish(client, message)


def reader_of(run: FeatureScene, actor: Actor) -> Program:
    """Reads into an inbox while it is there."""

    async def main(process: Process) -> None:
        run.clients.pop(process.name, None)
        database = await ledger_database(process.mount)
        for number, (begin_s, end_s) in enumerate(actor.spans):
            if end_s <= run.script_s:
                continue
            await run.until(begin_s)
            version = actor.versions[number % len(actor.versions)]
            client = run.client(process, actor, version, store=process.sqlite_store())

            async def subscribe(client: Client = client) -> None:
                if actor.retain_handling:
                    await client.subscribe(actor.topic_filter, run.feature.qos, retain_handling=actor.retain_handling)
                else:
                    await client.subscribe(actor.topic_filter, run.feature.qos)

            async def work() -> None:
                if actor.work_s:
                    await asyncio.sleep(actor.work_s)

            async def leave(client: Client = client, end_s: float = end_s) -> None:
                await run.until(end_s)
                run.leaves(process, actor)
                await client.close()

            leaving = asyncio.create_task(leave())
            try:
                if actor.topic_filter.startswith("$stream/"):
                    await replay(process, run.ledger, client, database, work)
                else:
                    await read(process, run.ledger, client, subscribe, database=database, work=work)
            except* ClosedError:
                if run.script_s < end_s:
                    raise
            finally:
                leaving.cancel()
        await asyncio.Event().wait()

    return main


def lamp_of(run: FeatureScene, actor: Actor) -> Program:
    """Is there, listens to something in vain, and has a will, with a name of its own in each life."""

    async def main(process: Process) -> None:
        run.clients.pop(process.name, None)
        for begin_s, end_s in actor.spans:
            if end_s <= run.script_s:
                continue
            await run.until(begin_s)
            name = f"{process.name} {process.life}"
            will = Will(WILLS, name, WILL_QOS, False, delay_s=actor.delay_s, user_properties={"why": "lost"})
            async with run.client(process, actor, will=will) as client:
                await client.subscribe("lamp", 0)
                await run.until(end_s)
                run.leaves(process, actor)
        await asyncio.Event().wait()

    return main


def will_of(process: Process) -> ToPublish:
    """What the ledger knows of the will of a life."""
    name = f"{process.name} {process.life}"
    return ToPublish(name, process.life, WILLS, name, WILL_QOS)


def lamp(name: str) -> Publisher:
    """Whose wills these are."""
    return Publisher(name, "broker")
