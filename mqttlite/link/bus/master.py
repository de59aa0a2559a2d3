"""The end of a bus that asks: a question to one device after the other, and whatever comes instead of an answer.

Has the face of a Link towards the shell (serial/line.py): receive, transmit, deadline, reset, on_work. Hosts. No clock:
`now` is an argument, in milliseconds. What must hold:

* Nobody waits long for a device that does not answer, answers late, or does not stop.
* Whatever noise, collisions and late answers do, a link gets its own device's frames and no others.
"""

from collections.abc import Callable, Iterable

from ..frames import MAX_FRAME
from ..link import ignore
from .addressed import COUNT, FRAME_MARK, FROM_DEVICE, IN_FRONT, PARITY, TURN_END, AddressedLink, end_turn
from .occupied import Babbler, Occupied
from .schedule import Schedule
from .station import ANSWER_MAX_MS, Station

FRAMES_MAX = 15  # of an answer
_TOO_LATE_MS = 500  # an answer that comes later than that is none
_STALL_MS = 4  # later than asked for: the event loop stood still, and what has arrived meanwhile is to be read first
_QUIET_MS = 3  # the bus is waited for so long, while nobody has the turn,
_YIELD_MS = 60  # but no longer than this
_CHECK_MS = 250
_OTHERS_MAX = 2  # frames for others that leave in front of a question
_CYCLE_OF = 32  # devices, for whose turns a silent one is waited for


class BusMaster:
    """Asks the devices at `addresses`, 1..127, on a bus of `baud` bit/s. `stations`: by address, each with its `link`.

    epoch          as of Link; each link makes its own of it
    frames         of a turn at most, 1..15: more for goodput, fewer for short waiting
    turnaround_ms  from an answer's end to the next question: the device's driver has let go of the wires by then
    idle_ms, silent_ms  how seldom a device is asked at most that has nothing to say, and one that does not answer
    options        of each Link: frame_size, receive_window, send_buffer

    Counters: `stray_bytes`, while nobody had the turn; `echoes`, own frames; `masters`, frames of another master.
    """

    def __init__(
        self,
        epoch: int,
        addresses: Iterable[int],
        *,
        baud: int = 115200,
        frames: int = 4,
        turnaround_ms: int = 2,
        idle_ms: int = 100,
        silent_ms: int = 5000,
        frame_size: int = 128,
        receive_window: int = 4096,
        send_buffer: int = 2048,
    ) -> None:
        if not 1 <= frames <= FRAMES_MAX:
            raise ValueError("frames must be 1..15")
        self.on_work: Callable[[], object] = ignore
        self.stray_bytes = self.echoes = self.masters = 0
        self._baud = baud
        self._frames = frames
        self._turnaround_ms = turnaround_ms
        self._idle_ms = idle_ms
        self._silent_ms = silent_ms
        frame_ms = (frame_size + IN_FRONT) * 10000 / baud
        self._answer_ms = round(frames * frame_ms * 1.5)
        wanted = sorted(set(addresses))
        cycle_ms = round(min(len(wanted), _CYCLE_OF) * ((frames + 1) * frame_ms + 10))
        self.stations: dict[int, Station] = {}
        for address in wanted:
            link = AddressedLink(
                epoch + (address << 16),
                address,
                0,
                baud=baud,
                frame_size=frame_size,
                window=max(8, frames),
                receive_window=receive_window,
                send_buffer=send_buffer,
                keepalive_ms=max(1000, cycle_ms // 2),
            )
            link.on_work = self._worked
            self.stations[address] = Station(address, link)
        self._schedule = Schedule(self.stations.values())
        self._occupied = Occupied(self._answer_ms)
        self._in = bytearray()
        self._sent = b""
        self._turn: Station | None = None
        self._latest: Station | None = None  # who had the turn last
        self._begun_at = self._sent_at = self._until = self._limit = 0  # of the turn; `_until`: given up then
        self._heard = 0  # frames of the answer
        self._is_damaged = self._is_stalled = False
        self._free_at = self._checked_at = 0
        self._yield_until = 0  # a bus that is not quiet is waited for until then; 0: it is quiet

    def receive(self, data: bytes | bytearray, now: int) -> None:
        """Bytes as they came from the bus, in any portions."""
        turn = self._turn
        is_answer = turn is not None and now - len(data) * 10000 / self._baud > self._sent_at
        self._occupied.heard(now, turn if is_answer else self._latest)
        if turn is None:
            self.stray_bytes += len(data)
        elif now >= self._sent_at:
            self._until = min(max(self._until, now + turn.patience_ms(self._usual_ms())), self._limit)
        pieces = bytes(data).split(b"\0")
        for number, piece in enumerate(pieces):
            if number and self._in:
                whole, self._in = self._in, bytearray()
                self._chunk(whole, now)
            self._in += piece
        del self._in[MAX_FRAME + IN_FRONT :]  # no frame is so long

    def transmit(self, now: int) -> bytes:
        """The next question, with what the device is to have; empty: nobody is asked now."""
        if self._turn:
            if now < self._until:
                return b""
            if now > self._until + _STALL_MS and not self._is_stalled:
                self._is_stalled = True
                self._until = now + 1
                return b""
            self._give_up(now)
        if now - self._checked_at > _CHECK_MS:
            self._checked_at = now
            for one in self.stations.values():
                one.link.check(now)
        if now < self._free_at:
            return b""
        if self._occupied.is_flowing(now, _QUIET_MS):
            self._yield_until = self._yield_until or now + _YIELD_MS
            if now < self._yield_until:
                return b""
        station = self._schedule.next(now)
        return self._ask(station, now) if station else b""

    def deadline(self) -> int:
        """When `transmit` should be called at the latest."""
        if self._turn:
            return self._until
        due = self._schedule.due()
        quiet_at = self._occupied.quiet_at(_QUIET_MS)
        free_at = max(self._free_at, min(quiet_at, self._yield_until) if self._yield_until else quiet_at)
        return free_at if due is None else max(due, free_at)

    def reset(self, now: int) -> None:
        """The port is gone."""
        self._turn = None
        self._in.clear()
        for one in self.stations.values():
            one.is_there = one.is_busy = False
            one.due = now
            one.link.reset(now)

    def bye(self, now: int) -> bytes:
        """A last frame for each device with a session."""
        return b"".join(one.link.bye(now) for one in self.stations.values())

    def babbler(self, now: int) -> Babbler | None:
        """Who speaks without having been asked, while it goes on."""
        return self._occupied.babbler(now)

    # -- a turn

    def _ask(self, station: Station, now: int) -> bytes:
        link = station.link
        link.parity ^= PARITY
        others = self._for_others(station, now)
        frames = [link.first(now, bare=not station.is_there)]
        while station.is_there and len(frames) < self._frames:
            frame = link.transmit(now)
            if not frame:
                break
            frames.append(frame)  # type: ignore[arg-type]
        end_turn(frames[-1], self._frames)
        frames = others + frames
        self._sent = b"".join(frames)
        self._yield_until = 0
        self._turn = station
        self._heard = 0
        self._is_damaged = self._is_stalled = False
        self._begun_at = now
        station.asked += 1
        station.missed_at = station.question_end
        station.question_end = self._sent_at = now - (-10000 * len(self._sent) // self._baud)
        self._until = self._sent_at + station.patience_ms(self._usual_ms())
        self._limit = self._until + self._answer_ms + ANSWER_MAX_MS
        return self._sent

    def _for_others(self, station: Station, now: int) -> list[bytearray]:
        """What others are to have, on the way: nobody with something to be told waits for a turn."""
        frames: list[bytearray] = []
        waiting = [one for one in self.stations.values() if one.is_there and one is not station]
        for one in sorted(waiting, key=lambda one: one.told_at):
            frame = one.link.between(now, not frames)
            if frame:
                one.told_at = now
                frames.append(frame)  # type: ignore[arg-type]
                if len(frames) == _OTHERS_MAX:
                    break
        return frames

    def _usual_ms(self) -> float:
        known = sorted(one.slowest_ms for one in self.stations.values() if one.is_there)
        return known[len(known) // 2] if known else 0.0

    def _end(self, now: int, has_more: bool) -> None:
        station = self._turn
        assert station is not None
        self._turn = None
        self._latest = station
        self._free_at = now + self._turnaround_ms
        cost_ms = self._free_at - self._begun_at
        station.spent_ms += cost_ms
        if self._heard:
            station.link.heard_all()
            is_busy = has_more or self._is_damaged or self._heard >= self._frames or station.link.has_more()
            station.has_answered(now, is_busy, self._idle_ms)
        else:
            station.missed_ms += cost_ms
            station.has_missed(now, self._silent_ms)
        self._schedule.took(now, cost_ms)

    def _give_up(self, now: int) -> None:
        """What has not come by now is not waited for any more."""
        station = self._turn
        assert station is not None
        if self._occupied.is_flowing(now, _QUIET_MS):
            station.overruns += 1
        self._is_damaged = True  # its end at least
        self._end(now, False)

    # -- what the bus brings

    def _chunk(self, data: bytearray, now: int) -> None:
        """What stood between two 0x00."""
        if len(data) <= IN_FRONT or not data[1] & FRAME_MARK:
            return
        control = data[1]
        if not control & FROM_DEVICE:
            if data in self._sent:
                self.echoes += 1
                self._occupied.ends()
            else:
                self.masters += 1
            return
        station = self.stations.get(data[0])
        if station is None:
            return
        is_whole = station.link.take(memoryview(data)[2:], now)
        if station is not self._turn or control & PARITY != station.link.parity:
            if is_whole:
                self._out_of_turn(station, now)
            return
        if is_whole:
            if not self._heard:
                begun_at = now - (len(data) + 1) * 10000 / self._baud
                station.answers(max(begun_at - self._sent_at, 0.0))
            self._heard += 1
        else:
            station.damaged += 1
            self._is_damaged = True
        if control & TURN_END:
            self._occupied.ends()
            self._end(now, bool(control & COUNT))

    def _out_of_turn(self, station: Station, now: int) -> None:
        took_ms = now - (station.missed_at if station is self._turn else station.question_end)
        if station.misses and took_ms < _TOO_LATE_MS:
            station.is_late(took_ms)
        else:
            station.unasked += 1
            self._occupied.unasked(now, station)

    def _worked(self) -> None:
        self.on_work()
