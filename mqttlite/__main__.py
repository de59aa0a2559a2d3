"""`python -m mqttlite`: the same as the command `mqttlite`."""

import sys

from mqttlite.cli import main

sys.exit(main())
