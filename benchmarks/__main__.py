"""All measurements, one after the other: `make bench`. Each is a module of its own, with --help."""

import subprocess
import sys

# name of the module: what it measures
BENCHMARKS = {
    "broker_cpu": "broker, as source and compiled, beside Mosquitto",
    "client_cpu": "client, as source and compiled, beside paho-mqtt, gmqtt and mqttium",
    "link_goodput": "serial link over a noisy line, in virtual time",
    "line_goodput": "client, link and gateway over a serial line, in virtual time",
    "board_alloc": "memory on a board",
    "startup": "what a program takes to start, beside `import asyncio`",
}


def main() -> int:
    """Run each in a process of its own, so that none warms up another; 1 if one failed."""
    failed = 0
    for name, what in BENCHMARKS.items():
        print(f"\n== {what} (python -m benchmarks.{name})\n", flush=True)
        failed |= subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
