"""Every error that mqttlite raises by itself. Both runtimes; imports nothing but, when needed, the words for a broken
rule (broken_rules.py) and the rarer errors (rare_errors.py).
"""

from . import const
from .features import TEXTS

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from .rare_errors import ExpiredError as ExpiredError
    from .rare_errors import InDoubtError as InDoubtError
    from .rare_errors import PublishError as PublishError
    from .rare_errors import RefusedError as RefusedError
    from .rare_errors import SetAsideError as SetAsideError
    from .rare_errors import StreamError as StreamError
    from .rare_errors import SubscribeError as SubscribeError
    from .reason_code import ReasonCode
else:

    def __getattr__(name: str) -> type:
        """An error of rare_errors.py; a board has its class in memory from then on."""
        from . import rare_errors

        return getattr(rare_errors, name)


class MQTTError(Exception):
    """Base of all errors raised by mqttlite.

    `reason_code`: what the broker has said is wrong, as ReasonCode, where it has (5.0: any; 3.1.1: refusing CONNECT);
    None: it has not. `reason_string`: what it said besides, "" for nothing. `server_reference`: another server that it
    has named. Not on boards.
    """

    if TEXTS:
        reason_code: "ReasonCode | None" = None
        reason_string = ""
        server_reference = ""


class ProtocolError(MQTTError):
    """The peer (or a caller) broke a rule of the standard; the network connection has to be closed [MQTT-4.8.0-1].

    `rule` is the number of the normative statement, such as "MQTT-3.3.1-4", or a section where no statement has a
    number.
    """

    def __init__(self, rule: str, text: str) -> None:
        super().__init__(text + " [" + rule + "]" if TEXTS else text)
        self.rule = rule


def broken(about: str, *values: object) -> ProtocolError:
    """The ProtocolError about a rule, in the words of broken_rules.py; `about` is the rule and, where one can be broken
    in several ways, in which. A board loads the words when it needs them, and goes without where it has no memory left.
    """
    if not TEXTS:  # `about` is the number of the text, which names the rule, too
        return ProtocolError(str(about), "E%s[%s]" % (about, "|".join([str(value) for value in values])))
    try:
        from .broken_rules import words

        text = words(about, values)
    except (MemoryError, ImportError):
        text = about
    return ProtocolError(about.split(" ")[0], text)


class ConnectError(MQTTError):
    """No connection could be made: unreachable, timed out, or the broker's answer was not CONNACK. Or one was lost;
    `ended` says how the broker has ended it: 0: closed it; from 0x80 on, the reason code of its DISCONNECT (5.0).
    """

    ended = -1  # it was not the broker, or is not known


class SettingError(ConnectError):
    """What was asked for can never be: an option that does not exist, a port that this machine has not. Trying again is
    no use, so nobody does.
    """


class ClosedError(MQTTError):
    """The client was closed; the message or request can no longer complete."""


class StoreError(MQTTError):
    """The store cannot keep what it is given, or cannot be opened; the text says why, where, and what to do."""
