"""Layers between a socket and MQTT's bytes, for both ends on CPython: TLS and WebSocket. Imports only core."""
