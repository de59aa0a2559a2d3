"""HMAC-SHA-256, and a comparison that takes as long whatever differs. Both runtimes.

Each purpose signs with a key of its own, `hmac(key, purpose)`, so that what was signed for one is nothing to another.
"""

from hashlib import sha256

_BLOCK = 64


def hmac(key: bytes, data: "bytes | bytearray | memoryview") -> bytes:
    """The HMAC of `data`, 32 bytes [RFC 2104]."""
    if len(key) > _BLOCK:
        key = sha256(key).digest()
    key = key + bytes(_BLOCK - len(key))
    inner = sha256(bytes([byte ^ 0x36 for byte in key]))
    inner.update(data)
    outer = sha256(bytes([byte ^ 0x5C for byte in key]))
    outer.update(inner.digest())
    digest: bytes = outer.digest()
    return digest


def same(one: bytes, other: bytes) -> bool:
    """Whether both are equal."""
    if len(one) != len(other):
        return False
    different = 0
    for i in range(len(one)):
        different |= one[i] ^ other[i]
    return different == 0
