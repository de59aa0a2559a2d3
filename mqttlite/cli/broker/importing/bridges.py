"""Bridges of mosquitto.conf. They are a gateway's here, `[[upstream]]` in gateway.toml: each line is told its key."""

from .lines import NOT, Line

_PSK = "no key: no TLS with shared keys (PSK)"
_TLS = "tls"
_ALWAYS = "it is connected as long as the gateway runs"
_ONE = "url, of one address"
_INSIDE = "no key: inside, it is the session $bridge/NAME"
_SESSION = "no key: its session is kept"
_SEEN = "no key: mqttlite ctl upstreams says how it is"

_KEYS = {
    "connection": "name",
    "address": "url",
    "addresses": _ONE,
    "round_robin": _ONE,
    "topic": "out and in, with filter, strip, to and qos",
    "username": "username",
    "remote_username": "username",
    "password": "password",
    "remote_password": "password",
    "clientid": "client_id",
    "remote_clientid": "client_id",
    "keepalive_interval": "keep_alive_s",
    "restart_timeout": "reconnect_min_s, reconnect_max_s",
    "bridge_protocol_version": "version",
    "bridge_receive_maximum": "inflight",
    "bridge_outgoing_retain": "retain in out",
    "bridge_cafile": _TLS,
    "bridge_capath": _TLS,
    "bridge_certfile": _TLS,
    "bridge_keyfile": _TLS,
    "bridge_identity": _PSK,
    "bridge_psk": _PSK,
    "cleansession": _SESSION,
    "bridge_clean_start": _SESSION,
    "bridge_session_expiry_interval": _SESSION,
    "local_cleansession": _INSIDE,
    "local_clientid": _INSIDE,
    "local_password": _INSIDE,
    "local_username": _INSIDE,
    "notifications": _SEEN,
    "notifications_local_only": _SEEN,
    "notification_topic": _SEEN,
    "start_type": f"no key: {_ALWAYS}",
    "idle_timeout": f"no key: {_ALWAYS}",
    "threshold": f"no key: {_ALWAYS}",
}


def say(line: Line) -> None:
    """What stands for it in a gateway's file."""
    key = _KEYS.get(line.word, "no key")
    line.say(NOT, f"bridges are a gateway's, [[upstream]] of its file (docs/bridge.md); for this: {key}")
