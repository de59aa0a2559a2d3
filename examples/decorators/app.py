"""Subscribers and publishers as decorators, in the style of FastStream, on top of an inbox and an outbox: what a
handler writes to the database, that its message was handled, and what it returns to be published, are one transaction.

    app = App(Client("mqtt://localhost", client_id="shop", keys=True), sqlite("shop.db"))

    @app.subscriber("orders/#")
    @app.publisher("invoices")
    async def invoice(db, order: Order) -> Invoice: ...

    asyncio.run(app.run())

The payload is JSON; it is turned into what the handler's second argument is annotated with: a dataclass, `Message`, or
what `json.loads` makes of it. A handler that raises, or a payload that does not fit, is tried again and becomes a dead
letter in the end (mqttlite.database.Inbox), and blocks nothing behind it.
"""

import asyncio
import dataclasses
import inspect
import json
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from mqttlite import Client, Message
from mqttlite.database import Database, Inbox, Outbox

Handler = Callable[[Any, Any], Awaitable[Any]]


class Route(NamedTuple):
    """A handler and the topic filter of its messages."""

    topic_filter: str
    qos: int
    handler: Handler
    wanted: Any  # the type of its second argument


class App:
    """Handlers of one client, whose effects are in one database."""

    def __init__(self, client: Client, database: Database) -> None:
        self.client = client
        self.database = database
        self._inbox = Inbox(client, database)
        self._outbox = Outbox(database)
        self._routes: list[Route] = []
        self._results: dict[Handler, str] = {}  # the topic to which a handler's result goes

    def subscriber(self, topic_filter: str, qos: int = 2) -> Callable[[Handler], Handler]:
        """The function below gets the messages of this topic filter: `async def handler(db, payload)`."""

        def decorate(handler: Handler) -> Handler:
            arguments = list(inspect.signature(handler, eval_str=True).parameters.values())
            self._routes.append(Route(topic_filter, qos, handler, arguments[1].annotation))
            return handler

        return decorate

    def publisher(self, topic: str) -> Callable[[Handler], Handler]:
        """What the function below returns is published to this topic, as JSON, if and only if the transaction commits;
        None is not.
        """

        def decorate(handler: Handler) -> Handler:
            self._results[handler] = topic
            return handler

        return decorate

    async def run(self) -> None:
        """Until cancelled, or the client is closed."""
        async with self.client, asyncio.TaskGroup() as tasks:
            for route in self._routes:
                await self.client.subscribe(route.topic_filter, route.qos)
            forwarding = tasks.create_task(self._outbox.forward(self.client))
            print("ready", flush=True)
            await self._inbox.run(self._handle)
            forwarding.cancel()

    async def _handle(self, db: Any, message: Message) -> None:
        routes = [route for route in self._routes if message.matches(route.topic_filter)]
        if not routes:
            raise LookupError(f"nobody handles {message.topic}")  # of a subscription that an earlier program has made
        for route in routes:
            result = await route.handler(db, converted(message, route.wanted))
            topic = self._results.get(route.handler)
            if topic is not None and result is not None:
                await self._outbox.publish(db, topic, json.dumps(plain(result)), 2)


def converted(message: Message, wanted: Any) -> Any:
    """A message as a handler wants it."""
    if wanted is Message:
        return message
    payload = json.loads(message.payload)
    return wanted(**payload) if dataclasses.is_dataclass(wanted) else payload


def plain(result: Any) -> Any:
    """What a handler returned, as JSON can say it."""
    return dataclasses.asdict(result) if dataclasses.is_dataclass(result) else result
