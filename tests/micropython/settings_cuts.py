"""Saving settings with the power cut at every device operation, on the interpreter's own VfsLfs2."""

from cut_flash import every_cut

from mqttlite_board import settings

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
print("all done")
