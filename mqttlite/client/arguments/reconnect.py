"""How a client connects again: `Client(url, reconnect=Reconnect(least_s=1, greatest_s=300, give_up_after_s=3600))`.
Host only.
"""

from dataclasses import dataclass

from .checks import check_seconds


@dataclass(frozen=True)
class Reconnect:
    """least_s          before the first attempt after a connection that was of use
    greatest_s       between two attempts at most: the delay doubles with each that leads nowhere
    give_up_after_s  of attempts without a connection; the client is closed then, with ConnectError. None: never

    Each delay is drawn between half of it and one and a half, so that many clients do not come at once.
    """

    least_s: float = 0.125
    greatest_s: float = 32.0
    give_up_after_s: float | None = None

    def __post_init__(self) -> None:
        check_seconds("least_s", self.least_s)
        check_seconds("greatest_s", self.greatest_s)
        if self.give_up_after_s is not None:
            check_seconds("give_up_after_s", self.give_up_after_s)
        if self.greatest_s < self.least_s:
            raise ValueError(f"greatest_s must be least_s or more, not {self.greatest_s} ({self.least_s})")
