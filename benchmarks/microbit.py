"""The codec on an emulated microcontroller: QEMU's micro:bit (Cortex-M0, 16 KB of RAM) with Debian's MicroPython 1.9.

    python -m benchmarks.microbit       what each case gave, the heap that is left; compares with CPython

The source is that of mqttlite/core, function by function: annotations and docstrings are taken out, constants of other
modules put in their places, `const` taken from micropython, and errors are by number (features.TEXTS is 0). That
MicroPython has neither packages of ours nor binascii, so all lies in one module and `checksum` is left out.
"""

import ast
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from mqttlite.core import codec, errors, greeting, packet_types, reason_codes, text, wire4, wire4_server

QEMU = "qemu-system-arm"
FIRMWARE = Path("/usr/share/firmware-microbit-micropython/firmware.hex")
PACKAGES = "qemu-system-arm firmware-microbit-micropython"
COLLECT = "import gc; gc.collect()"  # before anything is compiled, which wants pieces that are free already
CHUNK = 32  # bytes that are written at once: the image's buffer is small, and what comes while it collects is lost
PAUSE_S = 0.01  # between them
TIMEOUT_S = 8.0  # of one answer
STARTS = 4  # should a byte be lost in spite of that, the machine starts anew
Parts = list[tuple[Any, list[str]]]
ERRORS: Parts = [(errors, ["MQTTError", "ProtocolError", "broken"])]
UTF8: Parts = [(text, ["_decoder_is_lax", "_LAX", "_well_formed", "_decodes", "check_utf8"])]
TOPICS: Parts = [(text, ["_check_length", "_check_topic", "check_topic_name", "check_topic_filter"])]
PACKET: Parts = [(codec, ["REMAINING_MAX", "remaining_length", "packet", "prefixed"])]
CLIENT: Parts = [
    *(*ERRORS, *PACKET),
    (codec, ["publish_head", "repeated", "released", "body_at", "topic_of", "acknowledgement"]),
    (codec, ["decode_packet_id", "decode_acknowledgement"]),
    (wire4, ["encode_connect", "encode_subscribe", "encode_unsubscribe", "encode_disconnect"]),
    (wire4, ["decode_connack", "decode_suback"]),
]
CONNECT: Parts = [
    *(*UTF8, *ERRORS, *TOPICS),
    (greeting, ["MQTT_3_1_1", "Connect", "decode_field", "read_payload", "check_flags"]),
    (wire4_server, ["decode_connect"]),
]
SERVER: Parts = [
    *(*UTF8, *ERRORS, *TOPICS, *PACKET),
    (codec, ["decode_packet_id", "acknowledgement"]),
    (greeting, ["decode_field"]),
    (wire4_server, ["decode_subscribe", "filters_to_end", "decode_unsubscribe", "encode_connack", "encode_suback"]),
]
REFUSED = """
def refused(call, *args):
    try:
        call(*args)
    except ProtocolError as error:
        return error.rule.split(" ")[0]
"""
READ = """
def read(b):
    c = decode_connect(b, 2, len(b))
    return c.client_id, c.clean_session, c.keep_alive_s, c.username, c.password, c.will
"""
# Without a will: its topic name is checked seven calls deep, for which that image has no stack (RuntimeError). For the
# same reason some rules are broken below at the function that checks them.
CONNECT_BYTES = wire4.encode_connect(b"c", True, 300, b"u", b"pass")
SUBSCRIBE_BYTES = wire4.encode_subscribe(258, [(b"a/#", 2), (b"+", 0)])
UNSUBSCRIBE_BYTES = wire4.encode_unsubscribe(258, [b"a/#", b"+"])
# All at once are more than that heap holds, so each group has a start of the machine to itself: source, cases.
GROUPS: "dict[str, tuple[Parts, list[str]]]" = {
    "the client's end": (
        CLIENT,
        [
            "encode_connect(b'c', True, 300, b'u', b'pass', (b't', b'\\0\\xff', 1, True))",
            "encode_connect(b'pump-7', False, 0)",
            "decode_connack(b'\\x20\\2\\1\\0', 2, 4)",
            "publish_head(5, b'a/b', 3) + b'\\0\\1' + b'abc'",
            "publish_head(0, b'a/b', 3) + b'abc'",
            "repeated(publish_head(2, b'a/b', 200))",
            "released(publish_head(4, b'a/b', 200))",
            "topic_of(publish_head(4, b'a/b', 200))",
            "[acknowledgement(first, 65535) for first in (0x40, 0x50, 0x62, 0x70, 0xB0)]",
            "decode_acknowledgement(acknowledgement(0x40, 258), 2, 4)",
            "encode_subscribe(258, [(b'a/#', 2), (b'+', 0)])",
            "decode_suback(b'\\x90\\4\\1\\2\\2\\x80', 2, 6)",
            "encode_unsubscribe(258, [b'a/#', b'+'])",
            "encode_disconnect()",
            "[remaining_length(n) for n in (0, 127, 128, 16384, 2097152, 268435455)]",
            "refused(remaining_length, 268435456)",
            "refused(encode_connect, b'c', True, 0, None, b'p')",
            "refused(decode_acknowledgement, b'\\0\\0', 0, 2)",
            "refused(decode_suback, b'\\0\\1\\3', 0, 3)",
        ],
    ),
    "CONNECT as a server reads it": (
        CONNECT,
        [
            f"read({CONNECT_BYTES!r})",
            "refused(decode_field, b'\\0\\4pas', 0, 5, 'password')",
            f"refused(decode_connect, {CONNECT_BYTES + b'x'!r}, 2, {len(CONNECT_BYTES) + 1})",
            "refused(check_flags, 3)",
        ],
    ),
    "the server's end": (
        SERVER,
        [
            "encode_connack(True, 0)",
            f"decode_subscribe({SUBSCRIBE_BYTES!r}, 2, {len(SUBSCRIBE_BYTES)})",
            "encode_suback(258, b'\\2\\x80')",
            f"decode_unsubscribe({UNSUBSCRIBE_BYTES!r}, 2, {len(UNSUBSCRIBE_BYTES)})",
            "acknowledgement(0xB0, 258)",
            "refused(decode_subscribe, b'\\0\\1\\0\\1a\\3', 0, 6)",
            "refused(check_utf8, b'\\xed\\xa0\\x80', 'x')",
            "refused(check_topic_name, b'a/+')",
            "refused(check_topic_filter, b'a#')",
        ],
    ),
}


class Refused(Exception):
    """The board printed a traceback; the text is what it said."""


def missing() -> str:
    """What is not installed, or ""."""
    return "" if shutil.which(QEMU) and FIRMWARE.exists() else f"{QEMU} or {FIRMWARE}"


class Silent(Exception):
    """No answer in time, or to something else than was sent; the text is what came last."""


class _Lean(ast.NodeTransformer):
    """Without annotations and docstrings; constants in place."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        node.returns = None
        for argument in (*node.args.args, *node.args.kwonlyargs):
            argument.annotation = None
        if node.args.vararg:
            node.args.vararg.annotation = None
        self._shorten(node)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        self.generic_visit(node)
        self._shorten(node)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> "ast.AST | None":
        self.generic_visit(node)
        return ast.Assign([node.target], node.value, lineno=node.lineno) if node.value else None

    def visit_If(self, node: ast.If) -> "ast.AST | list[ast.stmt]":
        if ast.unparse(node.test) == "not TEXTS":
            return node.body
        self.generic_visit(node)
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if isinstance(node.ctx, ast.Load):
            if node.id == "TEXTS":
                return ast.Constant(0)
            for module in (packet_types, reason_codes):
                if node.id.isupper() and hasattr(module, node.id):
                    return ast.Constant(getattr(module, node.id))
        return node

    def _shorten(self, node: "ast.FunctionDef | ast.ClassDef") -> None:
        if ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        for at, statement in enumerate(node.body):
            if isinstance(statement, ast.Return):
                node.body = node.body[: at + 1]
                break


def definitions(parts: Parts) -> "list[str]":
    """The source for the board, a definition each."""
    found = ["from micropython import const"]
    for module, names in parts:
        tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
        by_name: dict[str, ast.stmt] = {}
        for node in tree.body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                by_name[node.name] = node
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                by_name[node.targets[0].id] = node
        found += [ast.unparse(ast.fix_missing_locations(_Lean().visit(by_name[name]))) for name in names]
    return [*found, REFUSED, READ] if parts is CONNECT else [*found, REFUSED]


def on_cpython(parts: Parts, cases: "list[str]") -> "list[object]":
    """What each case gives here, from the modules as they are."""
    space: dict[str, Any] = {}
    for module, names in parts:
        space.update({name: getattr(module, name) for name in names})
    exec(REFUSED + READ, space)
    return [eval(case, space) for case in cases]


class Microbit:
    """The emulated board, at its raw REPL."""

    def __init__(self) -> None:
        argv = [QEMU, "-M", "microbit", "-device", f"loader,file={FIRMWARE}"]
        argv += ["-display", "none", "-monitor", "none", "-serial", "stdio"]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._heard = b""

    def __enter__(self) -> "Microbit":
        try:
            self._until(b">>> ")
            self._write(b"\r")
            self._until(b">>> ")
            self._write(b"\x01")
            self._until(b"raw REPL; CTRL-B to exit\r\n>")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: "type[BaseException] | None", error: "BaseException | None", trace: "TracebackType | None"
    ) -> None:
        self.close()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def run(self, source: str) -> str:
        """What it prints."""
        self._write(source.encode() + b"\x04")
        said = self._until(b"\x04>")
        printed, _, trouble = said.removeprefix(b"OK").partition(b"\x04")
        if b"SyntaxError" in trouble:
            raise Silent(f"a byte was lost: {trouble!r}")
        if trouble != b"\x04>":
            raise Refused(f"{source}\n{trouble.decode(errors='replace')}")
        return printed.decode().strip()

    def _write(self, data: bytes) -> None:
        assert self._process.stdin
        for at in range(0, len(data), CHUNK):
            self._process.stdin.write(data[at : at + CHUNK])
            self._process.stdin.flush()
            time.sleep(PAUSE_S)

    def _until(self, end: bytes) -> bytes:
        assert self._process.stdout
        deadline = time.monotonic() + TIMEOUT_S
        while end not in self._heard:
            ready, _, _ = select.select([self._process.stdout], [], [], max(deadline - time.monotonic(), 0))
            data = os.read(self._process.stdout.fileno(), 4096) if ready else b""
            if not data:
                raise Silent(f"{QEMU} does not answer; it said last: {self._heard[-300:]!r}")
            self._heard += data
        at = self._heard.index(end) + len(end)
        said, self._heard = self._heard[:at], self._heard[at:]
        return said


def free(board: Microbit) -> int:
    """Bytes of heap."""
    return int(board.run("import gc\ngc.collect()\nprint(gc.mem_free())"))


def compare(name: str) -> "tuple[int, int]":
    """Runs a group and prints it; how many cases differ from CPython's, and the heap that is left, in bytes."""
    for _ in range(STARTS - 1):
        try:
            return _compare(name)
        except Silent as error:
            print(f"    {error}: starts anew")
    return _compare(name)


def _compare(name: str) -> "tuple[int, int]":
    parts, cases = GROUPS[name]
    wrong = 0
    with Microbit() as board:
        print(f"{name}: {board.run('import sys; print(sys.platform, sys.version, sys.implementation)')}")
        print(f"    {free(board):,} bytes of heap are free at the start")
        sources = definitions(parts)
        for source in sources:
            board.run(COLLECT)
            board.run(source)
        print(f"    {free(board):,} with {sum(map(len, sources)):,} characters of source")
        for case, expected in zip(cases, on_cpython(parts, cases), strict=True):
            board.run(COLLECT)
            got = ast.literal_eval(board.run(f"print(repr({case}))"))
            wrong += got != expected
            print(f"    {'same ' if got == expected else 'WRONG'} {case}: {got!r}")
        left = free(board)
    print(f"    {left:,} after {len(cases)} cases, of which {wrong} differ from CPython's", flush=True)
    return wrong, left


def main() -> int:
    """The exit code."""
    if missing():
        print(f"microbit: {missing()} is not there: as root, apt-get install --no-install-recommends {PACKAGES}")
        return 1
    return 1 if sum([compare(name)[0] for name in GROUPS]) else 0


if __name__ == "__main__":
    sys.exit(main())
