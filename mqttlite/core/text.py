"""Text on the wire: UTF-8 strings (1.5.3), topic names and topic filters (4.7). Both runtimes.

Names and filters stay bytes from the wire to the wire: nothing is normalised [MQTT-4.7.3-4] and U+FEFF is kept
[MQTT-1.5.3-3]. All checks are iterative and allocate at most one small object.
"""

from .errors import ProtocolError


def _decoder_is_lax() -> bool:
    """MicroPython's decoder accepts surrogates, overlong forms and code points above U+10FFFF; CPython's does not."""
    try:
        str(b"\xed\xa0\x80", "utf-8")
        return True
    except ValueError:
        return False


_LAX = _decoder_is_lax()


def _well_formed(data: bytes) -> bool:
    """Decide by table 3-7 of the Unicode standard whether `data` is well-formed UTF-8."""
    more = 0  # continuation bytes still to come
    low, high = 0x80, 0xBF  # range of the next continuation byte
    for byte in data:
        if more:
            if byte < low or byte > high:
                return False
            low, high = 0x80, 0xBF
            more -= 1
        elif byte >= 0x80:
            if byte < 0xC2 or byte > 0xF4:  # continuation, overlong, or above U+10FFFF
                return False
            more = 1 if byte < 0xE0 else 2 if byte < 0xF0 else 3
            if byte == 0xE0:
                low = 0xA0
            elif byte == 0xED:  # surrogates
                high = 0x9F
            elif byte == 0xF0:
                low = 0x90
            elif byte == 0xF4:
                high = 0x8F
    return not more


def check_utf8(data: bytes, what: str) -> None:
    """Raise ProtocolError unless `data` is well-formed UTF-8 without U+0000 [MQTT-1.5.3-1] [MQTT-1.5.3-2]."""
    try:
        ok = _well_formed(data) if _LAX else str(data, "utf-8") is not None
    except ValueError:
        ok = False
    if not ok:
        raise ProtocolError("MQTT-1.5.3-1", what + " is not well-formed UTF-8")
    if b"\0" in data:
        raise ProtocolError("MQTT-1.5.3-2", what + " contains U+0000")


def to_utf8(text: "str | bytes", what: str) -> bytes:
    """The UTF-8 bytes of `text`, checked; `what` names it in errors. At most 65,535 bytes (1.5.3)."""
    try:
        data = text.encode() if isinstance(text, str) else bytes(text)
    except ValueError as error:
        raise ProtocolError("MQTT-1.5.3-1", what + " holds a surrogate") from error
    if len(data) > 65535:
        raise ProtocolError("MQTT-4.7.3-3", what + " is longer than 65535 bytes")
    check_utf8(data, what)
    return data


def check_topic_name(name: bytes) -> None:
    """Raise ProtocolError unless `name` may stand in a PUBLISH packet or a will."""
    if not name:
        raise ProtocolError("MQTT-4.7.3-1", "empty topic name")
    if b"#" in name or b"+" in name:
        raise ProtocolError("MQTT-3.3.2-2", "wildcard in topic name")
    if len(name) > 65535:
        raise ProtocolError("MQTT-4.7.3-3", "topic name is longer than 65535 bytes")
    check_utf8(name, "topic name")


def check_topic_filter(topic_filter: bytes) -> None:
    """Raise ProtocolError unless `topic_filter` may stand in SUBSCRIBE or UNSUBSCRIBE."""
    if not topic_filter:
        raise ProtocolError("MQTT-4.7.3-1", "empty topic filter")
    if len(topic_filter) > 65535:
        raise ProtocolError("MQTT-4.7.3-3", "topic filter is longer than 65535 bytes")
    check_utf8(topic_filter, "topic filter")
    if b"#" in topic_filter or b"+" in topic_filter:
        levels = topic_filter.split(b"/")
        last = len(levels) - 1
        for index, level in enumerate(levels):
            if b"#" in level and (len(level) > 1 or index < last):
                raise ProtocolError("MQTT-4.7.1-2", "# must be the last level of a topic filter, and all of it")
            if b"+" in level and len(level) > 1:
                raise ProtocolError("MQTT-4.7.1-3", "+ must be a whole level of a topic filter")


def matches(topic_filter: bytes, name: bytes) -> bool:
    """Whether a valid topic filter matches a valid topic name (4.7); `$…` needs a literal first level
    [MQTT-4.7.2-1].
    """
    if name[:1] == b"$" and topic_filter[:1] in (b"#", b"+"):
        return False
    levels = name.split(b"/")
    wanted = topic_filter.split(b"/")
    for index, level in enumerate(wanted):
        if level == b"#":  # also matches the parent level (4.7.1.2)
            return True
        if index == len(levels) or (level != b"+" and level != levels[index]):
            return False
    return len(wanted) == len(levels)
