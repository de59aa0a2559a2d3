"""main.py of a board whose link runs on its own USB socket: numbers on usb/n, Python on usb/do. MicroPython."""

from micropython import kbd_intr

kbd_intr(-1)

import asyncio  # noqa: E402
import gc  # noqa: E402
import sys  # noqa: E402

gc.threshold(4096)

import window  # noqa: E402

from mqttlite import Client  # noqa: E402


async def obey(client: Client) -> None:
    async for message in client:
        exec(message.payload, {"client": client, "sys": sys})
        await client.publish("usb/done", message.payload, qos=1)


async def main() -> None:
    async with Client("serial:usb", client_id="usb", store="journal", retry_first=True, keep_alive_s=30) as client:
        await client.subscribe("usb/do", qos=2)
        task = asyncio.create_task(obey(client))
        n = max(client.last_number("n"), 0)
        while not task.done():
            n += 1
            await client.publish("usb/n", str(n), qos=2, key=("n", n))
            if n % 10 == 0:
                print("number", n, "at 21.5 °C")
            await asyncio.sleep(0.02)


try:
    window.pause(300)
    asyncio.run(main())
except KeyboardInterrupt as error:
    window.prompt(error)
    raise
