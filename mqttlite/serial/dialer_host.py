"""The serial line of a client on a host, which has room to find out why no gateway answers. CPython."""

from typing import TYPE_CHECKING, Any

from ..link.words import stream_reason
from .diagnosis import End, Heard, Tapped, diagnose
from .dialer import SerialDialer

if TYPE_CHECKING:
    from .line import Port


class HostSerialDialer(SerialDialer):
    """As SerialDialer. Remembers what has arrived since it began to wait for the gateway."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._heard = Heard()
        opened = self._open_port

        def open_port(baud: int) -> "Port":
            return Tapped(opened(baud), self._hear)

        self._open_port = open_port

    def reason(self, reason: int) -> str:
        return stream_reason(reason)

    def _hear(self, data: bytes) -> None:
        if not self.link.up:
            self._heard.hear(data)

    async def _silence(self) -> None:
        self._heard = Heard()
        await super()._silence()

    def _why_silent(self) -> str:
        if self._bus:  # what others say there is no hint
            return super()._why_silent()
        finding = diagnose(self._heard, End(self.link.epoch, False, self._baud))
        if finding.kind == "silence":
            return super()._why_silent()
        return f"no gateway answers on {self._where} at {self._baud} baud: {finding.text}"
