"""mosquitto.conf as its lines: what is set, where, and for which listener."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

# What belongs to a listener; before the first `listener` to the one of `port` and `bind_address`.
OF_LISTENER = frozenset(
    (
        "allow_anonymous", "acl_file", "password_file", "bind_address", "bind_interface", "cafile", "capath",
        "certfile", "ciphers", "ciphers_tls1.3", "crlfile", "dhparamfile", "http_dir", "keyfile", "listener",
        "max_connections", "max_qos", "max_topic_alias", "mount_point", "port", "protocol", "psk_file", "psk_hint",
        "require_certificate", "socket_domain", "tls_engine", "tls_engine_kpass_sha1", "tls_keyform", "tls_version",
        "use_identity_as_username", "use_subject_as_username", "use_username_as_clientid",
        "websockets_headers_size", "websockets_origin",
    )
)  # fmt: skip
# Of those, what all listeners have in common unless per_listener_settings says otherwise.
SHARED = frozenset(("allow_anonymous", "acl_file", "password_file", "psk_file"))

# What belongs to a bridge; any other word behind `connection` is of its listener, or holds for all.
OF_BRIDGE = frozenset(
    (
        "address", "addresses", "cleansession", "clientid", "connection", "idle_timeout", "keepalive_interval",
        "local_cleansession", "local_clientid", "local_password", "local_username", "notification_topic",
        "notifications", "notifications_local_only", "password", "remote_clientid", "remote_password",
        "remote_username", "restart_timeout", "round_robin", "start_type", "threshold", "topic", "try_private",
        "username",
    )
)  # fmt: skip

# Words with true or false, and those with a number.
_BOOLEANS = frozenset(
    (
        "allow_anonymous", "allow_duplicate_messages", "allow_zero_length_clientid", "autosave_on_changes",
        "check_retain_source", "connection_messages", "log_timestamp", "per_listener_settings", "persistence",
        "queue_qos0_messages", "require_certificate", "retain_available", "set_tcp_nodelay", "upgrade_outgoing_qos",
        "use_identity_as_username", "use_subject_as_username", "use_username_as_clientid",
    )
)  # fmt: skip
_NUMBERS = frozenset(
    (
        "autosave_interval", "max_connections", "max_inflight_bytes", "max_inflight_messages", "max_packet_size",
        "max_qos", "max_queued_messages", "max_topic_alias", "memory_limit", "message_size_limit", "sys_interval",
    )
)  # fmt: skip


@dataclass
class Line:
    """`word` and its `value`. `become`: what it is here, or why it is nothing; `kind`: TAKEN, CHANGED or NOT."""

    file: str
    number: int
    word: str
    value: str
    kind: str = ""
    become: str = ""

    def say(self, kind: str, become: str) -> None:
        """What becomes of it."""
        self.kind, self.become = kind, become

    @property
    def is_true(self) -> bool:
        """As Mosquitto reads it."""
        return self.value.lower() in ("true", "1")

    @property
    def mistake(self) -> str:
        """What is expected instead of its value; "": it is fine."""
        if self.word in _BOOLEANS and self.value.lower() not in ("true", "false", "1", "0"):
            return "true or false is expected"
        if self.word in _NUMBERS and not re.fullmatch("-?[0-9]{1,18}", self.value):
            return "a number is expected"
        return ""


TAKEN, CHANGED, NOT = "taken", "changed", "NOT"


@dataclass
class Section:
    """A listener (`head`: its line; None: the one of `port`), a bridge, or what holds for all. `lines`: by word."""

    head: Line | None = None
    lines: dict[str, Line] = field(default_factory=dict)

    def value(self, word: str, otherwise: str = "") -> str:
        """What a word is set to."""
        return self.lines[word].value if word in self.lines else otherwise

    def is_true(self, word: str) -> bool:
        """Whether a word is set to true."""
        return word in self.lines and self.lines[word].is_true


@dataclass
class Conf:
    """A file, with those that it includes. `all`: its lines in their order."""

    general: Section
    listeners: list[Section]
    bridges: list[Section]
    all: list[Line]


def read(path: Path) -> Conf:
    """ValueError: it cannot be read."""
    conf = Conf(Section(), [], [], [])
    default = Section()
    now = default
    bridge: Section | None = None
    for line in _lines(path, 0):
        conf.all.append(line)
        if line.word == "listener":
            now, bridge = Section(line), None
            conf.listeners.append(now)
        elif line.word == "connection":
            bridge = Section(line)
            conf.bridges.append(bridge)
        elif bridge is not None and (line.word in OF_BRIDGE or line.word.startswith("bridge_")):
            bridge.lines[f"{line.word} {len(bridge.lines)}"] = line  # there may be many of a word
        elif line.word in OF_LISTENER:
            now.lines[line.word] = line
        else:
            conf.general.lines[line.word] = line
    _share(conf, default)
    return conf


def _share(conf: Conf, default: Section) -> None:
    """Put what holds for all listeners where each of them finds it."""
    if {"port", "bind_address"} & set(default.lines) or not conf.listeners:
        conf.listeners.insert(0, default)
    else:  # it listens nowhere: what it says of users holds for all, and of anything else for nobody
        conf.general.lines.update(default.lines)
    if conf.general.is_true("per_listener_settings"):
        return
    for word in SHARED:
        said = [each.lines[word] for each in (default, *conf.listeners) if word in each.lines]
        for section in conf.listeners if said else ():
            section.lines[word] = said[-1]


def _lines(path: Path, depth: int) -> Iterator[Line]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        number = error.object.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}: line {number} is not UTF-8; save the file as UTF-8") from None
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        word, _, value = line.partition(" ")
        found = Line(str(path), number, word, value.strip())
        yield found
        if word != "include_dir":
            continue
        folder = Path(found.value)
        if depth or not folder.is_dir():
            found.say(NOT, f"{folder} is no folder that can be read" if not depth else "a folder within a folder")
            continue
        files = sorted(each for each in folder.iterdir() if each.name.endswith(".conf"))
        found.say(TAKEN, f"its {len(files)} files are read in their order")
        for file in files:
            yield from _lines(file, depth + 1)
