"""The gateway on the Pi: devices on serial lines on one side, an MQTT broker on the other.

gateway   every port, and the status of all           config    what it is told: command line, or a TOML file
line      one port: opened, served, opened again      forward   a connection to the broker for what a device sends
upstream  the broker above                            watch     what is said of a line on which no device is
names, status, saying   what devices are called, how lines are, and how often the log says so

May import `mqttlite.client`, `mqttlite.serial`, `mqttlite.link` and `mqttlite.core`; nothing of those imports it.
"""
