"""What a board says on a line that frames and text share: the frames are for the link, the text is for people.

Where the link runs on the board's own USB socket (serial:usb), boot messages, tracebacks and the prompt come on that
line, too. Text stands between two frames; a frame's second byte is 0x80 or more, no text's is. Tells when the text is
that of MicroPython's prompt: nothing that a gateway says is welcome there. Pure: no clock, no port.
"""

import re
from collections.abc import Callable

_TEXT = re.compile(rb"(?:[\x04\x07-\x0d\x1b\x20-\x7e]|[\xc2-\xf4][\x80-\xbf]{1,3})*")
_CUT = re.compile(rb"[\xc2-\xf4][\x80-\xbf]{0,2}\Z")  # the beginning of a character, the rest of which is to come
_PROMPT = re.compile(rb"(?:(?:\A|[\r\n])(?:>>> |=== )|CTRL-B to exit\r\n>)\Z")
_TAIL = 64  # bytes
_LONGEST = 255  # bytes of a frame
_LEAST = 4  # bytes of text behind the beginning of a frame whose end will not come


class Separator:
    """`on_text(text)` is told what stands outside of frames, as it comes; `on_prompt()` that it is a prompt.

    `is_at_prompt`: until a frame begins. `is_text`: what came last is text.
    """

    def __init__(self, on_text: Callable[[bytes], object], on_prompt: Callable[[], object]) -> None:
        self.is_at_prompt = False
        self.is_text = False
        self._on_text = on_text
        self._on_prompt = on_prompt
        self._held = b""  # what cannot be told yet: one byte, or a part of a character
        self._size = 0  # bytes since the last 0x00
        self._tail = b""

    def feed(self, data: bytes) -> bytes:
        """What has arrived; what of it the link gets, perhaps nothing."""
        frames = bytearray()
        pieces = data.split(b"\0")
        for number, piece in enumerate(pieces):
            if number:
                frames += self._end() + b"\0"
            if piece:
                frames += self._piece(piece)
        return bytes(frames)

    def quiet(self) -> None:
        """Nothing has come for a while: what is begun will not be ended."""
        if not self._size:
            return
        if not self.is_text:
            tail = self._held or self._tail
            text = tail[re.search(rb"[\x04\x07-\x0d\x1b\x20-\x7e]*\Z", tail).start() :]  # type: ignore[union-attr]
            if len(text) >= (1 if self._held else _LEAST):
                self.is_text = True
                self._held = b""
                self._say(text)
        if self.is_text and not self.is_at_prompt and _PROMPT.search(self._tail):
            self.is_at_prompt = True
            self._on_prompt()

    def forget(self) -> None:
        """Another port, or the same one again."""
        self.__init__(self._on_text, self._on_prompt)  # type: ignore[misc]

    def _piece(self, piece: bytes) -> bytes:
        begins = not self._size - len(self._held) and not self.is_text
        self._size += len(piece)
        if begins:
            piece = self._held + piece
            self._held = b""
            if len(piece) < 2:
                self._held = piece
                return b""
            self.is_text = piece[1] < 0x80 and bool(_TEXT.match(piece).end())  # type: ignore[union-attr]
            if piece[1] >= 0x80:
                self.is_at_prompt = False
        if not self.is_text:
            self._tail = (self._tail + piece)[-_TAIL:]
            return piece
        piece = self._held + piece
        end = _TEXT.match(piece).end()  # type: ignore[union-attr]
        self._held = piece[end:] if _CUT.match(piece, end) else b""
        self._say(piece[:end])
        if self._held or end == len(piece):
            return b""
        self.is_text = False  # noise: the link counts it
        return piece[end:]

    def _end(self) -> bytes:
        held = self._held
        self._held = self._tail = b""
        self._size = 0
        self.is_text = False
        return held

    def _say(self, text: bytes) -> None:
        self._tail = (self._tail + text)[-_TAIL:]
        if text:
            self._on_text(text)
