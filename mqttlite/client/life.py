"""What the parts of a client share: whether it is open and connected, what it has to make durable, and what wakes those
who wait. Outgoing, incoming and the connector stand on it, in this order, and none knows one that stands higher.

Both runtimes. Only what MicroPython's asyncio has is used: Event, create_task, sleep, wait_for.
"""

import asyncio

from ..core import const
from ..core.errors import ClosedError, MQTTError, StoreError
from ..core.features import V5
from ..core.reason_codes import REFUSED
from ..store.base import Store

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.client import ClientProtocol
    from ..core.session import Session


class Life:
    """Of one client, from one start to its end. It owns the protocol, and so gets its events (core.events); what is
    called for an event is an attribute that the part sets which is concerned, so that nothing stands between.
    """

    protocol: "ClientProtocol"
    on_connected: "Callable[[bool], None]"  # the connector's
    on_message: "Callable[..., None]"  # incoming's, as `on_large`
    on_large: "Callable[[int, bytes, int, int, int], None]"
    on_finished: "Callable[[int, int], None]"  # outgoing's
    on_end: "Callable[[MQTTError], None]"  # the connector's

    def __init__(self, client_id: str, session: "Session", store: Store, log: "Callable[[str], None]") -> None:
        self.client_id = client_id
        self.session = session
        self.store = store
        self.has_store = False  # it is open
        self.log = log  # tells whoever runs the program
        self.error: "MQTTError | None" = None  # why the client is closed
        self.is_connected = False
        self.session_present = False  # what the last CONNACK said
        self.failure: "Exception | None" = None  # why the connection is being given up
        self.out_max = 512  # pieces of packets that are written at once, and that wait before `publish` at QoS 0 does
        self.taken_out = 0  # pieces of packets taken out of the protocol's `out`
        self.written = 0  # of those
        self.finished = 0  # messages, since the last commit began
        self.finished_max = 1000  # messages whose end need not be durable yet: so many may be repeated after a crash
        self.qos0_dropped = 0  # published while not connected, or received and not taken in time
        self.oversized = 0  # messages that were larger than size_max
        if V5:
            self.expired = 0  # messages whose time was over before they were sent
        self.to_write = asyncio.Event()  # something is in the protocol's `out`
        self.attention = asyncio.Event()  # the connection's task has to look again
        self.progress = asyncio.Event()  # pulsed whenever something that somebody may wait for has happened

    def wake(self) -> None:
        """Something has happened that somebody may wait for."""
        self.progress.set()
        self.progress.clear()

    def fail(self, error: Exception) -> None:
        """The connection is to be given up because of `error`."""
        if not self.failure:
            self.failure = error
        self.attention.set()

    def end(self, error: MQTTError) -> None:
        """The client is closed because of `error`."""
        self.error = error
        self.on_end(error)
        self.attention.set()
        self.wake()

    def break_off(self, error: Exception) -> None:
        """A fault of ours or of the application's callback, or no memory: say so, never hang."""
        self.end(MQTTError("internal error: %r" % error))
        self.log(str(self.error))

    def on_suback(self, topic_filter: bytes, code: int) -> None:
        """Of core.events: one that is refused after a reconnection has nobody waiting for it."""
        if code >= REFUSED:
            from .unconfirmed import refusal

            self.log(str(refusal(str(topic_filter, "utf-8"), code)))

    def on_unsuback(self, topic_filter: bytes, code: int = 0) -> None:
        """Of core.events: who has asked looks itself."""

    async def commit(self) -> None:
        """Wait until everything that has happened is durable. A store that fails ends the client: without it there is
        nothing that may be promised.
        """
        session = self.session
        accepted = session.next
        self.finished = 0
        try:
            await self.store.commit()
        except StoreError as error:
            self.lose_store(error)
            raise
        session.kept = max(session.kept, accepted)

    def lose_store(self, error: StoreError) -> None:
        """The store has failed."""
        if not self.error:
            self.log(str(error))
            self.end(error)
        elif isinstance(self.error, ClosedError):
            self.error = error  # `close` is under way, and raises it
