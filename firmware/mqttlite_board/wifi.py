"""Wi-Fi. The radio joins again by itself after most losses; what does not come back in a minute is started afresh."""

import asyncio

import network

RESTART_S = 60
REFUSED_MAX = 5  # times that the radio may refuse, one after the other; then only a restart of the board helps


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


async def keep_connected(wifi: "dict[str, Any]", connected: asyncio.Event) -> None:
    """Join the network of the settings, and again whenever it is lost; for ever. `connected` is set when there is an
    address the first time. Prints the address, and what is wrong. Raises what a radio says that refuses again and
    again.
    """
    name = wifi["name"]
    wlan = network.WLAN(network.STA_IF)
    without_s = refused = 0
    shown = ""
    while True:
        if wlan.isconnected():
            connected.set()
            without_s = 1  # should it be lost, the radio has its minute
            address = wlan.ifconfig()[0]
            if address != shown:
                print("Wi-Fi:", address)
                shown = address
        else:
            if without_s % RESTART_S == 0:
                try:
                    # Whatever it was doing: after a soft reset it may be connecting, and then refuses to connect.
                    wlan.active(False)
                    wlan.active(True)
                    if wifi.get("address"):  # address, mask, gateway, name server: nobody has to be asked for them
                        wlan.ifconfig(tuple(wifi["address"]))
                    wlan.connect(name, wifi.get("password", ""))
                    refused = 0
                except OSError as error:
                    print("Wi-Fi:", error)
                    refused += 1
                    if refused == REFUSED_MAX:
                        raise
            elif without_s % 10 == 0:
                print("no Wi-Fi '%s' for %d s; check name and password" % (name, without_s))
            without_s += 1
            shown = ""
        await asyncio.sleep(1)
