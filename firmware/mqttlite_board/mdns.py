"""Questions of multicast DNS (RFC 6762) and what answers say, for who looks for a broker in its network (RFC 6763).
Without I/O; both runtimes.

    query("_mqtt._tcp.local")          the bytes of a question, to be sent to GROUP and PORT from any other port: who
                                       answers sends the answer there alone (6.7)
    gathered = Gathered()
    gathered.take(data)                what an answer says; what is no answer says nothing
    gathered.services("_mqtt._tcp")    what is known so far
    gathered.address("pi.local")

Whoever is in the network can answer, and with anything: an answer is read within bounds, and what it says proves
nothing about who has sent it.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

GROUP = "224.0.0.251"
PORT = 5353
MESSAGE_MAX = 9000  # bytes of a message (17)

_A, _PTR, _TXT, _SRV = 1, 12, 16, 33
_UNICAST_IN = b"\x80\x01"  # class IN, "an answer to me alone will do"
_RECORDS_MAX = 64  # of a message
_KEPT_MAX = 32  # kept of each kind: services, hosts
_JUMPS_MAX = 16  # of one name
_LABELS_MAX = 16
_ENCODED_MAX = 255  # bytes of a name (RFC 1035, 2.3.4)


class _Broken(Exception):
    pass


def query(name: str, kind: int = _PTR) -> bytes:
    """The question for a name; `kind`: of the record that is wanted."""
    labels = b"".join([bytes((len(label),)) + label for label in name.encode().split(b".")])
    return bytes((0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0)) + labels + bytes((0, 0, kind)) + _UNICAST_IN


def address_query(name: str) -> bytes:
    """The question for the IPv4 address of a host."""
    return query(name, _A)


def place_query(full: str) -> bytes:
    """The question for host and port of an instance, by its full name, in whose first label dots may stand."""
    at = full.find("._")
    name = full[:at].encode()
    service = query(full[at + 1 :], _SRV)
    return service[:12] + bytes((len(name),)) + name + service[12:]


class Gathered:
    """What answers have said."""

    def __init__(self) -> None:
        self._instances: "dict[str, str]" = {}  # full name of an instance: that of its service
        self._places: "dict[str, tuple[int, str, int]]" = {}  # by instance: priority, host, port
        self._texts: "dict[str, dict[str, str]]" = {}
        self._addresses: "dict[str, str]" = {}

    def take(self, data: bytes) -> bool:
        """What a message says that has come; whether it is an answer, and whole."""
        if len(data) < 12 or len(data) > MESSAGE_MAX or data[2] & 0xF8 != 0x80 or data[3] & 0x0F:
            return False
        try:
            at = 12
            for _ in range(_count(data, 4)):
                at = _name(data, at)[1] + 4
            for _ in range(min(_count(data, 6) + _count(data, 8) + _count(data, 10), _RECORDS_MAX)):
                at = self._record(data, at)
        except (_Broken, IndexError):
            return False
        return True

    def services(self, service: str) -> "list[tuple[str, str, int, str, dict[str, str]]]":
        """What offers a service, such as _mqtt._tcp: (name, host, port, address, texts), the preferred first. `address`
        is "" where the answers have not said it.
        """
        found = []
        for full, of in self._instances.items():
            if of == service + ".local" and full in self._places:
                priority, host, port = self._places[full]
                name = full[: len(full) - len(of) - 1]
                found.append((priority, name, host, port, self.address(host), self._texts.get(full, {})))
        found.sort(key=lambda each: each[:4])
        return [each[1:] for each in found]

    def unplaced(self) -> "list[str]":
        """Instances that have not been asked for host and port: their full names."""
        return [full for full in self._instances if full not in self._places]

    def address(self, host: str) -> str:
        """The IPv4 address of a host; "": not known."""
        return self._addresses.get(host.lower(), "")

    def _record(self, data: bytes, at: int) -> int:
        name, at = _name(data, at)
        kind = _count(data, at)
        begin = at + 10
        end = begin + _count(data, at + 8)
        if end > len(data):
            raise _Broken
        if kind == _PTR:
            instance = _name(data, begin)[0]
            if name[:1] == "_" and instance.lower().endswith("." + name.lower()):  # a service has such a name
                _keep(self._instances, instance, name.lower())
        elif kind == _SRV:
            port = _count(data, begin + 4)
            if port:
                _keep(self._places, name, (_count(data, begin), _name(data, begin + 6)[0], port))
        elif kind == _TXT:
            _keep(self._texts, name, _texts(data[begin:end]))
        elif kind == _A and end - begin == 4:
            _keep(self._addresses, name.lower(), ".".join([str(byte) for byte in data[begin:end]]))
        return end


def _keep(known: "Any", name: str, value: object) -> None:
    if name in known or len(known) < _KEPT_MAX:
        known[name] = value


def _count(data: bytes, at: int) -> int:
    """A number of two bytes."""
    return data[at] << 8 | data[at + 1]


def _name(data: bytes, at: int) -> "tuple[str, int]":
    """A name, and where it ends. A dot in a label, as an instance may have one, stays what it is."""
    labels = []
    end = jumps = whole = 0
    while data[at]:
        size = data[at]
        if size & 0xC0 == 0xC0:  # it goes on elsewhere
            end = end or at + 2
            at = (size & 0x3F) << 8 | data[at + 1]
            jumps += 1
        elif size & 0xC0:
            raise _Broken
        else:
            label = data[at + 1 : at + 1 + size]
            if len(label) < size:
                raise _Broken
            labels.append(label)
            at += 1 + size
            whole += 1 + size
        if jumps > _JUMPS_MAX or len(labels) > _LABELS_MAX or whole > _ENCODED_MAX:
            raise _Broken
    try:
        return b".".join(labels).decode(), end or at + 1
    except UnicodeError:
        raise _Broken from None


def _texts(data: bytes) -> "dict[str, str]":
    """KEY=VALUE each, the first of a key counts (RFC 6763, 6.4); what is no text is left out."""
    found: "dict[str, str]" = {}
    at = 0
    while at < len(data):
        key, _, value = data[at + 1 : at + 1 + data[at]].partition(b"=")
        at += 1 + data[at]
        try:
            if key:
                found.setdefault(key.decode().lower(), value.decode())
        except UnicodeError:
            pass
    return found
