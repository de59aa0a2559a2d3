"""What becomes of those words of mosquitto.conf that stand for one thing here, or for nothing."""

import re
from difflib import get_close_matches
from typing import Any

from .lines import CHANGED, NOT, OF_BRIDGE, OF_LISTENER, TAKEN, Line

_SPANS = {"h": 3600, "d": 86_400, "w": 7 * 86_400, "m": 30 * 86_400, "y": 365 * 86_400}  # seconds

_ALWAYS = "is so here, always"
_JOURNAL = "the log goes to standard error, with systemd to its journal"
_UNKNOWN = "no word of Mosquitto's that is known here"
_PLUGINS = "no plugins of Mosquitto; hooks in Python (docs/access.md)"

# A word of the whole broker that has no key here, and why.
_NOTHING = {
    "allow_duplicate_messages": "a client gets a message once, whatever overlaps",
    "allow_zero_length_clientid": "a client without an identifier gets one, at a clean session",
    "auto_id_prefix": "the broker chooses the whole identifier",
    "auth_plugin": _PLUGINS,
    "check_retain_source": "the right to publish a retained message is asked for again when it is delivered",
    "clientid_prefixes": 'a [[rule]] with client = "PREFIX*" has rights by client identifier',
    "max_inflight_bytes": "20 messages are under way for a client, or as many as it says (Receive Maximum)",
    "max_inflight_messages": "20 messages are under way for a client, or as many as it says (Receive Maximum)",
    "max_queued_messages": "bytes count here, not messages: queue_bytes (8 MiB)",
    "memory_limit": "each kind of memory has a limit of its own: mqttlite broker --help",
    "pid_file": "systemd knows the process",
    "plugin": _PLUGINS,
    "queue_qos0_messages": "QoS 0 is not queued for who is away",
    "retain_available": "retained messages cannot be switched off; retained_bytes limits them",
    "retain_expiry_interval": "a publisher says how long a message is of use (MQTT 5.0)",
    "sys_interval": "counters below $SYS are as old as 10 s at most",
    "upgrade_outgoing_qos": "a message keeps its QoS",
    "user": "whoever starts it; with systemd, User=",
    "psk_file": "no TLS with shared keys (PSK): make users and a certificate, mqttlite broker init",
    "global_plugin": _PLUGINS,
    "plugin_load": _PLUGINS,
    "plugin_use": _PLUGINS,
    "auth_plugin_deny_special_chars": "rules compare names level by level, and no name is a pattern",
    "accept_protocol_versions": "MQTT 3.1, 3.1.1 and 5.0 are spoken at every listener",
    "global_max_clients": "connections and persistent_sessions bound each of them",
    "enable_control_api": "no topics to control the broker with; mqttlite ctl does it, over a Unix socket",
    "packet_buffer_size": "memory for what comes and goes is bounded: received_bytes, output_bytes",
    "disable_client_cert_date_checks": "a client's certificate that is over is refused",
    "listener_allow_anonymous": "who may connect is the same at all listeners: anonymous in [access]",
    "listener_auto_id_prefix": "the broker chooses the whole identifier",
}
# What is so here, where it has this value
_AS_HERE = {
    "allow_duplicate_messages": "false",
    "allow_zero_length_clientid": "true",
    "check_retain_source": "true",
    "queue_qos0_messages": "false",
    "retain_available": "true",
    "upgrade_outgoing_qos": "false",
}
_BY_VALUE = (
    "include_dir", "max_keepalive", "max_packet_size", "max_queued_bytes", "per_listener_settings", "persistence",
    "persistence_file", "persistence_location", "persistent_client_expiration", "log_dest", "log_type",
    "log_timestamp", "log_timestamp_format", "global_max_clients", "global_max_connections",
)  # fmt: skip
_SAME = {
    "autosave_interval": "needs none: what was acknowledged is on the disk",
    "autosave_on_changes": "needs none: what was acknowledged is on the disk",
    "set_tcp_nodelay": _ALWAYS,
    "connection_messages": "each connection has a line in the log",
}


def general(line: Line, limits: dict[str, Any]) -> None:
    """Say what becomes of a word of the whole broker; put limits where they belong."""
    word, value = line.word, line.value
    if word in ("max_packet_size", "message_size_limit"):
        size = _number(value)
        if not size:
            line.say(TAKEN, "0: as the broker's own limit says, packet_bytes (1 MiB)")
            return
        limits["packet_bytes"] = size = max(size, 16)
        same = word == "max_packet_size"
        line.say(TAKEN if same else CHANGED, f"packet_bytes = {size}" + ("" if same else ": of the whole packet"))
    elif word == "max_queued_bytes":
        _limit(line, limits, "queue_bytes", _number(value), "no limit is none here: queue_bytes (8 MiB)")
    elif word == "max_keepalive":
        seconds = _number(value)
        _limit(line, limits, "keep_alive_ms", seconds and seconds * 1000, "0: as the client says")
    elif word == "persistent_client_expiration":
        found = re.fullmatch(r"(\d+)\s*([hdwmy])", value)
        if found is None:
            line.say(NOT, "a number with h, d, w, m or y behind it is expected")
            return
        limits["session_expiry_ms"] = milliseconds = int(found[1]) * _SPANS[found[2]] * 1000
        line.say(TAKEN, f"session_expiry_ms = {milliseconds}")
    elif word == "per_listener_settings":
        line.say(CHANGED if line.is_true else TAKEN, "users and rules are the same at all listeners here")
    elif word.startswith(("log_", "websockets_log_level")):
        line.say(CHANGED, _JOURNAL)
    elif word == "global_max_connections":
        number = _number(value)
        least = number and min(number, limits.get("connections", number))
        _limit(line, limits, "connections", least, "no limit is none here: connections")
    elif _AS_HERE.get(word) == value.lower():
        line.say(TAKEN, _ALWAYS)
    elif word in _SAME:
        line.say(TAKEN, _SAME[word])
    elif word.startswith(("plugin_opt_", "auth_opt_")):
        line.say(NOT, _PLUGINS)
    else:
        line.say(NOT, _NOTHING.get(word) or _UNKNOWN + _meant(word))


def _meant(word: str) -> str:
    known = [*OF_LISTENER, *OF_BRIDGE, *_NOTHING, *_SAME, *_BY_VALUE]
    near = get_close_matches(word, known, 1)
    return f"; did you mean {near[0]}?" if near else ""


def _limit(line: Line, limits: dict[str, Any], name: str, number: int | None, at_zero: str) -> None:
    if number is None:
        line.say(NOT, f"a number is expected, not {line.value!r:.40}")
    elif not number:
        line.say(CHANGED, at_zero)
    else:
        limits[name] = number
        line.say(TAKEN, f"{name} = {number}")


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
