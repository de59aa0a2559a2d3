"""Words for the link's numbers. For hosts: a board sends and shows the numbers."""

from . import link, stream

LINK_REASONS = {
    link.SILENT: "the peer is silent",
    link.RESTARTED: "the peer has restarted",
    link.RESET: "the port was closed",
    link.LEFT: "its program has left the line",
    link.OTHER_VERSION: "the peer speaks another version of the link protocol",
}

STREAM_REASONS = {
    stream.BY_APPLICATION: "closed by the application",
    stream.UPSTREAM_UNREACHABLE: "the broker cannot be reached",
    stream.UPSTREAM_CLOSED: "the broker closed the connection",
    stream.UPSTREAM_BACK: "the broker is back",
    stream.LINK_LOST: "the serial link was lost",
}


def link_reason(reason: int) -> str:
    """What an on_down reason means."""
    return LINK_REASONS.get(reason, f"reason {reason}")


def stream_reason(reason: int) -> str:
    """What an on_close or on_notice reason means."""
    return STREAM_REASONS.get(reason, f"reason {reason}")
