"""Text on the wire: UTF-8 strings (1.5.3), topic names and topic filters (4.7). Both runtimes.

Names and filters stay bytes from the wire to the wire: nothing is normalised [MQTT-4.7.3-4] and U+FEFF is kept
[MQTT-1.5.3-3]. All checks are iterative and allocate at most one small object.
"""

from .errors import broken


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


def _decodes(data: bytes) -> bool:
    """The same, where the interpreter's own decoder is strict."""
    try:
        str(data, "utf-8")
    except ValueError:
        return False
    return True


def check_utf8(data: bytes, what: str) -> None:
    """Raise ProtocolError unless `data` is well-formed UTF-8 without U+0000 [MQTT-1.5.3-1] [MQTT-1.5.3-2]."""
    if not (_well_formed(data) if _LAX else _decodes(data)):
        raise broken("MQTT-1.5.3-1", what)
    if b"\0" in data:
        raise broken("MQTT-1.5.3-2", what)


def to_utf8(text: "str | bytes", what: str) -> bytes:
    """The UTF-8 bytes of `text`, checked; `what` names it in errors. At most 65,535 bytes (1.5.3)."""
    try:
        data = text.encode() if isinstance(text, str) else bytes(text)
    except ValueError as error:
        raise broken("MQTT-1.5.3-1 surrogate", what) from error
    _check_length(data, what)
    check_utf8(data, what)
    return data


def _check_length(data: bytes, what: str) -> None:
    if len(data) > 65535:
        raise broken("MQTT-4.7.3-3", what)


def _check_topic(data: bytes, what: str) -> None:
    if not data:
        raise broken("MQTT-4.7.3-1", what)
    _check_length(data, what)
    check_utf8(data, what)


def check_topic_name(name: bytes) -> None:
    """Raise ProtocolError unless `name` may stand in a PUBLISH packet or a will."""
    _check_topic(name, "topic name")
    if b"#" in name or b"+" in name:
        raise broken("MQTT-3.3.2-2")


def check_plain(text: bytes) -> None:
    """Raise ProtocolError if a topic name or topic filter has characters for which a peer may close the connection
    (characters.py). `text` is not empty, and well-formed.
    """
    if (min(text) < 32 or max(text) > 126) if _LAX else not str(text, "utf-8").isprintable():
        from .characters import unwanted

        found = unwanted(str(text, "utf-8"))
        if found:
            raise broken("1.5.3 character", found)


def check_topic_filter(topic_filter: bytes) -> None:
    """Raise ProtocolError unless `topic_filter` may stand in SUBSCRIBE or UNSUBSCRIBE."""
    _check_topic(topic_filter, "topic filter")
    if b"#" in topic_filter or b"+" in topic_filter:
        levels = topic_filter.split(b"/")
        last = len(levels) - 1
        for index, level in enumerate(levels):
            if b"#" in level and (len(level) > 1 or index < last):
                raise broken("MQTT-4.7.1-2")
            if b"+" in level and len(level) > 1:
                raise broken("MQTT-4.7.1-3")
