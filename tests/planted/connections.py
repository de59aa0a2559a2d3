"""Bugs in how the client connects, waits, gives up and connects again."""

from mqttlite.client.connector import Connector
from mqttlite.core.client import ClientProtocol
from mqttlite.core.client_host import HostProtocol

from .planting import Change, Given, all_of, text, value

CHANGES: dict[str, Change | Given] = {
    "PUBLISH before CONNACK": text(
        ClientProtocol.connect,
        {"(self.connect_packet)": "(self.connect_packet); self.session.out = self.out; self.session._pump()"},
    ),
    "SUBSCRIBE before CONNACK": text(
        ClientProtocol.connect, {"(self.connect_packet)": "(self.connect_packet); self._subscribe_again(False)"}
    ),
    "keep alive is ignored": text(ClientProtocol.deadline, {"if self.is_connected and": "if False and"}),
    "CONNACK is waited for without end": text(
        ClientProtocol.deadline, {"is not None:": "is not None and self.is_connected:"}
    ),
    "subscriptions are not asked for again": value(
        ClientProtocol, "_subscribe_again", lambda self, session_present: None
    ),
    "reconnection without a pause": text(Connector._keep_connected, {"self.pause(pause_ms)": "self.pause(0)"}),
    "the pause gets shorter": text(Connector._keep_connected, {"2 * delay_ms,": "delay_ms // 2,"}),
    "bytes of the last connection are kept": all_of(
        text(ClientProtocol.connect, {"self.parser = type(self.parser)(self.parser.size_max)": "pass"}),
        value(HostProtocol, "receive", ClientProtocol.receive),  # its own is rid of them after one more connection
    ),
}
