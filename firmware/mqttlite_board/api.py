"""What an application says: what is measured, how often, what of it is published, and what is done with commands.

    from mqttlite_board.api import Application

    def application(options):                # options: `app` of the settings
        app = Application(keep="newest")
        app.measure("temperature", read, every_s=60, qos=1, change=0.2, at_least_s=3600)
        app.command("pump", pump)
        return app

Both runtimes. It imports nothing of a board, so that an application is tested on a computer (trying.py).
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

EVERY_MIN_MS = 10
EVERY_MAX_MS = 86400000
TAKEN = ("online", "problem", "state", "command", "answer", "crash", "clock", "update")  # topics of the program
KEEP = ("all", "newest", "thin")


class Sensor:
    """Something that is measured: what the application has said of it, and how it is. See Application.measure."""

    last: "Any" = None  # what was published last,
    last_at = 0  # and when it was measured
    failed = 0  # times, one after the other
    error = ""  # why
    number = -1  # of the last reading, where they are counted
    changed: "Any" = None  # an event: `every_ms` has
    turned = 0  # when it was measured and handed over last; -1: it waits for room

    def __init__(self, name: str, read: "Callable[[], Any]", every_ms: int, qos: int) -> None:
        self.name = name
        self.read = read
        self.every_ms = every_ms
        self.qos = qos
        self.change: "float | None" = None
        self.at_least_ms = 0
        self.batch = 1
        self.digits: "int | None" = None
        self.readings: "list[tuple[int, Any]]" = []  # (when, value), not handed to the client yet

    def take(self, value: "Any", at: int) -> bool:
        """A reading of `at` milliseconds; whether it is to be published. ValueError for one that is no number."""
        value = rounded(value, self.digits)
        if self.change is not None and self.last is not None:
            is_due = self.at_least_ms and at - self.last_at >= self.at_least_ms
            if not (is_due or differs(value, self.last, self.change)):
                return False
        self.last = value
        self.last_at = at
        self.readings.append((at, value))
        return True


class Application:
    """What one board does.

    keep        "all": when there is no room for more readings (the broker is away), nothing is measured until there is;
                "newest": the oldest are given up; "thin": every second one, and so on, so that what is kept is from
                all of the time, evenly. In each case `state` says how many there were
    queue       messages that may wait for their confirmation; each takes some 300 bytes of memory
    batch_max   readings that share a message when half of the queue is taken
    awake_s     with the setting `sleep_s`: it sleeps after so long, confirmed or not

    `commands`: functions by name. `setup`: None, or a function that is called once, before anything is measured; it may
    be async. `jobs`: async functions that are called with the program and run beside; when one ends, the program does.
    """

    def __init__(self, keep: str = "all", queue: int = 20, batch_max: int = 20, awake_s: float = 20) -> None:
        if keep not in KEEP:
            raise ValueError("keep = %r: must be one of %s" % (keep, KEEP))
        if queue < 4 or batch_max < 1:
            raise ValueError("queue must be 4 or more, batch_max 1 or more")
        self.keep = keep
        self.queue = queue
        self.batch_max = batch_max
        self.awake_s = awake_s
        self.sensors: "list[Sensor]" = []
        self.commands: "dict[str, Callable[[dict[str, Any]], Any]]" = {}
        self.setup: "Callable[[], Any] | None" = None
        self.jobs: "list[Callable[[Any], Any]]" = []

    def measure(
        self,
        name: str,
        read: "Callable[[], Any]",
        every_s: float = 60,
        qos: int = 1,
        change: "float | None" = None,
        at_least_s: float = 0,
        batch: int = 1,
        counted: bool = False,
        digits: "int | None" = None,
    ) -> Sensor:
        """Call `read` every `every_s` seconds and publish what it returns below `name`. It returns a number, a text, a
        dict of such or, when there is nothing to publish, None; it may be async, and raise: then it is tried again.

        change      publish only what differs by so much from what was published last (0: at all), but
        at_least_s  something at least so often
        batch       readings that share a message; until it is full they are in memory alone
        counted     each reading has a number `n`, which goes on after a loss of power, so that a gap shows (at QoS
                    0 it begins with 1 at each start)
        digits      behind the decimal point
        """
        every_ms = int(every_s * 1000)
        if not EVERY_MIN_MS <= every_ms <= EVERY_MAX_MS:
            raise ValueError("%s: every_s = %s: must be 0.01 to 86400" % (name, every_s))
        if not name or name.split("/")[0] in TAKEN or "+" in name or "#" in name:
            raise ValueError("'%s' cannot be the name of a sensor: it is empty, taken, or no topic" % name)
        if qos not in (0, 1, 2) or batch < 1 or name in [sensor.name for sensor in self.sensors]:
            raise ValueError("%s: QoS must be 0, 1 or 2, batch 1 or more, and the name new" % name)
        sensor = Sensor(name, read, every_ms, qos)
        sensor.change = change
        sensor.at_least_ms = int(at_least_s * 1000)
        sensor.batch = batch
        sensor.digits = digits
        if counted:
            sensor.number = 0
        self.sensors.append(sensor)
        return sensor

    def command(self, name: str, function: "Callable[[dict[str, Any]], Any]") -> None:
        """Call `function` with the command, a dict, when {"do": name} arrives. What it returns is answered: a dict, or
        what becomes its "result". It may be async, and raise: then the error is answered.
        """
        self.commands[name] = function


def rounded(value: "Any", digits: "int | None") -> "Any":
    """The value, in a dict or a list, too, to so many digits. ValueError for what is not a number, and no JSON has."""
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise ValueError("measured " + str(value))
        return value if digits is None else round(value, digits)
    if isinstance(value, dict):
        return {key: rounded(value[key], digits) for key in value}
    return value


def differs(value: "Any", last: "Any", change: float) -> bool:
    """Whether a value is by `change` another one than the last; of a dict, any in it."""
    if isinstance(value, dict) and isinstance(last, dict):
        if len(value) != len(last):
            return True
        return any(key not in last or differs(value[key], last[key], change) for key in value)
    if isinstance(value, bool) or not (isinstance(value, (int, float)) and isinstance(last, (int, float))):
        return bool(value != last)
    return value != last and abs(value - last) >= change
