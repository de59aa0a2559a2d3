"""Small worlds of what only MQTT 5.0 has (feature.py), and what runs in them (base.py, actors.py, run.py): message
expiry, will delay, session expiry, shared subscriptions, retained messages with properties. And of rules of access that
change (rules.py), and of a queue's budget of bytes (budget.py). Faults come to them as to other small worlds (small/).
"""
