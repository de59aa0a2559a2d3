"""Serial ports: which there are, whether this gateway may open them, who else has them."""

import fnmatch
import os
import pwd
from collections.abc import Iterator
from pathlib import Path

from mqttlite.serial.ports import ports_there, users_of

from .finding import DOUBTFUL, LEFT_OUT, OK, WRONG, Case, Finding

STEP = "ports"
BY_ID = Path("/dev/serial/by-id")
CONSOLE = Path("/proc/cmdline")
GROUP = "dialout"
TALKERS = ("ModemManager", "brltty")  # services that speak to ports that are none of theirs


def look(case: Case) -> Iterator[Finding]:
    """Each port that is there or asked for."""
    there = ports_there()
    wanted = [port.path for port in case.config.serial] if case.config else []
    wanted += [bus.path for bus in case.config.buses] if case.config else []
    rules = [rule.pattern for rule in case.config.wanted if rule.pattern] if case.config else []
    fitting = [path for path in there if any(fnmatch.fnmatch(path, rule) for rule in rules)]
    for path in dict.fromkeys([*wanted, *fitting, *([] if wanted or rules else there)]):
        yield _port(path, case)
    if not there and not wanted:
        text = "no serial port is there" + (f" that fits {', '.join(rules)}" if rules else "")
        yield Finding(STEP, DOUBTFUL, text, "plug a board in, with a cable that carries data: some only charge")
    yield from _console(wanted)
    yield from _talkers()


def _port(path: str, case: Case) -> Finding:
    if not os.path.exists(path):
        names = ", ".join(ports_there()) or "no serial port"
        return Finding(STEP, WRONG, f"{path} is not there", f"plug it in, or name another; there is {names}")
    name = _name(path)
    text = path if name == path else f"{path} ({name})"
    users = users_of(path, but=case.pid or 0)
    if users:
        todo = "end it: only one program can have a port"
        return Finding(STEP, WRONG, f"{text} is in use by {', '.join(users)}", todo, {"port": path, "users": users})
    if case.pid and case.pid != os.getpid() and Path("/proc", str(case.pid)).exists():
        return Finding(STEP, OK, f"{text} is there; the gateway runs", values={"port": path})
    if not os.access(path, os.R_OK | os.W_OK):
        user = pwd.getpwuid(os.geteuid()).pw_name
        todo = f"sudo usermod -aG {_group(path)} {user}, then log in again (the service has that group already)"
        return Finding(STEP, DOUBTFUL, f"{text} may not be opened by {user}", todo, {"port": path})
    return Finding(STEP, OK, f"{text} can be opened, and nobody has it", values={"port": path})


def _name(path: str) -> str:
    """The one by which it stays the same when it is unplugged; else as it is."""
    try:
        names = [str(each) for each in BY_ID.iterdir() if os.path.realpath(each) == os.path.realpath(path)]
    except OSError:
        return path
    return names[0] if names else path


def _group(path: str) -> str:
    try:
        return Path(path).group()
    except (OSError, KeyError):
        return GROUP


def _console(wanted: list[str]) -> Iterator[Finding]:
    """The Pi's own UART carries its console until it is told not to."""
    try:
        words = CONSOLE.read_text().split()
    except OSError:
        yield Finding(STEP, LEFT_OUT, f"{CONSOLE} cannot be read")
        return
    consoles = {f"/dev/{word.removeprefix('console=').partition(',')[0]}" for word in words if word[:8] == "console="}
    for path in wanted:
        if {path, os.path.realpath(path)} & consoles:
            todo = "sudo raspi-config, Interface Options, Serial Port: no login shell, hardware enabled; then reboot"
            yield Finding(STEP, WRONG, f"{path} is the console of this machine's kernel", todo)


def _talkers() -> Iterator[Finding]:
    running = set()
    for comm in Path("/proc").glob("[0-9]*/comm"):
        try:
            running.add(comm.read_text().strip())
        except OSError:  # it has ended
            continue
    for name in TALKERS:
        if name in running and not (name == "ModemManager" and _has_rules()):
            todo = (
                f"sudo systemctl disable --now {name}, or install the gateway's udev rules (mqttlite gateway --install)"
            )
            yield Finding(STEP, DOUBTFUL, f"{name} runs, and speaks to serial ports that are plugged in", todo)


def _has_rules() -> bool:
    return any(Path(folder, "99-mqttlite.rules").exists() for folder in ("/etc/udev/rules.d", "/usr/lib/udev/rules.d"))
