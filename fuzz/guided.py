"""Fuzzing that coverage guides (atheris, libFuzzer): inputs that reach new code are kept, and changed further.

    python -m fuzz.guided codec --runs 1000000          the codec of MQTT 5.0 (codec5.py)
    python -m fuzz.guided client --seconds 600          the client's end, fed by a server of any bytes (core.py)
    python -m fuzz.guided server                        the server's end
    python -m fuzz.guided broker --corpus build/broker  the broker's engine, among others (brokers.py); goes on there
    python -m fuzz.guided gates                         the same with users, rules and tight limits (gates.py)
    python -m fuzz.guided listeners                     TCP, WebSocket and TLS, fed with any bytes (listeners.py)
    python -m fuzz.guided codec --input FILE            one input again, as a failure leaves it behind

Ends with 1 and the input in a file when something is wrong. One target is one process, with a corpus of its own.

To be told where each branch goes makes the broker three times as slow. So after the first ones that is so for MEASURED
of each PERIOD inputs; the others, of the same corpus, run at full speed, and what is wrong with one is seen as well.
"""

import argparse
import logging
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from fuzz import brokers, codec5, core, gates, listeners, packets

SEEDS = 200  # streams that a corpus of an end begins with
FIRST = 5000  # inputs that are all looked at for new code, beside those of the corpus
PERIOD = 1000  # inputs, of which ...
MEASURED = 150  # ... so many are after that


class Target(NamedTuple):
    """`one`: takes an input. `seeds`: what a corpus begins with. `size_max`: bytes of an input."""

    one: Callable[[bytes], object]
    seeds: Callable[[], list[bytes]]
    size_max: int


def _streams(to_server: bool) -> list[bytes]:
    found = []
    for number in range(SEEDS):
        r = random.Random(number)
        found.append(bytes((number % 256, number // 256)) + packets.stream(r, to_server, 5 - number % 2)[:1000])
    return found


TARGETS = {
    "codec": Target(codec5.one, codec5.seeds, 200),
    "client": Target(lambda data: core.fed(data, to_server=False), lambda: _streams(False), 600),
    "server": Target(lambda data: core.fed(data, to_server=True), lambda: _streams(True), 600),
    "broker": Target(brokers.one, brokers.seeds, 1000),
    "gates": Target(gates.one, gates.seeds, 1000),
    "listeners": Target(listeners.one, listeners.seeds, 1000),
}


class _Code:
    """The functions whose branches libFuzzer is told of, and both codes of each."""

    def __init__(self, instrument: Callable[[object], object]) -> None:
        self._instrument = instrument
        self._both: list[tuple[Any, Any, Any]] = []
        for name, module in list(sys.modules.items()):
            if name.startswith(("mqttlite.core.", "mqttlite.broker.", "mqttlite.net.")):
                for value in list(vars(module).values()):
                    self._add(module.__name__, value)

    def _add(self, module: str, value: object) -> None:
        """The functions of a module, and the methods of its classes."""
        if getattr(value, "__module__", "") != module:
            return
        for function in [value, *vars(value).values()] if isinstance(value, type) else [value]:
            inner = getattr(function, "fget", None) or getattr(function, "__func__", function)
            if hasattr(inner, "__code__"):
                plain = inner.__code__
                self._instrument(inner)
                self._both.append((inner, plain, inner.__code__))

    def take(self, is_measured: bool) -> None:
        """From now on."""
        for function, plain, measured in self._both:
            function.__code__ = measured if is_measured else plain


def _fuzz(target: Target, arguments: list[str]) -> None:
    """In a process of its own, which libFuzzer ends. The last of `arguments` is the corpus."""
    import atheris

    logging.disable(logging.CRITICAL)
    code = _Code(atheris.instrument_func)
    number = -FIRST - len(list(Path(arguments[-1]).iterdir()))

    def one(data: bytes) -> None:
        nonlocal number
        if number >= 0:
            if number % PERIOD == 0:
                code.take(True)
            elif number % PERIOD == MEASURED:
                code.take(False)
        number += 1
        target.one(data)

    atheris.Setup([sys.argv[0], *arguments], one)
    atheris.Fuzz()


class Outcome(NamedTuple):
    """What came of a run. `said`: by libFuzzer and by what failed."""

    runs: int
    covered: int
    corpus: int
    failed: bool
    said: str


def guided(name: str, *, runs: int = 0, seconds: int = 0, seed: int = 1, corpus: Path, echo: bool = False) -> Outcome:
    """Fuzz a target from what is in `corpus`, or from its seeds. `runs`, `seconds`: 0 is without bound."""
    corpus.mkdir(parents=True, exist_ok=True)
    target = TARGETS[name]
    for number, data in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(data)
    options = [f"-atheris_runs={runs or -1}", f"-max_total_time={seconds}", f"-seed={seed}", "-print_final_stats=1"]
    options += [f"-max_len={target.size_max}", "-timeout=300", f"-artifact_prefix={corpus.parent}/{name}-", str(corpus)]
    command = [sys.executable, "-m", "fuzz.guided", name, "--inside", *options]
    lines = []
    with subprocess.Popen(command, stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            if echo:
                print(line, end="", flush=True)
            lines.append(line)
    said = "".join(lines)
    counts = re.findall(r"^#(\d+)\s.*?cov: (\d+) .*?corp: (\d+)/", said, re.M) or [("0", "0", "0")]
    done = re.findall(r"^Done (\d+) |number_of_executed_units: (\d+)", said, re.M)
    total = max([int(counts[-1][0]), *(int(one or other) for one, other in done)])
    return Outcome(total, int(counts[-1][1]), int(counts[-1][2]), process.returncode != 0, said)


def main() -> int:
    if "--inside" in sys.argv:
        _fuzz(TARGETS[sys.argv[1]], sys.argv[3:])
    parser = argparse.ArgumentParser(
        prog="python -m fuzz.guided", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", choices=list(TARGETS))
    parser.add_argument("--runs", type=int, default=0, help="inputs (0: without end)")
    parser.add_argument("--seconds", type=int, default=0, help="(0: without end)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", type=Path, help="folder of inputs, to begin with and to add to (one that is gone)")
    parser.add_argument("--input", type=Path, metavar="FILE", help="this one alone, and nothing else")
    args = parser.parse_args()
    if args.input:
        TARGETS[args.target].one(args.input.read_bytes())
        print("nothing wrong")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        corpus = args.corpus or Path(folder, "corpus")
        found = guided(
            args.target, runs=args.runs, seconds=args.seconds, seed=args.seed, corpus=corpus, echo=sys.stdout.isatty()
        )
        print(f"{args.target}: {found.runs} inputs, {found.covered} branches, {found.corpus} inputs kept")
        if found.failed:
            print(found.said[-4000:])
            for left in corpus.parent.glob(f"{args.target}-*"):
                kept = Path(left.name)
                kept.write_bytes(left.read_bytes())
                print(f"python -m fuzz.guided {args.target} --input {kept}")
    return 1 if found.failed else 0


if __name__ == "__main__":
    sys.exit(main())
