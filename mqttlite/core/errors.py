"""Every error that mqttlite raises by itself. Both runtimes; imports nothing but, when needed, the
words for a broken rule (faults.py).
"""


class MQTTError(Exception):
    """Base of all errors raised by mqttlite."""


class ProtocolError(MQTTError):
    """The peer (or a caller) broke a rule of the standard; the network connection has to be closed [MQTT-4.8.0-1].

    `rule` is the number of the normative statement, such as "MQTT-3.3.1-4", or a section where no statement has a
    number.
    """

    def __init__(self, rule: str, text: str) -> None:
        super().__init__(text + " [" + rule + "]")
        self.rule = rule


def broken(about: str, *values: object) -> ProtocolError:
    """The ProtocolError about a rule, in the words of faults.py; `about` is the rule and, where one can be broken in
    several ways, in which. A board loads the words when it needs them, and goes without where it has no memory left.
    """
    try:
        from .faults import WORDS

        text = WORDS[about] % values
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


class RefusedError(ConnectError):
    """The broker answered CONNECT with a return code other than 0 (3.2.2.3); `code` is that number."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class SubscribeError(MQTTError):
    """The broker refused a subscription (SUBACK return code 0x80)."""


class InDoubtError(MQTTError):
    """The broker lost the session after it had taken a QoS 2 message (PUBREC) and before it had confirmed the end
    (PUBCOMP).

    Whether the message reached its subscribers cannot be known; sending it again may duplicate it. The application
    decides.
    """


class ClosedError(MQTTError):
    """The client was closed; the message or request can no longer complete."""


class PublishError(MQTTError):
    """The broker refused a message (MQTT 5: PUBACK or PUBREC with a reason code from 0x80 on); `code` is that code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class SetAsideError(PublishError):
    """The broker would never take a message, and it is kept aside so that the others may go on: the broker ended each
    connection right after it, and only those (`code` 0), or a 5.0 broker has announced a limit that it exceeds (`code`:
    the reason code for it). `pending()` lists it as refused; `retry` sends it again, `settle` forgets it.
    """
