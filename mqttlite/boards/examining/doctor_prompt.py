"""Steps of the doctor at MicroPython's prompt. What runs on the board is small and imports nothing of ours."""

import hashlib
import json
import os

from mqttlite_board.settings import SettingError, check, decode, full

from .. import supplies
from ..images.firmware_image import OLDEST
from ..known import partitions
from ..known.data import PORTS
from ..reaching.copying import BoardError, at_prompt
from .doctor_case import Case, LeftOut, Trouble

HEAP_LEAST = 60 * 1024  # what the program needs over a serial line with a journal: docs/board.md
LOOP_BYTES = 64
MPY_VERSION = 6
WRITE_AGAIN = "write the board again: mqttlite flash --image …"


def prompt(case: Case) -> str:
    """Lead it there; it stays for the steps that follow."""
    try:
        case.board = case.prompt.enter_context(at_prompt(case.wishes.path, case.report))
    except BoardError as error:
        raise Trouble("no prompt", str(error)) from None
    return "its prompt is there"


def leave(case: Case, *, restart: bool = False) -> None:
    """Give the port back; with `restart`, the board starts again."""
    with case.prompt:
        if restart and case.board:
            case.board.restart()
    case.board = None


_VERSION = """
import sys
i = sys.implementation
print(i.name, *i.version[:3], getattr(i, "_mpy", 0) & 0xff, sys.platform, sep="|", end="|")
print(getattr(i, "_machine", ""))
"""


def version(case: Case) -> str:
    """MicroPython's, and whether compiled files of ours can run on it."""
    name, *numbers, mpy, platform, machine = case.run(_VERSION).split("|")
    found = tuple(int(number) for number in numbers)
    words = ".".join(numbers)
    case.values.update(runtime=name, version=words, machine=machine, platform=platform)
    image = f"the image {case.data.micropython} from {case.data.download}"
    if name != "micropython":
        raise Trouble(f"it runs {name} {words}", f"flash {image}")
    if found[: len(OLDEST)] < OLDEST or int(mpy) != MPY_VERSION:
        oldest = ".".join(map(str, OLDEST))
        raise Trouble(f"MicroPython {words} is too old: {oldest} is the least", f"flash {image}")
    chip = case.data.chip.replace("-", "")
    if platform in PORTS and chip not in machine.upper().replace("-", ""):
        raise Trouble(f"MicroPython {words} for '{machine}', and the board has an {case.data.chip}", f"flash {image}")
    return f"MicroPython {words}: {machine or platform}"


_LOOP = """
from machine import UART
import time
u = UART({uart}, baudrate={baud}, tx={tx}, rx={rx}, rxbuf=256)
while u.any():
    u.read()
u.write(bytes.fromhex("{data}"))
got = b""
for _ in range(50):
    time.sleep_ms(10)
    if u.any():
        got += u.read()
    if len(got) >= {size}:
        break
u.deinit()
print(got.hex() if got else "")
"""


def loop(case: Case) -> str:
    """Bytes out of the link's TX, into its RX."""
    link = case.data.link
    pins = f"TX (GPIO{link.tx}) with RX (GPIO{link.rx})"
    if not case.wishes.joined:
        if not case.asker.may_ask:
            raise LeftOut(f"join {pins} and say --joined; there is nobody to ask")
        if not case.asker.is_yes(f"join {pins} with a wire, nothing else on them; done?"):
            raise LeftOut(f"{pins} are not joined")
    data = os.urandom(LOOP_BYTES)
    code = _LOOP.format(uart=link.uart, baud=link.baud, tx=link.tx, rx=link.rx, data=data.hex(), size=len(data))
    got = bytes.fromhex(case.run(code))
    case.values.update(sent=len(data), back=len(got))
    if not case.wishes.joined:
        case.asker.is_yes("take that wire off, and wire the board to the gateway as before; done?")
    if not got:
        raise Trouble(
            "nothing comes back",
            f"look whether the wire joins {pins}, both make contact, and nothing else pulls at them",
        )
    if got != data:
        same = sum(a == b for a, b in zip(data, got, strict=False))
        raise Trouble(
            f"{len(got)} of {len(data)} bytes come back, {same} of them right",
            "a loose contact, or another device on the same pins; try it with the shortest wire",
        )
    return f"{len(data)} bytes through {pins} at {link.baud} baud"


_PARTITIONS = """
from esp32 import Partition as P
for kind in (P.TYPE_APP, P.TYPE_DATA):
    for p in P.find(kind):
        i = p.info()
        print(i[0], i[1], i[2], i[3], i[4], sep="|")
"""
_RP2_FLASH = """
import rp2
f = rp2.Flash()
print(f.ioctl(4, 0) * f.ioctl(5, 0))
"""


def flash(case: Case) -> str:
    """The partitions that the board has, beside the board file and our own tables."""
    if case.data.port == "rp2":
        size = int(case.run(_RP2_FLASH))
        wanted = next(part.bytes for part in case.data.flash.partition if part.name == "vfs")
        if size != wanted:
            raise Trouble(
                f"its file system has {size >> 10} KiB, and the board file says {wanted >> 10} KiB",
                f"another image than {case.data.micropython}? see {case.data.download}",
            )
        return f"a file system of {size >> 10} KiB"
    lines = sorted((line.split("|") for line in case.run(_PARTITIONS).splitlines()), key=lambda line: int(line[2]))
    found = [(name, int(offset), int(size)) for _, _, offset, size, name in lines]
    case.values["partitions"] = found
    tables = {f"the image {case.data.micropython}": case.data.flash.partition}
    folder = supplies.partition_tables()
    tables.update({name: layout.parts for name, layout in partitions.layouts(folder).items()})
    for name, table in tables.items():
        if [(part.name, part.offset, part.bytes) for part in table] == found:
            return f"as {name} has it: {', '.join(part[0] for part in found)}"
    stock = {(part.name, part.offset, part.bytes) for part in case.data.flash.partition}
    other = [f"{name} at {offset:#x}, {size:#x}" for name, offset, size in found if (name, offset, size) not in stock]
    raise Trouble(
        f"neither the board file nor a table of ours has: {'; '.join(other) or 'fewer partitions'}",
        f"another variant of the image? `mqttlite flash --image …` with {case.data.micropython} from "
        f"{case.data.download} makes it so",
    )


_HEAP = "import gc\ngc.collect()\nprint(gc.mem_free(), gc.mem_alloc())"


def heap(case: Case) -> str:
    """What the program could have, with nothing of it loaded."""
    free, used = map(int, case.run(_HEAP).split())
    case.values.update(free=free, used=used)
    if free < HEAP_LEAST:
        raise Trouble(
            f"{free:,} bytes are free, and the program needs {HEAP_LEAST:,}",
            "press Reset and run this again; if it is as little then, something else runs there (boot.py), or the "
            "image for this chip lacks memory: freeze mqttlite into it (firmware/README.md)",
        )
    return f"{free:,} bytes free, {used:,} used"


_FROZEN = "import mqttlite, mqttlite_board\nprint(getattr(mqttlite, '__file__', '') or 'frozen')"


def files(case: Case) -> str:
    """Those that the board's program consists of, by their SHA-256."""
    assert case.board is not None
    there = case.board.hashes("", ())
    half = case.board.half()
    case.values.update(files=len(there), half=half)
    below = f"{half}/" if half else ""
    wanted = {
        place.replace(f"{supplies.HALF}/", below, 1) if place.startswith(f"{supplies.HALF}/") else place: data
        for place, data in supplies.file_system(case.wishes.bundle).items()
    }
    missing = [place for place in wanted if place not in there]
    if missing and f"{below}lib/mqttlite/__init__.mpy" in missing and _is_frozen(case):
        missing = [place for place in missing if not place.startswith(f"{below}lib/")]
        wanted = {place: data for place, data in wanted.items() if not place.startswith(f"{below}lib/")}
    if missing:
        raise Trouble(f"{_few(missing)} missing", WRITE_AGAIN)
    if not {f"{below}app.mpy", f"{below}app.py"} & there.keys():
        raise Trouble(
            f"there is no application: neither {below}app.mpy nor {below}app.py",
            "mqttlite flash --app FOLDER --app-only copies one",
        )
    shadowed = [place for place in there if place.endswith(".py") and place[:-3] + ".mpy" in there]
    if shadowed:
        raise Trouble(f"{_few(shadowed)} beside the same as .mpy: the older one runs", f"remove {', '.join(shadowed)}")
    other = [place for place, data in wanted.items() if there[place] != hashlib.sha256(data).hexdigest()]
    if other:
        raise Trouble(
            f"{_few(other)} not what this mqttlite has: another version, another bundle than "
            f"'{case.wishes.bundle}' (--bundle), or damaged",
            WRITE_AGAIN,
        )
    return f"{len(wanted)} files of the bundle '{case.wishes.bundle}' and the program, with an application"


def _is_frozen(case: Case) -> bool:
    try:
        return case.run(_FROZEN) == "frozen"
    except BoardError:
        return False


def _few(places: list[str]) -> str:
    more = f" and {len(places) - 3} more" if len(places) > 3 else ""
    return f"{', '.join(places[:3])}{more} {'is' if len(places) == 1 else 'are'}"


def settings(case: Case) -> str:
    """The record, as the board will read it; its secrets stay where they are."""
    assert case.board is not None
    data = case.board.settings()
    if data is None:
        raise Trouble(
            "there is no settings.json",
            "mqttlite flash --settings board.toml, or a board that waits for them: mqttlite board setup",
        )
    try:
        values = decode(data)
        check(values)
    except SettingError as error:
        raise Trouble(
            f"settings.json: {error}", "correct board.toml, and mqttlite flash --settings board.toml"
        ) from None
    case.settings = full(values)
    case.values.update(name=values["name"], url=values["url"])
    return f"'{values['name']}', {values['url']}, store '{case.settings['store']}'"


_SCAN = """
import network, json
w = network.WLAN(network.STA_IF)
w.active(True)
print(json.dumps([[n[0].hex(), n[3]] for n in w.scan()]))
"""


def wifi(case: Case) -> str:
    """Whether the network of the settings can be heard."""
    assert case.settings is not None
    name = case.settings["wifi"].get("name")
    if not name:
        raise LeftOut("the settings have no Wi-Fi")
    heard = [(bytes.fromhex(name), level) for name, level in json.loads(case.run(_SCAN))]
    levels = [level for other, level in heard if other == name.encode()]
    case.values.update(networks=len(heard), level_dbm=max(levels, default=None))
    if not levels:
        raise Trouble(
            f"'{name}' is not among the {len(heard)} networks that it hears",
            "a network at 5 GHz or a hidden one is not heard; look for a typing error in wifi.name, and go nearer",
        )
    weak = ", which is weak" if max(levels) < -80 else ""
    return f"'{name}' at {max(levels)} dBm{weak}"
