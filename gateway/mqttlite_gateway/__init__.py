"""The gateway on the Pi: devices on serial lines on one side, an MQTT broker on the other.

gateway   every port, and the status of all           config    what it is told: command line, or a TOML file
lines/    serial ports and the devices on them         status    how the lines are, published

May import `mqttlite.client`, `mqttlite.serial`, `mqttlite.link` and `mqttlite.core`; nothing of those imports it.
"""
