"""The client that both runtimes share: connecting.py keeps a connection, the application publishes and iterates.

`BaseClient` decides what to tell the application; the protocol is `core.client`'s. A subclass per runtime says how to
open a transport. Only what MicroPython's asyncio has is used: Event, create_task, sleep, wait_for.

A message that came in counts as handled when `async for` asks for the next one, or when `async with` ends without an
exception; only then is it acknowledged. So a consumer that dies in its handler gets the message again (QoS 1 and 2).
With `manual_ack` nothing is acknowledged before the application says so.

With a store, every change of the session is durable before a packet that tells of it is written, and before `publish`
returns; all changes that are made while the store is busy share its next commit.
"""

import asyncio
import os

from ..core import const, wire4
from ..core.client import ClientProtocol
from ..core.errors import ClosedError, MQTTError
from ..core.session import Session
from ..core.text import check_plain, check_topic_filter, to_utf8
from ..serial.clock import now_ms
from ..store.base import Store, StoreError
from .connecting import Connecting
from .messages import SENT, Message, Receipt, check_qos, checked_will
from .url import Url

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from ..core.records import State
    from ..core.wire import ClientWire

QUEUE_LIMIT = const(60000)  # below the number of packet identifiers, with room for requests
GATHER_MS = const(5)  # an application that takes longer lets the event loop turn before it gets the next message
GATHER_MAX = const(32)  # messages that are handled, and whose acknowledgements are not written
KEYS_SPAN = const(1000)  # from the first unconfirmed message to the last one sent: what a receiver can tell apart

_SUBACK = const(-1)  # SUBSCRIBE is not answered yet
_UNSUBACK = const(-2)  # UNSUBSCRIBE is not answered yet
_ABANDONED = const(-2)  # added to either: and nobody waits for it any more


class BaseClient(Connecting):
    """An MQTT client. Use it as `async with Client("mqtt://localhost") as client:`.

    url             mqtt://[user:password@]host[:1883], unix:///path, serial:///dev/ttyUSB0?baud=115200; on a board also
                    serial://2?tx=17&rx=16 for UART 2
    version         of the protocol level: 4 is MQTT 3.1.1, 5 is MQTT 5.0
    client_id       identifies the session at the broker; with one, the session is kept over disconnections
    clean_session   True: no session is kept; default: True only without client_id
    keep_alive_s    0 to 65535 seconds; 0: none. A dead connection is noticed within this time plus `timeout_s`
    will            (topic, payload, qos, retain): published by the broker when the client is lost
    window          QoS 1 and 2 messages sent and not confirmed; 18 is what Mosquitto always handles without loss
    queue_max       QoS 1 and 2 messages accepted and not confirmed; `publish` waits beyond it
    inbox_max       messages received and not taken; beyond it the connection is not read
    inbox_bytes     the same in bytes of their payloads
    size_max        largest packet (Remaining Length) in bytes, in both directions: a larger message is not accepted by
                    `publish`, and read past when it arrives. Default: 1 MiB, as the broker's, and 4096 on a board
    timeout_s       how long connecting, CONNACK and PINGRESP may take
    store           where the session's state is kept durably: a path, or a Store; it belongs to one client_id, which
                    must be given. Default: memory, which is not durable
    manual_ack      True: nothing is acknowledged before `acknowledge(message)`
    keys            True: messages of QoS 1 and 2 carry an idempotency key (core/keys.py), and those that arrive with
                    one that was handled before are not delivered again. In 5.0 it is a user property; in 3.1.1 it
                    stands in front of the payload, so both ends must agree
    retry_first     True: keep trying when the first connection fails; default: raise
    on_connection   called as on_connection(connected, reason) when the connection comes (reason "") or goes
    on_oversized    called as on_oversized(topic, size) when a message larger than size_max has been read past: it is
                    acknowledged, counted in `oversized`, and gone; of a topic beyond 256 bytes the beginning
    """

    _size_max = 4096  # where nothing else is said; a host has more room
    _clear_step = 8192  # packet identifiers of an earlier life that are cleared at once, in a network (core/session.py)

    def __init__(
        self,
        url: str,
        *,
        version: int = 4,
        client_id: str = "",
        clean_session: "bool | None" = None,
        keep_alive_s: int = 60,
        username: "str | None" = None,
        password: "str | bytes | None" = None,
        will: "tuple[str, str | bytes, int, bool] | None" = None,
        window: int = 18,
        queue_max: int = 1000,
        inbox_max: int = 1000,
        inbox_bytes: int = 16777216,
        size_max: int = 0,
        timeout_s: float = 10,
        store: "Store | str | None" = None,
        manual_ack: bool = False,
        keys: bool = False,
        retry_first: bool = False,
        on_connection: "Callable[[bool, str], None] | None" = None,
        on_oversized: "Callable[[str, int], None] | None" = None,
    ) -> None:
        Connecting.__init__(self)
        self.url = Url(url)
        self.client_id = client_id or "mqttlite-" + "".join(["%02x" % byte for byte in os.urandom(6)])
        if clean_session is None:
            clean_session = not client_id
        if username is None:
            username = self.url.username
        if password is None:
            password = self.url.password
        self.queue_max = min(queue_max, QUEUE_LIMIT)
        self.inbox_max = inbox_max
        self.inbox_bytes = inbox_bytes
        self.timeout_s = timeout_s
        self.retry_first = retry_first
        self.on_connection = on_connection
        self.on_oversized = on_oversized
        self.manual_ack = manual_ack
        self.keys = keys
        if store and not client_id:
            raise ValueError("a store needs a client_id: it keeps the session that the broker has under that name")
        self.store = self._make_store(store) if isinstance(store, str) else store or Store()
        self.session_present = False  # what the last CONNACK said
        self.oversized = 0  # messages that were larger than size_max
        self.qos0_dropped = 0  # QoS 0 messages: published while not connected, or received and not taken in time
        fields = (
            to_utf8(self.client_id, "client identifier"),
            clean_session,
            keep_alive_s,
            None if username is None else to_utf8(username, "user name"),
            password.encode() if isinstance(password, str) else password,
            checked_will(will),
        )
        session = Session(window, start=int.from_bytes(os.urandom(2), "big"))
        session.doubts = {}
        session.log = self._log
        if self.url.scheme != "serial":  # which may be slow, and cut often: small steps, as on a board
            session.clear_step = self._clear_step
        if keys:
            session.span = KEYS_SPAN
        wire: "ClientWire" = wire4
        if version == 5:
            from ..core import wire5 as wire  # only who speaks 5.0 loads it
        elif version != 4:
            raise ValueError("version is 4 (MQTT 3.1.1) or 5 (MQTT 5.0)")
        self.version = version
        self._note = b"\2" if version == 5 else b""  # what the store is told about a message without a key
        self._protocol = ClientProtocol(self, fields, session, size_max or self._size_max, int(timeout_s * 1000), wire)
        self._receipts: "dict[int, Receipt]" = {}
        self._answers: "dict[bytes, int]" = {}  # by topic filter asked for: _SUBACK, _UNSUBACK, or what was answered
        self._current: "Message | None" = None  # given to the application and not handled yet
        self._taken: "list[Message]" = []  # with `manual_ack`: given to the application, in order of arrival
        self._state: "State | None" = None  # what the store has kept: identity, origins and seen are its own
        self._given_up = 0  # messages that were not confirmed when it was closed
        self._has_store = False  # it is open
        self._closing: "asyncio.Event | None" = None  # set when it is done
        self._task: "asyncio.Task[None] | None" = None
        self._arrived = asyncio.Event()  # pulsed when the inbox has got something

    if TYPE_CHECKING:

        def _make_store(self, path: str) -> Store:
            """The runtime's usual store, at `path`."""

    # -- life

    async def __aenter__(self) -> "Self":
        await self.start()
        return self

    async def __aexit__(self, exc_type: object, *exc: object) -> None:
        if exc_type is None:
            self._handled()
            await self.drain()
        error = self._error
        await self.close()
        if error and exc_type is None and not isinstance(error, ClosedError):
            raise error  # nobody may have been told

    async def start(self) -> None:
        """Open the store and connect. Raises ConnectError (RefusedError when the broker said no) when that fails,
        unless `retry_first`; StoreError when the store cannot be used.
        """
        if self._task is None:
            if type(self.store) is not Store or self.keys:
                from .outlived import load  # only who has something to keep loads it

                await load(self)
            self._task = asyncio.create_task(self._run())
        try:
            while not self.is_connected and self._error is None:
                await self._progress.wait()
        except asyncio.CancelledError:
            await self.close()
            raise
        if self._error:
            error = self._error
            await self.close()  # a serial port is free again
            raise error

    async def _commit(self) -> None:
        """Wait until everything that has happened is durable. A store that fails ends the client: without it there is
        nothing that may be promised.
        """
        session = self._protocol.session
        accepted = session.next
        self._finished = 0
        try:
            await self.store.commit()
        except StoreError as error:
            self._lose_store(error)
            raise
        session.kept = max(session.kept, accepted)

    def _lose_store(self, error: StoreError) -> None:
        if self._error is None:
            self._log(str(error))
            self._stop(error)
        elif isinstance(self._error, ClosedError):
            self._error = error  # `close` is under way, and raises it

    async def drain(self, timeout_s: float = 10) -> bool:
        """Wait until every accepted message is confirmed, and those of QoS 0 have left, `timeout_s` seconds at most;
        whether all are confirmed.
        """
        from .closing import drain

        return await drain(self, timeout_s)

    async def close(self) -> None:
        """Disconnect and stop. The receipt of what is not confirmed by now raises ClosedError; a store keeps the
        message for the next life, without one it is given up. Raises StoreError when the store fails meanwhile.
        """
        from .closing import close

        await close(self)

    def _stop(self, error: MQTTError) -> None:
        self._error = error
        self._given_up = len(self._receipts)
        for receipt in self._receipts.values():
            receipt._finish(error)
        self._receipts.clear()
        self._attention.set()
        self._room.set()
        self._wake()

    def _is_open(self) -> bool:
        return self._error is None

    def _wake(self) -> None:
        self._progress.set()
        self._progress.clear()
        self._arrived.set()
        self._arrived.clear()

    # -- the application's side

    async def publish(
        self,
        topic: str,
        payload: "bytes | str" = b"",
        qos: int = 1,
        retain: bool = False,
        key: "tuple[str, int] | None" = None,
    ) -> Receipt:
        """Accept a message for delivery; waits while `queue_max` messages are unconfirmed or the store is full
        (back-pressure), then until the store has it.

        `key`: (producer, number), the application's own idempotency key. For one producer, numbers must grow: a message
        with a number that has been accepted before, in this life or an earlier one, is not accepted again; its receipt
        is returned. QoS 0 is sent at once or, while there is no connection, dropped and counted in `qos0_dropped`.
        Raises ProtocolError for an invalid topic name or one with control characters, PublishError when the message is
        larger than `size_max` or than a 5.0 broker has said that it takes, ValueError for another QoS than 0, 1, 2,
        ClosedError, StoreError.
        """
        receipt = await self.enqueue(topic, payload, qos, retain, key)
        if qos and self.store.is_durable:
            await self._commit()
        return receipt

    async def enqueue(
        self,
        topic: str,
        payload: "bytes | str" = b"",
        qos: int = 1,
        retain: bool = False,
        key: "tuple[str, int] | None" = None,
    ) -> Receipt:
        """As `publish`, without waiting for the store: for many messages one after the other. They are durable when
        they are confirmed, or when a later `publish` or `stored` has returned.
        """
        payload = self._checked(topic, payload, qos, retain, key)
        protocol = self._protocol
        while self._is_open() and (
            len(protocol.out) > self._out_max
            if qos == 0
            else len(self._receipts) >= self.queue_max or not self.store.fits(len(topic) + len(payload))
        ):
            if qos and len(self._receipts) < self.queue_max:
                await self._commit()  # what has finished by now makes room
                if self._finished or self.store.fits(len(topic) + len(payload)):
                    continue
                if not self._receipts and protocol.session.doubts:  # nothing else would ever make room
                    from .unconfirmed import forget_oldest

                    forget_oldest(self, protocol.session.doubts, "the store has no room")
                    continue
            await self._progress.wait()
        if self._error:
            raise self._error
        flags = qos << 1 | (1 if retain else 0)
        if qos and (key or self.keys):
            from . import idempotency  # only who uses keys loads this

            earlier, seq = idempotency.publish(self, flags, topic.encode(), payload, key)
            if earlier:
                return earlier
        else:
            seq = protocol.publish(flags, topic.encode(), payload, self._note)
        if seq == -2:
            self.qos0_dropped += 1
            return SENT
        self._to_write.set()
        if seq < 0:
            return SENT
        receipt = self._receipts[seq] = Receipt(seq)
        return receipt

    def _checked(self, topic: str, payload: "bytes | str", qos: int, retain: bool, key: object) -> bytes:
        """The arguments of `publish`, checked; the payload. A host looks closer."""
        check_qos(qos)
        if isinstance(payload, str):
            return payload.encode()
        if isinstance(payload, (bytes, bytearray, memoryview)):
            return bytes(payload)
        raise TypeError("payload must be bytes or str")

    async def stored(self) -> None:
        """Wait until everything accepted so far is in the store. StoreError when it cannot be."""
        await self._commit()

    def receipt(self, seq: int) -> Receipt:
        """The receipt of a message that was accepted as number `seq`, in this life or an earlier one of the store."""
        from .unconfirmed import receipt

        return self._receipts.get(seq) or receipt(self, seq)

    def pending(self) -> "list[tuple[int, str, str, int, bytes]]":
        """What is not finished: (sequence number, state, topic, QoS, payload). States: "accepted", "released",
        "in doubt", and "refused", when it was set aside (SetAsideError).
        """
        from .unconfirmed import pending

        return pending(self)

    async def retry(self, seq: int) -> Receipt:
        """Send a message that was set aside, or is in doubt, once more, as a new one; the receipt of that. Raises
        ValueError when there is no such message, PublishError when it is still known to be too large, StoreError.
        """
        from .unconfirmed import retry

        return await retry(self, seq)

    async def settle(self, seq: int) -> None:
        """Forget a message in doubt, or one that was set aside: the application has decided what to do about it."""
        from .unconfirmed import settle

        await settle(self, seq)

    async def subscribe(self, topic_filter: str, qos: int = 2) -> int:
        """Subscribe, now and after every reconnection; the granted QoS. Waits for the broker's answer.

        Raises SubscribeError when the broker refuses, ProtocolError for an invalid topic filter, ClosedError.
        """
        check_qos(qos)
        return await self._ask(topic_filter, qos)

    async def unsubscribe(self, topic_filter: str) -> None:
        """End a subscription. Waits for the broker's answer; messages that are under way may still arrive.

        Raises SubscribeError when the broker refuses (5.0), ProtocolError for an invalid topic filter, ClosedError.
        """
        await self._ask(topic_filter, -1)

    async def _ask(self, topic_filter: str, qos: int) -> int:
        """SUBSCRIBE, or with QoS -1 UNSUBSCRIBE: the answer. For one topic filter, one request after the other."""
        wanted = to_utf8(topic_filter, "topic filter")
        check_topic_filter(wanted)
        check_plain(wanted)
        answers = self._answers
        while wanted in answers and self._is_open():
            await self._progress.wait()
        if self._error:
            raise self._error
        if qos < 0:
            answers[wanted] = _UNSUBACK
            self._protocol.unsubscribe(wanted)
        else:
            answers[wanted] = _SUBACK
            self._protocol.subscribe(wanted, qos)
        self._to_write.set()
        try:
            while answers[wanted] < 0:
                if self._error:
                    raise self._error
                await self._progress.wait()
            if self.store.is_durable:
                await self._commit()
            code = answers[wanted]
            if code >= 0x80:
                from .unconfirmed import refusal

                raise refusal(topic_filter, code, qos)
            return code
        finally:
            if answers[wanted] < 0:
                answers[wanted] += _ABANDONED
            else:
                del answers[wanted]
            self._wake()  # who waits for the same topic filter

    def __aiter__(self) -> "Self":
        return self

    async def __anext__(self) -> Message:
        """The next message. Asking for it says that the one before has been handled. Ends when the client is closed.

        First the event loop has its turn, if the application took GATHER_MS or GATHER_MAX messages are acknowledged and
        not written: a kill repeats no more than those, and an application that never waits is not taken for dead.
        """
        inbox = self._inbox
        ms = now_ms() - self._since
        if ms >= GATHER_MS or self._gathered >= GATHER_MAX:
            await self._breathe(ms)
        elif self._current:
            self._handled()
        while True:
            while not inbox:
                if self._error:
                    if isinstance(self._error, ClosedError):
                        raise StopAsyncIteration
                    raise self._error
                await self._arrived.wait()
                self._since = now_ms()
            message = inbox.pop(0)
            if self._full:
                self._room.set()
            if not message.qos:
                return message
            if message.key:
                from .idempotency import is_repeat

                message._is_handled = is_repeat(self, message)
            if message._is_handled:  # before, or too large to be given out: only the acknowledgement is missing
                self._taken.append(message)
                self.acknowledge(message)
                continue
            if self.manual_ack:
                self._taken.append(message)
            else:
                self._current = message
            return message

    async def _breathe(self, ms: int) -> None:
        """After `ms` milliseconds in which the application may have let nothing else run: look, acknowledge, and wait
        until that is written.
        """
        if ms >= GATHER_MS:
            await self._look(ms)
        self._handled()
        left = self._left + len(self._protocol.out)
        while self.is_connected and self._error is None and self._gathered and self._gone < left:
            await self._progress.wait()
        self._gathered = 0
        self._since = now_ms()

    async def _look(self, ms: int) -> None:
        """Read what has arrived, and first of all that the connection has ended: what is acknowledged into it is
        lost, and comes again.
        """
        await asyncio.sleep(min(ms // 100, 50) / 1000)
        while self._failure and self.is_connected:
            await self._progress.wait()

    def _handled(self) -> None:
        message = self._current
        if message:
            self._current = None
            self._acknowledge(message)

    def acknowledge(self, message: Message) -> None:
        """With `manual_ack`: the message has been handled. PUBACK (QoS 1) or PUBREC (QoS 2) is sent when all that
        arrived before it have been acknowledged, too: they must leave in that order [MQTT-4.6.0-2] [MQTT-4.6.0-3].
        """
        protocol = self._protocol
        closed_ms = protocol.keep_alive_ms * 5 // 3  # 1.5 keep alives of silence: the broker has closed, and what is
        if self.is_connected and closed_ms and now_ms() - protocol.sent_at > closed_ms:
            # acknowledged into that connection is lost, and comes again: for ever, should this happen each time.
            self._fail(ClosedError("nothing has left for longer than the keep alive"))
            protocol.session.disconnected()
        message._is_handled = True
        taken = self._taken
        while taken and taken[0]._is_handled:
            self._acknowledge(taken.pop(0))

    def _acknowledge(self, message: Message) -> None:
        if message.key:
            from .idempotency import remember

            remember(self, message)
        self._protocol.session.handled(message._packet_id, message._generation)
        self._gathered += 1
        self._to_write.set()

    # -- what the protocol tells

    def on_connected(self, session_present: bool) -> None:
        """CONNACK was accepted; repeats and subscriptions are in `out`."""
        self.is_connected = self._connected_once = True
        self._attention.set()  # another deadline now
        self.session_present = session_present
        if self.on_connection:
            self.on_connection(True, "")

    def on_message(
        self, first: int, topic: bytes, payload: bytes, packet_id: int, generation: int, properties: bytes = b""
    ) -> None:
        """A message; QoS 0 is dropped, counted, when the application has not taken anything for a while."""
        if self._error:
            return  # not handled, so not acknowledged
        self._progressed |= 1
        if self._stalled and not first & 6 and self._is_full(1):
            self.qos0_dropped += 1
            return
        message = Message(str(topic, "utf-8"), payload, first, packet_id, generation)
        if properties:
            message.properties = properties
        if self.keys:
            from .idempotency import take_key

            take_key(message)
        self._inbox.append(message)

    def on_large(self, first: int, topic: bytes, size: int, packet_id: int, generation: int) -> None:
        """A message larger than `size_max` was read past."""
        from .oversized import tell

        tell(self, first, str(topic, "utf-8"), size, packet_id, generation)

    def on_suback(self, topic_filter: bytes, code: int) -> None:
        """The broker's answer to a subscription; one that is refused after a reconnection has nobody waiting for it."""
        if code >= 0x80:
            from .unconfirmed import refusal

            self._log(str(refusal(str(topic_filter, "utf-8"), code)))
        self._answered(topic_filter, _SUBACK, code)

    def on_unsuback(self, topic_filter: bytes, code: int = 0) -> None:
        """A subscription has ended, or has not (`code` from 0x80 on: why; 5.0)."""
        self._answered(topic_filter, _UNSUBACK, code)

    def _answered(self, topic_filter: bytes, asked: int, code: int) -> None:
        state = self._answers.get(topic_filter)
        if state == asked:
            self._answers[topic_filter] = code
        elif state == asked + _ABANDONED:
            del self._answers[topic_filter]

    def on_finished(self, seq: int, outcome: int) -> None:
        """An outbound message is confirmed, in doubt, or refused."""
        self._progressed |= 2
        self._finished += 1
        error: "MQTTError | None" = None
        if outcome:
            from .unconfirmed import failure

            error = failure(self, seq, outcome)
        receipt = self._receipts.pop(seq, None)
        if receipt:
            receipt._finish(error)
