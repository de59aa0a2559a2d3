"""A board that waits for its settings: Improv over serial, and our own settings record, on its console. Both runtimes;
`run` for MicroPython alone.

The board says every second what it waits for until somebody speaks to it, so whoever asked before it was ready knows
within a second after it is. Credentials are saved once they have let the board into the network: what does not work is
not kept. Nothing here is printed that came in a record, but names and addresses.

Each packet for a board holds the byte 3, its type, which is Ctrl-C on a console: the console's Ctrl-C is switched off
here, and one that is part of no packet is taken for what it is.
"""

import json
import sys
import time

from . import improv, settings
from .improv import PROVISIONED, PROVISIONING, READY, error, result, state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

ANNOUNCE_MS = 1000  # from one time to the next that it says its state, unasked,
QUIET_MS = 10000  # when nobody has spoken to it for so long
JOIN_MS = 20000  # for the network to let it in; clients wait for 30 s
GOODBYE_MS = 700  # from the last word to the restart
PRESSED_MS = 100  # Ctrl-C counts when nothing has followed for so long
IDLE_MS = 300  # a packet that stops in the middle for so long has been cut off
RECORD_MAX = 4096
_ENOSPC = 28


def default_name() -> str:
    """What a board is called that nobody has given a name: board-<end of its chip's number>."""
    try:
        from machine import unique_id

        return "board-" + "".join(["%02x" % byte for byte in unique_id()[-3:]])
    except (ImportError, AttributeError):
        return "board"


def is_complete(values: "dict[str, Any]", has_radio: bool) -> bool:
    """Whether a board can work with these: who it is, where the broker is, and how it gets there."""
    if not (values.get("name") and values.get("url")):
        return False
    urls = [values["url"]] if isinstance(values["url"], str) else values["url"]
    needs_wifi = has_radio and not [url for url in urls if url.startswith("serial:")]
    return bool(values.get("wifi", {}).get("name")) or not needs_wifi


class Setup:
    """The board's side of a conversation. `values`: the record as far as there is one; `write` takes bytes for the
    console; `wlan`: the radio, or None. `restart_at`: when the board is to restart, in ms, None as long as it is not.
    """

    restart_at: "int | None" = None
    pressed = 0  # Ctrl-C (3), or that and Ctrl-A (1)
    address = ""  # in the network, once it has let the board in

    def __init__(
        self, path: str, values: "dict[str, Any]", write: "Callable[[bytes], object]", wlan: "Any", now_ms: int
    ) -> None:
        self.path = path
        self.values = values
        self.write = write
        self.wlan = wlan
        self.parser = improv.Parser()
        self.state = PROVISIONED if is_complete(values, wlan is not None) else READY
        self.heard_at: "int | None" = None
        self._said_at = now_ms - ANNOUNCE_MS
        self._record = bytearray()
        self._trying: "tuple[dict[str, Any], int] | None" = None  # the record and the command that brought it
        self._until = 0
        self.now = now_ms

    # -- what goes out

    def say_state(self, new: int) -> None:
        """There is a new state."""
        self.state = new
        self._said_at = self.now
        self.write(state(new))

    def fail(self, command: int, text: str, code: int = improv.OTHER) -> None:
        """A command cannot be carried out: `text` for people and for a client of ours, `code` for the others."""
        print("settings:", text)
        self.write(result(command, ["wrong", text]) if command == improv.PUT else error(code))

    # -- what comes in

    def receive(self, data: bytes, now_ms: int) -> None:
        """What has arrived on the console."""
        self.now = now_ms
        packets = self.parser.feed(data)
        for kind, body in packets:
            if kind == improv.RPC:
                self.heard_at = now_ms
                parts = improv.command(body)
                if parts is None:
                    self.write(error(improv.INVALID))
                else:
                    self.write(error(improv.NONE))
                    self._obey(parts[0], parts[1])
        for byte in self.parser.noise:
            if byte == 3:
                self.pressed = 3
            elif byte > 13 or not byte:  # a part of something else, such as a frame of a gateway's link
                self.pressed = 0
            elif byte == 1 and self.pressed:
                self.pressed = 1
        self.parser.noise = bytearray()

    def look(self) -> None:
        """Nothing has come for a moment. KeyboardInterrupt: Ctrl-C came before; with an argument if Ctrl-A has
        followed, as from mpremote.
        """
        if self.pressed:
            raise KeyboardInterrupt(1) if self.pressed == 1 else KeyboardInterrupt

    def _obey(self, command: int, data: bytes) -> None:
        if command == improv.GET_STATE:
            self.say_state(self.state)
            if self.state == PROVISIONED:
                self.write(result(command, []))
        elif command == improv.INFO:
            self.write(result(command, self._info()))
        elif command == improv.SCAN:
            self._scan()
        elif command == improv.NETWORK:
            flags = (improv.ONLINE if self.address else 0) | (improv.HAS_WIFI if self.wlan else 0)
            self.write(result(command, [str(flags)]))
        elif command == improv.HOSTNAME or command == improv.DEVICE_NAME:
            self._name(command, data)
        elif command == improv.WIFI:
            parts = improv.lengths(data)
            if parts is None or len(parts) != 2:
                self.write(error(improv.INVALID))
                return
            try:
                wifi = {"name": parts[0].decode(), "password": parts[1].decode()}
            except UnicodeError:
                self.write(error(improv.INVALID))
                return
            values = dict(self.values)
            values.setdefault("name", default_name())
            values["wifi"] = wifi
            self._try(values, command)
        elif command == improv.PUT:
            self._put(data)
        elif command == improv.GET:
            shown = json.dumps(settings.public(self.values)).encode()
            at = int.from_bytes(data[:2], "big")
            self.write(result(command, [shown[at : at + improv.PIECE]]))
        else:
            self.write(error(improv.UNKNOWN))

    def _info(self) -> "list[str | bytes]":
        try:
            from mqttlite import __version__ as version
        except ImportError:
            version = "?"
        about = sys.implementation
        chip = str(getattr(about, "_machine", sys.platform)).split("with ")[-1]
        release = ".".join([str(part) for part in about.version[:3]])
        return ["mqttlite", version, chip, self.values.get("name", default_name()), about.name, release]

    def _scan(self) -> None:
        found: "dict[str, tuple[int, int]]" = {}
        try:
            if self.wlan and not self._trying:
                self.wlan.active(True)
                for name, _, _, rssi, security, _ in self.wlan.scan():
                    try:
                        text = name.decode()
                    except UnicodeError:
                        continue
                    if text and (text not in found or found[text][0] < rssi):
                        found[text] = (rssi, security)
        except OSError as failure:
            print("Wi-Fi:", failure)
        for rssi, text, security in sorted([(-found[text][0], text, found[text][1]) for text in found]):
            self.write(result(improv.SCAN, [text, str(-rssi), "YES" if security else "NO"]))
        self.write(result(improv.SCAN, []))

    def _name(self, command: int, data: bytes) -> None:
        if data:
            try:
                name = data.decode()
                settings.check({"name": name, "url": "serial:usb"})
                plain = [sign for sign in name.lower() if not (sign.isalpha() or sign.isdigit() or sign == "-")]
                if command == improv.HOSTNAME and (
                    plain or len(name) != len(data) or name[0] == "-" or name[-1] == "-"
                ):
                    raise ValueError
            except ValueError:  # UnicodeError and SettingError are such
                self.write(error(improv.BAD_NAME))
                return
            self.values = dict(self.values)
            self.values["name"] = name
            if is_complete(self.values, self.wlan is not None) and self._save(command, self.values):
                self.restart_at = self.now + GOODBYE_MS
        self.write(result(command, [self.values.get("name", default_name())]))

    def _put(self, data: bytes) -> None:
        """A piece of a record."""
        offset, total = int.from_bytes(data[:2], "big"), int.from_bytes(data[2:4], "big")
        if offset == 0:
            self._record = bytearray()
        if len(data) < 4 or offset != len(self._record) or total > RECORD_MAX:
            self.fail(improv.PUT, "a piece of the record is missing, or it is too large: send it again")
            return
        self._record += data[4:]
        if len(self._record) < total:
            self.write(result(improv.PUT, ["more"]))
            return
        record, self._record = bytes(self._record), bytearray()
        try:
            values = settings.decode(record)
            settings.check(values)
        except settings.SettingError as wrong:
            self.fail(improv.PUT, str(wrong))
            return
        self._try(values, improv.PUT)

    # -- trying it

    def _try(self, values: "dict[str, Any]", command: int) -> None:
        """See whether the network of a record lets the board in; without a radio or a network it is taken as it is."""
        wifi = values.get("wifi", {})
        if not (self.wlan and wifi.get("name")):
            self._finish(values, command)
            return
        self.say_state(PROVISIONING)
        try:
            self.wlan.active(False)
            self.wlan.active(True)
            if "address" in wifi:
                self.wlan.ifconfig(tuple(wifi["address"]))
            self.wlan.connect(wifi["name"], wifi.get("password", ""))
        except (OSError, ValueError) as failure:
            self._give_up(command, "the radio refuses: %s" % failure)
            return
        self._trying = values, command
        self._until = self.now + JOIN_MS

    def _give_up(self, command: int, text: str) -> None:
        self._trying = None
        if self.wlan:
            self.wlan.active(False)
        self.fail(command, text, improv.UNABLE)
        self._say_rest()

    def _say_rest(self) -> None:
        """The state in which nothing is being tried."""
        self.say_state(PROVISIONED if is_complete(self.values, self.wlan is not None) else READY)

    def _finish(self, values: "dict[str, Any]", command: int) -> None:
        """The network has let the board in, if it needs one."""
        self._trying = None
        if not is_complete(values, self.wlan is not None):
            self.values = values
            self._tell_incomplete(command)
            return
        if not self._save(command, values):
            return
        self.values = values
        self.say_state(PROVISIONED)
        self.write(result(command, ["saved", self.address] if command == improv.PUT else []))
        print("settings: saved; the board starts again")
        self.restart_at = self.now + GOODBYE_MS

    def _tell_incomplete(self, command: int) -> None:
        """Wi-Fi works, and where the broker is nobody has said: other people's tools do not know of one."""
        if command == improv.PUT:
            self.fail(command, "wifi.name is missing: this board reaches its broker over Wi-Fi")
            self._say_rest()
            return
        print("settings: Wi-Fi is right; the broker is missing: mqttlite board setup --port …")
        self.say_state(PROVISIONED)
        self.write(result(command, []))

    def _save(self, command: int, values: "dict[str, Any]") -> bool:
        try:
            settings.save(self.path, values)
            return True
        except settings.SettingError as wrong:
            text = str(wrong)
        except OSError as failure:
            text = "cannot be saved: %s" % ("the flash is full" if failure.errno == _ENOSPC else failure)
        self.fail(command, text)
        self._say_rest()
        return False

    # -- time

    def tick(self, now_ms: int) -> None:
        """Time has passed; call it a few times a second."""
        self.now = now_ms
        if self._trying:
            values, command = self._trying
            name = values["wifi"]["name"]
            if self.wlan.isconnected():
                self.address = self.wlan.ifconfig()[0]
                print("Wi-Fi:", self.address)
                self._finish(values, command)
            elif _since(self._until, now_ms) > 0:
                self._give_up(command, "no address in the network '%s' within %d s" % (name, JOIN_MS // 1000))
            else:
                reason = _refused(self.wlan.status())
                if reason:
                    self._give_up(command, reason % name)
        quiet = self.heard_at is None or _since(self.heard_at, now_ms) > QUIET_MS
        if quiet and _since(self._said_at, now_ms) >= ANNOUNCE_MS:
            self.say_state(self.state)


def _now() -> "Any":
    return time.ticks_ms()


def _since(then: "Any", now: "Any") -> int:
    return time.ticks_diff(now, then) if hasattr(time, "ticks_diff") else int(now - then)


def _refused(status: int) -> str:
    """What a radio says that will not be let in, for a format with the network's name; "" while it tries."""
    import network

    for name, text in (
        ("STAT_WRONG_PASSWORD", "the network '%s' refuses the password"),
        ("STAT_NO_AP_FOUND", "no network '%s' is in reach (one of 5 GHz does not count)"),
        ("STAT_CONNECT_FAIL", "the network '%s' does not let the board in"),
    ):
        if status == getattr(network, name, None):
            return text
    return ""


def run(path: str, feed: "Callable[[], object]", reason: str = "", for_ms: int = 0) -> bool:
    """Converse on the console until there are settings: True, and the board is to restart. With `for_ms` until nobody
    has spoken for so long, and False at once where there is no console. `reason`: why it waits for them.
    KeyboardInterrupt: somebody has pressed Ctrl-C.
    """
    values: "dict[str, Any]" = {}
    try:
        values = settings.read(path)
    except settings.SettingError as wrong:
        reason = reason or str(wrong)
    except OSError:
        pass
    _catch_ctrl_c(False)
    poll = _poller()
    if for_ms:  # the rest of the packet that has asked, before the answer brings the next one; its Ctrl-C is none
        for _ in range(64):
            if not poll.poll(PRESSED_MS) or not sys.stdin.buffer.read(1):
                break
    setup = Setup(path, values, sys.stdout.buffer.write, _radio(), _now())
    if setup.state == READY:
        print("waiting for settings%s: mqttlite board setup --port …" % (" (" + reason + ")" if reason else ""))
    else:
        setup.receive(improv.rpc(improv.GET_STATE), setup.now)  # whoever has asked, has asked for that
        setup.heard_at = None
    begun = arrived = _now()
    try:
        while True:
            feed()
            if poll.poll(20):
                data = sys.stdin.buffer.read(1)
                if data:
                    arrived = _now()
                    setup.receive(data, arrived)
                    if poll.poll(0):
                        continue
                else:
                    return False
            now = _now()
            if _since(arrived, now) > PRESSED_MS:
                setup.look()
            if _since(arrived, now) > IDLE_MS:
                setup.parser.idle()
            setup.tick(now)
            if setup.restart_at is not None and _since(setup.restart_at, now) > 0:
                return True
            if for_ms and _since(begun if setup.heard_at is None else setup.heard_at, now) > for_ms:
                return False
    finally:
        _catch_ctrl_c(True)


def _poller() -> "Any":
    import select

    poll = select.poll()
    poll.register(sys.stdin, select.POLLIN)
    return poll


def _catch_ctrl_c(on: bool) -> None:
    import micropython

    micropython.kbd_intr(3 if on else -1)


def _radio() -> "Any":
    try:
        import network

        return network.WLAN(network.STA_IF)
    except (ImportError, AttributeError):
        return None
