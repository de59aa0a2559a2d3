"""`mqttlite simulate`: the simulated world, to look at. One function for each mode; needs the extra `sim`."""

import argparse
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...sim.large.large import Large
    from ...sim.large.selection import Selection
    from ...sim.large.shrink import Failure

_DESCRIPTION = """\
Runs the real client and broker in a simulated world: one thread, virtual time, faults placed exactly, everything
decided by a seed. What has happened becomes a page with a sequence chart that needs nothing but a browser.

  mqttlite simulate --explain list                            what there is to learn
  mqttlite simulate --explain qos2-crash-after-pubrec         writes qos2-crash-after-pubrec.html
  mqttlite simulate --explain two-generals -o generals.svg    the chart alone
  mqttlite simulate --explain all -o charts/                  all of them, into a folder

Or runs a small world with faults of your own, or of a schedule that has failed (docs/proof.md):

  mqttlite simulate --scenario qos2-1-sqlite --fault 'kill broker @ event 40' --fault 'cut inside packet 14 reset'

Or runs a large world: devices, lines, gateways, brokers, bridges and readers, and what goes wrong, are drawn from the
seed. When what was promised does not hold, what is not needed for that is left out (parts, messages, faults), and what
remains is drawn: the message that it is about, on its way. The options that are printed then repeat it.

  mqttlite simulate --scenario large --seed 4                 writes large-4.html when it fails
  mqttlite simulate --scenario large --seed 4 --message 'device1 17'        draws this message in any case
  mqttlite simulate --scenario large --seed 4 --only device1,reader00 --without '3,7-20,broker0/disk:1,noise'

Or, with a model instead of the real programs, answers what a fleet of devices will need:

  mqttlite simulate --plan examples/fleet.toml                latencies, bytes, wear, where it saturates
"""

SHRINK_S = 120.0
SAID = 20  # lines of faults, or problems, that are printed at most
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
        help="run a small world (qos2-1-sqlite, qos1-30-journal-keys) and draw it; 'large': a random one",
    )
    modes.add_argument("--plan", metavar="FILE", help="what the fleet described in this TOML file will need")
    parser.add_argument("--json", action="store_true", help="--plan: the answer for programs")
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="TEXT",
        help="of a small world: 'kill broker @ event 57'; repeatable",
    )
    large_world = parser.add_argument_group(
        "of --scenario large",
        "Faults have keys: 7 (one of those that come at moments), device3/broker0:2 (the second cut at a packet from\n"
        "  device3 to broker0), broker0/disk:1 (the first at an operation of its disk), and names for what is bad all\n"
        "  the time: refuse, vanish, stall (connections), noise, babble (serial lines), drift (clocks). Each is the\n"
        "  same whatever else is left out. A run that fails prints the faults that have happened, with their keys.",
    )
    large_world.add_argument("--size", type=int, default=0, metavar="N", help="how many devices (default: drawn)")
    large_world.add_argument(
        "--only", metavar="PARTS", help="only these devices, readers and bridges: device3,reader00"
    )
    large_world.add_argument(
        "--messages", type=int, default=0, metavar="N", help="each device publishes only its first N messages"
    )
    large_world.add_argument("--only-faults", metavar="LIST", help="only these faults: 7,9-12,noise; '': none")
    large_world.add_argument("--without", default="", metavar="LIST", help="without these faults")
    large_world.add_argument(
        "--shrink-s",
        type=float,
        default=SHRINK_S,
        metavar="S",
        help="how long to look for what is not needed of a failure, in seconds (default %(default)g); 0: not at all",
    )
    large_world.add_argument(
        "--message",
        metavar="NAME",
        help="draw this message ('device1 17', or 'device1 17 at reader00'), whether anything fails or not",
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
        seed = 1 if args.seed is None else args.seed
        of_large = (args.size, args.messages, args.without, args.message, args.only, args.only_faults)
        if args.scenario != "large" and any(of_large):
            raise ValueError("--size, --only, --messages, --only-faults, --without, --message are of --scenario large")
        return large(seed, args) if args.scenario == "large" else scenario(args.scenario, args.fault, seed, args.output)
    return explain(args.explain, args.output)


def scenario(name: str, faults: list[str], seed: int, output: str | None) -> int:
    """Run a small world, say what came of it, draw it. Exit code 1: what was promised does not hold; then faults that
    are not needed for that are left out. ValueError: there is no such world, or no such fault.
    """
    from ...sim.chart import chart
    from ...sim.schedule import Schedule, named, shrink
    from ...sim.small.faults import parse

    schedule = Schedule(named(name), tuple(parse(fault) for fault in faults), seed)
    world = (run := schedule.run()).world
    problems = run.run()
    print(schedule)
    for fault, point in run.happened:
        print(f"  {fault}: {point}")
    print("\n".join(problems) or f"all that was promised holds; {world.events} events, digest {world.digest()[:16]}")
    if not problems:  # what comes later is only quiet
        world.trace = [entry for entry in world.trace if entry[0] <= run.done_at]
    title = f"{name}, seed {seed}"
    path = Path(output or f"{name}.html")
    text = "; ".join(problems) or "All that was promised holds."
    claims = [(problem, False) for problem in problems]
    chart.write(path, world, title=title, text=text, command=schedule.command, claims=claims)
    world.close()
    if problems and len(faults) > 1 and (smaller := shrink(schedule)) != schedule:
        print(f"fewer faults do it:\n  {smaller.command}")
    print(f"{path}: open it in a browser")
    return 1 if problems else 0


def large(seed: int, args: argparse.Namespace) -> int:
    """Run the large world of a seed, or parts of it, and say what came of it. A failure is shrunk and drawn. Exit code
    1: what was promised does not hold. ValueError: there are no such parts, faults, or message.
    """
    if importlib.util.find_spec("mqttlite_gateway") is None:
        raise ValueError(MISSING_SERIAL)
    sys.unraisablehook = lambda _: None  # apsw tells of each death in the middle of a write
    from ...sim.large.large import Large
    from ...sim.large.selection import Selection, parse
    from ...sim.large.shrink import failure_of, shrink
    from ...sim.scene import attempt

    if args.size < 0 or args.messages < 0:
        raise ValueError("--size and --messages are numbers of devices and messages; 0 is as the seed has it")
    if args.fault:
        raise ValueError("--fault is of small worlds; a large one has --without and --only-faults")
    selection = Selection(
        None if args.only is None else frozenset(filter(None, args.only.replace(" ", "").split(","))),
        args.messages,
        None if args.only_faults is None else parse(args.only_faults),
        parse(args.without),
    )
    run = Large(seed, args.size, selection)
    problems = attempt(run)
    _tell(run, problems)
    failure = failure_of(run, args.size, problems) if problems else None
    if failure and args.shrink_s > 0:
        print(f"looking for what is not needed, for {args.shrink_s:g} s at most:")
        failure = shrink(failure, args.shrink_s, lambda words: print(f"  {words}", flush=True))
        print(f"the same failure, smaller:\n  {failure.command()} --shrink-s 0")
        selection = failure.selection
    if failure or args.message or args.output:
        return _draw_large(seed, args, selection, failure)
    return 0


def _tell(run: "Large", problems: list[str]) -> None:
    """What came of a large world, and when it fails, by which faults."""
    world = run.world
    print(f"large, seed {run.seed}: {world.now / 3.6e12:.1f} h of virtual time, {world.events} events")
    if not problems:
        print(f"all that was promised holds; digest {world.digest()[:16]}")
        return
    for words in [f"{one.at / 1e9:10.3f} s  {one.key}: {one.text}" for one in run.trouble.happened][:SAID]:
        print(words)
    if len(run.trouble.happened) > SAID:
        print(f"… {len(run.trouble.happened) - SAID} more faults")
    print("\n".join(problems[:SAID]))
    if len(problems) > SAID:
        print(f"… {len(problems) - SAID} more problems")


def _draw_large(seed: int, args: argparse.Namespace, selection: "Selection", failure: "Failure | None") -> int:
    """Run it once more, keep its trace, and draw what it is about."""
    from ...sim.large.large import Large
    from ...sim.large.picture import write
    from ...sim.large.selection import command
    from ...sim.large.subject import first_subject, message_subject, subject_of
    from ...sim.scene import attempt

    run = Large(seed, args.size, selection, keep_trace=True)
    problems = attempt(run)
    if args.message:
        name, _, reader = args.message.partition(" at ")
        subject = message_subject(run, name, [reader] if reader else None)
    else:
        subject = subject_of(run, failure.problems[0]) if failure else first_subject(run)
    repeat = command(seed, args.size, selection)
    if args.message:
        repeat += f" --message '{args.message}'"
    if problems:
        repeat += " --shrink-s 0"
    path = Path(args.output or f"large-{seed}.html")
    write(path, run, subject, problems, repeat)
    print(f"{path}: open it in a browser")
    return 1 if problems else 0


def plan(path: str, as_json: bool, seed: int | None) -> int:
    """Print what the fleet described in a file will need. ValueError: it is of no use, and why."""
    from ...planning.report import answer

    print(answer(path, as_json, seed))
    return 0


def explain(name: str, output: str | None) -> int:
    """Play the lesson `name` and write its page; 'list' prints the lessons, 'all' writes all pages into a folder."""
    from ...sim.lessons.lessons import LESSONS

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
    from ...sim.chart import chart
    from ...sim.lessons.lessons import play

    lesson, world, begin, claims = play(name)
    command = f"mqttlite simulate --explain {name}"
    chart.write(path, world, title=lesson.title, text=lesson.text, command=command, claims=claims, since=begin)
    print(f"{path}: open it in a browser")
