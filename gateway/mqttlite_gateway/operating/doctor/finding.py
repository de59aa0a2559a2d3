"""What a step of the examination says, and what it is told."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...settings.whole import Config

OK = "ok"
WRONG = "wrong"  # it does not work, or loses something
DOUBTFUL = "doubtful"  # it works, and may not for long
LEFT_OUT = "left out"  # it could not be looked at


@dataclass(frozen=True)
class Finding:
    """Of a machine, or of a board (boards/examining/doctor.py). `state`: one of the four; of a board none is doubtful.
    `todo`: what helps. `values`: for programs.
    """

    step: str
    state: str
    text: str
    todo: str = ""
    values: dict[str, Any] = field(default_factory=dict)


@dataclass
class Case:
    """`path`: the settings, whether they are there or not. What steps have found that later ones use: `config`, None:
    it cannot be read; `state`: what the running gateway's broker says; `pid`: of the running gateway; None: none.
    """

    path: Path
    config: "Config | None" = None
    state: dict[str, Any] | None = None
    pid: int | None = None

    @property
    def store(self) -> Path:
        """The folder of the store, or the next one above that is there."""
        path = Path("/var/lib/mqttlite")
        if self.state and self.state.get("store"):
            path = Path(str(self.state["store"])).parent
        elif self.config and self.config.broker.store not in (None, "", "memory"):
            path = Path(str(self.config.broker.store)).absolute().parent
        while not path.is_dir() and path != path.parent:
            path = path.parent
        return path
