"""The counters of a link. Both runtimes."""


class Stats:
    """Counted since the link was made; frames unless the name says otherwise."""

    def __init__(self) -> None:
        self.sent = self.resent = self.received = 0
        self.sent_bytes = self.received_bytes = 0
        self.repaired = 0  # sent again and then acknowledged
        self.timeouts = 0  # sent again without proof that they were lost
        self.duplicates = 0  # received more than once
        self.damaged = 0  # received, and not what a frame is
        self.foreign = 0  # received, of another session
        self.garbage_bytes = 0  # text, and what is too long for a frame
        self.log_drops = 0  # log messages that found the buffer full
        self.resets = 0  # sessions that ended
        self.srtt_ms = 0  # smoothed round-trip time, 0 before the first sample
