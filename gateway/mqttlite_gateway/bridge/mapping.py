"""Topics and properties on their way over the bridge. Pure functions but for a cache. Imports settings.

A message keeps its idempotency key whichever version each side speaks: as user property in 5.0, as envelope in front of
the payload in 3.1.1, where an envelope that came stays what it is. Every bridge that it passes counts one more in the
user property HOPS; one that has passed too many goes round and round. (In 3.1.1 nothing can be counted, and what has an
envelope is not counted either: there, repeats are known by their keys.)
"""

from collections.abc import Sequence

from mqttlite.core.keys import PROPERTY, from_text, unwrap, wrap
from mqttlite.core.matching import matches
from mqttlite.core.properties import (
    MESSAGE_EXPIRY,
    SUBSCRIPTION_IDENTIFIER,
    encode_user_properties,
    parted,
    user_property,
    without,
    without_user,
)

from ..settings.upstream import Route

HOPS = b"mqttlite-hops"
ENVELOPE = b"\xfc"  # the first byte of one, as core.keys has it
CACHE_MAX = 4096

_FIRST_HOP = encode_user_properties([(HOPS, b"1")])


class LoopError(Exception):
    """A message has passed too many bridges."""


class Ways:
    """One direction: the first route whose filter matches a topic counts."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = [(route.filter.encode(), route.strip.encode(), route.to.encode(), route) for route in routes]
        self._found: dict[bytes, tuple[bytes, Route] | None] = {}

    def find(self, topic: bytes) -> tuple[bytes, Route] | None:
        """What the topic becomes, and by which route; None: it does not pass."""
        if topic in self._found:
            return self._found[topic]
        found = None
        for topic_filter, strip, to, route in self._routes:
            if matches(topic_filter, topic):
                rest = topic[len(strip) :] if topic.startswith(strip) and (to or len(topic) > len(strip)) else topic
                found = (to + rest, route)
                break
        if len(self._found) >= CACHE_MAX:
            self._found.clear()
        self._found[topic] = found
        return found


def counted(block: bytes, payload: bytes, hops_max: int) -> bytes:
    """The properties of a message that passes one more bridge. LoopError: too many."""
    text = user_property(block, HOPS)
    if text is None:
        if payload.startswith(ENVELOPE) and PROPERTY not in block and unwrap(payload):
            return block  # with a property it would be looked for there, and not found
        return block + _FIRST_HOP
    number = int(text) + 1 if text.isdigit() and len(text) < 4 else 1
    if number > hops_max:
        raise LoopError
    return without_user(block, HOPS) + encode_user_properties([(HOPS, b"%d" % number)])


def plain(block: bytes, payload: bytes) -> bytes:
    """The payload for a peer that has no properties."""
    if PROPERTY not in block:
        return payload
    text = user_property(block, PROPERTY)
    key = from_text(text) if text else None
    return payload if key is None else wrap(key, payload)


def aged(block: bytes, seconds: int) -> tuple[bytes, bool]:
    """The properties of a message that has waited so long [MQTT-3.3.2-6], and whether it has expired."""
    left, rest = parted(block)
    if left < 0:
        return block, False
    left = max(0, left - seconds)
    return bytes((MESSAGE_EXPIRY,)) + left.to_bytes(4, "big") + rest, not left


def own(block: bytes) -> bytes:
    """Without what was between the sender and its subscriber alone."""
    while SUBSCRIPTION_IDENTIFIER in block:
        rest = without(block, SUBSCRIPTION_IDENTIFIER)
        if rest == block:
            break
        block = rest
    return block
