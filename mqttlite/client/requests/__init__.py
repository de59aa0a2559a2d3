"""Requests: a message is published, and one comes back that answers it. CPython; loaded with the first one.

asking     `await client.request("square/1", b"7")`            serving   `await client.serve("square/+", function)`
envelope   how a request says where its answer is to go, with and without MQTT 5.0
typed      payloads as objects of the application's own types

Where first answers are kept is mqttlite.client.first_answers. Imports: asking and serving, then envelope and typed.
"""
