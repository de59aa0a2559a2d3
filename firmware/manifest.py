"""For freezing into an image: the client, by the list of package.json, and the helpers of the program.

    make -C ports/esp32 BOARD=ESP32_GENERIC FROZEN_MANIFEST=/path/to/firmware/manifest.py

boot.py, main.py, program.py, settings.py and the application stay files on the board, so that they can be changed.
"""

import json

include("$(PORT_DIR)/boards/manifest.py")  # noqa: F821 (the build defines these functions)

with open("package.json") as file:  # the build makes the manifest's folder the current one
    urls = json.load(file)["urls"]
package("mqttlite", [target[len("mqttlite/") :] for target, _ in urls], base_path="..")  # noqa: F821

for name in ("boots.py", "together.py", "wifi.py"):
    module(name)  # noqa: F821
