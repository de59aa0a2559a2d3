"""Bugs at the edge of a queue's budget of bytes."""

from mqttlite.broker.clients.queue import Queue
from mqttlite.broker.routing.backpressure import Backpressure
from mqttlite.broker.routing.router import Router

from .planting import Change, Given, text, value

CHANGES: dict[str, Change | Given] = {
    "a budget is not asked for": value(Backpressure, "lacks_room", lambda self, client, cost, fan=1: ""),
    "a queue is full a message early": text(
        Backpressure.lacks_room,
        {"session.room < cost and session.settle() < cost": "session.room <= cost and session.settle() <= cost"},
    ),
    "the head of a message is not asked for": text(
        Router._admit, {"len(publish_head(2, topic, len(payload))) + size - len(topic)": "size"}
    ),
    "what is queued counts for nothing after a restart": text(Queue.load_paged, {"self.room -= size": "pass"}),
}
