"""What a large world is made of, drawn from a seed: its parts as data. No I/O, no world.

Topics tell what a message is: `k/DEVICE/QOS` with an idempotency key, `p/DEVICE/QOS` without, `b/…` what a bridge has
taken over from another broker, `r/DEVICE` retained, `w/DEVICE` wills. Who reads without keys reads `p/#` only,
because in 3.1.1 a key stands in front of the payload.
"""

from random import Random
from typing import NamedTuple

HOUR = 3600.0
OLD_SEEDS = 100_000  # below it, all speak 3.1.1: what was found there stays where it was
KINDS = ("kill", "power", "outage", "stall", "partition", "cut", "unplug", "part", "full", "sync")


class Device(NamedTuple):
    """A publisher. Sizes in bytes, times in seconds.

    line: (gateway, baud) when it is on a serial line. store: memory, sqlite, journal. keys: "none"; "auto" (the
    client's own); "app" (the application's: it publishes again what is not confirmed). sleeps: it connects for each
    burst. first: where its sequence numbers start, -1 anywhere. version: of MQTT, or "changes": from life to life.
    """

    name: str
    broker: str
    line: tuple[str, int] | None
    store: str
    journal: int
    keys: str
    qos: tuple[int, ...]
    messages: int
    size: tuple[int, int]
    burst: int
    every_s: tuple[float, float]
    sleeps: bool
    window: int
    queue_max: int
    keep_alive_s: int
    clean: bool
    first: int
    retains: bool
    will: bool
    version: str = "3.1.1"


class Reader(NamedTuple):
    """A consumer, with an inbox or without. store: the client's. fickle: it unsubscribes at times. work_s: for each
    message. version: as a device's.
    """

    name: str
    broker: str
    inbox: bool
    store: str
    topic_filter: str
    qos: int
    fickle: bool
    work_s: tuple[float, float]
    inbox_max: int
    keep_alive_s: int
    version: str = "3.1.1"


class Bridge(NamedTuple):
    """Takes all from one broker to another: an inbox at one end, an outbox at the other, one database."""

    name: str
    source: str
    target: str
    keep_alive_s: int


class BadTime(NamedTuple):
    """How bad it is. `times`: how often each of KINDS happens. Probabilities: at_packet (a cut,
    perhaps with the end of a process), at_disk (the end of a process at an operation), io_error (an operation fails);
    refuse, vanish, stall: of network.Conditions. noise: bit error rate and so on of serial lines. wipes: how many
    stores are lost.
    """

    times: dict[str, int]
    at_packet: float
    at_disk: float
    io_error: float
    refuse: float
    vanish: float
    stall: float
    noise: float
    babble_s: float
    wipes: int
    ppm: int
    revive_s: float


class Parts(NamedTuple):
    """A large world. `queue`: bytes of a queue from which on a broker holds publishers back, and that it has at most;
    calm: nothing but noise. `version`: of MQTT, of all that use keys, since these stand elsewhere in each version.
    """

    duration_s: float
    brokers: tuple[str, ...]
    queue: tuple[int, int]
    gateways: tuple[str, ...]
    devices: tuple[Device, ...]
    readers: tuple[Reader, ...]
    bridges: tuple[Bridge, ...]
    faults: BadTime
    calm: bool
    version: str = "3.1.1"

    @property
    def gates(self) -> dict[str, str]:
        """The broker behind each gateway that has a device."""
        return {device.line[0]: device.broker for device in self.devices if device.line}

    @property
    def names(self) -> list[str]:
        """What can be left out, apart from faults: devices, readers, bridges."""
        names = [device.name for device in self.devices] + [reader.name for reader in self.readers]
        return names + [bridge.name for bridge in self.bridges]


def draw(seed: int, size: int = 0) -> Parts:
    """The world of a seed, with `size` devices (0: drawn, 3 to 40)."""
    chance = Random(seed * 2 + 1)
    pick = chance.choice
    duration_s = pick((30.0, 60.0, 60.0, 60.0, 120.0, 120.0, 120.0, 300.0, 300.0, 600.0))
    if chance.random() < 0.02:
        duration_s = pick((HOUR, 6 * HOUR, 24 * HOUR, 48 * HOUR))
    is_long = duration_s >= HOUR
    if not size:
        size = chance.randint(2, 4 if is_long else 40 if chance.random() < 0.06 else 8)
    calm = chance.random() < 0.12
    brokers = tuple(f"broker{n}" for n in range(1 if is_long else pick((1, 1, 1, 2, 2, 3))))
    # Each second of a serial line costs ten events, of a broker one.
    gateways = tuple(f"gateway{n}" for n in range(0 if duration_s > HOUR else pick((0, 0, 1, 1, 2))))
    keep_alive_s = 5 if duration_s <= 600 else 30 if duration_s <= HOUR else 300
    budget = 1000 if chance.random() < 0.03 else pick((20, 20, 50, 100, 250))  # messages in all
    devices = tuple(_device(chance, n, size, brokers, gateways, duration_s, keep_alive_s, budget) for n in range(size))
    bridges: tuple[Bridge, ...] = ()
    if len(brokers) > 1 and chance.random() < 0.7:
        bridges = tuple(Bridge(f"bridge{n}", brokers[0], target, keep_alive_s) for n, target in enumerate(brokers[1:]))
    readers = tuple(
        _reader(chance, f"reader{number}{broker[6:]}", broker, keep_alive_s, calm)
        for broker in brokers
        for number in range(pick((1, 1, 1, 2, 3)))
    )
    small = chance.random() < 0.12
    parts = Parts(
        duration_s,
        brokers,
        (pick((1000, 5000)), pick((20_000, 200_000))) if small else (256 * 1024, 1 << 30),
        gateways,
        devices,
        readers,
        bridges,
        _faults(chance, calm, duration_s),
        calm,
    )
    return parts if seed < OLD_SEEDS else _with_versions(parts, Random(f"{seed} versions"))


def _with_versions(parts: Parts, chance: Random) -> Parts:
    """Who speaks which version of MQTT, drawn apart from all else."""
    version = chance.choice(("3.1.1", "5.0", "5.0"))
    kinds = ("3.1.1", "5.0", "changes")

    def of(device: Device) -> str:
        found = chance.choice(kinds)
        if found == "changes" and device.store != "memory":  # its messages stay in the version in which they are kept
            found = "5.0"
        return found if device.keys == "none" else version

    devices = tuple(device._replace(version=of(device)) for device in parts.devices)
    readers = tuple(
        reader._replace(version=version if reader.inbox else chance.choice(kinds)) for reader in parts.readers
    )
    return parts._replace(devices=devices, readers=readers, version=version)


def spoken(version: str, life: int) -> str:
    """The version of MQTT in a life of who speaks `version`."""
    return ("3.1.1", "5.0")[life % 2] if version == "changes" else version


def _device(
    chance: Random,
    number: int,
    size: int,
    brokers: tuple[str, ...],
    gateways: tuple[str, ...],
    duration_s: float,
    keep_alive_s: int,
    budget: int,
) -> Device:
    pick = chance.choice
    gateway = pick(gateways) if gateways and chance.random() < 0.5 else None
    # A gateway forwards to one broker: which one is in its number.
    broker = brokers[int(gateway[7:]) % len(brokers)] if gateway else pick(brokers)
    store = pick(("memory", "sqlite", "journal", "journal"))
    journal = pick((2048, 4096, 16384))
    largest = pick((40, 100, 400, 2000, 100_000))
    if gateway:
        largest = min(largest, 2000)
    if store == "journal":
        largest = min(largest, journal // 8)
    count = max(1, round(chance.uniform(0.3, 1.7) * budget / size))
    if largest > 10_000:
        count = min(count, 15)
    burst = pick((1, 1, 3, 20))
    pause = min(duration_s * 0.8 * burst / count, duration_s / 4)
    queue_max = pick((1, 2, 5, 20, 100))
    return Device(
        name=f"device{number}",
        broker=broker,
        line=(gateway, pick((9600, 115200, 115200, 921600))) if gateway else None,
        store=store,
        journal=journal,
        keys=pick(("none", "auto", "app")),
        qos=pick(((0,), (1,), (2,), (1, 2), (0, 1, 2), (0, 1, 2))),
        messages=count,
        size=(0, largest) if chance.random() < 0.3 else (pick((20, largest)), max(largest, 20)),
        burst=burst,
        every_s=(0.0, 0.0) if chance.random() < 0.2 else (pause * 0.3, pause * 1.7),
        sleeps=chance.random() < 0.2,
        window=pick((1, 2, 5, 18, 20)),
        queue_max=queue_max,
        keep_alive_s=keep_alive_s,
        clean=store == "memory" and chance.random() < 0.3,
        first=pick((-1, -1, 65500, 65535 * 3 - 20)),
        retains=chance.random() < 0.2,
        will=chance.random() < 0.2,
    )


def _reader(chance: Random, name: str, broker: str, keep_alive_s: int, calm: bool) -> Reader:
    pick = chance.choice
    inbox = chance.random() < 0.6
    return Reader(
        name=name,
        broker=broker,
        inbox=inbox,
        store=pick(("sqlite", "memory") if inbox else ("sqlite", "journal", "memory")),
        topic_filter="#" if inbox else "p/#",
        qos=pick((2, 2, 2, 2, 1, 0)),
        fickle=not calm and chance.random() < 0.2,
        work_s=pick(((0.0, 0.0), (0.0, 0.02), (0.0, 0.2))),
        inbox_max=pick((1, 10, 1000)),
        keep_alive_s=keep_alive_s,
    )


def _faults(chance: Random, calm: bool, duration_s: float) -> BadTime:
    pick = chance.choice
    level = 0.0 if calm else pick((0.3, 1.0, 1.0, 3.0))

    def rate(*rates: float) -> float:
        return pick(rates) * min(level, 1.0) if not calm else 0.0

    most = min(round(duration_s / 5), 60)
    times = {}
    for kind in KINDS:
        is_absent = calm or chance.random() < 0.5
        times[kind] = 0 if is_absent else min(round(level * pick((1, 4, 12))), most)
    return BadTime(
        times=times,
        at_packet=rate(0, 0, 0.002, 0.01, 0.03),
        at_disk=rate(0, 0, 0.0005, 0.003),
        io_error=rate(0, 0, 0, 0.0005, 0.003),
        refuse=rate(0, 0, 0.1),
        vanish=rate(0, 0, 0.1),
        stall=rate(0, 0, 0.01, 0.05),
        noise=pick((0.0, 0.0, 1e-5, 1e-4)),
        babble_s=pick((0.0, 0.0, 1.0, 20.0)),
        wipes=pick((0, 0, 0, 0, 1, 2)) if not calm else 0,
        ppm=pick((0, 0, 100, 20_000)),
        revive_s=pick((0.2, 1.0, 5.0)),
    )
