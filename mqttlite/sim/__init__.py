"""The deterministic world that tests and the demo run in. No part of a board's program.

`world.World` runs the real client, broker, gateway, link and stores in one thread of virtual time, everything decided
by one seed: processes (process.py) with event loops (loop.py, handles.py) and clocks (clock.py). Its rooms,
from the bottom to the top:

    timeline.py                time, chance, and what has happened
    disks/, net/, lines/       what a process has around it, and how that fails; of the process itself they know only
                               machine.py
    system/                    puts the world in the place of the operating system
    check/                     what decides whether all is well
    programs.py, scene.py      what runs in it, and how it is watched
    small/, features/          worlds with one or two messages, and of what only MQTT 5.0 has
    schedule.py                one of these with the faults that happen: benchmarks/simulate.py goes through all of them
    large/                     random worlds
    lessons/, chart/           teaching scenarios, and the picture of what has happened

The bugs that the checkers have to notice are planted by tests/planted/; a model of a fleet is mqttlite/planning/.
"""
