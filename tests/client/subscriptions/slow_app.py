"""A consumer that blocks, to be killed: prints each message that it has handled.

    python -m tests.client.subscriptions.slow_app URL HOW QOS SLEEP_S STORE DATABASE

HOW: "for", "manual", "handle" or "inbox". STORE: a path, or "-". Without regard to it, the session is that of "slow".
"""

import asyncio
import sys
import time

from mqttlite.client import Client, Message
from mqttlite.database import Inbox, sqlite


async def main(url: str, how: str, qos: int, sleep_s: float, store: str, path: str) -> None:
    def work(message: Message) -> None:
        if sleep_s:
            time.sleep(sleep_s)
        print(message.payload.decode(), flush=True)

    client = Client(url, client_id="slow", store=None if store == "-" else store, manual_ack=how == "manual")
    inbox = Inbox(client, sqlite(path)) if how == "inbox" else None
    async with client:
        await client.subscribe("k", qos)
        if inbox:
            await inbox.run(lambda db, message: work(message))
        elif how == "handle":
            await client.handle(work)
        else:
            async for message in client:
                work(message)
                if how == "manual":
                    client.acknowledge(message)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), *sys.argv[5:]))
