"""Listeners of mosquitto.conf, as URLs and tables [[listener]]."""

import re
from typing import Any

from .lines import CHANGED, NOT, TAKEN, Line, Section

_NOT = {
    "bind_interface": "give the interface's address: url",
    "ciphers": "Python's ciphers of TLS 1.2 and 1.3",
    "ciphers_tls1.3": "Python's ciphers of TLS 1.2 and 1.3",
    "crlfile": "no lists of revoked certificates: take the right of such a client with a rule, or change the CA",
    "dhparamfile": "keys are exchanged on elliptic curves",
    "http_dir": "no web server here",
    "max_qos": "every client may use every QoS",
    "max_topic_alias": "a client may have 32 topic aliases",
    "mount_point": "no mount points: topics are the same at all listeners",
    "psk_file": "no TLS with shared keys (PSK): make users and a certificate, mqttlite broker init",
    "psk_hint": "no TLS with shared keys (PSK): make users and a certificate, mqttlite broker init",
    "tls_engine": "no engines of OpenSSL",
    "tls_engine_kpass_sha1": "no engines of OpenSSL",
    "tls_keyform": "the key is a PEM file",
    "use_subject_as_username": "a certificate names its user by its common name or alternative name",
    "use_username_as_clientid": "a session belongs to its user, whatever the client identifier",
    "websockets_headers_size": "a request for a WebSocket has a fixed limit",
}

# What is so here, where it has this value
_AS_HERE = {
    "max_qos": "2",
    "use_subject_as_username": "false",
    "use_username_as_clientid": "false",
    "tls_keyform": "pem",
}

_PATHS = ("certfile", "keyfile", "cafile", "capath")


def urls(section: Section) -> list[str]:
    """Where it listens."""
    head = section.head
    words = head.value.split(None, 1) if head else [section.value("port", "1883")]
    port = words[0] if words else ""
    host = words[1] if len(words) > 1 else section.value("bind_address")
    if not head and not host and "port" not in section.lines:
        host = "127.0.0.1"  # Mosquitto 2 without a listener is for its own machine
    if port == "0" and host.startswith("/"):
        return [f"unix://{host}"]
    has_tls = "certfile" in section.lines
    is_web = section.value("protocol") == "websockets"
    scheme = ("wss" if has_tls else "ws") if is_web else ("mqtts" if has_tls else "mqtt")
    hosts = {"ipv4": ["0.0.0.0"], "ipv6": ["::"]}.get(section.value("socket_domain"), ["0.0.0.0", "::"])
    shown = [f"[{each}]" if ":" in each else each for each in ([host] if host else hosts)]
    return [f"{scheme}://{each}:{port}" for each in shown]


def tables(section: Section, connections: list[int]) -> list[dict[str, Any]]:
    """Its tables, and what becomes of each of its lines. `connections`: the most that a listener may have."""
    if not _is_port(section):
        for line in (*([section.head] if section.head else []), *section.lines.values()):
            line.say(NOT, "of a listener without a port from 1 to 65535")
        return []
    found = urls(section)
    own: dict[str, Any] = {}
    if section.head:
        section.head.say(TAKEN, f"url = {', '.join(found)}")
    for word, line in section.lines.items():
        _line(section, word, line, own, found, connections)
    return [{"url": url, **own} for url in found]


def _is_port(section: Section) -> bool:
    """Whether it says a port, or the path of a Unix socket."""
    words = section.head.value.split() if section.head else [section.value("port", "1883")]
    if words[:1] == ["0"]:
        return len(words) > 1 and words[1].startswith("/")
    return bool(words) and re.fullmatch("[0-9]{1,5}", words[0]) is not None and int(words[0]) < 65536


def _line(
    section: Section, word: str, line: Line, own: dict[str, Any], found: list[str], connections: list[int]
) -> None:
    if word in ("port", "bind_address", "socket_domain"):
        line.say(TAKEN, f"url = {', '.join(found)}")
    elif word in _PATHS and not line.value:
        line.say(NOT, "the path of a file is missing")
    elif word == "certfile":
        own["certificate"] = line.value
        line.say(TAKEN, "certificate")
    elif word == "keyfile":
        own["key_file"] = line.value
        line.say(TAKEN, "key_file")
    elif word in ("cafile", "capath"):
        if word == "cafile" and section.value("capath"):
            line.say(NOT, "client_ca is one file or folder: capath counts; put this file into it")
        elif section.is_true("require_certificate"):
            own["client_ca"] = line.value
            line.say(TAKEN, "client_ca")
        else:
            line.say(TAKEN, "not needed: no certificate is asked of clients (require_certificate false)")
    elif word == "require_certificate":
        line.say(TAKEN, "client_ca" if line.is_true else "no client_ca")
    elif word == "protocol":
        if line.value == "websockets":
            line.say(CHANGED, "ws:// or wss://, at /mqtt and /; pages of other hosts need origins")
        else:
            line.say(TAKEN, "mqtt:// or mqtts://")
    elif word == "websockets_origin":
        own["origins"] = [*own.get("origins", []), line.value]
        line.say(TAKEN, "origins")
    elif word == "tls_version":
        line.say(CHANGED, "TLS 1.2 and 1.3 are spoken")
    elif word == "max_connections":
        number = int(line.value) if re.fullmatch("[0-9]{1,9}", line.value) else 0
        if number:
            connections.append(number)
        line.say(CHANGED, "connections, of all listeners together" if number else "no limit is none here: connections")
    elif _AS_HERE.get(word) == line.value.lower():
        line.say(TAKEN, "is so here, always")
    elif word in _NOT:
        line.say(NOT, _NOT[word])
