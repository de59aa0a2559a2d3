"""The serial link: MQTT over a UART that loses and garbles. Both runtimes, no I/O, no clock, no randomness.

frames     COBS, CRC-32, header: pure functions             sender, receiver   selective repeat; stats
link       sessions, channels, priorities: class Link       stream             connections over a link: class Stream
words      what reasons mean, for hosts

Imports struct, binascii and `const` of the core only. mqttlite.serial.line puts a link on a real port.
"""

from .link import Link
from .stream import Stream

__all__ = ["Link", "Stream"]
