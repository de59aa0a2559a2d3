"""Frames on the serial line: COBS, CRC-32 and the header, as pure functions.

A frame is one COBS block between two 0x00: `code | header | options | payload | crc` and the closing 0x00. After an
idle line a leading 0x00 ends whatever noise came before it. The header has four bytes:

0  0x80, kind (3 bits), CREDIT, GAPS, channel (2 bits): neither 0x00 nor printable
1  tag: eight bits made of both epochs, different in the two directions
2  seq: the frame's own number (DATA on the reliable channels)
3  ack: the number that is expected next

Options: with GAPS two bytes, bit i set when frame ack + 1 + i has arrived; with CREDIT two bytes, the bytes consumed
since the session began, modulo 65,536. Frames have at most 255 bytes on the line, hence no COBS code is 0xFF, and both
directions of the coding happen in place.

Both runtimes; imports struct and binascii. A damaged frame is a 0, never an exception.
"""

import binascii
import struct

from mqttlite.core import const

# Kinds
DATA = const(0x80)
ACK = const(0x90)
NAK = const(0xA0)  # an ACK that says: something damaged has arrived since the last one
PING = const(0xB0)
SYN = const(0xC0)
SYN_ACK = const(0xD0)
BYE = const(0xE0)  # this end gives the session up, and the line: a program that ends in a prompt
_CREDIT = const(0x08)
_GAPS = const(0x04)

# Channels
CONTROL = const(0)
MQTT = const(1)
LOG = const(2)
CONSOLE = const(3)

VERSION = const(1)
OVERHEAD = const(14)  # at most, beside the payload: code, header, gaps, credit, CRC, closing 0x00
MIN_FRAME = const(32)
MAX_FRAME = const(255)
MAX_WINDOW = const(16)  # frames in flight: the gaps option reaches no further
MAX_DEVICE_ID = const(32)

_RESIDUE = const(0x2144DF1C)  # the CRC-32 of anything followed by its own CRC-32
_SHORTEST = const(9)
_SYN_FORMAT = ">BIIBHB"
_SYN_SIZE = const(13)


def encode(
    first: int,
    tag: int,
    seq: int,
    ack: int,
    gaps: int,
    credit: int,
    payload: "bytes | bytearray",
    in_front: int,
    seed: int = 0,
) -> bytearray:
    """The bytes for the line. `gaps` 0 and `credit` -1: without the option; `in_front`: so many 0x00 in front; `seed`:
    CRC-32 of what the frame's own goes on from.
    """
    # One allocation, filled in place.
    start = in_front + 1
    at = start + 4
    end = at + (2 if gaps else 0) + (2 if credit >= 0 else 0) + len(payload)
    out = bytearray(end + 5)
    if gaps:
        first |= _GAPS
        struct.pack_into(">H", out, at, gaps)
        at += 2
    if credit >= 0:
        first |= _CREDIT
        struct.pack_into(">H", out, at, credit)
        at += 2
    struct.pack_into("BBBB", out, start, first, tag, seq, ack)
    out[at:end] = payload
    struct.pack_into("<I", out, end, binascii.crc32(memoryview(out)[start:end], seed))
    # COBS: each 0x00 becomes the distance to the next one, the last of which ends the frame. The search runs in C.
    at = start - 1
    while at < end + 4:
        zero = out.find(b"\0", at + 1)
        out[at] = zero - at
        at = zero
    return out


def decode(buffer: bytearray, size: int, seed: int = 0) -> int:
    """Decodes buffer[:size], what stood between two 0x00, in place: the header is then at 1, the CRC at size - 4.

    Returns where the payload begins. 0: damaged, and what the buffer holds is of no use any more.
    """
    at = 0
    while at < size:
        step = buffer[at]
        buffer[at] = 0
        at += step or size
    if size < _SHORTEST or at != size or binascii.crc32(memoryview(buffer)[1:size], seed) != _RESIDUE:
        return 0
    first = buffer[1]
    return 5 + (2 if first & _GAPS else 0) + (2 if first & _CREDIT else 0)


def gaps_in(buffer: bytearray) -> int:
    """The gaps option of a decoded frame, 0 if it has none."""
    return buffer[5] << 8 | buffer[6] if buffer[1] & _GAPS else 0


def credit_in(buffer: bytearray, start: int) -> int:
    """The credit option of a decoded frame whose payload begins at `start`, -1 if it has none."""
    return buffer[start - 2] << 8 | buffer[start - 1] if buffer[1] & _CREDIT else -1


def is_text(buffer: bytearray, size: int) -> bool:
    """Whether buffer[:size], not yet decoded, is printable text, such as a boot message: no frame is."""
    for i in range(size):
        byte = buffer[i]
        if byte > 126 or (byte < 32 and byte not in b"\t\n\r\x1b"):
            return False
    return True


def tag_of(sender_epoch: int, receiver_epoch: int) -> int:
    """The tag of frames from one epoch to another. An echo of one's own frames has a wrong tag as well."""
    return binascii.crc32(struct.pack(">II", sender_epoch, receiver_epoch)) & 255


def pack_syn(epoch: int, known: int, frame_size: int, receive_window: int, reset_cause: int, device_id: bytes) -> bytes:
    """The payload of SYN and SYN_ACK: the meaning is that of Greeting's attributes."""
    return struct.pack(_SYN_FORMAT, VERSION, epoch, known, frame_size, receive_window, reset_cause) + device_id


class Greeting:
    """What the other end says of itself in the payload of its SYN.

    `version` of the protocol; `epoch` and `known` (32 bits): its own epoch, and ours as it knows it (0: not yet);
    `frame_size` and `receive_window`: bytes; `reset_cause`: a number of the board's own; `device_id`: bytes, empty for
    a gateway. `valid`: they make sense.
    """

    def __init__(self, payload: memoryview) -> None:
        self.valid = len(payload) >= _SYN_SIZE
        if self.valid:
            fields = struct.unpack(_SYN_FORMAT, payload[:_SYN_SIZE])
            self.version, self.epoch, self.known, self.frame_size, self.receive_window, self.reset_cause = fields
            self.device_id = bytes(payload[_SYN_SIZE:])
            # Only the number counts of another version: nobody knows what the rest means there.
            self.valid = self.version != VERSION or MIN_FRAME <= self.frame_size <= self.receive_window
