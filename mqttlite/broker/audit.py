"""What an administrator changes while the broker runs, in the log: a line for each change, by whom or what it came.

INFO audit: SIGHUP: limit filters: 10000, now 20000
"""

import logging

log = logging.getLogger("mqttlite.audit")


def audit(by: str, what: str) -> None:
    """Say that `what` has been changed. `by`: whoever did it, as in "SIGHUP" or "control socket, user pi"."""
    log.info("audit: %s: %s", by, what, extra={"event": "audit", "fields": {"by": by, "what": what}})
