"""What a board says on a line that frames and text share."""

import random

import pytest

from mqttlite.link.frames import DATA, LOG, SYN, encode
from mqttlite_gateway.lines.separator import Separator

FRAME = bytes(encode(DATA | LOG, 7, 1, 2, 0, -1, b">>> no prompt, >>> ", True))
SYN_FRAME = bytes(encode(SYN, 0, 0, 0, 0, -1, b"\x01 0123456789abcdef", True))
BOOT = b"rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n"
PROMPT = b'MicroPython v1.25.0\r\nType "help()" for more information.\r\n>>> '
RAW = b"raw REPL; CTRL-B to exit\r\n>"


class Heard:
    """A separator and what it has said, in portions of `size` bytes."""

    def __init__(self, size: int = 1000) -> None:
        self.text = b""
        self.prompts = 0
        self.frames = b""
        self.separator = Separator(self._text, self._prompt)
        self._size = size

    def _text(self, text: bytes) -> None:
        self.text += text

    def _prompt(self) -> None:
        self.prompts += 1

    def hear(self, data: bytes) -> "Heard":
        for at in range(0, len(data), self._size):
            self.frames += self.separator.feed(data[at : at + self._size])
        return self


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_text_between_frames_is_for_people_and_frames_are_for_the_link(size: int) -> None:
    heard = Heard(size).hear(BOOT + SYN_FRAME + "21.5 °C: nothing is lost\n".encode() + FRAME + b"\0" + FRAME)
    assert heard.text == BOOT + "21.5 °C: nothing is lost\n".encode()
    assert [frame for frame in heard.frames.split(b"\0") if frame] == [
        frame.strip(b"\0") for frame in (SYN_FRAME, FRAME, FRAME)
    ]
    heard.separator.quiet()
    assert not heard.prompts
    assert not heard.separator.is_at_prompt


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize("prompt", [PROMPT, RAW, b"\r\n>>> "])
def test_a_prompt_is_noticed_when_nothing_follows_and_forgotten_with_the_next_frame(size: int, prompt: bytes) -> None:
    heard = Heard(size).hear(FRAME + b"Traceback\r\n" + prompt)
    assert not heard.separator.is_at_prompt
    heard.separator.quiet()
    heard.separator.quiet()
    assert heard.separator.is_at_prompt
    assert heard.prompts == 1
    assert heard.text.endswith(prompt)
    heard.hear(b"6*7\r\n42\r\n>>> ")
    heard.separator.quiet()
    assert heard.separator.is_at_prompt
    assert heard.prompts == 1
    heard.hear(b"MPY: soft reboot\r\n" + SYN_FRAME)
    assert not heard.separator.is_at_prompt


def test_a_prompt_behind_half_a_frame_is_seen_too(size: int = 3) -> None:
    heard = Heard(size).hear(FRAME[:12] + BOOT + PROMPT)
    heard.separator.quiet()
    assert heard.separator.is_at_prompt
    assert heard.text.endswith(b">>> ")


def test_one_key_that_is_echoed_is_shown_though_it_could_begin_a_frame() -> None:
    heard = Heard().hear(b"\0a")
    assert heard.text == b""
    heard.separator.quiet()
    assert heard.text == b"a"
    heard.hear(b"b")
    assert heard.text == b"ab"


def test_what_is_neither_frame_nor_text_is_the_links_business() -> None:
    noise = random.Random(1).randbytes(5000)
    heard = Heard(9).hear(noise)
    assert len(heard.frames) > 4000
    heard.hear(b"\0" + FRAME)
    assert heard.frames.endswith(FRAME)
