"""The client's face, which both runtimes share: what an application calls. Behind it are three parts: outgoing (what is
published), incoming (what arrives) and the connector (one connection after the other), on one life.

A subclass for each runtime (host, board) says how to open a connection, and what is checked.
"""

import asyncio
import os

from ..core import const, wire4
from ..core.client import ClientProtocol
from ..core.errors import ClosedError
from ..core.features import DOUBTS, HOST, JOURNAL, KEYS, STREAM, V5
from ..core.session import Session
from ..core.text import to_utf8
from ..serial.clock import now_ms
from ..store.base import Store
from .connector import Connector
from .incoming import Incoming
from .life import Life
from .messages import Message, Receipt, check_qos
from .outgoing import Outgoing
from .url import Url

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from typing import Any, Self, Unpack

    from ..core.events import Will as CheckedWill
    from ..core.message_properties import MessageProperties, Pairs
    from ..core.wire import ClientWire
    from ..link.stats import Stats
    from .pieces.message import StreamedMessage
    from .unconfirmed import PendingMessage

KEYS_SPAN = const(1000)  # from the first unconfirmed message to the last one sent: what a receiver can tell apart


class BaseClient:
    """An MQTT client. Use it as `async with Client("mqtt://localhost") as client:`; it connects again by itself.

    url             mqtt://[user:password@]host[:1883], unix:///path, serial:///dev/ttyUSB0?baud=115200; on a board also
                    serial://2?tx=17&rx=16 for UART 2
    version         of MQTT: "3.1.1" or "5.0", on CPython also "3.1" and "5"; the numbers of protocol levels will do
    client_id       identifies the session at the broker; with one, the session is kept over disconnections
    clean_session   True: no session is kept; default: True only without client_id, which False needs
    keep_alive_s    0 to 65535 seconds; 0: none. A dead connection is noticed within this time plus `timeout_s`
    will            Will(topic, payload, qos, retain): published by the broker when the client is lost; in 5.0 with
                    `delay_s` and the properties that `publish` takes
    window          QoS 1 and 2 messages sent and not confirmed; 18 is what Mosquitto always handles without loss
    queue_max       QoS 1 and 2 messages accepted and not confirmed; `publish` waits beyond it
    inbox_max       messages received and not taken; beyond it the connection is not read
    inbox_bytes     the same in bytes of their payloads
    size_max        largest packet (Remaining Length) in bytes, in both directions: a larger message is not accepted by
                    `publish`, and read past when it arrives. Default: 1 MiB, as the broker's, and 4096 on a board
    timeout_s       how long connecting, CONNACK and PINGRESP may take
    store           where the session's state is kept durably: a path, or a Store; it belongs to one client_id, which
                    must be given. A path means SQLite, on a board a journal. Default: memory, which is not durable
    manual_ack      True: nothing is acknowledged before `acknowledge(message)`
    keys            True: messages of QoS 1 and 2 carry an idempotency key (core/keys.py), and those that arrive with
                    one that was handled before are not delivered again. In 5.0 it is a user property; in 3.1.1 it
                    stands in front of the payload, so both ends must agree
    retry_first     True: keep trying when the first connection fails; default: raise
    session_expiry_s  how long the broker keeps the session after the connection is lost (5.0): up to 4294967295, which
                    is for ever. Default: for ever, and at a clean session not at all
    receive_maximum messages of QoS 1 and 2 that may come unacknowledged (5.0): 1 to 65535; if more come, all are taken
    stream_max      largest packet of a message that `receive_stream` takes: 5.0 announces it instead of size_max. In
                    3.1.1 the default is none; a session that is kept needs it
    on_connection   called as on_connection(connected, reason) when the connection comes (reason "") or goes
    on_oversized    called as on_oversized(topic, size) when a message larger than size_max has been read past: it is
                    acknowledged, counted in `oversized`, and gone; of a topic beyond 256 bytes the beginning

    What it knows: `client_id`, `url`, `is_connected`, `session_present`, `qos0_dropped`, `oversized`, `store`, `error`.

    On CPython an argument of the wrong type or out of range raises TypeError or ValueError, and a use before `start`
    (or `async with`), or in another event loop, RuntimeError. On a board the defaults are smaller: queue_max 40,
    inbox_max 20, inbox_bytes 16384.
    """

    _connector_type: "Callable[..., Connector]" = Connector
    _outgoing_type: "Callable[..., Outgoing]" = Outgoing
    _incoming_type: "Callable[..., Incoming]" = Incoming
    _protocol_type = ClientProtocol
    if HOST:
        _session_type = Session
    _size_max = 4096  # where nothing else is said; a host has more room
    _clear_step = 8192  # packet identifiers of an earlier life that are cleared at once, in a network (core/session.py)

    def __init__(
        self,
        url: str,
        *,
        version: "str | int" = "3.1.1",
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
        store: "Store | str | os.PathLike[str] | None" = None,
        manual_ack: bool = False,
        keys: bool = False,
        retry_first: bool = False,
        on_connection: "Callable[[bool, str], None] | None" = None,
        on_oversized: "Callable[[str, int], None] | None" = None,
        session_expiry_s: "int | None" = None,
        receive_maximum: int = 0,
        stream_max: int = 0,
    ) -> None:
        self.url = Url(url)
        self.client_id = client_id or "mqttlite-" + "".join(["%02x" % byte for byte in os.urandom(6)])
        if clean_session is None:
            clean_session = not client_id
        if username is None:
            username = self.url.username
        if password is None:
            password = self.url.password
        if HOST and getattr(will, "more", None) and version not in ("5.0", 5):
            raise ValueError('delay and properties of a will need MQTT 5.0: write Client(..., version="5.0")')
        if store and not client_id:
            raise ValueError("a store needs a client_id: it keeps the session that the broker has under that name")
        fields = (
            to_utf8(self.client_id, "client identifier"),
            clean_session,
            keep_alive_s,
            None if username is None else to_utf8(username, "user name"),
            password.encode() if isinstance(password, str) else password,
            self._will(will) if will else None,
        )
        session = (self._session_type if HOST else Session)(window, start=int.from_bytes(os.urandom(2), "big"))
        if DOUBTS:
            session.doubts = {}
        session.log = self._log
        if self.url.scheme != "serial":  # which may be slow, and cut often: small steps, as on a board
            session.clear_step = self._clear_step
        if keys:
            session.span = KEYS_SPAN
        wire: "ClientWire" = wire4
        if version in ("5.0", 5):
            from ..core import wire5 as wire  # only who speaks 5.0 loads it
        elif version not in ("3.1.1", 4):
            raise ValueError('version is "3.1.1" or "5.0"')
        kept: "Any" = self._make_store(store) if isinstance(store, str) else store or Store()
        self._life = life = Life(self.client_id, session, kept, self._log)
        self._outgoing = self._outgoing_type(life, queue_max, (1 if keys else 0) | (0 if wire is wire4 else 2))
        self._incoming = self._incoming_type(life, inbox_max, inbox_bytes, on_oversized)
        self._incoming.manual_ack = manual_ack
        self._connector = self._connector_type(
            life, self._outgoing, self._incoming, self.url, timeout_s, retry_first, on_connection
        )
        life.protocol = self._protocol_type(
            life, fields, session, size_max or self._size_max, int(timeout_s * 1000), wire, stream_max
        )
        if HOST:
            self._connect_fields = fields
        if V5 and (session_expiry_s is not None or receive_maximum):
            from .saying5 import connect

            connect(self, fields, session_expiry_s, receive_maximum)

    def _will(self, will: "tuple[str, str | bytes, int, bool]") -> "CheckedWill":
        from .will import checked

        return checked(will)

    # -- what the runtime provides

    def _make_store(self, path: str) -> Store:  # type: ignore[empty-body]
        """The runtime's usual store, at `path`."""

    def _log(self, text: str) -> None:
        """Tell whoever runs the program."""

    def _checked(self, topic: str, payload: "bytes | str", qos: int, retain: bool, key: object) -> bytes:
        """The arguments of `publish`, checked; the payload. A host looks closer."""
        check_qos(qos)
        if isinstance(payload, str):
            return payload.encode()
        if isinstance(payload, (bytes, bytearray, memoryview)):
            return bytes(payload)
        raise TypeError("payload must be bytes or str")

    def _check_properties(self, properties: "MessageProperties", payload: bytes) -> None:
        """Of a message. A host looks closer."""

    # -- life

    async def __aenter__(self) -> "Self":
        await self.start()
        return self

    async def __aexit__(self, exc_type: object, *exc: object) -> None:
        if not exc_type:
            self._incoming.handled()
            await self.drain()
        error = self._life.error
        await self.close()
        if error and not exc_type and not isinstance(error, ClosedError):
            raise error  # nobody may have been told

    async def start(self, wait: bool = True) -> None:
        """Open the store and connect. Raises ConnectError (RefusedError when the broker said no) when that fails,
        unless `retry_first`; StoreError when the store cannot be used.

        `wait=False`: return when the store is open, and connect meanwhile. What is published until then is kept like
        what is published while a connection is lost; with `retry_first` it tries for ever.
        """
        life = self._life
        connector = self._connector
        if not connector.task:
            if (JOURNAL and type(life.store) is not Store) or (KEYS and self._outgoing.flags & 1):
                from .outlived import load  # only who has something to keep loads it

                await load(life, self._outgoing, self._incoming)
            connector.task = asyncio.create_task(connector.run())
        if JOURNAL and not wait:
            return
        try:
            while not (life.is_connected or life.error):
                await life.progress.wait()
        except asyncio.CancelledError:
            await self.close()
            raise
        error = life.error
        if error:
            await self.close()  # a serial port is free again
            raise error

    async def drain(self, timeout_s: float = 10) -> bool:
        """Wait until every accepted message is confirmed, and those of QoS 0 have left, `timeout_s` seconds at most;
        whether all are confirmed.
        """
        from .closing import drain

        return await drain(self._connector, timeout_s)

    async def close(self) -> None:
        """Disconnect and stop. The receipt of what is not confirmed by now raises ClosedError; a store keeps the
        message for the next life, without one it is given up. Raises StoreError when the store fails meanwhile.
        """
        from .closing import close

        await close(self._connector)

    def link_stats(self) -> "Stats | None":
        """The counters of the serial link (link/stats.py), None without one."""
        serial = self._connector.serial
        return serial.link.stats if serial else None

    def gateway_time(self) -> "int | None":
        """Milliseconds since 1970, as the gateway at the other end of the serial line has said; None: it has not."""
        serial = self._connector.serial
        return None if serial is None or serial.time_ms is None else serial.time_ms + now_ms()

    # -- publishing

    async def publish(
        self,
        topic: str,
        payload: "bytes | str" = b"",
        qos: int = 1,
        retain: bool = False,
        key: "tuple[str, int] | None" = None,
        **properties: "Unpack[MessageProperties]",
    ) -> Receipt:
        """Accept a message for delivery; waits while `queue_max` messages are unconfirmed or the store is full
        (back-pressure), then until the store has it.

        `key`: (producer, number), the application's own idempotency key. For one producer, numbers must grow: a message
        with a number that has been accepted before, in this life or an earlier one, is not accepted again; its receipt
        is returned. QoS 0 is sent at once or, while there is no connection, dropped and counted in `qos0_dropped`.

        In MQTT 5.0 alone: `expires_after_s`: the message is of no use to anybody after so many seconds; `content_type`
        and `response_topic` (str), `correlation_data` (bytes); `payload_is_text`: True tells receivers that the payload
        is UTF-8; `user_properties`: a mapping of str to str, or a list of pairs.

        Raises ProtocolError for an invalid topic name or one with control characters, PublishError when the message is
        larger than `size_max` or than a 5.0 broker has said that it takes, ValueError for another QoS than 0, 1, 2,
        ClosedError, StoreError.
        """
        payload = self._checked(topic, payload, qos, retain, key)
        if V5 and properties:
            from .saying5 import publish

            return await publish(self, topic, payload, qos, retain, key, properties, True)
        outgoing = self._outgoing
        size = len(topic) + len(payload)
        if outgoing.is_full(qos, size):
            await outgoing.wait_for_room(qos, size)
        # As `enqueue`, which is not called: a coroutine inside a coroutine is memory that a board allocates each time.
        receipt = outgoing.accept(topic, payload, qos, retain, key)
        if qos and self._life.store.is_durable:
            await self._life.commit()
        return receipt

    async def enqueue(
        self,
        topic: str,
        payload: "bytes | str" = b"",
        qos: int = 1,
        retain: bool = False,
        key: "tuple[str, int] | None" = None,
        **properties: "Unpack[MessageProperties]",
    ) -> Receipt:
        """As `publish`, without waiting for the store: for many messages one after the other. They are durable when
        they are confirmed, or when a later `publish` or `stored` has returned.
        """
        payload = self._checked(topic, payload, qos, retain, key)
        if V5 and properties:
            from .saying5 import publish

            return await publish(self, topic, payload, qos, retain, key, properties, False)
        outgoing = self._outgoing
        size = len(topic) + len(payload)
        if outgoing.is_full(qos, size):
            await outgoing.wait_for_room(qos, size)
        return outgoing.accept(topic, payload, qos, retain, key)

    async def stored(self) -> None:
        """Wait until everything accepted so far is in the store. StoreError when it cannot be."""
        await self._life.commit()

    def last_number(self, producer: str) -> int:
        """The highest number of a key (producer, number) that has been accepted from the application, in this life or
        an earlier one of the store; -1: none. To be asked when the client has started.
        """
        return self._outgoing.load_keys().last_number(producer)

    def receipt(self, seq: int) -> Receipt:
        """The receipt of a message that was accepted as number `seq`, in this life or an earlier one of the store. What
        a store holds no more counts as confirmed. ValueError on CPython for a number that can be no message's.
        """
        return self._outgoing.receipt(seq)

    def unconfirmed(self) -> int:
        """How many messages of QoS 1 and 2 are not confirmed yet. `publish` waits when they are `queue_max`."""
        return len(self._outgoing.receipts)

    def pending(self) -> "list[PendingMessage]":
        """What is not finished, each as a tuple, PendingMessage(seq, state, topic, qos, payload): sequence number;
        "accepted", "released", "in doubt", or "refused", when it was set aside (SetAsideError); what was published.
        """
        from .unconfirmed import pending

        return pending(self._life)

    async def retry(self, seq: int) -> Receipt:
        """Send a message that was set aside, or is in doubt, once more, as a new one; the receipt of that. Raises
        ValueError when there is no such message, PublishError when it is still known to be too large, StoreError.
        """
        from .unconfirmed import retry

        return await retry(self._life, self._outgoing.receipts, seq)

    async def settle(self, seq: int) -> None:
        """Forget a message in doubt, or one that was set aside: the application has decided what to do about it. One
        that is accepted and not confirmed is given up, so that others have room: its receipt raises SetAsideError, and
        the broker has it or has it not. (One that is released stays: the broker has it.) Nothing happens where it is
        none of these; ValueError on CPython for a number that no message has had.
        """
        from .unconfirmed import settle

        await settle(self._life, self._outgoing.receipts, seq)

    async def publish_stream(
        self,
        topic: str,
        source: "Any",
        size: "int | None" = None,
        qos: int = 1,
        retain: bool = False,
        *,
        timeout_s: float = 0,
        key: "tuple[str, int] | None" = None,
        **properties: "Unpack[MessageProperties]",
    ) -> None:
        """Publish a large payload that is read piece by piece and never held whole; returns when the broker has
        confirmed it (QoS 1, 2), or when all has been written (QoS 0). `size_max` does not concern it.

        source     a file (sent from where it stands), bytes, an iterable or asynchronous iterable of bytes, or a
                   function that returns one of these. At QoS 1 and 2 it may be read again, after a reconnection: a file
                   has to be seekable, an iterable to begin anew each time; a function is called each time
        size       bytes of the payload, which has to be known; of a seekable file and of bytes it is
        timeout_s  how long one piece may take; default: the client's timeout_s
        properties of MQTT 5.0, as of `publish`, but for expires_after_s

        Nothing else can be sent in the middle of it, not even an acknowledgement. A source that fails, ends early or
        takes too long ends the message with StreamError and, unless it was its first piece, the connection with it,
        which is made again. The message does not outlive the program, whatever store there is: published anew, with its
        `key` (as of `publish`, but never refused), it is recognised. Raises as `publish`; ValueError: a bad source.
        """
        if STREAM:
            from .pieces.sending import publish_stream

            await publish_stream(self, topic, source, size, qos, retain, timeout_s, properties, key)

    # -- receiving

    async def receive_stream(
        self,
        topic_filter: str,
        sink: "Callable[[StreamedMessage], Coroutine[Any, Any, None]]",
        qos: int = 2,
        *,
        timeout_s: float = 60,
    ) -> None:
        """Subscribe, and call `sink(message)`, a coroutine function, for each message of the topic filter, one after
        the other, until the client is closed; `async for piece in message` gives the payload as it arrives, `size`
        bytes in all, so that it is never held whole, whatever `size_max` is.

        A message counts as handled when it has come whole and `sink` has returned, and is acknowledged then, in its
        turn. When the connection is lost in the middle, the iteration raises StreamError, which `sink` lets pass; the
        message comes again from its beginning. So at QoS 2 `sink` returns once from each. What else `sink` raises is
        raised here; the message is not acknowledged, and in a kept session the next call is given it. (A board holds
        back all acknowledgements behind it for as long as the client lives.) What matches goes to `sink` alone.

        timeout_s  how long `sink` may take nothing while the connection waits for it: then that is made anew. What is
                   behind a payload, also a confirmation, arrives after it: `sink` cannot wait for it
        In 5.0, and for a kept session, give Client a `stream_max`. Raises what `subscribe` does.
        """
        if STREAM:
            from .pieces.receiving import receive_stream

            await receive_stream(self, topic_filter, sink, qos, timeout_s)

    async def subscribe(
        self,
        topic_filter: str,
        qos: int = 2,
        *,
        no_local: bool = False,
        retain_as_published: bool = False,
        retain_handling: int = 0,
        user_properties: "Pairs | None" = None,
        subscription_identifier: int = 0,
    ) -> int:
        """Subscribe, now and after every reconnection; the granted QoS. Waits for the broker's answer.

        In MQTT 5.0 alone: `no_local`: not what this client publishes itself; `retain_as_published`: `message.retain`
        as it was published; `retain_handling`: 0: retained messages come now, 1: only if the subscription is new, 2:
        they do not; `user_properties`: as of `publish`; `subscription_identifier`: 1 to 268435455, which the messages
        of this subscription bring back. The last two are not in a store: a program that is restarted subscribes again.

        Raises SubscribeError when the broker refuses, ProtocolError for an invalid topic filter, ClosedError.
        """
        check_qos(qos)
        if V5 and (no_local or retain_as_published or retain_handling or user_properties or subscription_identifier):
            from .saying5 import subscribe

            return await subscribe(
                self,
                topic_filter,
                qos,
                no_local,
                retain_as_published,
                retain_handling,
                user_properties,
                subscription_identifier,
            )
        return await self._ask(topic_filter, qos)

    async def unsubscribe(self, topic_filter: str, *, user_properties: "Pairs | None" = None) -> None:
        """End a subscription. Waits for the broker's answer; messages that are under way may still arrive.

        Raises SubscribeError when the broker refuses (5.0), ProtocolError for an invalid topic filter, ClosedError.
        """
        if V5 and user_properties:
            from .saying5 import unsubscribe

            await unsubscribe(self, topic_filter, user_properties)
        else:
            await self._ask(topic_filter, -1)

    async def _ask(self, topic_filter: str, qos: int, properties: bytes = b"") -> int:
        from .subscribing import ask

        return await ask(self._life, topic_filter, qos, properties)

    def __aiter__(self) -> "AsyncIterator[Message]":
        """The messages that arrive. Asking for the next one says that the one before has been handled: only then is it
        acknowledged. Ends when the client is closed.
        """
        return self._incoming

    def __anext__(self) -> "Coroutine[Any, Any, Message]":
        """The next message, as in `async for`."""
        return self._incoming.__anext__()

    def acknowledge(self, message: Message) -> None:
        """With `manual_ack`: the message has been handled. PUBACK (QoS 1) or PUBREC (QoS 2) is sent when all that
        arrived before it have been acknowledged, too: they must leave in that order [MQTT-4.6.0-2] [MQTT-4.6.0-3].
        """
        self._incoming.acknowledge(message)
