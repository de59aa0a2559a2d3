"""The other end of a broker's control socket, for `mqttlite ctl` and `mqttlite top`. Blocks."""

import json
import os
import socket
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ...broker.operating.control_path import running
from ..streams import Choice, one_line

TIMEOUT_S = 60.0  # a backup of a large store takes its time
LOOK_S = 2.0  # for a broker that is asked who it is


class ControlClient:
    """`with ControlClient(path) as broker: broker.ask("show", client="kitchen")`. ValueError has what the broker says
    against it; OSError: it cannot be reached.
    """

    def __init__(self, path: str | os.PathLike[str], timeout_s: float = TIMEOUT_S) -> None:
        self.path = os.fspath(path)
        self._socket = socket.socket(socket.AF_UNIX)
        self._timeout_s = timeout_s
        self._socket.settimeout(timeout_s)
        try:
            self._socket.connect(self.path)
        except OSError as error:
            self._socket.close()
            raise OSError(_why(self.path, error)) from error
        self._reader = self._socket.makefile("rb")

    def ask(self, do: str, **arguments: Any) -> Any:
        """What the broker finds."""
        request = {"do": do, **{name: value for name, value in arguments.items() if value is not None}}
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            line = self._reader.readline()
        except TimeoutError:
            raise OSError(f"the broker has not answered within {self._timeout_s:.0f} s") from None
        if not line.endswith(b"\n"):
            raise OSError("the broker has closed its control socket")
        answer = json.loads(line)
        if not answer.get("ok"):
            raise ValueError(str(answer.get("error")))
        return answer["found"]

    def close(self) -> None:
        """Let go of it."""
        self._reader.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def reach(path: str | None) -> ControlClient:
    """The broker with this control socket; None: the one that runs here. Choice: there are several."""
    if path:
        return ControlClient(path)
    found = running()
    if len(found) > 1:
        raise Choice(
            f"{len(found)} brokers run here: say which with --socket PATH, or with --config FILE if its file names the "
            "socket ([control] socket)",
            [f"--socket {each}  {_who(each)}" for each in found],
        )
    if not found:
        raise OSError(
            "no broker of this user or of the service runs here; one that does and has another control socket is "
            "reached with --socket PATH (its log says where it is), that of another user as that user or with sudo"
        )
    return ControlClient(found[0])


def _who(path: Path) -> str:
    """Where a broker listens, for whoever has to choose one."""
    try:
        with ControlClient(path, LOOK_S) as broker:
            addresses = broker.ask("status")["addresses"]
    except (OSError, ValueError, KeyError) as error:
        return f"({one_line(str(error))})"
    return one_line(f"listens on {', '.join(addresses) or 'nothing'}")


def _why(path: str, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"there is no control socket {path}: does the broker run, and with --control {path}?"
    if isinstance(error, ConnectionRefusedError):
        return f"nobody listens on {path} any more: the broker has been killed"
    if isinstance(error, PermissionError):
        return f"this user has no permission for {path}: it is for the broker's own user and root"
    return f"{path}: {error.strerror or error}"
