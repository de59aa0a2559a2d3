"""A computer has no pins: stand-ins for MicroPython's modules, so that app.py can be imported and made here. A test can
say what they give: `machine.ADC.return_value.read_uv.return_value = 1_850_000`, after `import machine`.
"""

import sys
from unittest.mock import MagicMock

for module in ("machine", "esp32", "dht", "onewire"):
    sys.modules.setdefault(module, MagicMock())
