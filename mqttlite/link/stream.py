"""Connections over a link: the MQTT channel as something that opens and closes like TCP, one connection at a time.

The device opens, the gateway accepts (when it is connected upstream) or refuses, either side closes; each connection
has a number n. What belongs to one connection never shows up in another: OPEN, OPENED and CLOSE travel in one sequence
with the data, a side sends data only after OPENED, and drops data that comes while its connection is not open.

Both runtimes.
"""

from mqttlite.core import const

from .frames import CONSOLE, CONTROL, MQTT
from .link import Link, ignore

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from collections.abc import Callable

    from .frames import Greeting

# Reasons for on_close and on_notice; words for them are in words.py.
BY_APPLICATION = const(1)
UPSTREAM_UNREACHABLE = const(2)
UPSTREAM_CLOSED = const(3)
UPSTREAM_BACK = const(4)
LINK_LOST = const(5)

# States
CLOSED = const(0)
OPENING = const(1)  # asked, not yet answered
ASKED = const(2)  # the peer has asked
OPEN = const(3)

# Control messages: one of these, n, a reason.
_OPEN = const(1)
_OPENED = const(2)
_CLOSE = const(3)
_NOTICE = const(4)
_TIME = const(5)  # instead of n and a reason: 16 bits of the time; a third of it, from the highest on,
_TIME_END = const(6)  # and the last third


class Stream:
    """One end of the connections over `link`, whose on_up, on_down, on_data and on_writable it takes over.

    Attributes: `link`; `state`: CLOSED, OPENING, ASKED or OPEN; `n`: number of the latest connection, 0..255.
    Assign what is needed of:

    on_open(n)       the peer asks for a connection: answer with `accept` or `refuse`, now or later
    on_opened()      the peer has accepted: data flows from here on (on_writable follows)
    on_data(data)    memoryview or bytes, valid during the call only; holds credit until `consumed`
    on_close(reason) the connection is over or was refused, and not by `close` or `refuse` on this side. LINK_LOST
                     comes from this side; any other reason is what the peer gave
    on_writable()    after a `send` that did not take everything there is room again
    on_notice(reason)  word from the peer outside connections: UPSTREAM_BACK, so that a device that was refused or
                     closed need not wait for its own back-off
    on_time(ms)      the peer says what time it is: milliseconds since 1970
    on_link_up(peer), on_link_down(reason)  the link's on_up and on_down; on_link_down comes after on_close
    on_side(channel, data)  the channels beside the connection, log (2) and console (3); their credit sees to itself
    """

    def __init__(self, link: Link) -> None:
        self.link = link
        self.state = CLOSED
        self.n = 0
        self.on_open: "Callable[[int], object]" = ignore
        self.on_opened: "Callable[[], object]" = ignore
        self.on_data: "Callable[[bytes | memoryview], object]" = ignore
        self.on_close: "Callable[[int], object]" = ignore
        self.on_writable: "Callable[[], object]" = ignore
        self.on_notice: "Callable[[int], object]" = ignore
        self.on_time: "Callable[[int], object]" = ignore
        self._time = 0
        self.on_link_up: "Callable[[Greeting], object]" = ignore
        self.on_link_down: "Callable[[int], object]" = ignore
        self.on_side: "Callable[[int, bytes | memoryview], object]" = ignore
        # Delivered in this connection and not yet consumed.
        self._held = 0
        self._control = bytearray()
        link.on_up = self._up
        link.on_down = self._down
        link.on_data = self._received
        link.on_writable = self._writable

    def open(self) -> bool:
        """Asks the peer for a connection: on_opened or on_close follows. False if the link is down or one exists."""
        if not self.link.up or self.state:
            return False
        self.n = (self.n + 1) & 255
        self.state = OPENING
        self._tell(_OPEN, 0)
        return True

    def accept(self, n: int) -> bool:
        """Answers on_open(n): data flows from here on. False if the peer has given up meanwhile."""
        if self.state != ASKED or n != self.n:
            return False
        self.state = OPEN
        self._tell(_OPENED, 0)
        return True

    def refuse(self, n: int, reason: int = UPSTREAM_UNREACHABLE) -> None:
        """Answers on_open(n): there will be no connection."""
        if self.state == ASKED and n == self.n:
            self.close(reason)

    def send(self, data: "bytes | bytearray | memoryview") -> int:
        """Accepts bytes and says how many. Fewer than given: wait for on_writable. 0 while there is no connection."""
        return self.link.send(MQTT, data) if self.state == OPEN else 0

    def close(self, reason: int = BY_APPLICATION) -> None:
        """Ends the connection, if there is one, behind what `send` has accepted; nothing more is delivered."""
        if self.state:
            self._end()
            self._tell(_CLOSE, reason)

    def consumed(self, size: int) -> None:
        """The application is done with `size` bytes of this connection's data: the peer may send as many more."""
        size = min(size, self._held)
        self._held -= size
        self.link.consumed(size)

    def notify(self, reason: int = UPSTREAM_BACK) -> None:
        """Tells the peer something outside any connection: its on_notice. Does nothing while the link is down."""
        if self.link.up:
            self._tell(_NOTICE, reason)

    def tell_time(self, ms: int) -> bool:
        """Tells the peer the time: its on_time. False: the line is busy, or the link down; to be tried again."""
        if not self.link.up or self.link.unsettled():
            return False
        for part in (_TIME, _TIME, _TIME_END):
            self.link.send(CONTROL, bytes((part, ms >> 40 & 255, ms >> 32 & 255)))
            ms <<= 16
        return True

    def _tell(self, message: int, reason: int) -> None:
        if self.link.send(CONTROL, bytes((message, self.n, reason))) != 3:
            # Both ends must know the same. It only fills up if the owner goes round and round on a dead line.
            self.link.reset(self.link.now)

    def _end(self) -> None:
        self.state = CLOSED
        self.consumed(self._held)

    def _up(self, peer: "Greeting") -> None:
        self.on_link_up(peer)

    def _down(self, reason: int) -> None:
        self._held = 0
        self._control = bytearray()
        if self.state:
            self.state = CLOSED
            self.on_close(LINK_LOST)
        self.on_link_down(reason)

    def _writable(self) -> None:
        if self.state == OPEN:
            self.on_writable()

    def _received(self, channel: int, data: "bytes | memoryview") -> None:
        size = len(data)
        if channel == MQTT:
            if self.state == OPEN:
                self._held += size
                self.on_data(data)
            else:
                self.link.consumed(size)
        elif channel == CONTROL:
            # Several messages may share a frame, and the end of a frame may cut one.
            self.link.consumed(size)
            self._control += data
            while len(self._control) >= 3:
                message, n, reason = self._control[:3]
                self._control[:3] = b""
                self._obey(message, n, reason)
        else:
            self.on_side(channel, data)
            if channel == CONSOLE:
                self.link.consumed(size)

    def _obey(self, message: int, n: int, reason: int) -> None:
        if message == _OPEN:
            if self.state:  # the peer is wrong about the state of things: what it asks for is what counts
                self._end()
                self.on_close(LINK_LOST)
            self.n = n
            self.state = ASKED
            self.on_open(n)
        elif message == _NOTICE:
            self.on_notice(reason)
        elif message in (_TIME, _TIME_END):
            self._time = (self._time << 16 | n << 8 | reason) & 0xFFFFFFFFFFFF
            if message == _TIME_END:
                self.on_time(self._time)
        elif n == self.n and self.state:  # anything else is about an earlier connection
            if message == _CLOSE:
                self._end()
                self.on_close(reason)
            elif message == _OPENED and self.state == OPENING:
                self.state = OPEN
                self.on_opened()
                self.on_writable()
