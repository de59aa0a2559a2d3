"""What is said of a line on which no device is: what has been heard on it, what that looks like, and what to do.

Looks every LOOK_S while there is no session, and when a board says that it waits for settings. Says what it finds when
it is something else than the last time, and never more often than a pause that doubles from one time to the next, up to
PAUSE_MAX_S: a line that changes for ever is no reason to fill the log. The status of the line has always the latest.
"""

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING

from mqttlite.link import Link
from mqttlite.serial.diagnosis import End, Finding, Heard, Tapped, diagnose
from mqttlite_board import improv

from .saying import Saying

if TYPE_CHECKING:
    from mqttlite.serial.line import Port

LOOK_S = 15.0
PAUSE_MAX_S = 600.0
_WANTS_SETTINGS = improv.state(improv.READY).strip()  # what a board says every second that has none
_REMEMBERED = 4  # looks; a prompt that was printed once is still what the line is about


class Watch:
    """Listens on the line of `link`, set to `baud` bit/s. `finding`: why there is no device, None while there is one or
    nobody knows yet. `gives_settings`: a board that wants some gets them, so that this is not for people to do.
    """

    gives_settings = False

    def __init__(self, link: Link, baud: int, say: Saying) -> None:
        self.finding: Finding | None = None
        self.wants_settings = asyncio.Event()  # a board says so
        self._link = link
        self._baud = baud
        self._say = say
        self._heard: deque[Heard] = deque([Heard()], maxlen=_REMEMBERED)
        self._known = False  # there was a device
        self._said = ""  # kind of what was said last
        self._pause_s = 0.0
        self._quiet_until = 0.0

    def port(self, port: "Port") -> "Port":
        """`port`, listened to."""
        return Tapped(port, self._hear)

    def device_came(self) -> None:
        """There is a session: nothing is to be found out."""
        self._forget()
        self._known = True
        self._said = ""
        self._pause_s = 0.0

    def device_went(self) -> None:
        """The session has ended, which has been said: that the line is silent then is no news."""
        self._forget()
        self._said = "silence"

    async def run(self) -> None:
        """Look for ever; begins when the port has been opened."""
        self._forget()
        while True:
            await self._pause()
            if not self._link.up:
                self._look(asyncio.get_running_loop().time())

    async def _pause(self) -> None:
        """Until it is time to look; that a board waits for settings is said at once."""
        if self.wants_settings.is_set():
            await asyncio.sleep(LOOK_S)
        else:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.wants_settings.wait(), LOOK_S)

    def _hear(self, data: bytes) -> None:
        """What has arrived."""
        if not self._link.up:
            heard = self._heard[-1]
            heard.hear(data)
            if _WANTS_SETTINGS in heard.pieces()[-1]:
                self.wants_settings.set()

    def _forget(self) -> None:
        self.finding = None
        self.wants_settings.clear()
        self._heard.clear()
        self._heard.append(Heard())

    def _look(self, now: float) -> None:
        latest = next((heard for heard in reversed(self._heard) if heard.size), self._heard[-1])
        self._heard.append(Heard())
        before = self.finding is not None and self.finding.kind in ("first frame", "one way")
        self.finding = diagnose(latest, End(self._link.epoch, True, self._baud), frames_before=before)
        is_served = self.gives_settings and self.finding.kind == "waiting for settings"
        if is_served or self.finding.kind == self._said or now < self._quiet_until:
            return
        self._said = self.finding.kind
        self._quiet_until = now + self._pause_s
        self._pause_s = min(max(2 * self._pause_s, LOOK_S), PAUSE_MAX_S)
        self._say.warning("no device %s: %s", "any more" if self._known else "yet", self.finding.text)
