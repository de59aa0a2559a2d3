"""What an error says about the rule that was broken (errors.broken). Both runtimes; loaded with the first of them."""

# What the session's numbers mean (session.py), for packets that do not fit their message's state
_PACKETS = {3: "PUBLISH", 4: "PUBACK", 5: "PUBREC", 6: "PUBREL", 7: "PUBCOMP"}
_OUTBOUND = {0: "is unknown, or finished", 2: "waits for PUBACK", 4: "waits for PUBREC", 6: "waits for PUBCOMP"}
_INBOUND = {
    0: "is unknown, or finished",
    1: "came at QoS 1, and is not handled yet",
    3: "came at QoS 2, and is not handled yet",
    5: "came at QoS 1 over an earlier connection, and is not handled yet",
    7: "came at QoS 2 over an earlier connection, and is not handled yet",
    9: "came at QoS 1 over an earlier connection, and is handled",
    11: "waits for PUBREL",
}

WORDS = {
    "1.5.3 character": "%s in a topic: brokers and subscribers may close the connection for it; leave it out",
    "1.5.3 field": "field longer than 65535 bytes",
    "1.5.3 topic name": "topic name is longer than its packet",
    "1.5.5": "a length that does not end",
    "2.2.1": "packet type %d",
    "2.2.2 flag": "a property that is 0 or 1 is %d",
    "2.2.2 twice": "property %d stands twice in a packet",
    "2.2.2 zero": "a property that may not be 0 is 0",
    "2.2.2.1": "properties are longer than their packet",
    "2.2.2.1 end": "packet ends before its properties",
    "2.2.2.2": "a property is longer than its packet",
    "2.2.2.2 place": "property %d may not stand in this packet",
    "2.2.3 acknowledgement": "acknowledgement of %d bytes",
    "2.2.3 length": "Remaining Length of more than four bytes",
    "2.2.3 packet": "packet of %d bytes",
    "2.3.1": "packet ends before its packet identifier",
    "3.1.2.10": "keep alive must be 0 to 65535 seconds",
    "3.1.2.11.2": "session expiry interval must be 0 to 4294967295 seconds",
    "3.1.2.11.3": "receive maximum must be 1 to 65535 messages",
    "3.2": "CONNACK of %d bytes instead of 2",
    "3.2.2": "CONNACK of %d bytes",
    "3.2.2.1": "reserved bit set in CONNACK",
    "3.2.3": "CONNACK has %d bytes behind its properties",
    "3.3.2.3": "%s must be 0 to 4294967295 seconds",
    "3.4.3": "acknowledgement with a payload",
    "3.13": "PINGRESP with a body",
    "3.14.3": "DISCONNECT with a payload",
    "4.3 inbound": "%s for packet identifier %d, whose message %s",
    "4.3 outbound": "%s for packet identifier %d, whose message %s",
    "4.3.3": "more than %d unfinished messages",
    "4.8 broker": "a broker may not send packet type %d",
    "4.8 size": "packet of %d bytes; at most %d are accepted here",
    "MQTT-1.5.3-1": "%s is not well-formed UTF-8",
    "MQTT-1.5.3-1 surrogate": "%s holds a surrogate",
    "MQTT-1.5.3-2": "%s contains U+0000",
    "MQTT-1.5.5-1": "a length in more bytes than it needs",
    "MQTT-2.2.2-2": "flags %d in packet type %d",
    "MQTT-2.3.1-1": "packet identifier 0",
    "MQTT-2.3.1-7": "answer to an unknown request %d",
    "MQTT-3.1.2-22": "a password needs a user name",
    "MQTT-3.1.3-7": "a session that is kept needs a client identifier",
    "MQTT-3.2.0-1": "the first packet from the broker is not CONNACK",
    "MQTT-3.2.2-1": "session present although a clean session was asked for",
    "MQTT-3.2.2-1 bit": "reserved bit set in CONNACK",
    "MQTT-3.2.2-4": "session present in a refusal",
    "MQTT-3.2.2-6": "session present in a refusal",
    "MQTT-3.2.2-8": "reserved reason code %d in CONNACK",
    "MQTT-3.2.2-15": "the topic filter is too long for the broker's largest packet",
    "MQTT-3.3.1-2": "PUBLISH with DUP at QoS 0",
    "MQTT-3.3.1-4": "PUBLISH with QoS 3",
    "MQTT-3.3.2-1": "PUBLISH without topic name",
    "MQTT-3.3.2-2": "wildcard in topic name",
    "MQTT-3.8.3-2": "SUBSCRIBE without topic filter",
    "MQTT-3.8.3-3": "SUBSCRIBE without topic filter",
    "MQTT-3.8.4-5": "SUBACK does not have a return code for each topic filter",
    "MQTT-3.9.3-2": "reserved return code in SUBACK",
    "MQTT-3.9.3-2 code": "reserved reason code %d in SUBACK",
    "MQTT-3.10.3-2": "UNSUBSCRIBE without topic filter",
    "MQTT-4.7.1-2": "# is not the whole last level of the topic filter",
    "MQTT-4.7.1-3": "+ is not a whole level of the topic filter",
    "MQTT-4.7.3-1": "empty %s",
    "MQTT-4.7.3-3": "%s of more than 65535 bytes",
}


def words(about: str, values: "tuple[object, ...]") -> str:
    """The sentence for a broken rule with its values."""
    if about[:4] == "4.3 ":
        packet, packet_id, state = values
        states = _OUTBOUND if about == "4.3 outbound" else _INBOUND
        values = (_PACKETS.get(packet, "the application's word"), packet_id, states[state])  # type: ignore[call-overload, index]
    return WORDS[about] % values
