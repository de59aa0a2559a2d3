"""What is said of a configuration that cannot be used."""

from collections.abc import Sequence


class ConfigError(ValueError):
    """The configuration cannot be used; says where and why. `lines`: all that is wrong with a file, a line for each."""

    def __init__(self, text: str, lines: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.lines = list(lines) or [text]
