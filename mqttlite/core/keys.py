"""Idempotency keys: how a receiver recognises a message again, whatever connection or session brings it.

A key is `(producer, epoch, sequence)`: a name (UTF-8, 1 to 64 bytes, no U+0000), a number below 2**63 that grows when
the producer has lost its store, and a number below 2**48 that counts its messages. It travels in front of the payload
(3.1.1: `wrap`, `unwrap`) or as the user property `PROPERTY` (5.0: `to_text`, `from_text`).

A receiver keeps a *window* for each producer and epoch: `[]`, or `[highest, bitmap]` of the SPAN numbers at and below
the highest (bit 0: the highest). **What is too old for the window, or of an epoch too old to be kept, counts as seen**:
no duplicate slips through late, and memory is bounded by EPOCHS windows of SPAN bits for each producer. So a producer
must not have more than SPAN numbers open at once. Epoch 0 is never too old: its numbers are the application's own,
which go on when a store is lost, and the client may use the same name for its own epochs.

Both runtimes; imports only lower modules of the core and binascii. Loaded only by who uses keys.
"""

from binascii import crc32

from . import const
from .errors import ProtocolError
from .text import check_utf8

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from collections.abc import Iterable

    Key = tuple[bytes, int, int]

SPAN = const(1024)  # numbers that a window knows one by one; journalled at 128 bytes
EPOCHS = const(8)  # windows kept for a producer, besides that of epoch 0
PRODUCER_MAX = const(64)  # bytes
PROPERTY = b"mqttlite-key"  # name of the user property

_MASK = (1 << SPAN) - 1
# The envelope: 0xFC starts neither UTF-8 nor well-formed CBOR nor any common file format; then the format's version.
_MAGIC = b"\xfc\x01"


def check_key(key: "Key") -> None:
    """ValueError unless `key` is one."""
    producer, epoch, sequence = key
    try:
        check_utf8(producer, "producer")
        fits = 0 < len(producer) <= PRODUCER_MAX
    except ProtocolError:
        fits = False
    if not fits:
        raise ValueError("idempotency key: the producer's name must be 1 to 64 bytes of UTF-8 without U+0000")
    if not 0 <= epoch < 1 << 63:
        raise ValueError("idempotency key: epoch " + str(epoch) + " is not from 0 to 2**63 - 1")
    if not 0 <= sequence < 1 << 48:
        raise ValueError("idempotency key: sequence " + str(sequence) + " is not from 0 to 2**48 - 1")


def _checked(producer: bytes, epoch: int, sequence: int) -> "Key | None":
    key = (producer, epoch, sequence)
    try:
        check_key(key)
    except ValueError:
        return None
    return key


# -- what a receiver remembers


def see(window: "list[int]", sequence: int) -> bool:
    """Whether `sequence` is new; from now on it is not."""
    if not window:
        window += (sequence, 1)
        return True
    ahead = sequence - window[0]
    if ahead > 0:
        window[1] = 1 if ahead >= SPAN else (window[1] << ahead | 1) & _MASK
        window[0] = sequence
        return True
    if is_seen(window, sequence):
        return False
    window[1] |= 1 << -ahead
    return True


def is_seen(window: "list[int]", sequence: int) -> bool:
    """Whether `see` has had `sequence`, or it is too old to tell."""
    if not window or sequence > window[0]:
        return False
    behind = window[0] - sequence
    return behind >= SPAN or window[1] >> behind & 1 == 1


def window_name(producer: bytes, epoch: int) -> bytes:
    """What the window of a producer and epoch is filed under (`State.seen`)."""
    return producer + epoch.to_bytes(8, "big")


def too_old(names: "Iterable[bytes]", name: bytes) -> "list[bytes]":
    """Which windows to forget once there is one called `name`: those of its producer's oldest epochs, beyond EPOCHS.

    `names`: of the windows there are. If `name` itself is in the answer, its epoch was forgotten long ago: every
    message of it counts as seen.
    """
    end = len(name) - 8
    same = sorted(set([other for other in names if len(other) == end + 8 and other[:end] == name[:end]] + [name]))
    if not any(same[0][end:]):
        del same[0]
    return same[:-EPOCHS]


def window_of(windows: "dict[bytes, list[int]]", name: bytes) -> "list[int]":
    """The window called `name`, made if need be; windows that are too old are forgotten for it."""
    window = windows.get(name)
    if window is None:
        window = windows[name] = []
        for old in too_old(windows, name):
            del windows[old]
    return window


def is_handled(windows: "dict[bytes, list[int]]", name: bytes, sequence: int) -> bool:
    """Whether the message is a repeat: seen, or of an epoch that was forgotten long ago."""
    window = windows.get(name)
    return is_seen(window, sequence) if window else name in too_old(windows, name)


# -- on the way


def _varint(n: int) -> bytes:
    """Seven bits a byte, the low ones first; all but the last byte have their top bit set."""
    field = b""
    while n > 127:
        field += bytes((n & 127 | 128,))
        n >>= 7
    return field + bytes((n,))


def wrap(key: "Key", payload: bytes) -> bytes:
    """`payload` behind an envelope with `key`: the name and 7 (young producer) to 21 bytes. ValueError for
    what is no key.
    """
    check_key(key)
    head = _MAGIC + bytes((len(key[0]),)) + key[0] + _varint(key[1]) + _varint(key[2])
    return head + (crc32(head) & 0xFFFF).to_bytes(2, "big") + payload


def unwrap(payload: bytes) -> "tuple[Key, bytes] | None":
    """Key and payload of what `wrap` made, or None.

    A payload of random bytes is mistaken for an envelope once in 2**34 times (magic 16 bits, check 16, length 2);
    text, never.
    """
    if payload[:2] != _MAGIC or len(payload) < 3:
        return None
    at = 3 + payload[2]
    producer = payload[3:at]
    numbers = []
    for _ in range(2):
        number = shift = 0
        while True:
            if at >= len(payload) or shift > 56:
                return None
            byte = payload[at]
            at += 1
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        numbers.append(number)
    if payload[at : at + 2] != (crc32(payload[:at]) & 0xFFFF).to_bytes(2, "big"):
        return None
    key = _checked(producer, numbers[0], numbers[1])
    return None if key is None else (key, payload[at + 2 :])


def to_text(key: "Key") -> bytes:
    """The value of the user property PROPERTY: producer/epoch/sequence. ValueError for what is no key."""
    check_key(key)
    return key[0] + ("/" + str(key[1]) + "/" + str(key[2])).encode()


def from_text(text: bytes) -> "Key | None":
    """The key that `to_text` wrote, or None. The producer's name may have slashes of its own."""
    if len(text) > PRODUCER_MAX + 36:  # before any number is read
        return None
    parts = text.rsplit(b"/", 2)
    if len(parts) != 3 or not (parts[1].isdigit() and parts[2].isdigit()):
        return None
    key = _checked(parts[0], int(parts[1]), int(parts[2]))
    return key if key is not None and to_text(key) == text else None  # no leading zeros: one key, one text
