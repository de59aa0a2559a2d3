"""The Debian package, as far as no Debian has to be booted for it (tools/test_deb.sh does that): what is in it, with
which modes, that its scripts are scripts, and that twice built it is the same.
"""

import hashlib
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.peers import unavailable
from tests.runtimes import ROOT
from tools.deb import build
from tools.wheel_hook import SERVICE_FILES

pytestmark = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="no dpkg-deb: this is no Debian")
EPOCH = "1700000000"


def wheel(folder: Path) -> Path:
    """One with the shape of ours, and little in it: the true one takes long."""
    path = folder / "mqttlite-1.2.0rc1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("mqttlite/__init__.py", "__version__ = '1.2.0rc1'\n")
        for name in ("METADATA", "RECORD", "entry_points.txt", "licenses/LICENSE"):
            file.writestr(f"mqttlite-1.2.0rc1.dist-info/{name}", "x\n")
    return path


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built, in a folder where nothing else is."""
    folder = tmp_path_factory.mktemp("deb")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", EPOCH)
        return build.build(folder / "dist", wheel=wheel(folder))


@pytest.fixture(scope="module")
def unpacked(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("root") / "x"
    subprocess.run(["dpkg-deb", "-R", str(package), str(folder)], check=True)
    return folder


def listed(package: Path) -> dict[str, tuple[str, str]]:
    """Mode and owner of each file."""
    out = subprocess.run(["dpkg-deb", "-c", str(package)], capture_output=True, text=True, check=True).stdout
    return {words[5].removeprefix("."): (words[0], words[1]) for words in map(str.split, out.splitlines())}


def test_it_has_command_modules_units_rules_and_settings_of_which_the_secret_ones_are_nobody_elses(
    package: Path,
) -> None:
    found = listed(package)
    for name, mode in {
        "/usr/bin/mqttlite": "-rwxr-xr-x",
        "/usr/lib/python3/dist-packages/mqttlite/__init__.py": "-rw-r--r--",
        "/usr/lib/systemd/system/mqttlite-gateway.service": "-rw-r--r--",
        "/usr/lib/systemd/system/mqttlite-broker.service": "-rw-r--r--",
        "/usr/lib/udev/rules.d/99-mqttlite.rules": "-rw-r--r--",
        "/etc/mqttlite/": "drwxr-x---",
        "/etc/mqttlite/secrets/": "drwxr-x---",
        "/etc/mqttlite/gateway.toml": "-rw-r-----",
        "/usr/share/doc/mqttlite/copyright": "-rw-r--r--",
        "/usr/share/man/man1/mqttlite.1.gz": "-rw-r--r--",
    }.items():
        assert found[name] == (mode, "root/root"), name
    assert not [name for name in found if "entry_points" in name or "RECORD" in name or "__pycache__" in name]


def test_what_is_a_setting_is_a_conffile_and_everything_else_has_its_sum(unpacked: Path) -> None:
    conffiles = (unpacked / "DEBIAN/conffiles").read_text().split()
    below_etc = [f"/{path.relative_to(unpacked)}" for path in (unpacked / "etc").rglob("*") if path.is_file()]
    assert conffiles == below_etc
    lines = (unpacked / "DEBIAN/md5sums").read_text().splitlines()
    assert len(lines) == sum(path.is_file() for path in (unpacked / "usr").rglob("*"))
    for line in lines:
        digest, name = line.split("  ")
        assert hashlib.md5((unpacked / name).read_bytes(), usedforsecurity=False).hexdigest() == digest


def test_its_scripts_are_scripts_of_a_posix_shell(unpacked: Path) -> None:
    shell = shutil.which("dash") or unavailable("dash")
    for name in build.SCRIPTS:
        script = unpacked / "DEBIAN" / name
        assert script.stat().st_mode & 0o777 == 0o755
        assert script.read_text().startswith("#!/bin/sh\n")
        assert "\nset -e\n" in script.read_text()
        subprocess.run([shell, "-n", str(script)], check=True)


@pytest.mark.parametrize("name", ["postinst", "prerm"])
def test_a_script_that_is_called_as_no_dpkg_calls_it_says_so(unpacked: Path, name: str, tmp_path: Path) -> None:
    text = (unpacked / "DEBIAN" / name).read_text().replace(". /usr/share/debconf/confmodule", ":")
    (tmp_path / name).write_text(text)
    done = subprocess.run(["sh", str(tmp_path / name), "strange"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, f"{name} of mqttlite: unknown argument strange\n")


def test_twice_built_it_is_the_same(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", EPOCH)
    again = build.build(tmp_path, wheel=wheel(tmp_path))
    assert again.name == package.name
    assert again.read_bytes() == package.read_bytes()


def test_a_candidate_comes_before_its_release(package: Path) -> None:
    assert package.name == "mqttlite_1.2.0~rc1_all.deb"
    assert [build.debian_version(text) for text in ("1.0", "1.0.dev3", "1.0a1")] == ["1.0", "1.0~dev3", "1.0~a1"]
    for earlier in ("1.2.0.dev1", "1.2.0rc1"):
        subprocess.run(["dpkg", "--compare-versions", build.debian_version(earlier), "lt", "1.2.0"], check=True)


def test_what_pyproject_needs_for_a_gateway_it_depends_on(unpacked: Path) -> None:
    control = (unpacked / "DEBIAN/control").read_text()
    [depends] = re.findall("^Depends: (.*)$", control, re.MULTILINE)
    for module in ("serial", "aiohttp", "pyudev", "zeroconf", "argon2", "cryptography", "wsproto", "segno"):
        assert f"python3-{module} (" in depends
    assert re.search("^Architecture: all$", control, re.MULTILINE)
    assert "@" not in re.sub("<.*>", "", control)


def test_the_units_run_the_command_of_the_package(unpacked: Path) -> None:
    for name in ("gateway", "broker"):
        unit = (unpacked / f"usr/lib/systemd/system/mqttlite-{name}.service").read_text()
        assert f"\nExecStart=/usr/bin/mqttlite {name} " in unit
        assert "/opt/" not in unit


def test_the_wheel_brings_what_the_service_needs(unpacked: Path) -> None:
    for name in SERVICE_FILES:
        assert (ROOT / name).is_file()
