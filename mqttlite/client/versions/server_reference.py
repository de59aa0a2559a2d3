"""Another server that a broker of MQTT 5.0 names (4.13), as a URL to connect to. CPython only."""

from typing import TYPE_CHECKING

from ...core.errors import ConnectError, MQTTError
from ...core.reason_code import ReasonCode
from ..arguments.checked_url import checked_url
from ..url import Url

if TYPE_CHECKING:
    from ..connecting.connector_host import HostConnector

HOPS_MAX = 5  # from one server to the next, without a connection


def other_server(url: Url, error: Exception) -> "tuple[Url, bool] | None":
    """Where to go from `url` after `error`, and whether for good; None: nowhere. Of several servers that are named, the
    first that is an address. Scheme, path and options stay.
    """
    if not isinstance(error, MQTTError) or url.scheme in ("unix", "serial"):
        return None
    if error.reason_code not in (ReasonCode.USE_ANOTHER_SERVER, ReasonCode.SERVER_MOVED):
        return None
    query = "&".join(f"{name}={value}" for name, value in url.query.items())
    for address in error.server_reference.split():
        text = f"{url.scheme}://{address}{url.path}" + (f"?{query}" if query else "")
        try:
            return checked_url(text), error.reason_code == ReasonCode.SERVER_MOVED
        except ValueError:
            continue
    return None


async def follow(connector: "HostConnector", error: Exception) -> Exception:
    """A connection of `connector` ended with `error`: go where that leads. Why the last connection ended."""
    life = connector.life
    for _ in range(HOPS_MAX):
        found = other_server(connector.url, error)
        if found is None or life.error:
            if connector.home:  # it was for a while
                connector.go_to(connector.home)
                connector.home = None
            return error
        life.log(str(error))
        connector.home = None if found[1] else connector.home or connector.url
        connector.go_to(found[0])
        if life.is_connected:
            return error  # and so on, at the other server
        life.protocol.closed()
        error = await connector.one_connection()
    return ConnectError(f"{HOPS_MAX} servers in turn have named another one; the last: {error}")
