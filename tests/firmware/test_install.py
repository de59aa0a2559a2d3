"""What is put on a board: package.json for mip, manifest.py for freezing, compiled files. None may forget a module."""

import functools
import http.server
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import mqttlite
from mqttlite_board.settings import encode
from tests.firmware.boards import APPLICATION, FIRMWARE, PACKAGE, TOPIC, settings
from tests.peers import MicroPython, Mosquitto, MosquittoSub
from tests.variants.variants import library
from tools import build_mpy, bundle


def built_before(name: str, folder: Path) -> None:
    """In the place of bundle.build, which takes long: what was built for another test."""
    shutil.copytree(library(name).parent, folder, dirs_exist_ok=True)


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


async def test_mip_installs_a_bundle_from_a_web_server(micropython: MicroPython, tmp_path: Path) -> None:
    built = library("thin").parent
    package = json.loads((built / "package.json").read_text(encoding="utf-8"))
    assert package["version"] == mqttlite.__version__
    with served(built) as url:
        script = f"import mip; mip.install('{url}/package.json', target='lib')"
        await micropython.run(script, path=[tmp_path], heap="512k")
    installed = {path.relative_to(tmp_path / "lib"): path.read_bytes() for path in (tmp_path / "lib").rglob("*.*")}
    assert installed == {path.relative_to(built / "mpy"): path.read_bytes() for path in (built / "mpy").rglob("*.*")}


def test_the_manifest_freezes_a_bundle_the_program_and_the_starter(monkeypatch: pytest.MonkeyPatch) -> None:
    included: list[str] = []
    frozen: list[str] = []

    def package(path: str, files: list[str] | None = None, base_path: str = ".", opt: int | None = None) -> None:
        assert opt == (3 if path == "mqttlite" else None)  # as the compiled files
        assert (Path(base_path) / path / "__init__.py").is_file()
        assert all((Path(base_path) / path / file).is_file() for file in files or [])
        frozen.extend([f"{path}/{file}" for file in files] if files else [path])

    def module(path: str, base_path: str = ".") -> None:
        assert (Path(base_path) / path).is_file()
        frozen.append(path)

    monkeypatch.chdir(FIRMWARE)  # as the build does
    source = (FIRMWARE / "manifest.py").read_text(encoding="utf-8")
    functions = {"include": included.append, "package": package, "module": module}
    monkeypatch.setenv("MQTTLITE_SET", "none-such")
    with pytest.raises(SystemExit, match=r"python -m tools\.bundle none-such"):
        exec(source, dict(functions))
    included.clear()
    built_before("thin", build_mpy.BUNDLES / "thin")
    monkeypatch.setenv("MQTTLITE_SET", "thin")
    exec(source, functions)
    assert included == ["$(PORT_DIR)/boards/manifest.py"]
    program = {path.relative_to(FIRMWARE).as_posix() for path in PACKAGE.rglob("*.py")}
    copied = {path for path in program if path.split("/")[1] in ("start", "application", "trying.py")}
    assert frozen == ["mqttlite", *sorted(program - copied), "start.py", "window.py"]


@pytest.mark.parametrize("bits", [32, 64])
async def test_the_compiled_program_is_complete_and_runs_in_little_memory(
    mosquitto: Mosquitto, tmp_path: Path, bits: int
) -> None:
    board = tmp_path / "board"
    sizes = build_mpy.build(board, library("all"), APPLICATION / "app.py")
    assert [place for place in sizes if not place.endswith(".mpy")] == ["boot.py", "main.py"]
    (board / "settings.json").write_bytes(encode(settings(mosquitto.url)))
    async with MosquittoSub(mosquitto.port, "-t", f"{TOPIC}/count", "-q", "2") as subscriber:
        script = "exec(open('boot.py').read()); exec(open('main.py').read())"
        heap = "96k" if bits == 32 else "176k"
        async with MicroPython(bits).process(script, heap=heap, path=[board, board / "lib"]):
            readings = [json.loads(message.payload)["n"] for message in await subscriber.take(50)]
    assert readings == list(range(1, 51))


def test_building_twice_leaves_nothing_of_before(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build_mpy, "OUTPUT", tmp_path / "build" / "mpy")
    monkeypatch.setattr(build_mpy, "ROOT", tmp_path)
    monkeypatch.setattr(bundle, "build", built_before)
    (tmp_path / "build" / "mpy").mkdir(parents=True)
    (tmp_path / "build" / "mpy" / "old.mpy").write_bytes(b"")
    assert build_mpy.main(["thin"]) == 0
    assert not (tmp_path / "build" / "mpy" / "old.mpy").exists()
    assert "lib/mqttlite/__init__.mpy" in capsys.readouterr().out
