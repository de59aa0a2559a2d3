"""Home Assistant: the gateway and its devices appear there by themselves, and go again.

payloads   what is said of one device, in the form of MQTT discovery
devices    which devices there are, how they are    plan       what is to be published now, and when; no clock, no I/O
home       the gateway's part that does it          ways       by which broker: the one inside, or the one above
"""
