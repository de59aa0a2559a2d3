"""Command lines as the tools of Mosquitto take them, on top of argparse.

- `-h` is the host, so help is `--help`.
- An option that takes a value takes the next word, whatever it is: `-m -12C` is a payload. One that takes several
  (`-D publish content-type text/plain`) says itself how many: `Words`.
- A mistake is one line on stderr and exit code 1, because 2 to 5 are the broker's refusals.
"""

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Never

from .streams import say

if TYPE_CHECKING:
    from _typeshed import SupportsWrite


def _formatter(prog: str) -> argparse.HelpFormatter:
    """argparse makes one with each option that it is told of. Without a width it imports shutil and what that needs."""
    columns = os.environ.get("COLUMNS", "")
    try:
        width = int(columns) if columns.isdecimal() else os.get_terminal_size(1).columns
    except OSError:  # no terminal
        width = 0
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=30, width=(width or 80) - 2)


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


class Words(argparse.Action):
    """An option that takes several words and may be repeated: a list of lists. Its long name is the last one."""

    END = "\0"  # of a word; no word of a command line has it

    def join(self, words: Iterator[str]) -> str:
        """The words that belong to this option, taken off `words`, as one."""
        raise NotImplementedError

    def __call__(self, parser: object, args: argparse.Namespace, values: object, option: str | None = None) -> None:
        found = list(getattr(args, self.dest) or [])
        found.append(str(values).split(self.END))
        setattr(args, self.dest, found)


class Elsewhere(argparse.Action):
    """An option of another program that people type here: `const` says what to write instead. In no help."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        super().__init__(
            option_strings, argparse.SUPPRESS, help=argparse.SUPPRESS, default=argparse.SUPPRESS, **options
        )

    def __call__(self, parser: object, args: object, values: object, option: str | None = None) -> None:
        assert isinstance(parser, CommandLine)
        parser.error(f"there is no {option} here: {self.const}")


class CommandLine(argparse.ArgumentParser):
    """An ArgumentParser with the habits above; the parsers of subcommands are of this class, too."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", _formatter)
        super().__init__(add_help=False, allow_abbrev=False, **options)
        self.register("type", int, _whole_number)
        self.register("type", float, _number)
        self.add_argument("--help", action="help", help="show this and exit")

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse's, with each value joined to its option first: `-m -1C` is `-m-1C`."""
        words = iter(sys.argv[1:] if args is None else args)
        return super().parse_known_args(list(self._joined(words)), namespace)

    def _joined(self, words: Iterable[str]) -> Iterable[str]:
        words = iter(words)
        for word in words:
            action = self._option_string_actions.get(word)
            if isinstance(action, Words):
                yield f"{action.option_strings[-1]}={action.join(words)}"
                continue
            value = next(words, None) if action is not None and action.nargs is None else None
            if value is None:
                yield word
            elif word.startswith("--"):
                yield f"{word}={value}"
            elif value and not value.startswith("="):
                yield word + value
            else:
                yield from (word, value)

    def _print_message(self, message: str, file: "SupportsWrite[str] | None" = None) -> None:
        """As argparse's, which keeps it to itself when the output is closed or full."""
        if message:
            (file or sys.stderr).write(message)

    def error(self, message: str) -> Never:
        say(f"{self.prog}: {message}; see {self.prog} --help")
        raise SystemExit(1)
