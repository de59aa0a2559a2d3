"""Who a device on a serial line is. Whoever can connect a wire to this machine stands before it: so a device's name is
believed, and it need not show a password. But no name opens what others need a password for.
"""

from collections.abc import Callable

from mqttlite.broker import Arriving, Broker, Identity, Refusal
from mqttlite.broker.access.access import Access
from mqttlite.broker.access.identity import WIRE
from mqttlite.core.reason_codes import NOT_AUTHORISED

from ..settings.port import PASSWORD, SerialPort


def vouching(broker: Broker, port: SerialPort, name: Callable[[], str]) -> Callable[[Arriving], Identity | None]:
    """For `Broker.join`: who the device on `port` is that calls itself `name()` now. None: whoever it shows to be, by
    user name and password, as over a network.
    """

    def vouch(arriving: Arriving) -> Identity | None:
        guard = broker.guard
        if not isinstance(guard, Access):  # everybody may everything
            return None
        users = guard.users
        if guard.hooks.authenticate is not None or port.trust == PASSWORD:
            return None
        if users is not None and arriving.username is not None:
            return None
        user = port.user or name()
        if not user:
            if not guard.anonymous:
                raise Refusal(NOT_AUTHORISED, f'the device has no name; give {port.path} one: user = "…" in [[serial]]')
            return Identity(None, how=WIRE)
        if users is not None and user in users and not port.user:
            raise Refusal(
                NOT_AUTHORISED,
                f"the device calls itself {user!a}, and that user has a password: it has to show it, or the [[serial]] "
                f'of {port.path} says user = "{user}"',
            )
        return Identity(user, guard.groups_of(user), WIRE, client_id=arriving.client_id)

    return vouch
