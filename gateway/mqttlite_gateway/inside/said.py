"""The gateway's own messages, in bridge mode: published by the broker inside."""

from mqttlite.broker import Broker


def say(broker: Broker, topic: str, payload: str, *, retain: bool = False) -> None:
    """Publish with QoS 0."""
    name = topic.encode()
    if retain:
        broker.engine.router.say(name, payload.encode())
    else:
        broker.engine.router.publish(None, 0, name, payload.encode())
    broker.changed()
