"""esptool reads its patience from a file when it is imported, here and in programs that tests start."""

import os
from pathlib import Path

os.environ["ESPTOOL_CFGFILE"] = str(Path(__file__).with_name("esptool.cfg"))
