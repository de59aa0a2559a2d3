"""For freezing into an image: a bundle of mqttlite, the program, and the starter. First build the bundle:

    python -m tools.bundle all -o build/bundle/all
    make -C ports/esp32 BOARD=ESP32_GENERIC FROZEN_MANIFEST=/path/to/firmware/manifest.py

MQTTLITE_SET in the environment names another set than `all`. boot.py, main.py and settings.json stay files on the
board, so that they can be changed.
"""

import os

include("$(PORT_DIR)/boards/manifest.py")  # noqa: F821 (the build defines these functions)

name = os.environ.get("MQTTLITE_SET", "all")
folder = "../build/bundle/" + name + "/py"  # the build makes the manifest's folder the current one
if not os.path.isdir(folder):
    raise SystemExit(f"there is no bundle in {folder}: python -m tools.bundle {name} -o build/bundle/{name}")
package("mqttlite", base_path=folder, opt=3)  # noqa: F821

files = []
for place, _, names in os.walk("mqttlite_board"):
    below = os.path.relpath(place, "mqttlite_board")
    if below.split(os.sep)[0] not in ("start", "application"):
        files += [os.path.normpath(os.path.join(below, file)) for file in names if file.endswith(".py")]
files.remove("trying.py")  # for a computer
package("mqttlite_board", files=sorted(files))  # noqa: F821
for file in sorted(os.listdir("mqttlite_board/start")):
    if file.endswith(".py") and file not in ("__init__.py", "boot.py", "main.py"):
        module(file, base_path="mqttlite_board/start")  # noqa: F821
