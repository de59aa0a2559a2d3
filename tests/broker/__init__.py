"""Tests of mqttlite.broker: the engine with bytes and a virtual clock (world.py), then the shell over real sockets."""
