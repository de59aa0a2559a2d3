"""What aiohttp logs of bytes that are no HTTP: nothing, since anybody can send them, and the answer (400) says it."""

import logging

from aiohttp.http_exceptions import HttpProcessingError

log = logging.getLogger("mqttlite.gateway.http")


class _IsOurs(logging.Filter):
    """Passes what is a fault of this program."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError)


log.addFilter(_IsOurs())
