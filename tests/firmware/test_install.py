"""What is put on a board: package.json for mip, manifest.py for freezing, compiled files. None may forget a module."""

import ast
import functools
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mqttlite
from tests import runtimes
from tests.firmware.boards import TOPIC, settings
from tests.peers import MicroPython, Mosquitto, MosquittoSub, unavailable
from tests.runtimes import ROOT
from tools import build_mpy

FIRMWARE = ROOT / "firmware"
PACKAGE = json.loads((FIRMWARE / "package.json").read_text(encoding="utf-8"))

ROOTS = ("mqttlite.client", "mqttlite.store.journal", "mqttlite.store.area_raw")  # what a board imports by name
# Taken where there is no MicroPython, or by who tests
HOSTS = {"mqttlite.client.host", "mqttlite.store.area_host", "mqttlite.core.invariants"}


def source(module: str) -> Path:
    """The file of a module, below the checkout."""
    file = Path(*module.split("."))
    return file / "__init__.py" if (ROOT / file).is_dir() else file.with_suffix(".py")


def imported(module: str) -> Iterator[str]:
    """The modules of mqttlite that a module imports, at once or in a function, but for the type checker."""
    package = module.split(".")
    package = package if source(module).name == "__init__.py" else package[:-1]
    nodes: list[ast.AST] = [ast.parse((ROOT / source(module)).read_text(encoding="utf-8"))]
    for node in nodes:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        nodes += ast.iter_child_nodes(node)
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
            for name in [".".join(base), *[".".join([*base, alias.name]) for alias in node.names]]:
                if (ROOT / source(name)).is_file():
                    yield name


def modules() -> list[str]:
    """All that a board may load, sooner or later."""
    found = list(ROOTS)
    for name in found:
        found += [other for other in {name.rpartition(".")[0], *imported(name)} - HOSTS - {""} if other not in found]
    return sorted(source(name).as_posix() for name in found)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The URL under which a folder can be fetched."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_package_json_lists_all_that_a_client_may_load() -> None:
    assert [target for target, _ in PACKAGE["urls"]] == modules()


def test_package_json_names_files_of_the_checkout_and_its_version() -> None:
    for target, url in PACKAGE["urls"]:
        assert (FIRMWARE / url).resolve() == ROOT / target
    assert PACKAGE["version"] == mqttlite.__version__


async def test_mip_installs_the_client_from_a_web_server(micropython: MicroPython, tmp_path: Path) -> None:
    with served(ROOT) as url:
        script = f"import mip; mip.install('{url}/firmware/package.json', target='lib')"
        await micropython.run(script, path=[tmp_path], heap="512k")
    installed = tmp_path / "lib"
    found = sorted(path.relative_to(installed).as_posix() for path in installed.rglob("*.*"))
    assert found == modules()


def test_the_manifest_freezes_the_same_modules_and_the_helpers_of_the_program(monkeypatch) -> None:
    included: list[str] = []
    frozen: list[str] = []

    def package(path: str, files: list[str] | None = None, base_path: str = ".", opt: int | None = None) -> None:
        assert files
        for file in files:
            assert (Path(base_path) / path / file).is_file()
            frozen.append(f"{path}/{file}")

    def module(path: str, base_path: str = ".", opt: int | None = None) -> None:
        assert path.endswith(".py")
        assert (Path(base_path) / path).is_file()
        frozen.append(path)

    monkeypatch.chdir(FIRMWARE)  # as the build does
    source = (FIRMWARE / "manifest.py").read_text(encoding="utf-8")
    exec(source, {"include": included.append, "package": package, "module": module})
    assert included == ["$(PORT_DIR)/boards/manifest.py"]
    stays = {"boot.py", "main.py", "program.py", "settings.py", "manifest.py"}
    helpers = {path.name for path in FIRMWARE.glob("*.py")} - stays
    assert frozen == [target for target, _ in PACKAGE["urls"]] + sorted(helpers)


async def test_the_compiled_program_is_complete_and_runs_in_160_kb(mosquitto: Mosquitto, tmp_path: Path) -> None:
    mpy_cross = runtimes.mpy_cross() or unavailable("mpy-cross")
    micropython = MicroPython()
    board = tmp_path / "board"
    sizes = build_mpy.build(board, mpy_cross)
    assert {path.relative_to(board).as_posix() for path in board.rglob("*") if path.is_file()} == set(sizes)
    assert [place for place in sizes if not place.endswith(".mpy")] == ["boot.py", "main.py"]
    (board / "settings.py").write_text(settings(mosquitto.url), encoding="utf-8")
    async with MosquittoSub(mosquitto.port, "-t", f"{TOPIC}/count", "-q", "2") as subscriber:
        script = "exec(open('boot.py').read()); exec(open('main.py').read())"
        async with micropython.process(script, heap="160k", path=[board, board / "lib"]):
            readings = [json.loads(message.payload)["n"] for message in await subscriber.take(50)]
    assert readings == list(range(1, 51))


def test_building_twice_leaves_nothing_of_before(monkeypatch, tmp_path: Path, capsys) -> None:
    if runtimes.mpy_cross() is None:
        unavailable("mpy-cross")
    some = {place: source for place, source in build_mpy.sources().items() if place.endswith(("face.py", "boot.py"))}
    monkeypatch.setattr(build_mpy, "sources", lambda: some)
    monkeypatch.setattr(build_mpy, "OUTPUT", tmp_path / "mpy")
    monkeypatch.setattr(build_mpy, "ROOT", tmp_path)
    monkeypatch.setattr("sys.argv", ["build_mpy", "-O", "3"])
    assert build_mpy.main() == 0
    (tmp_path / "mpy" / "old.mpy").write_bytes(b"")
    assert build_mpy.main() == 0
    assert not (tmp_path / "mpy" / "old.mpy").exists()
    assert "lib/mqttlite/client/face.mpy" in capsys.readouterr().out
