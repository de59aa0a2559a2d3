"""Where the broker listens, and whom a listener takes, before anybody has said a word of MQTT.

listen       addresses, as sockets                       activation   those that systemd has opened
listener     TLS and WebSocket of an address             origins      pages that may open WebSockets
handshakes   why a handshake did not come about, in words

What comes in by them: connections/, whose doors.py opens and exchanges all of them.
"""
