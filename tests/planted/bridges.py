"""Bugs in the bridge: what it tells either side too early, what it forgets, and what it takes for known. (What comes of
a session that one side has lost has tests of its own: tests/gateway/bridge/test_lost_sessions.py.)
"""

from mqttlite_gateway.bridge.joined import Joined
from mqttlite_gateway.bridge.opening import Opening
from mqttlite_gateway.bridge.relay import Relay

from .planting import Change, Given, text

CHANGES: dict[str, Change | Given] = {
    "the bridge acknowledges before the upstream has": text(
        Relay._send, {"if sent_qos:\n            self.owed": "if False:\n            self.owed"}
    ),
    "the bridge acknowledges the upstream before its broker has": text(
        Relay._take, {"self._taking[packet_id] = message": "self.to_upstream.append(answer)"}
    ),
    "the bridge keeps PUBREL to itself": text(Relay._release, {"self.terms.qos_max < 2": "self.terms.qos_max <= 2"}),
    "the bridge sends again without DUP": text(Relay._send, {"and sent_qos and terms.is_present": "and False"}),
    "the bridge sends again with another identifier": text(
        Relay._send, {"topic, packet_id, block, message": "topic, packet_id + (first & 8), block, message"}
    ),
    "the bridge does not give up identifiers of an earlier life": text(
        Opening._give_up_all, {"await self._sweep()": "True"}
    ),
    "the bridge begins a session each time": text(Joined.run, {"self.terms.window)": "self.terms.window, True)"}),
    "the bridge believes that it is subscribed": text(Joined._subscribe, {"if had.get(each) != options": "if False"}),
    "the bridge does not look whether its upstream is mute": text(
        Relay.tick,
        {"if self._pinged_at >= 0 and": "if False and", "elif self.owed and now": "elif False and now"},
    ),
}
