"""Connections of a client over TLS and WebSocket (`mqtts://`, `ws://`, `wss://`); the layers themselves are
mqttlite.net's. CPython; loaded by who has such a URL.

dialer        opens them
failures      why one did not come about, and what to do
tls_options   whom the client trusts, and who it is: the arguments for that, and the SSLContext made of them

Imports: dialer, then failures, then tls_options; below them mqttlite.client.connecting.
"""
