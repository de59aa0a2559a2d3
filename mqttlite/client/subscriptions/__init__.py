"""Subscriptions with messages of their own, and functions that are called with them. CPython; loaded with the first
one.

subscription   `async with client.subscription("room/#") as messages`
handlers       `client.handle(function, "room/#")`, and what happens to what it raises
distribution   who gets what arrives, and when it is acknowledged
threads        a thread for functions that block; for mqttlite.database, too

Imports: subscription and handlers, then distribution.
"""
