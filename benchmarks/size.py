"""What the code of a board weighs: bytes of .mpy, and bytes of heap after its import, per module and together.

Which modules those are is asked of MicroPython itself: it imports `mqttlite.client` as a board does, and what it
loaded is what counts. Heap is measured on two interpreters: the Unix build has 64-bit words, so code and objects are
larger there than on a board; the WebAssembly build has a board's 32-bit words, and its figures are the ones to quote.

    python -m benchmarks.size              the 3.1.1 client of a board, then what mqttlite/link adds
    python -m benchmarks.size MODULE...    the modules named, with what they import
"""

import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from tests import runtimes
from tests.runtimes import ROOT

HEAP = "4m"  # the Unix build's; the same for all, since a fuller heap changes nothing about what stays allocated

# Runs on MicroPython: imports what it is told and prints each module of mqttlite as its import ends, so that a module
# comes after all that it needs.
ORDER = """
import builtins, json, sys
order = []
plain = builtins.__import__

def ended(name):
    if name.startswith("mqttlite") and name in sys.modules and name not in order:
        order.append(name)

def hook(name, *rest):
    fromlist = rest[2] if len(rest) > 2 and rest[2] else ()
    if fromlist is True:  # a module that stands behind `from . import`
        fromlist = ()
    if "." in name:
        hook(name.rpartition(".")[0], *rest)
    module = plain(name, *rest)
    full = module.__name__ if fromlist else name
    for part in fromlist:
        ended(full + "." + part)
    if name:  # `from . import x` does not end the import of the package that it stands in
        ended(full)
    return module

builtins.__import__ = hook
for root in sys.argv[1:]:
    hook(root)
print(json.dumps(order))
"""


class Weight(NamedTuple):
    """Of one module, or of several: bytes of .mpy as mpy-cross makes it, with -O3, and of heap (None: not measured)."""

    mpy: int
    mpy_o3: int
    heap_64: int | None
    heap_32: int | None


class MeasureError(Exception):
    """A program that the measurement needs is missing or has failed; the text says which and why."""


def call(command: Sequence[str], *, stdin: bytes = b"", env: dict[str, str] | None = None, folder: Path = ROOT) -> str:
    """Runs a program to its end and returns what it printed."""
    done = subprocess.run(command, input=stdin, capture_output=True, env=env, cwd=folder, check=False, timeout=120)
    if done.returncode:
        raise MeasureError((done.stdout + done.stderr).decode(errors="replace").strip())
    return done.stdout.decode()


def source_of(module: str) -> Path:
    """The file of a module of mqttlite."""
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def import_order(micropython: Path, roots: Iterable[str]) -> list[str]:
    """The modules of mqttlite that `roots` load on MicroPython, each after those that it imports."""
    command = runtimes.micropython_argv(micropython, ORDER, list(roots), heap=HEAP)
    order: list[str] = json.loads(call(command, env=runtimes.micropython_env()))
    return order


def compile_tree(mpy_cross: Path, modules: Iterable[str], folder: Path, *options: str) -> dict[str, int]:
    """Compiles `modules` below `folder` and returns the size of each .mpy."""
    sizes = {}
    for module in modules:
        source = source_of(module)
        target = folder / source.relative_to(ROOT).with_suffix(".mpy")
        target.parent.mkdir(parents=True, exist_ok=True)
        # -s: the name in tracebacks, which is part of the file; as mip would install it
        name = str(source.relative_to(ROOT))
        call([str(mpy_cross), *options, "-s", name, "-o", str(target), str(source)])
        sizes[module] = target.stat().st_size
    return sizes


def split_packages(mpy_cross: Path, modules: Sequence[str], folder: Path) -> dict[str, str]:
    """Makes each `__init__` that imports modules of its package importable by itself, as `_init` beside an empty one.

    It could otherwise only be weighed together with them. Returns for each module what to import for it; `modules` are
    in the order in which their imports end.
    """
    imports = {}
    for place, module in enumerate(modules):
        imports[module] = module
        if any(earlier.startswith(f"{module}.") for earlier in modules[:place]):
            package = folder.joinpath(*module.split("."))
            (package / "__init__.mpy").rename(package / "_init.mpy")
            empty = package / "empty.py"
            empty.write_text("")
            call([str(mpy_cross), "-o", str(package / "__init__.mpy"), str(empty)])
            empty.unlink()
            imports[module] = f"{module}._init"
    return imports


class Interpreter:
    """Something that imports .mpy files and says how much heap that takes."""

    name = ""

    def run(self, steps: list[str], folder: Path) -> str:
        raise NotImplementedError

    def heap_of_imports(self, imports: Sequence[str], folder: Path) -> list[int]:
        """Bytes of heap that each import adds, in this order, over a bare interpreter with asyncio."""
        return self._measure(imports, folder, stand_ins=[])

    def _measure(self, imports: Sequence[str], folder: Path, stand_ins: list[str]) -> list[int]:
        # binascii: boards and the Unix build have it in C, the WebAssembly build in Python; no part of mqttlite
        steps = ["import asyncio, binascii, gc, sys"]
        if stand_ins:
            steps.append("class _StandIn:\n    def __getattr__(self, name):\n        return 0")
            steps += [f"sys.modules[{name!r}] = _StandIn()" for name in stand_ins]
        weigh = ["gc.collect()", "print(gc.mem_alloc())"]
        steps += weigh
        for name in imports:
            steps += [f"import {name}", *weigh]
        try:
            levels = [int(line) for line in self.run(steps, folder).split()]
        except MeasureError as error:
            # What an interpreter without an operating system lacks (socket, select) is replaced by an object with any
            # attribute: it is not part of what is weighed.
            missing = str(error).rpartition("no module named '")[2].partition("'")[0]
            if "no module named" not in str(error) or missing in stand_ins or missing.startswith("mqttlite"):
                raise
            return self._measure(imports, folder, [*stand_ins, missing])
        return [after - before for before, after in itertools.pairwise(levels)]


class Unix(Interpreter):
    def __init__(self, program: Path) -> None:
        self.name = "64-bit"
        self.program = program

    def run(self, steps: list[str], folder: Path) -> str:
        command = runtimes.micropython_argv(self.program, "\n".join(steps), heap=HEAP)
        return call(command, env=runtimes.micropython_env([folder]), folder=folder)


class Wasm(Interpreter):
    def __init__(self, package: Path) -> None:
        self.name = "32-bit"
        self.package = package

    def run(self, steps: list[str], folder: Path) -> str:
        request = runtimes.wasm_request(self.package, steps, files=[folder], root=folder)
        return call(runtimes.wasm_argv(), stdin=request)


def weigh(modules: Sequence[str], roots: Sequence[str], before: Sequence[str]) -> dict[str, Weight]:
    """Weighs `modules` one by one and, under the name "", all of `roots` in one import; `before` is loaded already."""
    mpy_cross, unix, wasm = runtimes.mpy_cross(), runtimes.micropython(), runtimes.wasm_package()
    assert mpy_cross is not None and unix is not None
    interpreters = [Unix(unix), Wasm(wasm)] if wasm else [Unix(unix)]
    everything = [*before, *modules]
    with tempfile.TemporaryDirectory() as temporary:
        folders = [Path(temporary) / name for name in ("whole", "o3", "split")]
        plain = compile_tree(mpy_cross, everything, folders[0])
        small = compile_tree(mpy_cross, everything, folders[1], "-O3")
        compile_tree(mpy_cross, everything, folders[2])
        imports = split_packages(mpy_cross, everything, folders[2])
        single: list[dict[str, int]] = []
        whole: list[int] = []
        for interpreter in interpreters:
            shares = interpreter.heap_of_imports([imports[m] for m in everything], folders[2])
            single.append(dict(zip(everything, shares, strict=True)))
            steps = [*before, ", ".join(roots)]
            whole.append(interpreter.heap_of_imports(steps, folders[0])[-1])
    heaps = [*single, *[{}] * (2 - len(single))]
    weights = {m: Weight(plain[m], small[m], heaps[0].get(m), heaps[1].get(m)) for m in modules}
    totals = [*whole, *[None] * (2 - len(whole))]
    weights[""] = Weight(sum(plain[m] for m in modules), sum(small[m] for m in modules), totals[0], totals[1])
    return weights


def table(title: str, weights: dict[str, Weight]) -> str:
    """The weights as text, the whole in the last line."""
    lines = [f"{title:<34} {'.mpy':>8} {'-O3':>8} {'heap, 64 bit':>14} {'heap, 32 bit':>14}"]
    for module, weight in weights.items():
        cells = ["–" if number is None else f"{number:,}" for number in weight]
        line = f"{module or 'together, in one import':<34} {cells[0]:>8} {cells[1]:>8} {cells[2]:>14} {cells[3]:>14}"
        lines += ["-" * len(line), line] if not module else [line]
    return "\n".join(lines)


def main(args: Sequence[str]) -> int:
    """Prints the tables; returns the exit code."""
    for found, what in ((runtimes.micropython(), "MicroPython (unix)"), (runtimes.mpy_cross(), "mpy-cross")):
        if found is None:
            print(f"benchmarks.size: {what} is not installed (make setup says whether there is one for this platform)")
            return 1
    micropython = runtimes.micropython()
    assert micropython is not None
    link = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in sorted(ROOT.glob("mqttlite/link/[!_]*.py"))
    ]
    groups = (
        [("module", list(args))] if args else [("3.1.1 client of a board", ["mqttlite.client"]), ("serial link", link)]
    )
    print(
        "Bytes of .mpy by mpy-cross without options, and with -O3 (no line numbers). Bytes of heap that importing the"
    )
    print("former adds to a bare interpreter with asyncio: with 64 bits more than on a board, whose words have 32.")
    if runtimes.wasm_package() is None:
        print("MicroPython's 32-bit WebAssembly build is not installed: its column stays empty.")
    before: list[str] = []
    for title, roots in groups:
        if not roots:
            continue
        try:
            modules = [m for m in import_order(micropython, roots) if m not in before]
            print("\n" + table(title, weigh(modules, roots, before)))
        except MeasureError as error:
            print(f"benchmarks.size: {', '.join(roots)} cannot be weighed:\n{error}", file=sys.stderr)
            return 1
        before += modules
    return 0


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main(sys.argv[1:]))
