"""What a client that has a delivery ledger (mqttlite/ledger) tells it: what it publishes with a key is accepted,
acknowledged or ended, what comes with a key is handled. Host only; loaded only then.

Behind an inbox (mqttlite/database) the inbox says what is handled: that is committed then.
"""

import os
from functools import partial
from typing import TYPE_CHECKING, Any

from ...core.records import bare
from ...core.session import ASIDE, EXPIRED, IN_DOUBT
from ...core.text import to_utf8
from ...ledger.ledger import Ledger, now_ms
from ...ledger.steps import ACCEPTED, ACKNOWLEDGED, ENDED, HANDLED, Key, key_of, trace_of
from ..arguments.checks import wrong_type
from ..messages import Message, Receipt
from .incoming_host import HostIncoming
from .outgoing_host import HostOutgoing

if TYPE_CHECKING:
    from ...core.records import State
    from ..host import Client

CAUSES = {EXPIRED: "expired", IN_DOUBT: "in doubt: the broker has lost the session", ASIDE: "set aside"}


class LedgerOutgoing(HostOutgoing):
    """See HostOutgoing."""

    def __init__(self, ledger: Ledger, *options: Any) -> None:
        self._state: State | None = None
        self._keys: dict[int, Key] = {}  # of what is not finished, by sequence number
        super().__init__(*options)
        self._ledger = ledger

    @property
    def state(self) -> "State | None":
        """What the store has kept."""
        return self._state

    @state.setter
    def state(self, state: "State | None") -> None:
        self._state = state
        for seq, (_, _, note) in state.messages.items() if state else ():
            note = bare(note)
            if len(note) > 9:  # the application's own
                self._keys[seq] = (note[9:], 0, int.from_bytes(note[1:9], "big"))
            elif note and note[0] & 1 and state:
                self._keys[seq] = (self._producer(), state.epoch, seq)

    def accept(
        self, topic: str, payload: bytes, qos: int, retain: bool, key: "tuple[str, int] | None" = None, *more: Any
    ) -> Receipt:
        """See Outgoing."""
        session = self.life.session
        seq = session.next
        receipt = super().accept(topic, payload, qos, retain, key, *more)
        if qos and session.next > seq and (key or self.flags & 1):
            state = self.load_keys().state
            named = (to_utf8(key[0], "producer"), 0, key[1]) if key else (self._producer(), state.epoch, seq)
            trace = trace_of(more[0]) if more else b""
            self._ledger.note(ACCEPTED, named, b"", now_ms(), topic.encode(), len(payload), trace)
            if receipt.done:  # it was confirmed before this was told
                self._finished(named, 0)
            else:
                self._keys[seq] = named
        return receipt

    def _producer(self) -> bytes:
        return self.life.client_id.encode()

    def on_confirmed(self, seqs: list[int]) -> None:
        """See HostOutgoing."""
        for seq in seqs:
            self.on_finished(seq, 0)

    def on_finished(self, seq: int, outcome: int) -> None:
        """See Outgoing."""
        super().on_finished(seq, outcome)
        key = self._keys.pop(seq, None)
        if key is not None:
            self._finished(key, outcome)

    def _finished(self, key: Key, outcome: int) -> None:
        if outcome:
            cause = CAUSES.get(outcome) or f"refused, reason code {outcome & 0xFF:#04x}"
            self._ledger.note(ENDED, key, b"", now_ms(), cause=cause)
        else:
            self._ledger.note(ACKNOWLEDGED, key, b"broker", now_ms())


class LedgerIncoming(HostIncoming):
    """See HostIncoming. `inbox_tells`: an inbox does, when it has committed."""

    inbox_tells = False

    def __init__(self, ledger: Ledger, *options: Any) -> None:
        super().__init__(*options)
        self._ledger = ledger

    def _acknowledge(self, message: Message) -> None:
        is_left = not message._packet_id  # of a stream (pieces/inflow.py): nobody has handled it
        if not (is_left or self.inbox_tells) and not (message.key and self.keys and self.keys.is_repeat(message)):
            tell(self._ledger, HANDLED, message)
        super()._acknowledge(message)


def tell(ledger: Ledger, step: int, message: Message, cause: str = "") -> None:
    """What has happened to a message that came, if it has a key."""
    block = message.properties or b""
    key: Key | None = None
    if message.key:
        producer, epoch, sequence = message.key
        key = (producer.encode(), epoch, sequence)
    elif message.qos:
        key = key_of(message.payload, block)
    if key is not None:
        ledger.note(step, key, b"", now_ms(), message.topic.encode(), len(message.payload), trace_of(block), cause)


def take_ledger(client: "Client", ledger: object, client_id: str) -> Ledger:
    """Have `client` tell this ledger, or the one with this path; before it is built. TypeError: it is neither."""
    if isinstance(ledger, (str, os.PathLike)):
        ledger = Ledger(ledger, client_id)
    if not isinstance(ledger, Ledger):
        raise wrong_type("ledger", "a path, or a mqttlite.ledger.Ledger", ledger)
    client._outgoing_type = partial(LedgerOutgoing, ledger)  # type: ignore[assignment]
    client._incoming_type = partial(LedgerIncoming, ledger)  # type: ignore[assignment]
    return ledger
