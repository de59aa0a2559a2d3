"""Bugs in payloads that are given and taken piece by piece."""

from mqttlite.client.pieces import sending
from mqttlite.client.pieces.inflow import Inflow
from mqttlite.core import streamed
from mqttlite.core.flowing import Flowing

from .planting import Change, Given, text

CHANGES: dict[str, Change | Given] = {
    "a stream that nobody takes yet is acknowledged": text(
        Flowing._start, {"elif self.packet_id and client.stream_max": "elif False and client.stream_max"}
    ),
    "a stream that is cut off counts as whole": text(
        Inflow._fail, {"message._error = error": "message._is_whole = True; return message._more.set()"}
    ),
    "the key of a stream is not sent": text(
        sending.publish_stream, {"is_keyed = KEYS and qos": "is_keyed = 0 and qos"}
    ),
    "streams of an earlier life are not let go of": text(
        streamed.end_earlier, {"messages[seq] = (released(head), payload, key)": "del messages[seq]"}
    ),
}
