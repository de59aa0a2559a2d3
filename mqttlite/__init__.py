"""mqttlite: MQTT QoS 0/1/2 for constrained devices, from the microcontroller to the database."""

__version__ = "0.1.0"
