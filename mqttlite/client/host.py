"""The client on CPython: arguments are checked first (arguments/checks.py), and that it is started, once, in one event
loop. On a board the room for this is missing, and what is wrong there shows later.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from ..core.client_host import HostProtocol
from ..core.errors import MQTTError
from ..core.session_host import HostSession
from ..core.shown import shown
from ..core.sizes import PACKET_MAX
from ..core.text import to_utf8
from ..serial.clock import now_ms
from ..store.base import Store
from .arguments.checks import (
    ARGUMENTS5,
    TLS_ARGUMENTS,
    asks_for_5,
    check_client,
    check_message,
    check_number,
    check_seconds,
    check_subscription,
    encoded,
    version_of,
    with_arguments,
    wrong_type,
)
from .arguments.other_names import check_one_url, no_attribute, no_callback
from .comfort import ComfortableClient
from .connecting.connector_host import HostConnector
from .connecting.unreachable import where
from .face import BaseClient
from .messages import Message, Receipt
from .traffic.incoming_host import HostIncoming
from .traffic.outgoing_host import QUEUE_BYTES, HostOutgoing

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from ..core.message_properties import MessageProperties, Pairs
    from ..ledger.ledger import Ledger
    from .arguments.reconnect import Reconnect
    from .authentication import Authentication
    from .unconfirmed import PendingMessage
    from .versions.server_info import Server

log = logging.getLogger("mqttlite.client")

HELP = """\
    queue_bytes     topics, properties and payloads accepted and not confirmed (64 MiB); `publish` waits beyond it
    ledger          a path, or a mqttlite.ledger.Ledger: what happens to messages with keys is noted there (None)
    reconnect       Reconnect(least_s, greatest_s, give_up_after_s): between attempts to connect again, and for how long
    """

HELP5 = """\
    Of MQTT 5.0 (docs/server.md):

    topic_alias_maximum           how many topics the broker may send under a number (0)
    user_properties               of CONNECT: a mapping of str to str, or pairs
    request_response_information  True: ask for `client.server.response_information`
    request_problem_information   False: the broker does not say in words why it refuses something
    authentication                Authentication(method, answers): in several packets (client/authentication.py)
    follow_server_reference       True: connect to another server if the broker names one; default: the error names it
    client_id=None                the broker chooses; `client_id` has the name when the client is connected
    """

TLS_HELP = """\
    Of mqtts:// and wss:// (TLS; docs/tls.md):

    ca              CAs to trust instead of the system's: a file (PEM or DER), a folder, PEM as str, DER as bytes
    certificate     file with the client's own certificate (PEM), behind it those of its chain
    key_file        file with its key; default: it is in `certificate`. key_password: where it is encrypted
    alpn            protocols to offer, as ["mqtt"]
    server_name     the name that the broker's certificate must have; default: the host of the URL
    fingerprint     SHA-256 of the broker's certificate: this one is taken, whoever has signed it
    insecure        True: whoever answers is taken for the broker; for trials alone
    tls             an ssl.SSLContext instead of all these but server_name
    """


class Client(ComfortableClient):
    __doc__ = f"{BaseClient.__doc__}\n{HELP}\n{HELP5}\n{TLS_HELP}"  # help(Client) tells all

    _connector_type = HostConnector
    _outgoing_type = HostOutgoing
    _incoming_type = HostIncoming
    _protocol_type = HostProtocol
    _session_type = HostSession
    _size_max = PACKET_MAX
    _loop: asyncio.AbstractEventLoop | None = None  # in which it was started
    _ledger: "Ledger | None" = None
    _has_ledger = False  # it is open
    _incoming: HostIncoming
    _connector: HostConnector
    _start: asyncio.Lock
    _first: int  # sequence number of the first message, unless the store knows more

    if TYPE_CHECKING:

        def __init__(
            self,
            url: str,
            *,
            ca: "str | bytes | os.PathLike[str] | None" = None,
            certificate: "str | os.PathLike[str] | None" = None,
            key_file: "str | os.PathLike[str] | None" = None,
            key_password: "str | bytes | None" = None,
            alpn: "Sequence[str] | str | None" = None,
            server_name: "str | None" = None,
            fingerprint: "str | None" = None,
            insecure: bool = False,
            tls: "ssl.SSLContext | None" = None,
            queue_bytes: int = QUEUE_BYTES,
            ledger: "Ledger | str | os.PathLike[str] | None" = None,
            reconnect: "Reconnect | None" = None,
            topic_alias_maximum: int = 0,
            user_properties: "Pairs | None" = None,
            request_response_information: bool = False,
            request_problem_information: bool = True,
            authentication: "Authentication | None" = None,
            follow_server_reference: bool = False,
            version: "str | int" = "3.1.1",
            client_id: "str | None" = "",
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
        ) -> None: ...

    else:

        def __init__(self, url=..., *more, **options):
            check_one_url(url, more, options)
            if "version" in options:
                options["version"] = version_of(options["version"])
            check_client(url, options)
            tls = None
            if not options.keys().isdisjoint(TLS_ARGUMENTS):
                from .secure.tls_options import take_options  # only who has one loads ssl

                tls = take_options(options)
            if isinstance(options.get("store"), os.PathLike):
                options["store"] = os.fspath(options["store"])
            five = None
            if asks_for_5(options):
                from .versions.options5 import take

                five = take(options)
            queue_bytes = options.pop("queue_bytes", QUEUE_BYTES)
            reconnect = options.pop("reconnect", None)
            ledger = options.pop("ledger", None)
            if ledger is not None:
                from .traffic.ledgered import take_ledger  # only who has one loads it

                self._ledger = take_ledger(self, ledger, options.get("client_id") or "")
            is_3_1 = options.get("version") == "3.1"
            if is_3_1:
                options["version"] = "3.1.1"
            super().__init__(url, **options)
            if is_3_1:
                from .versions.version31 import speak

                speak(self._life.protocol, self.client_id)
            if five:
                from .versions.options5 import apply

                apply(self, five)
            self._outgoing.queue_bytes = queue_bytes
            if reconnect:
                self._connector.set_delays(reconnect)
            self._connector.is_anonymous = self._connect_fields[3] is None
            self._is_manual = self._incoming.manual_ack
            self._incoming.take_from(self._life.protocol)
            self._outgoing.take_from(self._life.session)
            self._first = self._life.session.next
            if tls is not None:
                tls.check_scheme(self.url)
                self._connector.tls = tls
            self._start = asyncio.Lock()  # a store is opened once, whoever starts the client

        # help() and inspect.signature show the arguments
        __init__.__signature__ = with_arguments(
            BaseClient.__init__, ("queue_bytes", "ledger", "reconnect", *ARGUMENTS5, *TLS_ARGUMENTS)
        )

        def __setattr__(self, name, value):
            if name[:3] == "on_":
                raise AttributeError(no_callback(name))
            if name in ("client_id", "url") and name in self.__dict__:
                raise AttributeError(f"{name} cannot be changed: make another Client")
            super().__setattr__(name, value)

        def __getattr__(self, name):  # called for what there is not
            raise AttributeError(no_attribute(name), name=name, obj=self)

    def __repr__(self) -> str:
        state = "connected" if self.is_connected else "closed" if self.error else "not connected"
        return f"<Client {self.client_id!r} of {where(self.url)}: {state}>"

    def _make_store(self, path: str) -> Store:
        from ..store.sqlite import SqliteStore

        return SqliteStore(path)

    def _log(self, text: str) -> None:
        # Topics, names and a broker's own words: a log is read on a terminal, and a line of it is one line.
        log.warning("%s: %s", shown(self.client_id), text if text.isprintable() else shown(text, len(text)))

    @property
    def is_connected(self) -> bool:
        """Whether the broker has accepted a connection that is not lost."""
        return self._life.is_connected

    @property
    def session_present(self) -> bool:
        """Whether the broker still had the session, as its last CONNACK said."""
        return self._life.session_present

    @property
    def qos0_dropped(self) -> int:
        """QoS 0 messages dropped: published while not connected, or received and not taken in time."""
        return self._life.qos0_dropped

    @property
    def oversized(self) -> int:
        """Messages that were larger than `size_max`, and read past."""
        return self._life.oversized

    @property
    def expired(self) -> int:
        """Messages published with `expires_after_s` that ended because their time was over (5.0)."""
        return self._life.expired

    @property
    def store(self) -> Store:
        """Where the session's state is kept."""
        return self._life.store

    @property
    def ledger(self) -> "Ledger | None":
        """Where it notes what happens to messages with idempotency keys; None: nowhere."""
        return self._ledger

    @property
    def error(self) -> MQTTError | None:
        """Why the client is closed; None while it is open, or not started."""
        return self._life.error

    @property
    def _receipts(self) -> dict[int, Receipt]:
        """What is accepted and not confirmed, by number: scripts that look inside know it under this name."""
        return self._outgoing.receipts

    def keep_receipts(self, wrap: Callable[[Store], Store]) -> HostIncoming:
        """For what keeps the receipts of messages itself, as database.Inbox does; before `start`. What the session
        records goes to the store that `wrap` makes of the client's own, and nothing is acknowledged before
        `acknowledge`, as with `manual_ack`. The result is what arrives, for who decides when it is acknowledged.

        RuntimeError when the client has been started, ValueError when no session is kept at the broker.
        """
        life = self._life
        if self._connector.task is not None:
            raise RuntimeError("make the inbox before the client is started: it brings back what the database knows")
        if life.protocol.clean_session:
            raise ValueError("an inbox needs a client with a client_id and clean_session=False, or messages get lost")
        life.store = wrap(life.store)
        self._incoming.manual_ack = True
        self._iterate()
        return self._incoming

    async def start(self, wait: bool = True) -> None:
        if self._loop is not None:
            self._check_use()
        self._loop = asyncio.get_running_loop()
        store = self._life.store
        if hasattr(store, "on_room"):
            store.on_room = self._life.wake  # a disk has room again, though nothing was confirmed
        async with self._start:
            if self._ledger is not None and not self._has_ledger:
                await self._ledger.open()
                self._has_ledger = True
            await super().start(wait)

    @property
    def server(self) -> "Server | None":
        """What the broker has said about itself, when it was connected last; None: nothing (3.1.1)."""
        limits = self._life.protocol.limits
        if limits is None:
            return None
        from .versions.server_info import server_of

        return server_of(limits)

    async def authenticate(self) -> None:
        """Authenticate again while connected (5.0, `authentication`). Returns when the broker has agreed; ConnectError
        when the connection ends first, which is how a broker refuses.
        """
        self._check_use()
        exchange = self._connector.exchange
        if exchange is None:
            raise ValueError("the client has no authentication: write Client(..., authentication=...)")
        await exchange.again()

    async def close(self, *, session_expiry_s: int | None = None, with_will: bool = False) -> None:
        """Disconnect and stop. The receipt of what is not confirmed by now raises ClosedError; a store keeps the
        message for the next life, without one it is given up. Raises StoreError when the store fails meanwhile.

        In MQTT 5.0 alone: `session_expiry_s`: how long the broker shall keep the session from now on, instead of what
        the client has said before; `with_will`: the will is published all the same.
        """
        if session_expiry_s is not None or with_will:
            from .saying5 import needs_5
            from .versions.goodbye import goodbye

            needs_5(self, "session_expiry_s and with_will")

            self._life.protocol.goodbye = goodbye(self._life.protocol, session_expiry_s, with_will)
        if self._loop is not None:
            self._check_use()
        store = self._life.store
        if hasattr(store, "hurry"):
            store.hurry()
        try:
            await super().close()
        finally:
            if self._ledger is not None and self._has_ledger:
                self._has_ledger = False
                await self._ledger.close()

    def _checked(self, topic: str, payload: bytes | str, qos: int, retain: bool, key: object) -> bytes:
        # Each message comes by here: the common case first.
        if not (type(topic) is str and type(qos) is int and 0 <= qos <= 2 and type(retain) is bool and key is None):
            check_message(topic, payload, qos, retain, key)
        if self._loop is not asyncio.get_running_loop():
            self._check_use()
        if not topic.isascii():
            to_utf8(topic, "topic name")  # a surrogate
        if type(payload) is bytes:
            return payload
        if type(payload) is str:
            return payload.encode() if payload.isascii() else encoded("payload", payload)
        check_message(topic, payload, qos, retain, key)
        return encoded("payload", payload) if isinstance(payload, str) else bytes(payload)

    def _check_properties(self, properties: "MessageProperties", payload: bytes) -> None:
        from .arguments.checks5 import check_properties

        check_properties(properties, payload, "publish")

    async def _ask(self, topic_filter: str, qos: int, properties: bytes = b"") -> int:
        self._check_use()
        return await super()._ask(topic_filter, qos, properties)

    if not TYPE_CHECKING:  # for a type checker the arguments are BaseClient's

        async def publish(self, topic, payload=b"", qos=1, retain=False, key=None, **properties):
            last = self._outgoing
            # Mostly but the payload is another: then the rest is the same objects, which have been checked.
            if (
                (topic is last.topic and qos is last.qos and retain is last.retain)
                and (type(payload) is bytes and key is None and not properties)
                and self._loop is asyncio.get_running_loop()
            ):
                receipt = last.accept_alike(payload)
                if receipt is not None:
                    return receipt
            return await super().publish(topic, payload, qos, retain, key, **properties)

        async def subscribe(self, topic_filter, qos=2, **options):
            check_subscription(topic_filter, qos, options)
            return await super().subscribe(topic_filter, qos, **options)

        async def unsubscribe(self, topic_filter, **options):
            check_subscription(topic_filter, 0, options)
            await super().unsubscribe(topic_filter, **options)

        publish.__wrapped__ = BaseClient.publish
        subscribe.__wrapped__ = BaseClient.subscribe
        unsubscribe.__wrapped__ = BaseClient.unsubscribe

    def __aiter__(self) -> AsyncIterator[Message]:
        if self._loop is not asyncio.get_running_loop():
            self._check_use()
        self._iterate()
        return self._incoming

    def __anext__(self) -> Coroutine[Any, Any, Message]:
        if self._loop is not asyncio.get_running_loop():
            self._check_use()
        if not self._is_iterated:
            self._iterate()
        return self._incoming.__anext__()

    async def drain(self, timeout_s: float = 10) -> bool:
        check_seconds("timeout_s", timeout_s)
        self._check_use()
        return await super().drain(timeout_s)

    async def stored(self) -> None:
        self._check_use()
        await super().stored()

    def last_number(self, producer: str) -> int:
        self._check_started()
        return super().last_number(producer)

    def pending(self) -> "list[PendingMessage]":
        self._check_started()
        return super().pending()

    def receipt(self, seq: int) -> Receipt:
        check_number("seq", seq, -1)
        self._check_started()
        self._check_accepted(seq, self._first if type(self._life.store) is Store else 0)
        return super().receipt(seq)

    def acknowledge(self, message: Message) -> None:
        if not isinstance(message, Message):
            raise wrong_type("message", "one that the client has given out", message)
        super().acknowledge(message)

    async def retry(self, seq: int) -> Receipt:
        check_number("seq", seq, 0)
        self._check_use()
        return await super().retry(seq)

    async def settle(self, seq: int) -> None:
        check_number("seq", seq, 0)
        self._check_use()
        self._check_accepted(seq, 0)  # one that is finished is settled: to say so twice does no harm
        await super().settle(seq)

    async def heard(self, timeout_s: float = 10) -> bool:
        """Whether the broker has read all that was sent on this connection, QoS 0 included: asks for a sign of life,
        and waits for it, `timeout_s` seconds at most. False when the connection is lost first: then what was published
        last at QoS 0 may be lost, too. TypeError or ValueError unless `timeout_s` is a number above 0.
        """
        check_seconds("timeout_s", timeout_s)
        self._check_use()
        life = self._life
        protocol = life.protocol
        if not life.is_connected:
            return False
        protocol.ping(now_ms())
        life.to_write.set()
        life.attention.set()  # another deadline now
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while life.is_connected and protocol.waiting_since is not None:
                    await life.progress.wait()
        return life.is_connected and protocol.waiting_since is None

    def _check_started(self) -> None:
        """RuntimeError unless the client is started, or closed: before, it does not know what its store has."""
        if self._loop is None and self._life.error is None:
            raise RuntimeError(
                "the client is not started: write 'async with Client(...) as client:', or first await its start()"
            )

    def _check_accepted(self, seq: int, first: int) -> None:
        """ValueError unless `seq` can be a message's number: from `first` on, up to the last one given out."""
        if seq >= self._life.session.next or 0 <= seq < first:
            raise ValueError(f"seq must be the number of a message that was accepted, not {seq}")

    def _check_use(self) -> None:
        """RuntimeError unless the client is started, here."""
        if self._loop is None:
            self._check_started()
        elif self._loop is not asyncio.get_running_loop():
            raise RuntimeError(
                "the client was started in another event loop (another asyncio.run, perhaps); each needs its own client"
            )
