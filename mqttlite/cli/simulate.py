"""`mqttlite simulate`: the simulated world, to look at. One function for each mode; needs the extra `sim`."""

import argparse
import importlib.util
from pathlib import Path

_DESCRIPTION = """\
Runs the real client and broker in a simulated world: one thread, virtual time, faults placed exactly, everything
decided by a seed. What has happened becomes a page with a sequence chart that needs nothing but a browser.

  mqttlite simulate --explain list                            what there is to learn
  mqttlite simulate --explain qos2-crash-after-pubrec         writes qos2-crash-after-pubrec.html
  mqttlite simulate --explain two-generals -o generals.svg    the chart alone
  mqttlite simulate --explain all -o charts/                  all of them, into a folder

Or runs a small world with faults of your own, or of a schedule that has failed (docs/proof.md):

  mqttlite simulate --scenario qos2-1-sqlite --fault 'kill broker @ event 40' --fault 'cut inside packet 14 reset'
  mqttlite simulate --scenario large --seed 4                 devices, lines, brokers: everything is drawn from the seed

Or, with a model instead of the real programs, answers what a fleet of devices will need:

  mqttlite simulate --plan examples/fleet.toml                latencies, bytes, wear, where it saturates
"""

MISSING = "the simulated disks need apsw: pip install 'mqttlite[sim]'"
MISSING_SERIAL = "the simulated serial lines need pyserial: pip install 'mqttlite[sim]'"


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the program's parser."""
    parser = subparsers.add_parser("simulate", help="faults in a simulated world, as charts", description=_DESCRIPTION)
    modes = parser.add_mutually_exclusive_group(required=True)
    modes.add_argument(
        "--explain",
        metavar="NAME",
        help="play a teaching scenario and draw what happens; 'list' says which there are, 'all' plays each",
    )
    modes.add_argument(
        "--scenario",
        metavar="NAME",
        help="run a small world (qos2-1-sqlite, qos1-30-journal-keys) and draw it",
    )
    modes.add_argument("--plan", metavar="FILE", help="what the fleet described in this TOML file will need")
    parser.add_argument("--json", action="store_true", help="--plan: the answer for programs")
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="TEXT",
        help="of --scenario: 'kill broker @ event 57'; repeatable",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="--scenario, --plan: another course of chance")
    parser.add_argument("-o", "--output", metavar="FILE", help="the page (NAME.html), or FILE.svg: the chart alone")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Do what was asked for. ValueError: there is nothing of that name, or a part is not installed."""
    if args.plan is not None:
        return plan(args.plan, args.json, args.seed)
    if importlib.util.find_spec("apsw") is None and args.explain != "list":
        raise ValueError(MISSING)
    if args.scenario is not None:
        return scenario(args.scenario, args.fault, 1 if args.seed is None else args.seed, args.output)
    return explain(args.explain, args.output)


def scenario(name: str, faults: list[str], seed: int, output: str | None) -> int:
    """Run a small world, say what came of it, draw it. Exit code 1: what was promised does not hold. ValueError: there
    is no such world, or no such fault.
    """
    if name == "large":
        return large(seed)
    from ..sim.chart import chart
    from ..sim.small.explore import Schedule
    from ..sim.small.faults import parse
    from ..sim.small.small import named

    schedule = Schedule(named(name), tuple(parse(fault) for fault in faults), seed)
    world = (run := schedule.run()).world
    problems = run.run()
    print(schedule)
    for fault, point in run.happened:
        print(f"  {fault}: {point}")
    print("\n".join(problems) or f"all that was promised holds; {world.events} events, digest {world.digest()[:16]}")
    if not problems:  # what comes later is only quiet
        world.trace = [entry for entry in world.trace if entry[0] <= run.done_at]
    words = " ".join(f"--fault '{fault}'" for fault in faults)
    command = f"mqttlite simulate --scenario {name} --seed {seed} {words}".strip()
    page = chart.page(
        world,
        title=f"{name}, seed {seed}",
        text="; ".join(problems) or "All that was promised holds.",
        command=command,
        claims=[(problem, False) for problem in problems],
    )
    path = Path(output or f"{name}.html")
    path.write_text(page, encoding="utf-8")
    print(f"{path}: open it in a browser")
    world.close()
    return 1 if problems else 0


def large(seed: int) -> int:
    """Run the large world of a seed and say what came of it. Exit code 1: what was promised does not hold."""
    if importlib.util.find_spec("mqttlite_gateway") is None:
        raise ValueError(MISSING_SERIAL)
    from ..sim.large.large import try_out

    outcome = try_out(seed)
    print(f"large, seed {seed}: {outcome.seconds / 3600:.1f} h of virtual time, {outcome.events} events")
    print("\n".join(outcome.problems) or f"all that was promised holds; digest {outcome.digest[:16]}")
    return 1 if outcome.problems else 0


def plan(path: str, as_json: bool, seed: int | None) -> int:
    """Print what the fleet described in a file will need. ValueError: it is of no use, and why."""
    from ..sim.plan import plan as answer

    print(answer(path, as_json, seed))
    return 0


def explain(name: str, output: str | None) -> int:
    """Play the lesson `name` and write its page; 'list' prints the lessons, 'all' writes all pages into a folder."""
    from ..sim.lessons.lessons import LESSONS

    if name == "list":
        width = max(map(len, LESSONS))
        print("\n".join(f"{lesson.name:{width}}  {lesson.title}" for lesson in LESSONS.values()))
        return 0
    if name != "all" and name not in LESSONS:
        raise ValueError(f"there is no lesson '{name}'; these are: {', '.join(LESSONS)}")
    names = list(LESSONS) if name == "all" else [name]
    if any("serial" in LESSONS[each].needs for each in names) and importlib.util.find_spec("serial") is None:
        raise ValueError(MISSING_SERIAL)
    if name == "all":
        folder = Path(output or ".")
        folder.mkdir(parents=True, exist_ok=True)
        for each in names:
            _write(each, folder / f"{each}.html")
    else:
        _write(name, Path(output or f"{name}.html"))
    return 0


def _write(name: str, path: Path) -> None:
    """Play the lesson `name`; its chart goes into a file, as SVG or as a page."""
    from ..sim.chart import chart
    from ..sim.lessons.lessons import play

    lesson, world, begin, claims = play(name)
    if path.suffix == ".svg":
        drawn = chart.svg(world, title=lesson.title, since=begin)
    else:
        command = f"mqttlite simulate --explain {name}"
        drawn = chart.page(world, title=lesson.title, text=lesson.text, command=command, claims=claims, since=begin)
    path.write_text(drawn, encoding="utf-8")
    print(f"{path}: open it in a browser")
