"""Which steps make a service of the gateway, in order; and back."""

from collections.abc import Callable, Iterator

from . import shipped
from .step import Step, file, folder, no_file
from .system import System

USER = "mqttlite"
HOME = "/var/lib/mqttlite"
FOLDER = "/etc/mqttlite"
UNIT = f"/etc/systemd/system/{shipped.UNIT}"
RULES = f"/etc/udev/rules.d/{shipped.RULES}"
PACKAGED = f"/usr/lib/systemd/system/{shipped.UNIT}"

Say = Callable[[str], None]


def install(system: System, path: str, say: Say, *, is_dry: bool = False) -> None:
    """Make it a service that runs the program `path`. ValueError, OSError: what is in the way."""
    if path == "/usr/bin/mqttlite" and system.path(PACKAGED).exists():
        say("the Debian package has installed the gateway already: nothing to do (apt remove mqttlite removes it)")
        return
    changed = _all(_steps(system, path), say, "made", is_dry)
    was_running = system.has_systemd() and system.asks("systemctl", "is-active", "--quiet", shipped.UNIT)
    _all(_services(system), say, "done", is_dry)
    if not system.has_systemd():
        say("systemd does not run here: the service begins when it does")
    elif changed and was_running:
        _all([_restart(system)], say, "done", is_dry)
    say("settings: /etc/mqttlite/gateway.toml; log: journalctl -fu mqttlite-gateway; trouble: sudo mqttlite doctor")


def uninstall(system: System, say: Say, *, is_dry: bool = False) -> None:
    """Take the service away; settings and queues stay. ValueError, OSError."""
    if system.has_systemd() and not system.path(UNIT).exists() and system.path(PACKAGED).exists():
        say("the Debian package has installed the gateway: it is removed with apt remove mqttlite")
        return
    if system.has_systemd():
        _all([_stop(system)], say, "done", is_dry)
    _all([no_file(system, UNIT), no_file(system, RULES)], say, "removed", is_dry, there="not there")
    if system.has_systemd():
        _all(
            [Step("systemd reads its units again", lambda: False, lambda: system.run("systemctl", "daemon-reload"))],
            say,
            "done",
            is_dry,
        )
    left = [name for name in (FOLDER, HOME) if system.path(name).exists()]
    if left:
        say(
            f"settings, keys and queues stay: {' '.join(left)}; the queues hold {_undelivered(system)} messages "
            f"that are not delivered. To delete all of it: sudo rm -r {' '.join(left)}; sudo userdel {USER}"
        )


def _steps(system: System, path: str) -> Iterator[Step]:
    yield Step(
        f"user and group {USER}, who cannot log in",
        lambda: system.has_user(USER),
        lambda: system.add_user(USER, HOME),
    )
    yield folder(system, FOLDER, 0o750, USER)
    yield folder(system, f"{FOLDER}/secrets", 0o750, USER)
    yield file(system, f"{FOLDER}/gateway.toml", shipped.text_of(shipped.SETTINGS), 0o640, USER, keep=True)
    yield file(system, f"{FOLDER}/gateway.example.toml", shipped.text_of("gateway.example.toml"), 0o644)
    yield file(system, RULES, shipped.text_of(shipped.RULES), 0o644)
    yield file(system, UNIT, shipped.unit(path), 0o644)


def _services(system: System) -> Iterator[Step]:
    if system.has_udev():
        yield Step("udev reads its rules again", lambda: False, lambda: system.run("udevadm", "control", "--reload"))
    if system.has_systemd():
        ask = system.asks
        yield Step("systemd reads its units again", lambda: False, lambda: system.run("systemctl", "daemon-reload"))
        yield Step(
            "the gateway starts with the machine",
            lambda: ask("systemctl", "is-enabled", "--quiet", shipped.UNIT),
            lambda: system.run("systemctl", "enable", shipped.UNIT),
        )
        yield Step(
            "the gateway starts now",
            lambda: ask("systemctl", "is-active", "--quiet", shipped.UNIT),
            lambda: system.run("systemctl", "start", shipped.UNIT),
        )


def _restart(system: System) -> Step:
    return Step("the gateway starts again", lambda: False, lambda: system.run("systemctl", "restart", shipped.UNIT))


def _stop(system: System) -> Step:
    return Step(
        "the gateway ends, and does not start with the machine any more",
        lambda: not system.path(UNIT).exists(),
        lambda: system.run("systemctl", "disable", "--now", shipped.UNIT),
    )


def _all(steps: "Iterator[Step] | list[Step]", say: Say, done: str, is_dry: bool, there: str = "there already") -> int:
    """Do what is not done; how many were not."""
    count = 0
    for step in steps:
        if step.is_done():
            say(f"{there}: {step.what}")
            continue
        count += 1
        if not is_dry:
            step.do()
        say(f"{'would be ' if is_dry else ''}{done}: {step.what}")
    return count


def _undelivered(system: System) -> str:
    from mqttlite.core.errors import MQTTError
    from mqttlite.store.tending.counting import is_store, stores_in, undelivered

    home = system.path(HOME)
    try:
        stores = stores_in(str(home)) if home.is_dir() else []
        return str(sum(undelivered(path) for path in stores if is_store(path)))
    except (OSError, MQTTError):
        return "an unknown number of"
