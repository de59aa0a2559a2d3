"""The gateway on the Pi: devices on serial lines on one side, an MQTT broker on the other.

May import `mqttlite.client`, `mqttlite.broker`, `mqttlite.link` and `mqttlite.core`; nothing of those imports it.
"""
