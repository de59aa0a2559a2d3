"""RabbitMQ over AMQP 0-9-1 as a sink (aio-pika).

Messages are persistent, go out in their order, several under way at once, and are settled by the publisher confirm of
each: RabbitMQ gives it when a quorum queue has the message on the disks of most of its machines. They are *mandatory*:
one that no queue is bound for comes back, and is a dead letter instead of lost without a word. A confirm that gets lost
with its connection is the one case in which a message comes twice; both copies have the same `message_id`.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from mqttlite.core.keys import PROPERTY, to_text
from mqttlite.core.shown import shown

from .base import Message, Settle, SinkError

if TYPE_CHECKING:
    import ssl

    from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange

log = logging.getLogger("mqttlite.gateway")

KEY_MAX = 255  # bytes of a routing key, of a short string
ALONE = 100  # messages that go one at a time after one that RabbitMQ has not taken
CLOSE_S = 2.0  # for RabbitMQ to say that it has heard of it
OURS = "mqtt-"  # begins the names of headers that say what MQTT knows of a message
_KEY = PROPERTY.decode()
_TURNED = str.maketrans("/.", "./")


@dataclass(frozen=True, slots=True)
class AmqpOptions:
    """Keys of [[upstream]] with an amqp:// URL.

    queue        the queue that all messages go to; a durable quorum queue is made if there is none. Without queue and
                 exchange: the upstream's name
    exchange     or an exchange, which is there; what it does with messages is RabbitMQ's to know
    routing_key  for the exchange; "": the topic, with / and . changed places, as RabbitMQ's own MQTT plugin has it
    heartbeat_s  between two signs of life, after which a connection counts as lost
    """

    queue: str = ""
    exchange: str = ""
    routing_key: str = ""
    heartbeat_s: int = 30

    def __post_init__(self) -> None:
        """ValueError says what does not go together."""
        if self.queue and self.exchange:
            raise ValueError(
                "queue and exchange: messages go to one of them; bind the queue to the exchange in RabbitMQ"
            )
        if self.routing_key and not self.exchange:
            raise ValueError("routing_key: it is for an exchange; say which, or leave it out")
        for name in ("queue", "exchange", "routing_key"):
            if len(getattr(self, name).encode()) > KEY_MAX:
                raise ValueError(f"{name}: it is {KEY_MAX} bytes at most")
        if not 1 <= self.heartbeat_s <= 3600:
            raise ValueError(f"heartbeat_s = {self.heartbeat_s}: it is 1 to 3600")


def routing_key_of(topic: str) -> str:
    """What RabbitMQ's MQTT plugin makes of a topic: a.b/c becomes a/b.c."""
    return topic.translate(_TURNED)


def headers_of(message: Message) -> dict[str, Any]:
    """What AMQP has no field of its own for. A user property is a header of its name, several of one name a list; one
    whose name is ours or AMQP's is in the table mqtt-user-properties.
    """
    headers: dict[str, Any] = {"mqtt-topic": message.topic, "mqtt-qos": message.qos}
    if message.retain:
        headers["mqtt-retain"] = True
    if message.key is not None:
        headers[_KEY] = to_text(message.key).decode()
    response = message.text("response_topic")
    if response:
        headers["mqtt-response-topic"] = response
    if message.correlation_data:
        headers["mqtt-correlation-data"] = bytearray(message.correlation_data)  # what pamqp takes for bytes
    apart: dict[str, Any] = {}
    for name, value in message.user_properties:
        is_apart = not name or name.startswith((OURS, "x-", _KEY)) or len(name.encode()) > 128
        where = apart if is_apart else headers
        name = name[:60] if is_apart else name
        if name not in where:
            where[name] = value
        elif isinstance(where[name], list):
            where[name].append(value)
        else:
            where[name] = [where[name], value]
    if apart:
        headers["mqtt-user-properties"] = apart
    return headers


class AmqpSink:
    """`source`: whose messages they are: `message_id` is it and the message's name. `tls`: for amqps://."""

    kind = "amqp"

    def __init__(
        self, url: str, name: str, options: AmqpOptions, source: str = "mqttlite", tls: "ssl.SSLContext | None" = None
    ) -> None:
        self._url = url
        self._options = options
        self._queue = options.queue or ("" if options.exchange else name)
        self._source = source
        self._tls = tls
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._exchange: AbstractExchange | None = None
        self._alone = 0  # so many more messages go one at a time, since RabbitMQ has not taken one
        try:
            import aio_pika
        except ImportError:
            raise ValueError("amqp:// needs aio-pika: pip install 'mqttlite[amqp]'") from None
        self._pika = aio_pika

    # -- the connection

    async def open(self) -> str:
        """Connect, and have the queue or the exchange there."""
        errors = self._pika.exceptions
        try:
            self._connection = await self._pika.connect(
                self._url,
                ssl_context=self._tls,
                heartbeat=self._options.heartbeat_s,
                client_properties={"connection_name": self._source},
            )
            what = await self._have_target()
            self._channel, self._exchange = await self._new_channel()
        except errors.ProbableAuthenticationError as error:
            raise SinkError(f"RabbitMQ refuses user name or password, or the virtual host: {_said(error)}") from error
        except errors.ProtocolSyntaxError as error:  # all that aio-pika says of an answer that ends the connection
            raise SinkError(
                f"RabbitMQ refuses the connection: is there a virtual host '{self._vhost}', and may this user use it?"
            ) from error
        except errors.CONNECTION_EXCEPTIONS as error:
            raise SinkError(_words(error)) from error
        return what

    @property
    def _vhost(self) -> str:
        return unquote(urlsplit(self._url).path[1:]) or "/"

    async def _have_target(self) -> str:
        """The queue is there, or is made; or the exchange is there."""
        assert self._connection
        errors = self._pika.exceptions
        options = self._options
        channel = await self._connection.channel()
        try:
            if options.exchange:
                await channel.get_exchange(options.exchange)
            else:
                await channel.declare_queue(self._queue, passive=True)
        except errors.ChannelNotFoundEntity:
            if options.exchange:
                raise SinkError(
                    f"there is no exchange '{options.exchange}' on RabbitMQ: make it there, or say queue = \"...\""
                ) from None
            channel = await self._connection.channel()
            arguments: dict[str, Any] = {"x-queue-type": "quorum"}
            await channel.declare_queue(self._queue, durable=True, arguments=arguments)
            log.info("%s: queue '%s' is new on RabbitMQ", self._source, self._queue)
        await channel.close()
        return f"exchange '{options.exchange}'" if options.exchange else f"queue '{self._queue}'"

    async def _new_channel(self) -> "tuple[AbstractChannel, AbstractExchange]":
        assert self._connection
        channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
        if self._options.exchange:
            return channel, await channel.get_exchange(self._options.exchange, ensure=False)
        return channel, channel.default_exchange

    def abort(self) -> None:
        """Nothing has to be done: what waits is cancelled, and `close` has its own patience."""

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        self._channel = self._exchange = None
        if connection is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(CLOSE_S):
                    await connection.close()

    # -- messages

    async def put(self, batch: Sequence[Message], settle: Settle) -> None:
        """What is under way behind a message that RabbitMQ does not take now (a nack) may overtake it. So then each
        goes when the one before it is confirmed, until ALONE of them were in a row.
        """
        if self._alone:
            for message in batch:
                await self._publish_alone(message, settle)
                self._alone = max(0, self._alone - 1)
            return
        left = dict.fromkeys(map(id, batch))

        def settled(message: Message, refusal: str) -> None:
            left.pop(id(message), None)
            settle(message, refusal)

        error = await self._publish_all(batch, settled)
        if error is None:
            return
        if not isinstance(error, self._pika.exceptions.ChannelClosed):
            raise SinkError(_words(error)) from error
        # One of them has ended the channel for all, and RabbitMQ does not say which: each on its own, in order.
        for message in batch:
            if id(message) in left:
                await self._publish_alone(message, settled)

    async def _publish_all(self, batch: Sequence[Message], settle: Settle) -> Exception | None:
        """The first error that is of no message."""
        publishing = [asyncio.ensure_future(self._publish(message)) for message in batch]
        first: Exception | None = None
        try:
            for message, each in zip(batch, publishing, strict=True):
                try:
                    refusal = await each
                except Exception as error:
                    first = first or error
                else:
                    settle(message, refusal)
        finally:
            for each in publishing:
                each.cancel()
        return first

    async def _publish_alone(self, message: Message, settle: Settle) -> None:
        errors = self._pika.exceptions
        try:
            if self._channel is None or self._channel.is_closed:
                self._channel, self._exchange = await self._new_channel()
            refusal = await self._publish(message)
        except errors.ChannelPreconditionFailed as error:
            refusal = _said(error)
        except errors.ChannelClosed as error:
            if "topic" not in str(
                error
            ):  # of a message, a right to its topic may be missing; all else is not its fault
                raise SinkError(_words(error)) from error
            refusal = _said(error)
        except errors.CONNECTION_EXCEPTIONS as error:
            raise SinkError(_words(error)) from error
        settle(message, refusal)

    async def _publish(self, message: Message) -> str:
        """ "": confirmed; else why it will never be."""
        options = self._options
        key = self._queue or options.routing_key or routing_key_of(message.topic)
        if len(key.encode()) > KEY_MAX:
            return f"a topic of {len(message.topic.encode())} bytes is no routing key: AMQP takes {KEY_MAX}"
        if self._exchange is None:
            raise ConnectionError("the connection is closed")
        try:
            await self._exchange.publish(self._as_amqp(message), key, mandatory=True)
        except (TypeError, ValueError, OverflowError) as error:  # before anything of it was sent
            return f"AMQP cannot say it: {shown(str(error), 200)}"
        except self._pika.exceptions.PublishError:
            if self._queue:  # somebody has deleted it: it is made again with the next connection
                raise ConnectionError(f"queue '{self._queue}' is gone") from None
            return f"no queue of exchange '{options.exchange}' is bound for routing key '{shown(key, 100)}'"
        except self._pika.exceptions.DeliveryError:
            self._alone = ALONE
            raise ConnectionError(
                "RabbitMQ does not take a message now: is the queue full, or without a leader?"
            ) from None
        return ""

    def _as_amqp(self, message: Message) -> Any:
        correlation = message.correlation_data
        try:
            text = correlation.decode() if 0 < len(correlation) <= KEY_MAX else None
        except UnicodeDecodeError:
            text = None
        content_type = message.text("content_type")
        return self._pika.Message(
            message.payload,
            headers=headers_of(message),
            delivery_mode=self._pika.DeliveryMode.PERSISTENT,
            message_id=f"{self._source}/{message.name}" if message.name else None,
            content_type=content_type if 0 < len(content_type.encode()) <= KEY_MAX else None,
            correlation_id=text,
            expiration=message.expires_after_s,
            app_id="mqttlite",
        )


def _said(error: BaseException) -> str:
    """What RabbitMQ has said, without the library's own words around it."""
    text = next((each for each in error.args if isinstance(each, str)), "") or str(error)
    return shown(text, 300)


def _words(error: BaseException) -> str:
    return f"RabbitMQ: {_said(error)}" if error.args else f"RabbitMQ: the connection is gone ({type(error).__name__})"


def amqp_options(options: Mapping[str, Any]) -> AmqpOptions:
    """ValueError: a key or a value that cannot be."""
    known = [each.name for each in fields(AmqpOptions)]
    for key, value in options.items():
        if key not in known:
            raise ValueError(f"{key}: no such key for amqp://; there are {', '.join(known)}")
        if type(value) is not (int if key == "heartbeat_s" else str):
            raise ValueError(f"{key} = {value!r}: it is a {'whole number' if key == 'heartbeat_s' else 'text'}")
    return AmqpOptions(**options)
