"""Arguments of the wrong type or out of range, found before they do harm: TypeError or ValueError names the argument,
says what it has to be, and shows what it was. CPython only: on a board the room for this is missing.

What the standard says about topics and text is checked where it is implemented (core.text, and for shared subscriptions
core.subscription_options) and raises ProtocolError.
"""

import inspect
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...core.codec import REMAINING_MAX
from ...store.base import Store
from .checked_url import checked_url
from .other_names import NO_CALLBACKS, no_callback

FOR_EVER = 0xFFFFFFFF  # seconds that a session is kept
_PAYLOAD = "bytes or str (text is sent as UTF-8; for a number write str(number))"
_WILL = "Will(topic, payload, qos, retain), as in Will('room/state', b'lost', 1, True)"


def check_client(url: object, options: Mapping[str, Any]) -> None:
    """The arguments of Client; those about TLS are checked in tls_options."""
    checked_url(url)
    for name, value in options.items():
        check = _CLIENT.get(name)
        if check:
            check(name, value)
        elif name in NO_CALLBACKS:
            raise TypeError(no_callback(name))
        else:
            raise TypeError(f"Client() has no argument '{name}'{_hint(name)}")
    check_version([name for name in ("session_expiry_s", "receive_maximum") if options.get(name) is not None], options)
    if options.get("client_id", "") == "":
        _check_nameless(options)


def _check_nameless(options: Mapping[str, Any]) -> None:
    """ValueError for a session that is kept under a random name. With client_id=None the broker gives one, which the
    program may keep; and with session_expiry_s, a session may outlive lost connections of this program alone.
    """
    kept = "clean_session=False" if options.get("clean_session") is False else ""
    if options.get("session_expiry_s") == FOR_EVER:
        kept = kept or f"session_expiry_s={FOR_EVER}"
    if kept:
        raise ValueError(
            f"{kept} needs a client_id: the session is kept under it, and found again by it; "
            "write Client(..., client_id='pump')"
        )


def version_of(value: object) -> str:
    """A version of MQTT under its name, whichever way it was written. ValueError for what is none."""
    if isinstance(value, (str, int)) and not isinstance(value, bool) and value in _VERSIONS:
        return _VERSIONS[value]
    raise ValueError(f'version is "3.1", "3.1.1" or "5.0" (or 3, 4 or 5, its protocol level), not {value!r:.60}')


def check_version(what: Sequence[str], options: Mapping[str, Any]) -> None:
    """ValueError for arguments of Client that its version of MQTT has not."""
    if what and options.get("version") not in ("5.0", 5):
        raise ValueError(needs_5(what))


def needs_5(what: Sequence[str]) -> str:
    """What to write for arguments that only MQTT 5.0 has."""
    return f'{" and ".join(what)} need{"s" * (len(what) == 1)} MQTT 5.0: write Client(..., version="5.0")'


def _hint(name: str) -> str:
    """What to write instead of the argument `name`."""
    import difflib  # only for who has mistyped something

    near = difflib.get_close_matches(name, _CLIENT, 1)
    instead = _NO_ARGUMENTS.get(name) or (f"use {near[0]}" if near else "")
    return f": {instead}" if instead else "; see help(Client)"


def with_arguments(function: Any, names: Iterable[str]) -> inspect.Signature:
    """The signature of `function` with keyword arguments more."""
    found = inspect.signature(function)
    more = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in names]
    return found.replace(parameters=[*found.parameters.values(), *more])


def asks_for_5(options: Mapping[str, Any]) -> bool:
    """Whether Client has to say more than its fields, or wait for the broker to choose its name."""
    if not options.keys().isdisjoint(ARGUMENTS5) or options.get("client_id", "") is None:
        return True
    return options.get("session_expiry_s") is not None and options.get("version") in ("5.0", 5)


def check_message(topic: object, payload: object, qos: object, retain: object, key: object) -> None:
    """The arguments of `publish`."""
    _text("topic", topic)
    if not isinstance(payload, (bytes, str, bytearray, memoryview)):
        raise wrong_type("payload", _PAYLOAD, payload)
    check_qos("qos", qos)
    _flag("retain", retain)
    if key is not None and not (isinstance(key, tuple) and [type(part) for part in key] == [str, int]):
        raise wrong_type("key", "(producer, number), as in ('pump', 17)", key)
    if isinstance(key, tuple) and not key[0].isprintable():
        from .checks5 import check_signs  # it is a user property in 5.0, perhaps that of a gateway on the way

        check_signs("key", key[0])


def check_subscription(topic_filter: object, qos: object = 0, options: Mapping[str, Any] | None = None) -> None:
    """The arguments of `subscribe` and `unsubscribe`; `options`: what only MQTT 5.0 has."""
    if isinstance(topic_filter, (list, tuple, set, dict)):
        raise TypeError("topic_filter is one topic filter (str), not several: call subscribe once for each")
    _text("topic_filter", topic_filter)
    if str(topic_filter).startswith("$share/"):
        from ...core.subscription_options import check_share

        check_share(str(topic_filter))
    check_qos("qos", qos)
    if options:
        from .checks5 import check_options

        check_options(options)


def check_filter_of(decorator: str, topic_filter: object) -> None:
    """The topic filter of a decorator, which is easily written without one."""
    if callable(topic_filter) and not isinstance(topic_filter, str):
        raise TypeError(f"@client.{decorator} needs a topic filter: write @client.{decorator}('room/+/state')")
    check_subscription(topic_filter)


def check_seconds(name: str, value: object, or_none_at_all: bool = False) -> None:
    """A time that is not endless: a number of seconds above 0, or 0 too."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise wrong_type(name, "a number of seconds", value)
    if not (0 < value < 10**9 or (or_none_at_all and value == 0)):  # NaN is not, either
        least = "from 0 on" if or_none_at_all else "above 0"
        raise ValueError(f"{name} must be a number of seconds {least} and below 1,000,000,000, not {value!r}")


def check_qos(name: str, value: object) -> None:
    """0, 1 or 2, and no bool."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(name, "0, 1 or 2", value)
    if value not in (0, 1, 2):
        raise ValueError(f"{name} must be 0, 1 or 2, not {value}")  # [MQTT-3.3.1-4]


def check_number(name: str, value: object, least: int, most: float = math.inf) -> None:
    """A whole number from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(name, "a whole number", value)
    if not least <= value <= most:
        bounds = f"{least} or more" if most == math.inf else f"{least} to {most}"
        raise ValueError(f"{name} must be {bounds}, not {value}")


def encoded(name: str, text: str) -> bytes:
    """The UTF-8 bytes of a text. A surrogate has none; which one, and where, is not shown of a password."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} holds a surrogate (U+D800 to U+DFFF), which UTF-8 does not have") from None


def check_function(name: str, value: object) -> None:
    """What can be called."""
    if not callable(value):
        raise wrong_type(name, "a function", value)


def wrong_type(name: str, wanted: str, value: object) -> TypeError:
    """The error for an argument of another type. A password is not shown."""
    shown = "" if name == "password" else f" {value!r:.60}"
    return TypeError(f"{name} must be {wanted}, not{shown} ({type(value).__name__})")


def _text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise wrong_type(name, "str", value)


def _flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise wrong_type(name, "True or False", value)


def _number(least: int, most: float = math.inf) -> Any:
    return lambda name, value: check_number(name, value, least, most)


def _clean(name: str, value: object) -> None:
    if value is not None:
        _flag(name, value)


def _username(name: str, value: object) -> None:
    if value is not None:
        _text(name, value)


def _password(name: str, value: object) -> None:
    if value is not None and not isinstance(value, (str, bytes)):
        raise wrong_type(name, "str or bytes", value)
    if value is not None and len(value if isinstance(value, bytes) else encoded(name, value)) > 65535:
        raise ValueError(f"{name} is longer than 65535 bytes")  # 3.1.3.5


def _will(name: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, (tuple, list)):
        raise wrong_type(name, _WILL, value)
    if len(value) != 4:
        raise ValueError(f"{name} must be {_WILL}, not {len(value)} values")
    topic, payload, qos, retain = value
    _text("the topic of the will", topic)
    if not isinstance(payload, (bytes, str)):
        raise wrong_type("the payload of the will", "bytes or str", payload)
    if isinstance(payload, str):
        encoded("the payload of the will", payload)
    check_qos("the QoS of the will", qos)
    _flag("retain of the will", retain)
    more = getattr(value, "more", None)
    if more:
        from .checks5 import check_properties

        check_properties(more, payload, "Will")


def _expiry(name: str, value: object) -> None:
    if value is not None:
        check_number(name, value, 0, FOR_EVER)  # 3.1.2.11.2


def _store(name: str, value: object) -> None:
    if value is not None and not isinstance(value, (str, os.PathLike, Store)):
        raise wrong_type(name, "a path or a Store", value)
    if value == "":
        raise ValueError(f"{name} is an empty path; leave it out for a client without a store")


def _callback(name: str, value: object) -> None:
    if value is not None:
        check_function(name, value)
    if inspect.iscoroutinefunction(value):
        raise TypeError(f"{name} must be a plain function, not async: nobody would await it; let it set an event")


def _reconnect(name: str, value: object) -> None:
    if value is not None:
        from .reconnect import Reconnect

        if not isinstance(value, Reconnect):
            raise wrong_type(name, "Reconnect(least_s, greatest_s, give_up_after_s)", value)


_VERSIONS: dict[object, str] = {
    "3.1": "3.1",
    3: "3.1",
    "3.1.1": "3.1.1",
    4: "3.1.1",
    "5.0": "5.0",
    5: "5.0",
    "5": "5.0",
}
_ADDRESS = "it stands in the URL, as in Client('mqtt://localhost:1883')"
_TLS = "use tls for an ssl.SSLContext, or ca, certificate, key_file, fingerprint"
_NO_ARGUMENTS = {
    "host": _ADDRESS,
    "hostname": _ADDRESS,
    "port": _ADDRESS,
    "keepalive": "use keep_alive_s",
    "keep_alive": "use keep_alive_s",
    "tls_context": _TLS,
    "tls_params": _TLS,
    "tls_insecure": "use insecure",
    "ca_certs": "use ca",
    "cafile": "use ca",
    "certfile": "use certificate",
    "keyfile": "use key_file",
    "keyfile_password": "use key_password",
    "transport": "it stands in the URL, as in Client('ws://localhost/mqtt')",
    "clean_start": "use clean_session",
    "identifier": "use client_id",
    "protocol": "use version",
    "timeout": "use timeout_s",
}

# Looked at where they are used (secure/tls_options.py), which only who has one loads.
ARGUMENTS5 = (  # of Client, that only MQTT 5.0 has (versions/options5.py)
    "topic_alias_maximum",
    "user_properties",
    "request_response_information",
    "request_problem_information",
    "authentication",
    "follow_server_reference",
)
TLS_ARGUMENTS = (
    "ca", "certificate", "key_file", "key_password", "alpn", "server_name", "fingerprint", "insecure", "tls",
)  # fmt: skip

_CLIENT: dict[str, Any] = {
    "version": lambda name, value: None,  # version_of
    "client_id": _username,
    "clean_session": _clean,
    "keep_alive_s": _number(0, 65535),  # 3.1.2.10
    "username": _username,
    "password": _password,
    "will": _will,
    "window": _number(1, 65535),
    "queue_max": _number(1),
    "inbox_max": _number(1),
    "inbox_bytes": _number(1),
    "size_max": _number(0, REMAINING_MAX),
    "timeout_s": check_seconds,
    "store": _store,
    "manual_ack": _flag,
    "keys": _flag,
    "retry_first": _flag,
    "on_connection": _callback,
    "on_oversized": _callback,
    "session_expiry_s": _expiry,
    "receive_maximum": _number(1, 65535),
    "stream_max": _number(0, 268435455),
    "queue_bytes": _number(1),
    "reconnect": _reconnect,
    "ledger": lambda name, value: None,  # in traffic/ledgered.py
    **dict.fromkeys((*ARGUMENTS5, *TLS_ARGUMENTS), lambda name, value: None),  # elsewhere
}
