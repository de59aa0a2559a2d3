"""What a step of an examination has found: of a board (doctor.py), or of a machine that is a gateway
(mqttlite_gateway/operating/doctor). Imports nothing.
"""

from dataclasses import dataclass, field
from typing import Any

OK = "ok"
WRONG = "wrong"  # it does not work, or loses something
DOUBTFUL = "doubtful"  # it works, and may not for long
LEFT_OUT = "left out"  # it could not be looked at


@dataclass(frozen=True)
class Finding:
    """`state`: one of the four; of a board none is doubtful. `todo`: what helps. `values`: for programs."""

    step: str
    state: str
    text: str
    todo: str = ""
    values: dict[str, Any] = field(default_factory=dict)
