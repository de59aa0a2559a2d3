"""Characters that should not stand in topics: control characters and non-characters (1.5.3; 5.0: 1.5.4). Both runtimes;
loaded by who looks for them. Imports nothing.

A receiver may close the connection for one of them, and some do: libmosquitto, for each message of every life.
"""


def unwanted(text: str) -> str:
    """The first of these in `text`, as "U+0009"; "" when there is none: U+0001 to U+001F, U+007F to U+009F, U+FDD0 to
    U+FDEF, and the last two of each plane. (U+0000 and surrogates are no text at all: text.py.)
    """
    for character in text:
        code = ord(character)
        if code < 0x20 or 0x7F <= code <= 0x9F or 0xFDD0 <= code <= 0xFDEF or code & 0xFFFE == 0xFFFE:
            return "U+%04X" % code
    return ""
