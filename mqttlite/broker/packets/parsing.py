"""The core's parser with a short way for short packets that are whole: what a server reads most. Imports core.parser.

It accepts and refuses what the core's does, with the same words; a test compares them. It accepts AUTH besides, which
5.0 has: who does not speak that expects no such packet. It is not in the core because a board has no bytes for it.
"""

from ...core.auth import AUTH
from ...core.parser import Parser


class _FirstBytes(dict[int, None]):
    """First bytes that the core's parser has accepted; ProtocolError for others."""

    def __missing__(self, first: int) -> None:
        if first != AUTH:
            Parser(0)._check_first(first)
        self[first] = None


_check_first = _FirstBytes().__getitem__


class QuickParser(Parser):
    """As Parser."""

    def next(self) -> int:
        """As Parser's."""
        if not self._pieces:
            buf = self.buf
            at = self._at
            start = at + 2
            if at == len(buf):
                self._need = 2
                return 0
            if start <= len(buf):
                size = buf[at + 1]
                end = start + size
                if size < 128 and end <= len(buf) and size <= self.size_max:
                    first = buf[at]
                    _check_first(first)
                    self.start = start
                    self.end = self._at = end
                    return first
        return Parser.next(self)

    def _check_first(self, first: int) -> None:
        _check_first(first)
