"""What the tests of a bus share: devices that remember what happened to them, their other ends at the master."""

from mqttlite.link.bus.addressed import FROM_DEVICE, AddressedLink
from mqttlite.link.bus.device import BusDevice
from mqttlite.link.bus.master import BusMaster
from mqttlite.link.bus.station import Station
from mqttlite.link.frames import MQTT, Greeting
from mqttlite.link.link import Link
from mqttlite.sim.lines.noise import Noise
from tests.link.virtual_bus import Node, VirtualBus

# As a MicroPython board and a USB adapter are, about.
CPU_MS = 0.5
REPLY_MS = 2.0
ADAPTER_MS = 1.0


class Owner:
    """Writes down what arrives at a link: `got`, in this session; `ups`, `downs`. `waiting` leaves as there is room."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.got = bytearray()
        self.waiting = bytearray()
        self.ups: list[Greeting] = []
        self.downs: list[int] = []
        link.on_up = self._up
        link.on_down = self._down
        link.on_data = self._data
        link.on_writable = self.pump

    def say(self, data: bytes | bytearray) -> None:
        """For the other end."""
        self.waiting += data
        self.pump()

    def pump(self) -> None:
        if self.waiting:
            del self.waiting[: self.link.send(MQTT, self.waiting)]

    def _up(self, peer: Greeting) -> None:
        self.ups.append(peer)
        self.got = bytearray()
        self.pump()

    def _down(self, reason: int) -> None:
        self.downs.append(reason)
        self.waiting.clear()

    def _data(self, channel: int, data: bytes | memoryview) -> None:
        if channel == MQTT:
            self.got += data
            self.link.consumed(len(data))


class Device(Owner):
    """A device with its node on the bus."""

    def __init__(self, address: int, epoch: int, name: bytes, baud: int, *, send_buffer: int = 1024) -> None:
        link = AddressedLink(
            epoch, address, FROM_DEVICE, device_id=name, baud=baud, send_buffer=send_buffer, keepalive_ms=5000
        )
        super().__init__(link)
        self.address = address
        self.end = BusDevice(link)
        self.node = Node(self.end, cpu_ms=CPU_MS, reply_ms=REPLY_MS)


class BusWorld:
    """A bus whose master asks `addresses`, with a device at each of `there`. `masters[a]`: the master's owner of the
    link to address a; `devices[a]`: the device's.
    """

    def __init__(
        self,
        addresses: "range | list[int]",
        there: "range | list[int] | None" = None,
        *,
        baud: int = 115200,
        seed: int = 1,
        bit_errors: float = 0.0,
        dropped: float = 0.0,
        frames: int = 4,
    ) -> None:
        self.baud = baud
        self.seed = seed
        self._noise = {"bit_errors": bit_errors, "dropped": dropped}
        self.master = BusMaster(seed * 1000, addresses, baud=baud, frames=frames)
        self.node = Node(self.master, latency_ms=ADAPTER_MS)
        self.node.noise = Noise(seed, **self._noise)
        self.bus = VirtualBus(self.node, [], baud=baud, seed=seed)
        self.masters = {address: Owner(one.link) for address, one in self.master.stations.items()}
        self.devices: dict[int, Device] = {}
        for address in addresses if there is None else there:
            self.add(address)

    def add(self, address: int, epoch: int = 0, name: bytes = b"") -> Device:
        """Connect a device."""
        device = Device(address, epoch or 7000 + address, name or b"device-%d" % address, self.baud)
        device.node.noise = Noise(self.seed * 1000 + address, **self._noise)
        self.devices[address] = device
        self.bus.add(device.node)
        return device

    def station(self, address: int) -> Station:
        return self.master.stations[address]

    @property
    def now(self) -> int:
        return int(self.bus.now)

    def are_up(self) -> bool:
        return all(
            device.link.up and self.masters[address].link.up
            for address, device in self.devices.items()
            if device.node.is_on
        )

    def come_up(self) -> "BusWorld":
        """Let time pass until all sessions have begun."""
        self.bus.until(self.are_up)
        return self


def numbered(size: int, start: int = 0) -> bytes:
    """Bytes in which every shift shows."""
    return b"".join(number.to_bytes(3, "big") for number in range(start, start + size // 3 + 1))[:size]
