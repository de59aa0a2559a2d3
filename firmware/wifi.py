"""Wi-Fi. The radio reconnects by itself; only the first connection is waited for."""

import asyncio

import network


async def connect(name: str, password: str) -> None:
    """Join the network `name`; returns when the board has an address. Tries for ever, says so every ten seconds."""
    wlan = network.WLAN(network.STA_IF)
    wlan.active(True)
    if not wlan.isconnected():
        wlan.connect(name, password)
    waited_s = 0
    while not wlan.isconnected():
        await asyncio.sleep(1)
        waited_s += 1
        if waited_s % 10 == 0:
            print("no Wi-Fi '%s' after %d s (status %s); check name and password" % (name, waited_s, wlan.status()))
    print("Wi-Fi:", wlan.ifconfig()[0])
