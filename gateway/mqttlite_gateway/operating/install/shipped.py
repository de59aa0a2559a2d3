"""The files that make a service of the gateway: in the wheel beside this module, in a clone in gateway/."""

from pathlib import Path

FOLDER = Path(__file__).parent / "shipped"
CLONE = Path(__file__).parents[3]  # gateway/ of the repository, where this is one
UNIT = "mqttlite-gateway.service"
RULES = "99-mqttlite.rules"
SETTINGS = "gateway.toml"
IN_CLONE = {UNIT: "systemd", RULES: "udev", SETTINGS: "debian", "gateway.example.toml": "."}
OPT = "/opt/mqttlite/bin/mqttlite"  # where the program is, as the unit has it


def text_of(name: str) -> str:
    """The text of one of them. ValueError: this installation is not complete."""
    path = FOLDER / name if FOLDER.is_dir() else CLONE / IN_CLONE[name] / name
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{path} is missing ({error.strerror}): install mqttlite again") from None


def unit(program: str) -> str:
    """The unit that runs this program."""
    return text_of(UNIT).replace(OPT, program)
