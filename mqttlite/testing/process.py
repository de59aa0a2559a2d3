"""A broker in a process of its own, with a store: it can be killed at any instant, and started again."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Self

START_S = 30.0


class BrokerProcess:
    """`with BrokerProcess(store="b.db") as broker: ...; broker.kill(); broker.start()`

    `store`: the path of its store; None: it keeps everything in memory. `arguments`: further ones of `mqttlite broker`.
    Its port stays the same over restarts. `log`: the lines of its log.
    """

    def __init__(self, store: str | os.PathLike[str] | None = None, arguments: Sequence[str] = ()) -> None:
        self._store = store
        self._arguments = list(arguments)
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self.host = "127.0.0.1"
        self.port = 0
        self.url = ""
        self.log: list[str] = []

    def start(self) -> Self:
        """Start it; returns when it listens. RuntimeError has its log when it does not."""
        if self._process is not None:
            raise RuntimeError("this broker runs already")
        command = [sys.executable, "-m", "mqttlite", "broker", "--listen", f"mqtt://{self.host}:{self.port}"]
        if self._store is not None:
            command += ["--store", os.fspath(self._store)]
        process = subprocess.Popen(
            [*command, "--control", "none", "--log", "text", *self._arguments],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        self._process = process
        listening = threading.Event()
        self._reader = threading.Thread(target=self._read, args=(process, listening), daemon=True)
        self._reader.start()
        until = time.monotonic() + START_S
        while not listening.wait(0.01):
            if process.poll() is not None or time.monotonic() > until:
                self.kill()
                raise RuntimeError("the broker does not start:\n" + "".join(self.log))
        return self

    def _read(self, process: "subprocess.Popen[str]", listening: threading.Event) -> None:
        assert process.stderr
        for line in process.stderr:
            self.log.append(line)
            found = re.search(r"listening on (mqtt://[^:]+:(\d+))", line)
            if found and not listening.is_set():  # further listeners are of `arguments`
                self.url, self.port = found[1], int(found[2])
                listening.set()

    @property
    def pid(self) -> int:
        """Of its process."""
        if self._process is None:
            raise RuntimeError("this broker does not run")
        return self._process.pid

    def kill(self) -> None:
        """kill -9: it gets no chance to do anything. Returns when it is gone."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in good order (SIGTERM). Returns when it is gone."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Kill it and start it again, on the same port and with the same store."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """It stands (SIGSTOP): its kernel takes connections and bytes, and nobody answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """It goes on."""
        os.kill(self.pid, signal.SIGCONT)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        if number != signal.SIGKILL:
            process.send_signal(signal.SIGCONT)
        process.wait()
        if self._reader:
            self._reader.join()
        if process.stderr:
            process.stderr.close()

    def __enter__(self) -> Self:
        return self if self._process else self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()
