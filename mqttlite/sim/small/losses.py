"""What is not promised any more when a store was lost, and what still is.

A producer that has lost its store (or had none, and died): what it had accepted and was not told the end of is gone
with it. An application that publishes it again, with its own key, has all that was promised; without keys it does not
know what was accepted, and does not try it again. One without a store does, and may so have it handled once for each
time that it has tried. If it uses identifiers again (`reuse`), a message whose first PUBLISH was lost comes with DUP,
and is taken for a repeat of what had the identifier before, as the standard wants it: it may not arrive.

A broker that has lost its disk: with the subscription and the queue, what it had confirmed is gone, and no key brings
it back. What is published when the consumer has its subscription again must arrive. Without a key a message that was
on its way may be handled twice: the broker does not know the identifier any more.

A consumer that has lost its client's store, and not the application's database: all is kept, receipts are in there.
"""

from collections import Counter
from typing import TYPE_CHECKING

from ..check.conduct import Conduct
from ..check.facts import Facts

if TYPE_CHECKING:
    from ..net.packets import Packet


class Losses:
    """Of one world. `lost`: whose store. `identifiers`: the broker may keep some for ever (docs/guarantees.md)."""

    def __init__(self, facts: Facts, conduct: Conduct, keys: bool, reuse: bool = False) -> None:
        self.lost: set[str] = set()
        self.identifiers = False
        self._facts = facts
        self._conduct = conduct
        self._keys = keys
        self._reuse = reuse
        self._void: set[str] = set()  # payloads that may not arrive
        self._tries: Counter[str] = Counter()  # how often each payload may be handled, if there is no key
        self._subscribed = True  # the consumer has a subscription

    def tried(self, payload: str) -> None:
        """A producer that has lost everything publishes something again."""
        self._tries[payload] += 1

    def of_producer(self, client_id: str, clears: bool) -> None:
        """It begins anew. `clears`: it has a store, and so gives up its identifiers before it publishes."""
        facts = self._facts
        self.lost.add("producer")
        self._conduct.lost(client_id)
        self._conduct.may_repeat = True
        self.identifiers = not clears or not self._keys  # without keys, there may be nothing to publish any more
        if not self._keys:
            for payload in [payload for payload in facts.accepted if payload not in facts.confirmed]:
                del facts.accepted[payload]

    def of_broker(self) -> None:
        """Its disk is empty."""
        self.lost.add("broker")
        self._conduct.may_forget = self._conduct.may_repeat = True
        self._subscribed = False
        self._void.update(self._facts.tried)
        self._tries.update(list(self._facts.tried))

    def see(self, packet: "Packet") -> None:
        """A packet was written."""
        if self._reuse and packet.kind == "PUBLISH" and packet.is_up and packet.data[0] & 8 and self.lost:
            # A repeat, as the standard has it, of what had the identifier before: its first PUBLISH may be lost.
            self._void.update(payload for payload in self._facts.tried if packet.data.endswith(payload.encode()))
        if "broker" not in self.lost:
            return
        if packet.kind == "SUBACK":
            self._subscribed = True
        elif packet.kind == "PUBLISH" and packet.is_up:
            payload = next((one for one in self._facts.tried if packet.data.endswith(one.encode())), "")
            if not self._subscribed:
                self._void.add(payload)
            elif not packet.data[0] & 8:  # a repeat may be of what came before the subscription
                self._void.discard(payload)

    def settle(self) -> None:
        """Take from the facts what is not promised."""
        facts = self._facts
        for payload in self._void.difference(facts.effects):
            for kept in (facts.tried, facts.accepted, facts.confirmed):
                kept.pop(payload, None)
        if self._keys or not self.lost:
            return
        allowed = Counter(dict.fromkeys(facts.tried, 1)) + self._tries
        seen: Counter[str] = Counter()
        effects = []
        for payload in facts.effects:
            seen[payload] += 1
            if seen[payload] == 1 or seen[payload] > allowed[payload]:
                effects.append(payload)
        facts.effects = effects
