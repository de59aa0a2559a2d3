"""Standard input, output and error as a program finds them: closed, broken, or a terminal that obeys what is written.

Imports nothing of mqttlite.
"""

import contextlib
import errno
import os
import re
import sys


class Choice(ValueError):
    """It is not said which of several is meant. `lines`: those there are; the exit code is 2."""

    def __init__(self, text: str, lines: list[str]) -> None:
        super().__init__(text)
        self.lines = lines


_NAMES = ("standard input", "standard output", "standard error")

# C0 and C1 controls and DEL, which terminals obey; line separators and overrides of direction, which mislead readers.
_UNSAFE = "[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]"
_UNSAFE_TEXT = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]"  # newline and tab may stay

_WORDS = {
    errno.EISDIR: "{} is a folder, not a file",
    errno.ENOTDIR: "in the path {} something is a file that should be a folder",
    errno.EACCES: "this user has no permission for {}",
    errno.EPERM: "this user has no permission for {}",
    errno.EEXIST: "{} is there already",
}

_closed: list[int] = []  # standard streams that were closed when the program started
_quiet = False
_has_status = False  # a line on standard error that is written over


def open_closed_ones() -> None:
    """Give each standard stream that is closed (`>&-`) a descriptor: else the next file or connection that is opened
    gets its number, and with it whatever is printed. Reading standard input, and writing to standard output, then
    fails with EBADF (`why`); standard error takes what nobody will see.
    """
    for fd, flags, name in ((0, os.O_WRONLY, "stdin"), (1, os.O_RDONLY, "stdout"), (2, os.O_WRONLY, "stderr")):
        try:
            os.fstat(fd)
            continue
        except OSError:
            opened = os.open(os.devnull, flags)  # the lowest number that is free: fd
        if opened != fd:
            os.dup2(opened, fd)
            os.close(opened)
        os.set_inheritable(fd, True)
        _closed.append(fd)
        stream = open(fd, "w" if fd else "r", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)


def flush() -> None:
    """Write what `print` has left in its buffer. OSError when it cannot be written."""
    if sys.stdout is not None:
        sys.stdout.flush()


def give_up_output() -> None:
    """What is left in the buffer of standard output has nowhere to go: the interpreter shall not try it at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def be_quiet(quiet: bool = True) -> None:
    """Whether `say` keeps everything to itself from now on: `--quiet`."""
    global _quiet
    _quiet = quiet


def status(text: str) -> None:
    """A line on standard error, a terminal, that is written over by the next one, or by what is said; "": none."""
    global _has_status
    with contextlib.suppress(OSError, ValueError):
        print(f"\r{text}\x1b[K", end="", file=sys.stderr, flush=True)
    _has_status = bool(text)


def clearing() -> str:
    """What stands in front of a line on standard error, so that it does not stand behind the status."""
    global _has_status
    had, _has_status = _has_status, False
    return "\r\x1b[K" if had else ""


def say(text: str) -> None:
    """A line on standard error, if there is one; what a terminal would obey is escaped."""
    if _quiet:
        return
    with contextlib.suppress(OSError, ValueError):
        print(clearing() + one_line(text), file=sys.stderr, flush=True)


def why(error: Exception) -> str:
    """The words of an error that ends the program."""
    if isinstance(error, OSError) and error.errno == errno.EBADF and _closed:
        names = [_NAMES[fd] for fd in _closed if fd < 2]
        return f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} closed"
    if isinstance(error, OSError) and error.strerror and type(error.filename) in (str, bytes):
        return _of_a_file(os.fsdecode(error.filename), error)
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _of_a_file(path: str, error: OSError) -> str:
    """What the system says of a file, in the words of whoever named it."""
    folder, name = os.path.split(os.path.abspath(path))
    if error.errno == errno.ENOENT:
        if os.path.isdir(folder):
            return f"there is no file {name} in {folder}"
        return f"there is no folder {os.path.dirname(path)}, and so no file {path}"
    words = _WORDS.get(error.errno or 0)
    return words.format(path) if words else f"{path}: {error.strerror}"


def one_line(text: str) -> str:
    """`text` with what a terminal would obey, newlines included, as escape sequences such as \\x1b."""
    return re.sub(_UNSAFE, _escape, text) if not text.isprintable() else text


def for_terminal(data: bytes, keep_lines: bool = False, json: bool = False) -> bytes:
    """`data` with what a terminal would obey as escape sequences: in JSON as \\u001b, else as \\x1b. With `keep_lines`,
    newlines and tabs stay. Bytes that are not UTF-8 become \\xff.
    """
    text = data.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text.encode()
    return re.sub(_UNSAFE_TEXT if keep_lines else _UNSAFE, _escape_json if json else _escape, text).encode()


def _escape(match: "re.Match[str]") -> str:
    return match[0].encode("unicode_escape").decode()


def _escape_json(match: "re.Match[str]") -> str:
    return f"\\u{ord(match[0]):04x}"
