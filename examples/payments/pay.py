"""Send payments to the ledger: python examples/payments/pay.py ACCOUNT CENTS [--times N] [--broker URL]

A payment is on disk (pay.db) before `publish` returns, and carries an idempotency key: killed and started again with
the same --first, this program sends nothing a second time that it had sent before.
"""

import argparse
import asyncio
import json

from mqttlite.client import Client


async def main(arguments: argparse.Namespace) -> None:
    async with Client(arguments.broker, client_id="pay", store="pay.db", keys=True) as client:
        for number in range(arguments.first, arguments.first + arguments.times):
            payment = {"id": f"{arguments.account}-{number}", "account": arguments.account, "cents": arguments.cents}
            await client.publish("payments", json.dumps(payment), 2, key=(f"pay-{arguments.account}", number))
        confirmed = await client.drain()
    print("all confirmed" if confirmed else "not all confirmed yet: the rest is sent at the next start")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Send payments to the ledger.")
    parser.add_argument("account")
    parser.add_argument("cents", type=int)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--first", type=int, default=1, help="number of the first payment; one number is paid once")
    parser.add_argument("--broker", default="mqtt://localhost")
    asyncio.run(main(parser.parse_args()))
