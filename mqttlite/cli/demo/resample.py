"""What a UART receives of a sender at another baud rate: the bits of the line, sampled at the wrong times. No I/O."""

from ...sim.lines.noise import BITS


def resampled(data: bytes | bytearray, sent: int, read: int) -> bytes:
    """What a receiver at `read` bit/s takes from `data`, which comes in one piece at `sent` bit/s, 8N1.

    Byte by byte: a falling edge begins one, its bits are looked at in their middles, the next edge is looked for from
    the middle of its stop bit on. A byte with a wrong stop bit is handed over as it is, as a driver does.
    """
    levels = bytearray()
    for byte in data:
        levels.append(0)
        levels += bytes(byte >> bit & 1 for bit in range(8))
        levels.append(1)
    levels.append(1)
    step = sent / read  # of the sender's bits in one of the receiver's
    size = len(levels)
    got = bytearray()
    at = 0
    while (edge := levels.find(0, at)) >= 0:
        samples = [levels[min(int(edge + step * (bit + 0.5)), size - 1)] for bit in range(1, BITS)]
        got.append(sum(level << bit for bit, level in enumerate(samples[:8])))
        at = int(edge + step * (BITS - 0.5))
        if at < size and not levels[at]:  # a wrong stop bit: the line has to be high before a byte can begin
            at = levels.find(1, at)
            if at < 0:
                break
        at = max(at, edge + 1)
    return bytes(got)
