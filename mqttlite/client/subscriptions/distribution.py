"""Who gets what arrives, once a client has subscriptions of its own (subscription.py): each of them its messages, and
`async for message in client` the rest. Host only; a client without such a subscription never loads it.

What must hold:
- A message is acknowledged once, when everybody who got it has handled it, and not before all that arrived earlier are
  [MQTT-4.6.0-2] [MQTT-4.6.0-3]. So `order` has all of QoS 1 and 2 that are not acknowledged, and nothing else
  acknowledges: the methods of Incoming that do, and that ask whether there is room, lead here.
- Whoever takes nothing holds back the others for a second at a time at most (Incoming.wait_for_room), unless it would
  rather lose messages; QoS 0 is dropped for it alone.
- What nobody takes is counted and said. What arrives soon after the start may be of an earlier life's session, and whom
  it is for may not be there yet: it waits.
"""

import asyncio
import copy
import logging
from collections import Counter, deque
from typing import Any, Protocol

from ...core.errors import MQTTError
from ...core.matching import matches
from ...core.message_properties import value_of
from ...core.shown import shown
from ...serial.clock import now_ms
from ..incoming import GATHER_MS
from ..messages import Message
from ..traffic.incoming_host import HostIncoming

log = logging.getLogger("mqttlite.client")

UNCLAIMED_S = 10.0  # after the start, in which what matches no subscription waits for one
NAMED = (b"$share/", b"$queue/", b"$stream/")  # topic filters that have another one inside
TOPICS_MAX = 1000  # whose subscriptions are remembered
NAMED_MAX = 10  # topics that nobody takes which the log names


class Taker(Protocol):
    """A subscription (subscription.py). `size`: bytes of the payloads in its queue."""

    topic_filter: str
    identifier: int  # of a shared subscription, where its messages carry it (5.0); else 0
    wanted: int  # its QoS, as asked for
    size: int
    queue: "deque[Message]"

    def takes(self, topic: bytes, /) -> bool:
        """Whether a message of this topic is one of its."""

    def put(self, message: Message, /) -> Message | None:
        """It gets a message; the one that is dropped for it."""

    def is_full(self, divisor: int, /) -> bool:
        """Whether its queue has reached its limits, divided by this, and others wait for it."""

    def is_stalled(self, distribution: "Distribution", /) -> bool:
        """Whether a message of QoS 0 is dropped: its queue is full, and nobody takes anything."""

    def wake(self) -> None:
        """Something has happened that the iterator may wait for."""

    def handled(self) -> None:
        """The message that was given out last has been handled."""


class _Arrival:
    """A message of QoS 1 or 2 that is not acknowledged; `left`: who has yet to handle it."""

    __slots__ = ("copies", "left", "message")

    def __init__(self, message: Message) -> None:
        self.message = message
        self.left = 1
        self.copies: list[Message] = [message]


class Distribution:
    """Of one client's messages. `is_iterated`: somebody takes what `async for message in client` gives."""

    def __init__(self, incoming: HostIncoming, dropped: Counter[str], is_iterated: bool) -> None:
        self.incoming = incoming
        self.life = life = incoming.life
        self.is_kept = not life.protocol.clean_session  # the session: what is not acknowledged comes again
        self.is_iterated = is_iterated
        self.dropped = dropped  # messages, by cause
        self.subscriptions: list[Taker] = []
        self._order: deque[_Arrival] = deque()
        self._arrivals: dict[int, _Arrival] = {}  # by id of each copy of its message
        self._keys: dict[tuple[str, int, int], _Arrival] = {}  # of messages that are not acknowledged
        self._found: dict[bytes, list[Taker]] = {}  # by topic
        self._has_shares = False  # shared subscriptions, whose messages say so
        self._left: set[int] = set()  # ids of messages that wait for whoever takes them, however long
        self._given: set[int] = set()  # ids of messages that are handled when `acknowledge` says so
        self._named: set[str] = set()
        self._loop = loop = asyncio.get_running_loop()
        self._until = loop.time() + UNCLAIMED_S
        self._timer = loop.call_at(self._until, self._let_go)
        for message in [*incoming.taken, *([incoming.current] if incoming.current else []), *incoming.inbox]:
            self._enter(message)
        _replace(incoming.inbox, [message for message in incoming.inbox if not message._is_handled])
        self._finish = incoming._acknowledge
        self._arrive = life.on_message
        self._arrive_large = life.on_large
        self._end = life.on_end
        self._is_full = incoming.is_full
        life.on_message = self.on_message
        life.on_large = self.on_large
        life.on_end = self.on_end
        incoming._acknowledge = self.handled  # type: ignore[method-assign]
        incoming.is_full = self.is_full  # type: ignore[method-assign]
        incoming.waiting = self.count  # type: ignore[method-assign]
        incoming.enter_stream = self.enter_stream  # type: ignore[method-assign]
        incoming.become_stream = self.become_stream  # type: ignore[method-assign]
        incoming.leave_stream = self.leave_stream  # type: ignore[method-assign]
        incoming.unhandled = self.unhandled  # type: ignore[method-assign]
        self._flush()

    # -- subscriptions come and go

    def add(self, subscription: Taker) -> None:
        """From now on it gets what matches; also of what has arrived and has nobody to take it."""
        self.subscriptions.append(subscription)
        self._look_again()
        inbox = self.incoming.inbox
        if not self.is_iterated:
            claimed = [message for message in inbox if subscription.takes(message.topic.encode())]
            if claimed:
                _replace(inbox, [message for message in inbox if message not in claimed])
                for message in claimed:
                    self._left.discard(id(message))
                    self._give(subscription, message)

    def remove(self, subscription: Taker, unhandled: list[Message], keeps: bool) -> None:
        """It ends. `unhandled`: what it has got, which waits for whoever takes it next; forever, if it `keeps`."""
        if subscription in self.subscriptions:
            self.subscriptions.remove(subscription)
        self._look_again()
        if self.life.error:
            return  # it comes again in another life
        if self.is_iterated or keeps:
            self._left.update(map(id, unhandled))
            _replace(self.incoming.inbox, [*unhandled, *self.incoming.inbox])
            self.incoming.wake()
        else:
            for message in unhandled:
                self._drop(message, "unclaimed")
        self.has_room()

    def others(self, subscription: Taker) -> list[Taker]:
        """Those with the same topic filter."""
        return [
            other
            for other in self.subscriptions
            if other is not subscription and other.topic_filter == subscription.topic_filter
        ]

    # -- what arrives

    def on_message(
        self, first: int, topic: bytes, payload: bytes, packet_id: int, generation: int, properties: bytes = b""
    ) -> None:
        """Of core.events: to all whom it concerns."""
        incoming = self.incoming
        inbox = incoming.inbox
        takers = self._found.get(topic)
        if takers is None:
            takers = self._look_up(topic)
        if self._has_shares and len(takers) > 1:
            takers = _meant(takers, properties)
        count = len(inbox)
        if incoming.has_stalled and takers:
            incoming.has_stalled = False  # at QoS 0, whose queue is full goes without, and nobody else
            self._arrive(first, topic, payload, packet_id, generation, properties)
            incoming.has_stalled = True
            if not first & 6:
                takers = [each for each in takers if not each.is_stalled(self)]
        else:
            self._arrive(first, topic, payload, packet_id, generation, properties)
        if len(inbox) == count:  # dropped there
            return
        message = inbox[-1]
        self._enter(message)
        if message._is_handled:  # its key is that of one before it
            inbox.pop()
            self._flush()
        elif takers or (incoming.has_stalled and not first & 6 and self._look_up(topic)):
            inbox.pop()
            copies = [message, *[copy.copy(message) for _ in takers[1:]]]
            arrival = self._arrivals.get(id(message))
            if arrival and takers:  # before anybody gets it: who drops it has handled it
                arrival.left = len(takers)
                arrival.copies = copies
                self._arrivals.update({id(each): arrival for each in copies})
            for taker, each in zip(takers, copies, strict=False):
                self._give(taker, each)
        elif not self.is_iterated and self._loop.time() >= self._until:
            inbox.pop()
            self._drop(message, "unclaimed")

    def on_large(self, *large: object) -> None:
        """Of core.events: a message was read past; it is acknowledged in its turn."""
        inbox = self.incoming.inbox
        count = len(inbox)
        self._arrive_large(*large)  # type: ignore[arg-type]
        if len(inbox) > count:
            self._enter(inbox.pop())
            self._flush()

    def on_end(self, error: MQTTError) -> None:
        """The client is closed."""
        self._end(error)
        self._timer.cancel()
        for subscription in self.subscriptions:
            subscription.wake()

    def _look_again(self) -> None:
        """The subscriptions have changed."""
        self._found.clear()
        self._has_shares = any(each.identifier for each in self.subscriptions)

    def _look_up(self, topic: bytes) -> list[Taker]:
        if len(self._found) >= TOPICS_MAX:
            self._found.clear()
        found = self._found[topic] = [each for each in self.subscriptions if each.takes(topic)]
        return found

    def _enter(self, message: Message) -> None:
        """A message has arrived."""
        if not message.qos:
            return
        arrival = _Arrival(message)
        self._order.append(arrival)
        self._arrivals[id(message)] = arrival
        keys = self.incoming.keys
        if message.key and keys and not message._is_handled:
            earlier = self._keys.get(message.key)
            message._is_handled = earlier is not None or keys.is_repeat(message)
            if not message._is_handled:
                self._keys[message.key] = arrival
        if message._is_handled > 0:
            arrival.left = 0

    def _give(self, taker: Taker, message: Message) -> None:
        dropped = taker.put(message)
        if dropped:
            self.dropped["iterator_full"] += 1
            self.handled(dropped)

    # -- what is handled

    def handled(self, message: Message) -> None:
        """One of those who got it has handled it."""
        arrival = self._arrivals.pop(id(message), None)
        if arrival:
            arrival.left -= 1
            self._flush()

    def enter_stream(self, message: Message) -> None:
        """As Incoming.enter_stream: whether it is a repeat, and when it is handled, is not decided here."""
        message._is_handled = -1
        self._enter(message)

    def become_stream(self, message: Message, stream: Message, at: int) -> None:
        """As Incoming.become_stream."""
        self._left.discard(id(message))
        arrival = self._arrivals.pop(id(message), None)
        if arrival:
            if message.key and self._keys.get(message.key) is arrival:
                del self._keys[message.key]  # as of other streams
            arrival.message = stream
            arrival.copies = [stream]
            self._arrivals[id(stream)] = arrival

    def unhandled(self) -> list[Message]:
        """As Incoming.unhandled."""
        return [arrival.message for arrival in self._order]

    def leave_stream(self, message: Message) -> None:
        """As Incoming.leave_stream."""
        message._is_handled = True
        self.handled(message)

    def give_manually(self, message: Message) -> None:
        """A message is given out that `acknowledge` will say is handled."""
        self._given.add(id(message))

    def acknowledge(self, message: Message) -> bool:
        """Whether that was said of one that a subscription has given out; then it is handled."""
        if id(message) not in self._given:
            return False
        self._given.discard(id(message))
        self.handled(message)
        return True

    def _flush(self) -> None:
        order = self._order
        while order and not order[0].left:
            arrival = order.popleft()
            for each in arrival.copies:
                self._arrivals.pop(id(each), None)
            key = arrival.message.key
            if key and self._keys.get(key) is arrival:
                del self._keys[key]
            self._finish(arrival.message)

    async def breathe(self, subscription: Taker, ms: int) -> None:
        """As Incoming.breathe, for a subscription: look whether the connection has ended, say what is handled, and wait
        until that is written.
        """
        incoming = self.incoming
        if ms >= GATHER_MS:
            await incoming.look(ms)
        subscription.handled()
        await incoming.until_written()
        incoming.since = now_ms()

    # -- bounds

    def is_full(self, divisor: int) -> bool:
        """As Incoming.is_full: the inbox, or the queue of a subscription for which others wait."""
        full = [each for each in self.subscriptions if each.is_full(divisor)]
        if full:
            self.incoming.size = sum([each.size for each in self.subscriptions])  # to read on has its bounds, too
        return bool(full) or self._is_full(divisor)

    def has_room(self) -> None:
        """Something was taken."""
        if self.incoming.is_held:
            self.incoming.has_room.set()

    def count(self) -> int:
        """Messages that are not given out."""
        return len(self.incoming.inbox) + sum([len(each.queue) for each in self.subscriptions])

    def waiting(self) -> list[Message]:
        """What waits in the subscriptions."""
        return [message for each in self.subscriptions for message in each.queue]

    # -- what nobody takes

    def _drop(self, message: Message, cause: str) -> None:
        self.dropped[cause] += 1
        if message.topic not in self._named and len(self._named) < NAMED_MAX:
            self._named.add(message.topic)
            log.warning(
                "%s: a message of '%s' matches no open subscription, and nobody iterates over the client: it is "
                "dropped, as are those that follow (statistics().dropped counts them)",
                shown(self.life.client_id),
                shown(message.topic, 200),
            )
        self.handled(message)

    def _let_go(self) -> None:
        """What has waited for somebody to take it has waited long enough."""
        if self.is_iterated:
            return
        inbox = self.incoming.inbox
        dropped = [message for message in inbox if id(message) not in self._left]
        _replace(inbox, [message for message in inbox if id(message) in self._left])
        for message in dropped:
            self._drop(message, "unclaimed")
        self.has_room()


def _meant(takers: list[Taker], properties: bytes) -> list[Taker]:
    """Those of `takers` whose copy of a message this is: a broker sends one for a shared subscription, and another one
    for those that are not shared (4.8.2), and the first has the identifier of its subscription [MQTT-3.3.4-3].
    """
    shares = {each.identifier for each in takers if each.identifier}
    if not shares:
        return takers
    found: Any = value_of(properties, "subscription_identifiers")
    named = shares.intersection(found)
    return [each for each in takers if (each.identifier in named if named else not each.identifier)] or takers


def is_match(topic_filter: bytes, topic: bytes) -> bool:
    """Whether a topic filter matches a topic name; also that of a shared subscription, of a named queue or a stream
    ($share/NAME/FILTER), where the last two may leave out what is not known then.
    """
    if topic_filter.startswith(NAMED):
        topic_filter = (topic_filter.split(b"/", 2)[2:] or [b"#"])[0]
    return matches(topic_filter, topic)


def _replace(inbox: "list[Message] | deque[Message]", messages: list[Message]) -> None:
    inbox.clear()
    inbox.extend(messages)
