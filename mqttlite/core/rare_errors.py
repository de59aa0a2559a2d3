"""The errors of what hardly ever happens: the broker refuses, or a message ends other than confirmed. Both runtimes.

They are had from errors.py, which loads this file when one of them is asked for.
"""

from .errors import ConnectError, MQTTError
from .features import TEXTS


class RefusedError(ConnectError):
    """The broker answered CONNECT with a return code other than 0 (3.2.2.3); `code` is that number."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        if TEXTS and code:
            from .telling import tell

            tell(self, code)


class SubscribeError(MQTTError):
    """The broker refused a subscription (SUBACK return code 0x80)."""


class InDoubtError(MQTTError):
    """The broker lost the session after it had taken a QoS 2 message (PUBREC) and before it had confirmed the end
    (PUBCOMP).

    Whether the message reached its subscribers cannot be known; sending it again may duplicate it. The application
    decides.
    """


class PublishError(MQTTError):
    """The broker refused a message (MQTT 5: PUBACK or PUBREC with a reason code from 0x80 on); `code` is that code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        if TEXTS and code:
            from .telling import tell

            tell(self, code)


class ExpiredError(PublishError):
    """A message was not sent before its time was over (MQTT 5: `expires_after_s`), or not confirmed before a connection
    was lost and its time over. At QoS 1 and 2 the broker may have had it; it is not sent again.
    """


class SetAsideError(PublishError):
    """The broker would never take a message, and it is kept aside so that the others may go on: the broker ended each
    connection right after it, and only those (`code` 0), or a 5.0 broker has announced a limit that it exceeds (`code`:
    the reason code for it). `pending()` lists it as refused; `retry` sends it again, `settle` forgets it.
    """


class StreamError(MQTTError):
    """A payload that is sent or received in pieces has not come to its end: its source failed, ended early or gave
    nothing in time; or the connection was lost in the middle of what arrives, which will come again.
    """
