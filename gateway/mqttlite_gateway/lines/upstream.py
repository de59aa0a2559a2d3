"""The broker above: how it is reached, what it says first, and what is said when that is not what was hoped for."""

import asyncio
import logging
import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from mqttlite.client import Client
from mqttlite.client.connecting.dialing import open_streams
from mqttlite.client.connecting.recognise import not_mqtt, silent
from mqttlite.client.connecting.unreachable import PORTS, port_of, where, why_unreachable
from mqttlite.client.url import Url
from mqttlite.core import reasons, refusals
from mqttlite.core.errors import MQTTError, ProtocolError, RefusedError
from mqttlite.core.packet_types import CONNACK, DISCONNECT
from mqttlite.core.properties import REASON_STRING
from mqttlite.core.shown import shown
from mqttlite.core.wire5 import decode_connack, decode_disconnect

if TYPE_CHECKING:
    from mqttlite.client.secure.dialer import Dialer

log = logging.getLogger("mqttlite.gateway")

READ_SIZE = 4096  # bytes taken from the broker at once: a third of a second on a line at 115,200 baud
ANSWER_MAX = 1024  # bytes of the broker's first answer that are looked at
CHECK_FIRST_S = 2.0  # at the start: from one look for a broker that is not there to the next, doubling up to
CHECK_MAX_S = 60.0
_SAID = 120  # characters of a broker's own words that are shown

_AUTH = 0xF0

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Upstream:
    """The broker of a URL; `tls`: what Client takes about TLS, by name. `name` is what log lines call it."""

    def __init__(self, url: str, tls: Mapping[str, Any] = MappingProxyType({})) -> None:
        self.text = url
        self.url = Url(url)
        self.name = where(self.url)
        self._tls = tls
        self._dialer: Dialer | None = None  # of mqtts://, ws:// and wss://

    async def connect(self, read_size: int = READ_SIZE) -> Streams:
        """A connection to the first of its addresses that answers. Raises OSError or ConnectError."""
        url = self.url
        if url.scheme == "unix":
            return await asyncio.open_unix_connection(url.path, limit=read_size)
        if url.scheme == "mqtt":
            return await open_streams(url.host or "localhost", port_of(url), read_size)
        if self._dialer is None:
            from mqttlite.client.secure.dialer import Dialer
            from mqttlite.client.secure.tls_options import TlsOptions

            self._dialer = Dialer(url, TlsOptions(**self._tls))
        return await self._dialer.open_streams(read_size)

    async def look(self) -> None:
        """Whether it can be reached; raises as `connect` does."""
        _, writer = await self.connect()
        writer.close()

    def explain(self, error: Exception) -> str:
        """Words for a failure of `connect`."""
        return why_unreachable(self.url, error)

    def explain_first(self, begin: bytes, waited_s: float | None = None) -> str:
        """Words for a peer whose first bytes are no MQTT, or that has sent none: until it closed, or for `waited_s`."""
        if begin:
            return f"{self.name} {not_mqtt(begin)}"
        is_layered = self.url.scheme in PORTS and self.url.scheme != "mqtt"
        return f"{self.name} {silent(port_of(self.url), waited_s and round(waited_s), is_layered)}"

    async def check(self) -> None:
        """Say whether the broker is there, before any device asks, and when it is, if it was not: an MQTT connection of
        the gateway's own, which is closed at once.
        """
        said = ""
        delay_s = CHECK_FIRST_S
        while True:
            try:
                name = f"mqttlite-gateway-{os.urandom(3).hex()}"
                async with Client(self.text, client_id=name, clean_session=True, timeout_s=5, **self._tls):
                    log.info("the broker at %s answers", self.name)
                    return
            except RefusedError as error:  # it is there; devices may have other rights
                log.info(
                    "the broker at %s answers, and refuses the gateway itself: %s", self.name, shown(str(error), 300)
                )
                return
            except (MQTTError, OSError) as error:
                text = shown(str(error), 300)
            if text != said:
                log.warning("devices cannot be connected: %s", text)
                said = text
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, CHECK_MAX_S)


class Answer(NamedTuple):
    """What a broker answers to a device's CONNECT. `refusal`: words with its code, "" when it accepts. Not `is_mqtt`:
    it is no broker that answers. `version`: 4 is MQTT 3.1.1.
    """

    refusal: str
    is_mqtt: bool = True
    version: int = 4


def answer(begin: bytes) -> Answer | None:
    """What the first bytes of a broker's stream say; None when they are too few. [MQTT-3.2.0-1]: CONNACK is first."""
    if len(begin) < 2:
        return None
    if begin[0] == _AUTH:  # MQTT 5.0, 4.12: the device goes on with it
        return Answer("", version=5)
    if begin[0] == DISCONNECT:
        return Answer(last_word(begin), version=5)
    if begin[0] != CONNACK:
        return Answer("", is_mqtt=False) if len(begin) > 2 else None
    length, at = _length(begin)
    if at < 0 or len(begin) < at + 2:
        return None if len(begin) < 7 else Answer("", is_mqtt=False)
    code = begin[at + 1]
    if length == 2:
        return Answer(f"{refusals.words(code)} (CONNACK with return code {code})" if code else "")
    if not code:
        return Answer("", version=5)
    text = f"{reasons.words(code)} (CONNACK)"
    if len(begin) < at + length:  # its own words are still to come
        return None if at + length <= ANSWER_MAX else Answer(text, version=5)
    try:
        found = decode_connack(begin, at, at + length)[2]
    except (ProtocolError, IndexError):
        found = {}
    return Answer(text + _own_words(found), version=5)


def last_word(data: bytes) -> str:
    """Words for the reason why a broker of version 5.0 ends a connection, if `data`, which came last, is a DISCONNECT
    and nothing else; "" if it is not.
    """
    if data[:1] != bytes((DISCONNECT,)) or len(data) < 3 or len(data) > ANSWER_MAX:
        return ""
    length, at = _length(data)
    if at < 0 or at + length != len(data):
        return ""
    try:
        code, found = decode_disconnect(data, at, len(data))
    except (ProtocolError, IndexError):
        return ""
    return f"{reasons.words(code)} (DISCONNECT){_own_words(found)}"


def is_goodbye(end: bytes) -> bool:
    """Whether the last bytes of a device are a DISCONNECT, after which the broker closes without a word. The end of a
    payload may look like that, too: this decides about nothing but words.
    """
    return any(end[at] == DISCONNECT and end[at + 1] == len(end) - at - 2 for at in range(len(end) - 1))


def _own_words(found: "dict[int, int | bytes]") -> str:
    said = found.get(REASON_STRING)
    return f"; the broker says: '{shown(said, _SAID)}'" if isinstance(said, bytes) and said else ""


def _length(data: bytes) -> tuple[int, int]:
    """Remaining Length (2.2.3), and where it ends; -1: not yet, or never."""
    length = 0
    for at in range(1, min(len(data), 5)):
        length |= (data[at] & 127) << 7 * (at - 1)
        if data[at] < 128:
            return length, at + 1
    return 0, -1
