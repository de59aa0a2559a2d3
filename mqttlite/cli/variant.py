"""Which build of mqttlite runs: the source, or the wheel whose modules of each message are compiled. CPython only."""

from importlib.machinery import EXTENSION_SUFFIXES

from ..core import packet_types

COMPILED = str(packet_types.__file__).endswith(tuple(EXTENSION_SUFFIXES))
BUILD = "compiled by mypyc" if COMPILED else "pure Python"
