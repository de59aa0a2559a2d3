"""For tests of programs that speak MQTT, whichever client they use: a broker of one's own, a client that sees
everything, a link that breaks when it is told to, a broker that is killed. docs/testing.md

    from mqttlite.testing import BrokerProcess, FaultyLink, TestBroker

pytest finds fixtures with them by itself (plugin.py: mqtt_broker, mqtt_client, mqtt_faults, ...). Each name is loaded
when it is asked for: whoever has mqttlite installed and tests something else pays next to nothing.

loop_thread  an event loop in a thread, for blocking tests      broker   a broker in it
probe        a client in it that sees everything                faults   a TCP proxy in it
process      a broker in a process of its own, which can be killed
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .broker import TestBroker as TestBroker
    from .faults import FaultyLink as FaultyLink
    from .loop_thread import LoopThread as LoopThread
    from .probe import Probe as Probe
    from .process import BrokerProcess as BrokerProcess

__all__ = ["BrokerProcess", "FaultyLink", "LoopThread", "Probe", "TestBroker"]

_HOMES = {
    "BrokerProcess": "process",
    "FaultyLink": "faults",
    "LoopThread": "loop_thread",
    "Probe": "probe",
    "TestBroker": "broker",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
