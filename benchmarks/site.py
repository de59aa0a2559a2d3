"""A day of a site in virtual time: devices on noisy lines, a gateway in bridge mode whose power is cut again and again,
an upstream that is away for hours (mqttlite/sim/site). `python -m benchmarks.site`, or `make site`.

What it has cost is printed: messages, delays, bytes and syncs of the gateway's disk and of the board that wrote most,
and how long a card and a flash live with that. Then what was lost, came twice or was left over, where that breaks a
promise, and the exit code is 1; without such, how many messages came more than once as QoS 1 allows.
"""

import argparse
import json
import sys
import time
from typing import Any

from mqttlite.sim.scene import attempt
from mqttlite.sim.site.site import Plan, Site


def main() -> int:
    """Run one site; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    plan = Plan()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hours", type=float, default=plan.hours, help="of virtual time (%(default)g)")
    parser.add_argument("--devices", type=int, default=plan.devices, help="(%(default)d)")
    parser.add_argument("--awake", type=int, default=plan.awake, help="that never sleep (%(default)d)")
    parser.add_argument("--every", type=float, default=plan.every_s, metavar="S", help="a message each (%(default)g)")
    parser.add_argument("--cut-every", type=float, default=plan.cut_every_s, metavar="S", help="(%(default)g)")
    parser.add_argument("--noise", type=float, default=plan.noise, help="bit errors of each line (%(default)g)")
    parser.add_argument(
        "--turns", action="store_true", help="look at all sessions after each turn of a loop, too: slower"
    )
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    share = args.hours / plan.hours
    plan = Plan(
        devices=args.devices,
        awake=args.awake,
        hours=args.hours,
        every_s=args.every,
        cut_every_s=args.cut_every,
        away=(plan.away[0] * share, plan.away[1] * share),
        noise=args.noise,
    )
    site = Site(args.seed, plan)
    if not args.turns:
        site.world.on_turn = None
    began = time.process_time()
    problems = attempt(site)
    report = {"seed": args.seed, **site.report(), "processor time, s": round(time.process_time() - began)}
    report["problems"] = problems
    if args.json:
        print(json.dumps(report, indent=2))
    else:
        show(report)
    return bool(problems)


def show(report: dict[str, Any], before: str = "") -> None:
    """As lines of text."""
    for name, value in report.items():
        if isinstance(value, dict):
            show(value, f"{before}{name}, ")
        elif name != "problems":
            print(f"{before + name:42} {value}")
    for problem in report.get("problems", ()):
        print(f"PROBLEM  {problem}")
    if "problems" in report and not report["problems"]:
        again = {name: kinds for name, kinds in report["came again"].items() if kinds}
        for name, kinds in again.items():
            counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
            print(f"came more than once to the consumer {name!r}, as it may: {counts}")
        print(f"nothing lost, nothing {'else ' if again else ''}twice, nothing left over")


if __name__ == "__main__":
    sys.exit(main())
