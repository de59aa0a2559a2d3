"""Saving settings, and being set up, with the power cut at every device operation, on the interpreter's own VfsLfs2."""

from cut_flash import every_cut

from mqttlite_board import improv, settings
from mqttlite_board.provisioning import Setup

PATH = "/flash/settings.json"
OLD = {"name": "one", "url": "mqtt://old:1883", "username": "one", "password": "old-password", "key": "1" * 64}
NEW = {"name": "one", "url": "mqtt://new:1883", "username": "one", "password": "new-password", "app": {"n": 600 * "x"}}


def look():
    try:
        return settings.read(PATH)["url"]
    except OSError:
        return None


found = every_cut(lambda: settings.save(PATH, OLD), lambda: settings.save(PATH, NEW), look)
assert set(found) == {"mqtt://old:1883", "mqtt://new:1883"}, found
print("from old to new", found)
found = every_cut(lambda: None, lambda: settings.save(PATH, NEW), look)
assert set(found) == {None, "mqtt://new:1883"}, found
print("from none to new", found)


def set_up():
    said = []
    setup = Setup(PATH, {}, said.append, None, 0)
    record = settings.encode(NEW)
    for at in range(0, len(record), improv.PIECE):
        head = at.to_bytes(2, "big") + len(record).to_bytes(2, "big")
        setup.receive(improv.rpc(improv.PUT, head + record[at : at + improv.PIECE]), 0)
    assert improv.result(improv.PUT, ["saved", ""]) == said[-1], said


for before in (lambda: None, lambda: settings.save(PATH, OLD)):
    found = every_cut(before, set_up, look)
    assert len(found) == 2 and found["mqtt://new:1883"], found
    print("set up", found)
print("all done")
