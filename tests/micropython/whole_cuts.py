"""The whole program of a board, its power cut at every operation of its flash, in virtual time (virtual/).

    whole_cuts.py ASYNCIO FOLDER SCENARIO STRIDE BEGIN

ASYNCIO holds asyncio's source, FOLDER the files of the board (tests/firmware/virtual_boards.py). A scenario is run once
to count the operations, then with a cut at every STRIDE-th of them from BEGIN on, each clean and torn in all ways that
there are. Whatever is cut, the board comes back by itself, and in the end, with the broker in reach:

- what `publish` has returned for at QoS 1 and 2 has arrived; at QoS 2 once;
- readings that are counted have arrived as 1, 2, 3, … : none is missing, none is there twice;
- each command of the broker (QoS 2) was answered, once; the application was given it once, unless the cut came between
  that and the write that says so.
"""

import json
import sys

sys.path[:0] = sys.argv[1:2] + [sys.argv[0].rsplit("/", 1)[0]]

from virtual import scenarios  # noqa: E402
from virtual import world as virtual  # noqa: E402

TORN = (0, 1, 2, 3)  # flash.Power
RING = 32768  # bytes
TOLD = "_told/"  # in FOLDER: no files of the board, but what a computer has made for the scenario


def run(world, scenario, base, cuts):
    """One board from its first start on; the number of operations."""
    world.begin(base, bytearray(b"\xff" * RING) if scenario.has_ring else None)
    scenario.prepare(world)
    try:
        count = world.run(cuts, scenario.until, lambda: scenario.is_done(world))
        assert scenario.is_done(world), "it has not come to an end in %d s" % (world.now // 1000)
        scenario.check(world)
    except Exception as error:
        for each in world.broker.received + world.said:
            world.print(each)
        sys.print_exception(error)
        world.print("cuts", cuts, "lives", world.causes, "now", world.now)
        world.print("FAILED:", error)
        raise SystemExit(1) from None
    return count


def main(folder, name, stride, begin):
    files = virtual.files_in(folder)
    virtual.leave_computer()
    world = virtual.the_world
    scenario = scenarios.SCENARIOS[name]()
    for place in [place for place in files if place.startswith(TOLD)]:
        scenario.told[place[len(TOLD) :]] = files.pop(place)
    settings = {"name": "one", "url": "mqtt://10.0.0.1", "wifi": {"name": "net", "password": "12345678"}}
    settings["app"] = {"every_s": 10, "batch": 3}
    settings.update(scenario.settings)
    if scenario.has_settings:
        files["settings.json"] = json.dumps(settings).encode()
    else:
        files.pop("settings.json", None)
    files["a/app.py"] = scenarios.APP.encode()
    base = virtual.made_image(files)
    operations = run(world, scenario, base, ())
    tried = again = 0
    for operation in range(begin, operations + 1, stride):
        for torn in TORN:
            run(world, scenario, base, [(operation, torn)])
            tried += 1
            again += len(scenarios.given_again(world))
    world.print("%s: %d operations, %d cuts, %d commands given again" % (name, operations, tried, again))
    world.print("all done")


main(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
