"""Many devices on one half-duplex bus (two-wire RS-485): one end asks, whoever is asked may answer. Without I/O.

addressed   class AddressedLink: the link of one device, in frames with an address; what a turn is. Both runtimes
device      class BusDevice: a device's end, which speaks when it is asked. Both runtimes
master      class BusMaster: the end that asks (a gateway): turns, what is late or out of turn. Hosts
station     what the master knows of one device      schedule  who is asked next
occupied    who speaks without having been asked

Each device has a link of its own (epochs, selective repeat, credits, channels: ..link), and a Stream on it. On the wire
each frame of the link has two bytes in front:

0  address, 1..127
1  0x80, from the device, TURN_END (the other side's turn), a bit that changes from question to question and is the
   same in the answer, and four bits: of the master, how many frames the answer may have; of the device, 1 when it has
   more

The CRC of the frame goes on from address and direction, so that no frame counts for another device, and no echo. The
last frame of the master's turn is the question; the device answers with one that it may send, at least an
acknowledgement. In front of a question may be frames for other devices, which do not answer. A 0x00 in front of each
turn ends what the drivers' switching has left on the wires.
"""

from .addressed import AddressedLink
from .device import BusDevice

__all__ = ["AddressedLink", "BusDevice"]
