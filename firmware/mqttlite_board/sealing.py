"""Values for one device, sealed with its key: nobody else can read them or make others, whatever they travel over. Both
runtimes.

    NONCE (16 bytes)  TEXT  TAG (32 bytes)

TEXT is the plain one XORed with HMAC-SHA-256(key to seal, NONCE, 0, 1, 2 …): counter mode over a pseudorandom function.
TAG is the HMAC of what the values are for and of all of it, with another key. Both keys are derived from the device's,
for one purpose each. It needs SHA-256 alone, which every MicroPython has; AES not all of them have.
"""

from .signing import hmac, same

NONCE = 16
TAG = 32


def _stream(key: bytes, nonce: bytes, text: bytes) -> bytes:
    out = bytearray(len(text))
    block = b""
    for at in range(len(text)):
        if at % 32 == 0:
            block = hmac(key, nonce + (at // 32).to_bytes(4, "big"))
        out[at] = text[at] ^ block[at % 32]
    return bytes(out)


def _tag(key: bytes, purpose: bytes, about: bytes, body: bytes) -> bytes:
    return hmac(hmac(key, purpose + b" sign"), len(about).to_bytes(4, "big") + about + body)


def seal(key: bytes, purpose: bytes, about: bytes, text: bytes, nonce: bytes) -> bytes:
    """`text`, sealed. `purpose`: as for `unseal`; `about`: what it is for, which is signed with it; `nonce`: 16 random
    bytes, never the same twice.
    """
    body = nonce + _stream(hmac(key, purpose + b" seal"), nonce, text)
    return body + _tag(key, purpose, about, body)


def unseal(key: bytes, purpose: bytes, about: bytes, sealed: bytes) -> bytes:
    """What was sealed. Raises ValueError when it was made with another key, for another purpose, or about another
    thing, or has been changed.
    """
    body, tag = sealed[:-TAG], sealed[-TAG:]
    if len(body) < NONCE or not same(_tag(key, purpose, about, body), tag):
        raise ValueError("not signed with this device's key")
    return _stream(hmac(key, purpose + b" seal"), body[:NONCE], body[NONCE:])
