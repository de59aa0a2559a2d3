"""Passwords as they are kept: argon2id (argon2-cffi), and Mosquitto's `$7$` (PBKDF2) and `$6$` (SHA-512, salted).

    $argon2id$v=19$m=19456,t=2,p=1$SALT$HASH      as `mqttlite passwd` and Mosquitto 2.1 write it
    $7$101$SALT$HASH                              as mosquitto_passwd of 1.6 to 2.0 does
    $6$SALT$HASH                                  before that

Each is read when the file is, so that one that nobody could ever match is a mistake in the file.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable

# OWASP's least for argon2id. A check takes 19 MiB and about 20 ms (100 ms on a Raspberry Pi): a board with half a
# gigabyte does several at once, and guessing costs as much each time.
TIME_COST = 2
MEMORY_KIB = 19 * 1024
LANES = 1
# What a file may ask for: a mistake in it must not use up the machine.
_MEMORY_KIB_MAX = 1 << 20
_TIME_COST_MAX = 100
_ITERATIONS_MAX = 10_000_000

Check = Callable[[bytes], bool]
"""Whether a password is the one that was kept."""

SALT_MIN, HASH_MIN = 8, 16  # bytes, of argon2id

_ARGON2 = re.compile(
    r"\$argon2(id|i|d)\$v=(\d+)\$m=(\d{1,9}),t=(\d{1,9}),p=(\d{1,9})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)"
)
_SLOW_FROM = 2000  # iterations of PBKDF2: about a millisecond


class MissingArgon2(ValueError):
    """argon2-cffi is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "argon2id needs argon2-cffi: pip install 'mqttlite[broker]', or pipx inject mqttlite argon2-cffi"
        )


def hashed(password: bytes) -> str:
    """A password as a file keeps it: argon2id, with a new salt. MissingArgon2."""
    try:
        from argon2 import PasswordHasher
    except ImportError:
        raise MissingArgon2 from None
    return PasswordHasher(TIME_COST, MEMORY_KIB, LANES).hash(password)


def check_of(kept: str) -> tuple[Check, bool]:
    """What checks a password against `kept`, and whether that takes long (then it belongs into a thread). ValueError
    for what no password could ever match, without showing it.
    """
    if kept.startswith("$argon2"):
        return _argon2(kept), True
    if kept.startswith("$7$"):
        return _pbkdf2(kept)
    if kept.startswith("$6$"):
        return _sha512(kept), False
    raise ValueError(
        "what stands behind the colon is no hash that is known ($argon2id$, or Mosquitto's $7$ and $6$); a password as "
        "it is: mqttlite passwd makes a hash of it"
    )


def _argon2(kept: str) -> Check:
    found = _ARGON2.fullmatch(kept)
    if not found:
        raise ValueError("the hash begins with $argon2 and does not go on as one: is the line cut off?")
    if found[1] != "id":
        raise ValueError(f"argon2{found[1]} is not taken, argon2id is")
    memory, time, lanes = (int(found[number]) for number in (3, 4, 5))
    if not (8 * lanes <= memory <= _MEMORY_KIB_MAX and 1 <= time <= _TIME_COST_MAX and 1 <= lanes <= 64):
        raise ValueError(f"the hash asks for m={memory},t={time},p={lanes}: at most 1 GiB, 100 turns, 64 lanes")
    try:
        from argon2.exceptions import VerificationError
        from argon2.low_level import Type, verify_secret
    except ImportError:
        raise MissingArgon2 from None
    if len(_unpadded(found[6])) < SALT_MIN or len(_unpadded(found[7])) < HASH_MIN:
        raise ValueError("salt or hash is too short: is the line cut off?")
    encoded = kept.encode()

    def check(password: bytes) -> bool:
        try:
            return verify_secret(encoded, password, Type.ID)
        except VerificationError:
            return False

    return check


def _unpadded(text: str) -> bytes:
    return _decoded(text + "=" * (-len(text) % 4))


def _pbkdf2(kept: str) -> tuple[Check, bool]:
    parts = kept.split("$")
    if len(parts) != 5 or not parts[2].isascii() or not parts[2].isdigit() or len(parts[2]) > 9:
        raise ValueError("the hash begins with $7$ and does not go on with iterations, salt and hash: is it cut off?")
    iterations = int(parts[2])
    if not 1 <= iterations <= _ITERATIONS_MAX:
        raise ValueError(f"the hash asks for {iterations} iterations: 1 to {_ITERATIONS_MAX}")
    salt, wanted = _decoded(parts[3]), _decoded(parts[4], hashlib.sha512().digest_size)
    return lambda password: hmac.compare_digest(
        hashlib.pbkdf2_hmac("sha512", password, salt, iterations), wanted
    ), iterations >= _SLOW_FROM


def _sha512(kept: str) -> Check:
    parts = kept.split("$")
    if len(parts) != 4:
        raise ValueError("the hash begins with $6$ and does not go on with salt and hash: is it cut off?")
    salt, wanted = _decoded(parts[2]), _decoded(parts[3], hashlib.sha512().digest_size)
    return lambda password: hmac.compare_digest(hashlib.sha512(password + salt).digest(), wanted)


def _decoded(text: str, size: int = 0) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("salt or hash is not base64: is the line cut off?") from None
    if not data or (size and len(data) != size):
        raise ValueError(f"salt or hash has {len(data)} bytes: is the line cut off?")
    return data
