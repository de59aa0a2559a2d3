"""Improv over serial, the open protocol by which a board without settings gets those of its Wi-Fi: packets to bytes and
back, without I/O. Both runtimes; board and computer use the same.

    IMPROV 1 TYPE LENGTH DATA CHECKSUM      numbers are bytes; the checksum is the sum of all bytes before it

The data of an RPC command, and of its result: COMMAND LENGTH DATA; those of a result are strings, each behind its
length. https://www.improv-wifi.com/serial has the rest. What we add are commands from 0xF1 on (PUT, GET), which another
device answers with UNKNOWN: a whole settings record, in pieces, since it may be larger than a packet.
"""

HEADER = b"IMPROV"
VERSION = 1
_SIZE = 9  # bytes before the data
PIECE = 200  # bytes of a record in a packet: the buffer of a console holds about 250

STATE, ERROR, RPC, RESULT = 1, 2, 3, 4  # types of packets

READY, PROVISIONING, PROVISIONED = 2, 3, 4  # states

NONE, INVALID, UNKNOWN, UNABLE, BAD_NAME, OTHER = 0, 1, 2, 3, 5, 255  # errors

WIFI, GET_STATE, INFO, SCAN, HOSTNAME, DEVICE_NAME, NETWORK = 1, 2, 3, 4, 5, 6, 7  # commands
PUT = 0xF1  # of ours: OFFSET TOTAL (2 bytes each, big endian), then a piece of a settings.json; the last one sets it
GET = 0xF2  # of ours: OFFSET (2 bytes); a piece of the record as JSON, without secrets, a string; "" behind its end

ONLINE, HAS_WIFI = 1, 2  # flags of NETWORK


def packet(kind: int, data: bytes) -> bytes:
    """The bytes of a packet, on a line of their own: clients look for the header where a line begins."""
    body = HEADER + bytes([VERSION, kind, len(data)]) + data
    return b"\n" + body + bytes([sum(body) & 0xFF, 10])


def rpc(command: int, data: bytes = b"") -> bytes:
    """The packet of an RPC command."""
    return packet(RPC, bytes([command, len(data)]) + data)


def result(command: int, strings: "list[str | bytes]") -> bytes:
    """The packet of an RPC result. Strings are cut where they do not fit."""
    data = b""
    for string in strings:
        raw = (string if isinstance(string, bytes) else string.encode())[: max(0, 252 - len(data))]
        data += bytes([len(raw)]) + raw
    return packet(RESULT, bytes([command, len(data)]) + data)


def state(number: int) -> bytes:
    """The packet of a state."""
    return packet(STATE, bytes([number]))


def error(number: int) -> bytes:
    """The packet of an error, or of none."""
    return packet(ERROR, bytes([number]))


def lengths(data: bytes) -> "list[bytes] | None":
    """The parts of `data`, each behind its length; None where they do not fill it."""
    parts = []
    at = 0
    while at < len(data):
        end = at + 1 + data[at]
        if end > len(data):
            return None
        parts.append(bytes(data[at + 1 : end]))
        at = end
    return parts


def command(data: bytes) -> "tuple[int, bytes] | None":
    """Command and data in the data of an RPC command or result; None where its length is not right."""
    if len(data) < 2 or data[1] != len(data) - 2:
        return None
    return data[0], data[2:]


class Parser:
    """Finds packets in what arrives, among boot messages, noise and broken packets.

    `noise`: what belonged to none, and to none that was broken, since whoever reads it has emptied it: on a board a
    Ctrl-C, which is in every packet, too; on a computer what the board has printed. At most `noise_max` bytes of it.
    """

    def __init__(self, noise_max: int = 64) -> None:
        self.noise = bytearray()
        self._noise_max = noise_max
        self._buffer = bytearray()

    def feed(self, data: bytes) -> "list[tuple[int, bytes]]":
        """Type and data of the packets that `data` completes."""
        self._buffer += data
        found: "list[tuple[int, bytes]]" = []
        while True:
            buffer = self._buffer
            start = buffer.find(HEADER)
            if start < 0:
                start = len(buffer) - _begun(buffer)
            self._drop(start, True)
            buffer = self._buffer
            at = 0  # of the candidate: a packet that was cut off must not hide a whole one behind it
            while at >= 0:
                size = _whole(buffer, at)
                if size:
                    break
                at = buffer.find(HEADER, at + 1)
            if at < 0:
                if len(buffer) >= _SIZE and (buffer[6] != VERSION or len(buffer) > _SIZE + buffer[8]):
                    self._give_up()  # it is complete, and wrong
                    continue
                return found
            self._drop(at, False)
            found.append((self._buffer[7], bytes(self._buffer[_SIZE : size - 1])))
            self._drop(size, False)

    def idle(self) -> None:
        """Nothing has come for a while: what is there of a packet will not be completed."""
        if self._buffer:
            self._give_up()

    def _give_up(self) -> None:
        """Of a packet that is broken: look for the next one."""
        buffer = self._buffer
        size = min(len(buffer), _SIZE + 1 + buffer[8]) if len(buffer) > 8 and buffer[6] == VERSION else len(HEADER)
        after = buffer.find(HEADER, 1)
        if after < 0:
            after = len(buffer) - _begun(buffer)
        self._drop(min(after, size) or len(buffer), False)

    def _drop(self, size: int, is_noise: bool) -> None:
        if size:
            if is_noise:
                self.noise += self._buffer[:size]
                if len(self.noise) > self._noise_max:
                    self.noise = self.noise[-self._noise_max :]
            self._buffer = self._buffer[size:]


def _begun(buffer: bytearray) -> int:
    """How many bytes at the end of `buffer` may be the beginning of a header."""
    for size in range(min(len(HEADER) - 1, len(buffer)), 0, -1):
        if buffer[len(buffer) - size :] == HEADER[:size]:
            return size
    return 0


def _whole(buffer: bytearray, at: int) -> int:
    """The size of the packet that begins at `at`; 0 where there is none, or not all of it."""
    if len(buffer) <= at + _SIZE or buffer[at + 6] != VERSION:
        return 0
    size = _SIZE + 1 + buffer[at + 8]
    if len(buffer) < at + size or sum(buffer[at : at + size - 1]) & 0xFF != buffer[at + size - 1]:
        return 0
    return size
