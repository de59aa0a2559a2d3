"""What the numbers mean that a board gives as errors, and what to do about them. Both runtimes; loaded when needed."""

# By errno as ESP32 (newlib), RP2 (lwIP) and Linux number them; negative: of getaddrinfo.
_WORDS = {
    1: "not permitted",
    2: "there is no such file or device",
    5: "the flash or the device cannot be read or written",
    12: "there is no memory left; smaller queues help, and compiled files",
    16: "the device is busy; does something else use it?",
    19: "there is no such device; is the flash partitioned and formatted?",
    22: "the device or the file system does not take this value",
    28: "the flash is full; remove files that are not needed",
    30: "the file system is read-only",
    103: "the connection was broken off",
    104: "the other end has broken off the connection",
    105: "there is no memory left for the network",
    107: "the connection is gone",
    110: "no answer in time",
    111: "nothing listens on this port there; does the broker run, and is the port right?",
    113: "no way to this address, or the connection was broken off; is it right, and in the same network?",
    114: "no way to this network",
    116: "no answer in time; is the address right, and is there no firewall between?",
    118: "no way to this address; is it right, and in the same network?",
    128: "the connection is gone",
    -2: "the name cannot be found; is it right, and is there a network?",
    -6: "the name cannot be found; is it right, and is there a network?",
    -202: "the name cannot be found; is it right, and is there a network?",
}


def words(error: OSError) -> str:
    """What an OSError says, with words for its number where it has none itself."""
    text = str(error)
    found = None if getattr(error, "strerror", None) else _WORDS.get(error.errno or 0)
    return text + ": " + found if found else text
