"""aedes (npm) as a peer: a broker of 3.1.1 in Node.js. Its sessions live in memory, so they end with its process; they
survive lost connections.
"""

import subprocess
from types import TracebackType
from typing import Self

from tests.peers import START_TIMEOUT_S, free_port, program, unavailable
from tests.runtimes import NODE_MODULES, ROOT

_SCRIPT = ROOT / "tests" / "node" / "aedes_broker.mjs"


class Aedes:
    """`with Aedes() as broker: ... broker.port`."""

    def __init__(self) -> None:
        self._module = NODE_MODULES / "aedes" / "aedes.js"
        if not self._module.exists():
            unavailable("aedes (npm)")
        self._node = program("node")
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it and returns when it listens."""
        assert self._process is None, "this aedes runs already"
        command = [self._node, str(_SCRIPT), str(self._module), str(self.port)]
        process = self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout
        if not process.stdout.readline():
            self.kill()
            raise RuntimeError("aedes ended at once; what it said stands above")

    def kill(self) -> None:
        """Ends it, and with it all that it knew; it can be started again."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(timeout=START_TIMEOUT_S)
            assert process.stdin
            assert process.stdout
            process.stdin.close()
            process.stdout.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
