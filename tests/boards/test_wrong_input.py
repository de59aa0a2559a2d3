"""What is wrong with files, names and keys that commands for boards are given: said before a port is looked for, in
words that name the file and what to give instead.
"""

from pathlib import Path

import pytest

from mqttlite.boards.images.firmware_image import ImageError
from mqttlite.boards.reaching.ports import Candidate
from mqttlite.boards.updating import release as releases
from mqttlite.cli import main
from tests.boards import images


def micropython(version: str) -> bytes:
    """The application alone."""
    banner = f"MicroPython v{version} on 2025-12-09".encode()
    return images.program("ESP32", [images.description("micropython", f"v{version}") + banner])


APPLICATION = micropython("1.27.0")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, on a machine without a serial port."""
    monkeypatch.setattr("mqttlite.boards.reaching.ports.candidates", list)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my-sensor").mkdir()
    (tmp_path / "my-sensor" / "app.py").write_text("def application(options):\n    return None\n")
    (tmp_path / "whole.bin").write_bytes(images.image())
    (tmp_path / "old.bin").write_bytes(images.image(version="v1.24.1"))
    (tmp_path / "cut.bin").write_bytes(images.image()[:-5000])
    (tmp_path / "micropython.bin").write_bytes(APPLICATION)
    (tmp_path / "text.bin").write_text("<html>Not found</html>")
    releases.make_key(tmp_path / "maker.key")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("flash --image nope.bin", "there is no file nope.bin in {here}"),
        ("flash --image /nope/nope.bin", "there is no folder /nope, and so no file /nope/nope.bin"),
        ("flash --image my-sensor", "my-sensor is a folder, not a file"),
        ("flash --image text.bin", "text.bin is no image for an ESP32"),
        ("flash --image cut.bin", "download it again"),
        ("flash --image old.bin", "old.bin is MicroPython 1.24.1 of 2025-04-15; it must be 1.25"),
        ("flash --image micropython.bin", "take the .bin file, not the .app-bin"),
        ("flash --image whole.bin --sha256 00", "not the one of --sha256"),
        ("flash --image whole.bin --app nope", "there is no folder nope; mqttlite board new nope makes one"),
        ("flash --image whole.bin --app config", "there is no folder config"),
        ("flash --image whole.bin --board nope", "there is no board 'nope'"),
        ("flash --image whole.bin --bundle nope", "there is no bundle 'nope'"),
        ("flash --image whole.bin --settings nope.toml", "nope.toml"),
        ("flash --app nope --app-only", "there is no folder nope"),
        ("flash --image whole.bin", "no serial port: plug the board in"),
        ("doctor --board nope", "there is no board 'nope'"),
        ("doctor --board esp32-devkitc --bundle nope", "there is no bundle 'nope'"),
        ("doctor --board esp32-devkitc", "no serial port: plug the board in"),
        ("board setup --settings nope.toml", "nope.toml"),
        ("board setup", "no serial port: plug the board in"),
        ("update sign nope --key maker.key", "there is no folder nope"),
        (
            "update sign micropython.bin --key maker.key",
            "micropython.bin is a file: a release is made of an",
        ),
        ("update sign my-sensor --key nope.key", "there is no file nope.key in {here}"),
        (
            "update sign my-sensor --key maker.key.pub",
            "maker.key.pub: no private key of a maker but the public one: give ",
        ),
        ("update sign whole.bin --image --key maker.key", "whole.bin begins with a boot loader, as a whole image does"),
        ("update sign text.bin --image --key maker.key", "text.bin is no image for an ESP32"),
        ("update sign nope.bin --image --key maker.key", "there is no file nope.bin in {here}"),
        (
            "update push micropython.bin pump",
            "micropython.bin is no release of mqttlite, or is damaged: `mqtt",
        ),
        ("update push nope pump", "there is no folder nope"),
        ("update push my-sensor pump --percent 0", "--percent above 0 up to 100"),
        ("update push my-sensor pump --wait -1", "--wait above 0"),
        (
            "update push my-sensor valve",
            "has no device 'valve'; there is pump (mqttlite flash and",
        ),
    ],
)
def test_a_wrong_input_is_said_whether_a_board_is_there_or_not(
    here: Path, capsys: pytest.CaptureFixture[str], words: str, said: str
) -> None:
    devices = here / "config" / "mqttlite"
    devices.mkdir(parents=True)
    (devices / "devices.toml").write_text(f'["pump"]\nkey = "{"5a" * 32}"\n')
    (devices / "devices.toml").chmod(0o600)
    said = said.replace("there is no folder config", "config has no app.py").format(here=here)
    assert main(words.split()) == 1
    lines = capsys.readouterr().err.splitlines()
    command = words.partition(" -")[0]
    assert said in lines[-1]
    assert lines[-1].startswith(f"mqttlite {' '.join(command.split()[: 1 if command in ('flash', 'doctor') else 2])}: ")
    assert not any("Errno" in line or "Traceback" in line for line in lines)


def test_the_private_key_in_the_place_of_the_public_one_is_told_apart(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["update", "sign", "my-sensor", "--key", "maker.key", "--name", "1.4.2", "-o", "a.release"]) == 0
    words = r"maker\.key: no public key of a maker but the private one: give maker\.key\.pub"
    with pytest.raises(releases.ReleaseError, match=words):
        releases.unpack(Path("a.release"), [Path("maker.key")])
    assert releases.unpack(Path("a.release"), [Path("maker.key.pub")]).name == "1.4.2"


@pytest.mark.parametrize(
    ("words", "file", "said"),
    [
        ("my-sensor --name 1.4.2", "my-sensor-1.4.2.release", "release 1.4.2, "),
        ("my-sensor --name my-sensor-7", "my-sensor-7.release", "release my-sensor-7, "),
        ("micropython.bin --image --name 1.27", "micropython-1.27.release", "release 1.27, an image, "),
    ],
)
def test_a_release_is_called_after_what_it_is_of_once(
    here: Path, capsys: pytest.CaptureFixture[str], words: str, file: str, said: str
) -> None:
    assert main(["update", "sign", *words.split(), "--key", "maker.key"]) == 0
    assert capsys.readouterr().out.startswith(f"{file}: {said}")
    assert (here / file).exists()


def test_without_a_name_a_release_has_the_folders_and_the_time(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["update", "sign", "my-sensor", "--key", "maker.key"]) == 0
    [made] = here.glob("*.release")
    assert made.stem.count("my-sensor") == 1
    assert f"{made.name}: release {made.stem}, " in capsys.readouterr().out


def test_an_image_for_an_ota_slot_is_whole_micropython_and_new_enough(tmp_path: Path) -> None:
    path = tmp_path / "firmware.bin"
    path.write_bytes(APPLICATION)
    assert releases.image(path, "1").files == {"image": APPLICATION}
    damaged = bytearray(APPLICATION)
    damaged[60] ^= 1
    other = images.program("ESP32", [images.description("blink", "v1") + b"blinks"])
    not_ours = "is not MicroPython; it says it is blink v1"
    for data, words in ((damaged, "damaged"), (other, not_ours), (micropython("1.24.1"), "must be 1.25")):
        path.write_bytes(data)
        with pytest.raises(ImageError, match=words):
            releases.image(path, "1")


@pytest.mark.parametrize("command", ["board setup", "doctor --board esp32-devkitc", "flash --image whole.bin"])
def test_of_several_ports_each_is_shown_on_a_line_of_its_own(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    ports = [Candidate("/dev/ttyUSB0", "Silicon Labs CP2102"), Candidate("/dev/ttyACM0", "")]
    monkeypatch.setattr("mqttlite.boards.reaching.ports.candidates", lambda: ports)
    assert main(command.split()) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith("there are 2 serial ports; say which one the board is at:")
    shown = [line.split(":     ")[1] for line in lines[1:]]
    assert shown == ["--port /dev/ttyUSB0   Silicon Labs CP2102", "--port /dev/ttyACM0"]


@pytest.mark.parametrize("command", ["key", "sign", "push", "status"])
def test_the_help_of_each_command_shows_one(capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert main(["update", command, "--help"]) == 0
    assert f"\n  mqttlite update {command} " in capsys.readouterr().out
