"""Arguments that only MQTT 5.0 has, of the wrong type or out of range: see checks.py. CPython only; loaded by who gives
some.
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from ...core.characters import unwanted
from .checks import check_number, encoded, wrong_type

SECONDS_MAX = 0xFFFFFFFF  # four bytes
IDENTIFIER_MAX = 268435455  # a variable byte integer


def check_properties(properties: Mapping[str, Any], payload: object, of: str) -> None:
    """The properties of a message or will; `of`: whose arguments they are. None: without."""
    for name, value in properties.items():
        check = _PROPERTIES.get(name)
        if check is None or (name == "delay_s" and of != "Will"):
            near = difflib.get_close_matches(name, _PROPERTIES, 1)
            instead = _OTHER_NAMES.get(name) or (near[0] if near else "")
            raise TypeError(f"{of}() has no argument '{name}'" + (f": use {instead}" if instead else ""))
        if value is not None:
            check(name, value)
    if properties.get("payload_is_text"):
        _check_text_payload(payload)


def _check_text_payload(payload: object) -> None:
    if isinstance(payload, (bytes, bytearray, memoryview)):
        try:
            str(payload, "utf-8")
        except UnicodeDecodeError as error:  # a receiver may refuse it (3.3.2.3.2)
            raise ValueError(f"payload_is_text says UTF-8, and the payload is not ({error.reason})") from None


def check_options(options: Mapping[str, Any]) -> None:
    """Arguments of `subscribe`, by name."""
    for name, value in options.items():
        if name in ("no_local", "retain_as_published"):
            _flag(name, value)
        elif name == "retain_handling":
            check_number(name, value, 0, 2)
        elif name == "subscription_identifier":
            check_number(name, value, 1, IDENTIFIER_MAX)
        elif name != "user_properties":
            known = ("no_local", "retain_as_published", "retain_handling", "subscription_identifier", "user_properties")
            near = difflib.get_close_matches(name, known, 1)
            raise TypeError(f"subscribe() has no argument '{name}'" + (f": use {near[0]}" if near else ""))
        elif value is not None:
            check_pairs(name, value)


def check_pairs(name: str, value: object) -> None:
    """User properties: a mapping of str to str, or pairs of them."""
    pairs = value.items() if isinstance(value, Mapping) else value
    wanted = "a mapping of str to str, or a list of pairs, as in {'unit': 'mm'} or [('unit', 'mm')]"
    if isinstance(pairs, (str, bytes)) or not isinstance(pairs, Iterable) or iter(pairs) is pairs:
        raise wrong_type(name, wanted, value)
    for pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not all(isinstance(part, str) for part in pair):
            raise wrong_type(name, wanted, pair)
        for part in pair:
            check_signs(name, part)


def check_signs(name: str, text: str) -> None:
    """No characters for which a broker or a receiver may close the connection, as Mosquitto does (1.5.4)."""
    encoded(name, text)
    if not text.isprintable() and (found := unwanted(text.replace("\0", ""))):  # U+0000 is no text at all (core.text)
        raise ValueError(
            f"{name} holds {found}, for which brokers and receivers may close the connection: leave it out"
        )


def _flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise wrong_type(name, "True or False", value)


def _text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise wrong_type(name, "str", value)
    if name == "content_type":
        check_signs(name, value)
    encoded(name, value)


def _bytes(name: str, value: object) -> None:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise wrong_type(name, "bytes", value)
    if len(bytes(value)) > 65535:
        raise ValueError(f"{name} is longer than 65535 bytes")


def _seconds(name: str, value: object) -> None:
    check_number(name, value, 1 if name == "expires_after_s" else 0, SECONDS_MAX)


_PROPERTIES = {
    "expires_after_s": _seconds,
    "content_type": _text,
    "response_topic": _text,
    "correlation_data": _bytes,
    "payload_is_text": _flag,
    "user_properties": check_pairs,
    "delay_s": _seconds,
}

_OTHER_NAMES = {  # of the standard, and of other clients
    "message_expiry_interval": "expires_after_s",
    "expiry": "expires_after_s",
    "ttl": "expires_after_s",
    "payload_format_indicator": "payload_is_text",
    "payload_format_id": "payload_is_text",
    "properties": "user_properties, content_type, expires_after_s, ... by name",
    "user_property": "user_properties",
    "will_delay_interval": "delay_s",
}
