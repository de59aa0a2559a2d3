"""Small worlds of what only MQTT 5.0 has (feature.py), and what runs in them (run.py, actors.py): message expiry, will
delay, session expiry, shared subscriptions, retained messages with properties. And of rules of access that change
(rules.py). Faults come to them as to other small worlds (small/).
"""
