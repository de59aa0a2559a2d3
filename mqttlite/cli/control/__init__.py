"""Brokers that run: they are found, looked at and looked after.

ctl       `mqttlite ctl`: clients, queues, sessions, one order at a time
top       `mqttlite top`        top_view     its screen        top_numbers  what it shows
device    `mqttlite device`: adds devices to a broker
discover  `mqttlite discover`: looks for brokers in the network
chosen    which broker is meant
client    speaks to the control socket of a broker

Imports: downwards in this list, and showing/.
"""
