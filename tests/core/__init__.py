"""Tests of mqttlite.core, one file a module; the session has several (see session_world.py)."""
