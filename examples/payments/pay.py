"""Send payments to the ledger.

    python examples/payments/pay.py alice 100                        payment number 1: 1.00 of Alice
    python examples/payments/pay.py alice 250 --first 2 --times 10   numbers 2 to 11: 2.50 each

The numbers of an account's payments come from your own books. The number is the idempotency key that travels with the
payment, so one number is paid once: killed at any instant and started again with the same arguments, this program
publishes again whatever it is unsure of. A payment is on disk, in --store, when `publish` returns; and if that file is
lost, the ledger still knows the numbers that it has charged.
"""

import argparse
import asyncio
import json

from mqttlite import Client


async def main(arguments: argparse.Namespace) -> None:
    name = f"pay-{arguments.account}"
    store = arguments.store or f"{name}.db"
    async with Client(arguments.broker, client_id=name, store=store, keys=True) as client:
        for number in range(arguments.first, arguments.first + arguments.times):
            payment = {"id": f"{arguments.account}-{number}", "account": arguments.account, "cents": arguments.cents}
            await client.publish("payments", json.dumps(payment), 2, key=(name, number))
        confirmed = await client.drain()
    if not confirmed:
        raise SystemExit("not all confirmed yet: the rest is sent at the next start")
    print("all confirmed")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Send payments to the ledger.")
    parser.add_argument("account")
    parser.add_argument("cents", type=int)
    parser.add_argument("--times", type=int, default=1, help="how many payments")
    parser.add_argument("--first", type=int, default=1, help="number of the first one; one number is paid once")
    parser.add_argument("--store", help="a SQLite file (default: pay-ACCOUNT.db)")
    parser.add_argument("--broker", default="mqtt://localhost")
    asyncio.run(main(parser.parse_args()))
