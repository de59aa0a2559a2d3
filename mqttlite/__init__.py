"""mqttlite: MQTT QoS 0/1/2 for constrained devices, from the microcontroller to the database.

    from mqttlite import Client

Each name is loaded when it is asked for: `import mqttlite` by itself loads nothing. Both runtimes.
"""

__version__ = "0.1.0"

__all__ = [
    "AnswerError",
    "Authentication",
    "Client",
    "ClosedError",
    "ConnectError",
    "ExpiredError",
    "InDoubtError",
    "Journal",
    "MQTTError",
    "Message",
    "PendingMessage",
    "ProtocolError",
    "PublishError",
    "RawArea",
    "ReasonCode",
    "Receipt",
    "Reconnect",
    "RefusedError",
    "SetAsideError",
    "SettingError",
    "Statistics",
    "StoreError",
    "StreamError",
    "SubscribeError",
    "Will",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .client import Client as Client
    from .client import Message as Message
    from .client import Receipt as Receipt
    from .client.arguments.reconnect import Reconnect as Reconnect
    from .client.authentication import Authentication as Authentication
    from .client.requests.asking import AnswerError as AnswerError
    from .client.traffic.statistics import Statistics as Statistics
    from .client.unconfirmed import PendingMessage as PendingMessage
    from .client.will import Will as Will
    from .core.errors import ClosedError as ClosedError
    from .core.errors import ConnectError as ConnectError
    from .core.errors import ExpiredError as ExpiredError
    from .core.errors import InDoubtError as InDoubtError
    from .core.errors import MQTTError as MQTTError
    from .core.errors import ProtocolError as ProtocolError
    from .core.errors import PublishError as PublishError
    from .core.errors import RefusedError as RefusedError
    from .core.errors import SetAsideError as SetAsideError
    from .core.errors import SettingError as SettingError
    from .core.errors import StoreError as StoreError
    from .core.errors import StreamError as StreamError
    from .core.errors import SubscribeError as SubscribeError
    from .core.reason_code import ReasonCode as ReasonCode
    from .store.area_raw import RawArea as RawArea
    from .store.journal import Journal as Journal
else:

    def __getattr__(name):
        if name not in __all__:
            raise AttributeError("module 'mqttlite' has no attribute '" + name + "'")
        if name == "Client":
            from .client import Client

            return Client
        if name in ("Message", "Receipt"):
            from .client import messages as home
        elif name == "AnswerError":
            from .client.requests import asking as home
        elif name == "Statistics":
            from .client.traffic import statistics as home
        elif name == "Authentication":
            from .client import authentication as home
        elif name == "ReasonCode":
            from .core import reason_code as home
        elif name == "Reconnect":
            from .client.arguments import reconnect as home
        elif name == "Will":
            from .client import will as home
        elif name == "PendingMessage":
            from .client import unconfirmed as home
        elif name == "Journal":
            from .store import journal as home
        elif name == "RawArea":
            from .store import area_raw as home
        else:
            from .core import errors as home
        return getattr(home, name)

    def __dir__():
        return list(globals()) + __all__
