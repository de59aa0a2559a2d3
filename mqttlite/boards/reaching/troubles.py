"""What goes wrong between a computer and a board, in words that say what to press or to plug.

From an error of esptool, or from what a board prints after its reset, to a sentence. Pure.
"""

import re

HOLD_BOOT = (
    "hold the button Boot (on some boards IO0, 0 or Flash), press and release Reset (EN), release Boot, and run the "
    "command again"
)

# Words of esptool's errors, the first that is found, and what to do.
_FLASHING = (
    (
        r"Wrong boot mode detected",
        f"the board starts its program instead of waiting to be written: {HOLD_BOOT}",
    ),
    (
        r"TX path seems to be down",
        "the board waits to be written, but does not hear this computer: TX of the adapter must go to RX of the board",
    ),
    (
        r"Guru Meditation|Brownout",
        "the board crashed while it was spoken to: usually its power fails; use another cable or a powered hub, and "
        "take everything else off its pins",
    ),
    (
        r"No serial data received|Failed to connect|Invalid head of packet|no sync reply",
        f"no answer: {HOLD_BOOT}. If it still does not answer: a cable that only charges has no data lines (try "
        "another one), or this is the port of something else",
    ),
    (
        r"MD5 of file does not match|Write failed, the written flash region is empty",
        "what the flash holds is not what was written: a bad line, or a worn or missing flash",
    ),
    (
        r"will not fit in|does not fit",
        "the image is larger than the flash of this board: choose the variant for its size on the download page",
    ),
    (
        r"secure download mode|Secure Download Mode|encrypt",
        "this chip is locked (secure download or flash encryption), so only its maker can write it",
    ),
    (
        r"device disconnected|device reports readiness|Input/output error|Errno 5|Errno 6|Errno 19|write failed|"
        r"Bad file descriptor|could not open port|No more data to read",
        "the port has gone: the cable was pulled, or the board has lost power. Plug it in, and run the same command "
        "again: it begins from the start, so nothing half written stays",
    ),
    (
        r"timed out|stopped|Serial noise|serial noise|Only got|Failed to write|Response doesn't match|Timeout",
        "bytes are lost between this computer and the board: a long or bad cable, a hub, or a speed that the adapter "
        "does not keep",
    ),
)

# What is written again more slowly: the line may be at fault, not the flash.
_LINE = re.compile(
    "MD5 of file|flash region is empty|timed out|stopped|erial noise|Only got|Failed to write|Response doesn't match|"
    "Timeout|Invalid SLIP|Invalid head"
)

# What a board prints by itself, ROM, bootloader, MicroPython and our program, and what it means.
_STARTING = (
    (
        r"Brownout detector was triggered",
        "its power fails when the radio starts: take a short, thick cable, another USB socket or a powered hub",
    ),
    (
        r"waiting for download|DOWNLOAD_BOOT|DOWNLOAD\(",
        "it is still in download mode: release Boot, and press Reset (EN)",
    ),
    (
        r"invalid header: 0x|flash read err|No bootable app|no bootable|Image hash failed|Checksum failed",
        "its flash does not hold a whole program: run the same command again with --erase",
    ),
    (
        r"The filesystem appears to be corrupted",
        "MicroPython cannot read the file system: run the same command again with --erase; if that does not help, the "
        "image has another partition table than it says",
    ),
    (
        r"rst:0x[0-9a-f]+ \((?:TG\dWDT_SYS_RESET|RTCWDT_RTC_RESET|INT_WDT)",
        "a watchdog resets it at once: usually an image for another flash mode, or power that fails",
    ),
    (
        r"Guru Meditation Error",
        "MicroPython itself crashed: an image for another variant of the chip (SPIRAM?), or power",
    ),
    (r"incompatible \.mpy", "its MicroPython is older than the files: flash a newer image"),
    (r"MemoryError", "it has too little memory for this program: a smaller application, or shorter queues"),
)


def of_flashing(error: object) -> str:
    """What to do about an error of esptool; its own words where it is none of those known."""
    text = re.sub(r"\s+", " ", str(error)).strip()
    for pattern, words in _FLASHING:
        if re.search(pattern, text):
            return f"{words} (esptool: {first_sentence(text)})"
    return f"esptool: {first_sentence(text)}"


def may_be_the_line(error: object) -> bool:
    """Whether a slower line may help."""
    return _LINE.search(str(error)) is not None


def of_starting(printed: str) -> str | None:
    """What is wrong with a board that prints this after its reset; None where nothing is known to be."""
    for pattern, words in _STARTING:
        if re.search(pattern, printed):
            return words
    return None


def first_sentence(text: str) -> str:
    """Without the advice and addresses that esptool puts behind it."""
    return re.split(r" For troubleshooting| Hint:|\. Note:", text)[0].strip().rstrip(".")
