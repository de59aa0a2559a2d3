"""`-D`: properties of MQTT 5.0 as mosquitto_pub and mosquitto_sub take them, and what they are for the client.

    -D publish content-type text/plain    -D publish user-property NAME VALUE    -D connect session-expiry-interval 60

The names are the standard's. What is not permitted in a packet, not a number, or out of range is an error in words.
"""

import argparse
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ...core.codec import REMAINING_MAX
from ..arguments import Words

FOUR_BYTES = 0xFFFFFFFF

Packet = str  # in lower case, as it stands behind -D


class Property(NamedTuple):
    """One that may stand behind -D PACKET: the client's argument, and what makes its value of the word."""

    argument: str
    value: Callable[[str], Any]


def _number(least: int, most: int) -> Callable[[str], int]:
    def value(word: str) -> int:
        if not (word.isascii() and word.isdecimal() and least <= int(word) <= most):
            raise ValueError(f"takes a whole number from {least} to {most}, not {word!r:.40}")
        return int(word)

    return value


def _is_one(word: str) -> bool:
    return _number(0, 1)(word) == 1


_MESSAGE = {
    "content-type": Property("content_type", str),
    "correlation-data": Property("correlation_data", os.fsencode),
    "message-expiry-interval": Property("expires_after_s", _number(1, FOUR_BYTES)),
    "payload-format-indicator": Property("payload_is_text", _is_one),
    "response-topic": Property("response_topic", str),
}
USER = "user-property"  # in every packet, as often as wanted

PACKETS: dict[Packet, dict[str, Property]] = {
    "connect": {
        "maximum-packet-size": Property("size_max", _number(16, REMAINING_MAX)),
        "receive-maximum": Property("receive_maximum", _number(1, 65535)),
        "request-problem-information": Property("request_problem_information", _is_one),
        "request-response-information": Property("request_response_information", _is_one),
        "session-expiry-interval": Property("session_expiry_s", _number(0, FOUR_BYTES)),
        "topic-alias-maximum": Property("topic_alias_maximum", _number(0, 65535)),
    },
    "publish": _MESSAGE,
    "subscribe": {"subscription-identifier": Property("subscription_identifier", _number(1, 268435455))},
    "unsubscribe": {},
    "disconnect": {"session-expiry-interval": Property("session_expiry_s", _number(0, FOUR_BYTES))},
    "will": {**_MESSAGE, "will-delay-interval": Property("delay_s", _number(0, FOUR_BYTES))},
}
_NOT_HERE = {  # what mosquitto's tools take
    "topic-alias": "the client decides about topic aliases itself",
    "authentication-method": "a user name and a password (-u, -P) are what there is",
    "authentication-data": "a user name and a password (-u, -P) are what there is",
}


class _Property(Words):
    """-D PACKET NAME VALUE, or -D PACKET user-property NAME VALUE."""

    def join(self, words: Iterator[str]) -> str:
        found = [word for _, word in zip(range(2), words, strict=False)]
        count = 4 if found[1:] == [USER] else 3
        found += [word for _, word in zip(range(count - 2), words, strict=False)]
        return self.END.join(found)


def add_property_option(parser: argparse.ArgumentParser, packets: str) -> None:
    """-D; `packets`: of which the help tells."""
    parser.add_argument(
        "-D",
        "--property",
        action=_Property,
        default=[],
        metavar="PACKET NAME VALUE",
        help=f"a property of MQTT 5.0 (-V 5.0), see below; PACKET is {packets}; repeatable",
    )


def properties_of(args: argparse.Namespace) -> dict[Packet, dict[str, Any]]:
    """What stands behind -D, as arguments of the client by packet. Raises ValueError for what is none."""
    found: dict[Packet, dict[str, Any]] = {packet: {} for packet in PACKETS}
    for words in args.property:
        packet, name, value = _checked(words)
        if name == USER:
            found[packet].setdefault("user_properties", []).append((words[2], words[3]))
            continue
        known = PACKETS[packet][name]
        if known.argument in found[packet]:
            raise ValueError(f"-D {packet} {name} is given twice")
        try:
            found[packet][known.argument] = known.value(value)
        except ValueError as error:
            raise ValueError(f"-D {packet} {name} {error}") from None
    if args.property and args.protocol_version != "5.0":
        raise ValueError(f"-D needs MQTT 5.0, add -V 5.0: MQTT {args.protocol_version} has no properties")
    return found


def _checked(words: list[str]) -> tuple[Packet, str, str]:
    shown = " ".join(["-D", *words])
    if len(words) < 3 or (words[1] == USER and len(words) < 4):
        form = "PACKET user-property NAME VALUE" if words[1:2] == [USER] else "PACKET NAME VALUE"
        raise ValueError(f"{shown:.80} ends too early: write -D {form}")
    packet, name, value = words[0].lower(), words[1], words[2]
    if packet not in PACKETS:
        raise ValueError(f"{shown:.80}: there are properties of {', '.join(PACKETS)} here")
    if (name != USER or packet == "disconnect") and name not in PACKETS[packet]:
        why = _NOT_HERE.get(name) or f"there are {', '.join([*PACKETS[packet], USER])}"
        raise ValueError(f"-D {packet} {name} is not taken: {why}")
    return packet, name, value


def expiry_s(word: str) -> int:
    """The value of -x, for argparse: seconds, or what mosquitto takes for ever."""
    if word in ("-1", "∞"):
        return FOUR_BYTES
    try:
        return _number(0, FOUR_BYTES)(word)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}, or -1 for a session that does not expire") from None


def help_text(*packets: Packet) -> str:
    """Which properties there are, for the end of a command's --help."""
    own = {
        packet: [*PACKETS[packet], *([] if packet == "disconnect" else [USER + " (NAME VALUE)"])] for packet in packets
    }
    lines = [f"  {packet:<12}{', '.join(names)}" for packet, names in own.items()]
    return "\n".join(["properties (-D PACKET NAME VALUE):", *lines]) + "\n\n"
