"""One question to a control socket. Blocks."""

import json
import os
import socket
from typing import Any

TIMEOUT_S = 5.0


def ask(path: str | os.PathLike[str], do: str) -> dict[str, Any]:
    """What it finds. ValueError: it does not know that; OSError: it cannot be reached."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(TIMEOUT_S)
        sock.connect(os.fspath(path))
        sock.sendall(json.dumps({"do": do}).encode() + b"\n")
        with sock.makefile("rb") as reader:
            answer = json.loads(reader.readline() or b"{}")
    if not answer.get("ok"):
        raise ValueError(str(answer.get("error")))
    found: dict[str, Any] = answer["found"]
    return found
