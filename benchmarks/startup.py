"""How long our programs take to start: processor time, beside `import asyncio` alone.

    python -m benchmarks.startup [--repeat N]

`mqttlite pub` is the whole run, to a broker that is not there. What is compared runs in turns, with its bytecode
cached, as after an installation; the figures are medians, and the ratios those of medians and of minima. Which modules
are loaded is held by tests/cli/test_startup.py.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile

COMMAND = "import sys; from mqttlite.cli import main; sys.exit(main())"  # what an installed script does

CASES = {
    "import asyncio": ("-c", "import asyncio"),
    "import mqttlite": ("-c", "import mqttlite"),
    "the client": ("-c", "from mqttlite.client import Client"),
    "mqttlite --version": ("-c", COMMAND, "--version"),
    "mqttlite pub --help": ("-c", COMMAND, "pub", "--help"),
    "mqttlite pub": ("-c", COMMAND, "pub", "-t", "a", "-m", "b", "-L", "unix:///no/such/broker"),
}
BESIDE = "import asyncio"


def used_ms(words: tuple[str, ...], env: dict[str, str]) -> float:
    """Processor time of one run, user and system."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run((sys.executable, *words), env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def measure(repeat: int) -> dict[str, list[float]]:
    """Milliseconds of each run, by case."""
    found: dict[str, list[float]] = {name: [] for name in CASES}
    with tempfile.TemporaryDirectory() as cache:
        env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        env["PYTHONPYCACHEPREFIX"] = cache
        for number in range(repeat + 1):
            for name, words in CASES.items():
                ms = used_ms(words, env)
                if number:  # the first one compiles
                    found[name].append(ms)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.startup", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=21, metavar="N", help="runs of each (21)")
    found = measure(parser.parse_args().repeat)
    beside = found[BESIDE]
    for name, times in found.items():
        median = statistics.median(times)
        ratio = f"{median / statistics.median(beside):.2f} of medians, {min(times) / min(beside):.2f} of minima"
        print(f"{name:22} {median:6.1f} ms   {ratio}")


if __name__ == "__main__":
    main()
