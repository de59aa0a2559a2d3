"""Whether a topic filter matches a topic name (4.7). Both runtimes; imports nothing."""


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
