"""Bugs in what the broker keeps by a name: queues, streams, messages for later, numbers of producers."""

from mqttlite.broker.queues.consumer import Consumer
from mqttlite.broker.queues.delayed import Delay, Delayed
from mqttlite.broker.queues.named_queue import NamedQueue
from mqttlite.broker.queues.stream import Stream
from mqttlite.broker.routing.repeats import Repeats
from mqttlite.database.stream_inbox import StreamInbox

from .planting import Change, Given, all_of, text, value

CHANGES: dict[str, Change | Given] = {
    "what a consumer had is lost with its session": text(
        Consumer.return_all, {'queue.give_back(number, why if seq < begun else "")': "queue.finish(number)"}
    ),
    "a queue is not stored": text(NamedQueue.take, {"if flags & 6:": "if False:"}),
    "a queue does not know what has left": text(
        NamedQueue.finish, {"self.means.note(self.number, TAKEN, number, waits=waits)": "pass"}
    ),
    "a queue forgets over a restart who has a message": text(NamedQueue.is_held, {"item.holder = client": "pass"}),
    "a stream is not stored": text(
        Stream.take, {"means.note(self.number, COLLECTED, offset, entry.head, payload, stored, waits=True)": "pass"}
    ),
    "a stream is read on from its end": text(
        Stream.start, {"return min(max(int(whole), self.first), self.next)": "return self.next"}
    ),
    "a reader is sent each message twice": text(
        Stream.read,
        {"self._send(reader, qos, topic, entry)": "[self._send(reader, qos, topic, entry) for _ in (1, 2)]"},
    ),
    "a reader does not know what it has handled": all_of(
        value(StreamInbox, "_is_handled", lambda self, place: False),
        text(StreamInbox._is_committed, {"if found == self.place:": "if True:"}),
    ),
    "a message for later is not stored": text(
        Delayed.keep, {"means.note(0, DELAYED, number,": "means.note(0, PUBLISHED, number,"}
    ),
    "a message for later comes early": text(Delay.take, {"self._seconds * 1000": "self._seconds * 900"}),
    "a restart lets a message for later come early": text(Delayed.load, {"Later(due, head": "Later(due - 2000, head"}),
    "a message for later is published again": text(
        Delayed.look, {"self._means.note(0, PUBLISHED, number)  # in the commit with what follows": "pass"}
    ),
    "a repeat is not recognised": value(Repeats, "is_repeat", lambda self, name, sequence: False),
    "numbers of producers are not stored": text(
        Repeats.remember,
        {'means.note(0, NUMBER_SEEN, sequence, name, extra=at.to_bytes(TIME_SIZE, "big"), waits=True)': "pass"},
    ),
}
