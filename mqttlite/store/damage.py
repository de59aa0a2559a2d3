"""A journal that does not end where it should: torn by a power cut, or damaged? Loaded only then. Both runtimes.

What a power cut leaves behind the last whole frame is no frame. A board's file system keeps all of a flush or nothing,
and flash is programmed in order. On an operating system the parts of one append, which was not synced yet, may be
there in any choice: what area_host puts behind each append that *is* synced, a mark, tells that from damage. So whole
frames behind one that is not are damage, if there is a mark among them, or none in the whole journal.

A journal's header, too, may be damaged. Frames are checked with the header's checksum; it can be computed from what
stands before it, and it stands there: one of both is right.
"""

import os
import sys
from binascii import crc32

from ..core import const
from ..core.records import IDENTITY, ORIGIN, SEEN, State, decode
from .base import StoreError
from .journal import FORMAT, FRAME, HEADER

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from typing import Any

    from .journal import Journal

MARK = const(0)  # kind of a record that says nothing to a State: what stands before it is synced

_WINDOW = const(65536)  # bytes behind the end of a raw area that are searched: far more than a message
_AHEAD = const(64)  # sequence numbers that are left out, for messages whose records are lost


def examine(journal: "Journal", state: State, at: int) -> State:
    """The state to go on with, where a generation has been read to `at` (its area's `half`; count 0: there is none).

    OSError, in words, when the journal is damaged and is not to be set aside (Journal's `when_damaged`).
    """
    area: Any = journal._area
    best = area.half if journal._count else -1
    damage = _damage(journal, best, at)
    path = getattr(area, "path", "")
    if not damage:
        if best < 0 and path:
            if area.read(0, 1):
                return _aside(journal, State(), "no journal, or damaged beyond recognition", 0)
            _tell(journal, "%s is an empty file, as a power cut leaves one: a new journal begins" % _name(journal))
        return state
    half, at, behind, size, words = damage
    area.half = half
    return _aside(journal, salvaged(journal, half), words, behind, size)


def failure(journal: "Journal", error: Exception) -> StoreError:
    """What a journal that has failed tells."""
    text = str(error)
    if isinstance(error, OSError):
        from ..core.oserror import words

        text = words(error)
    return StoreError("journal %s: %s" % (_name(journal), text))


def _name(journal: "Journal") -> str:
    return str(journal._area) if hasattr(journal._area, "path") else "on raw flash"


def _damage(journal: "Journal", best: int, at: int) -> "tuple[int, int, int, int, str] | None":
    """(generation, byte, whole records and their bytes behind it, words); None: there is none."""
    area: Any = journal._area
    seed = journal._seed
    for half in (0,) if hasattr(area, "path") else (0, 1):
        area.half = half
        found = None if half == best else header(journal)
        # The older generation's header is no news: flash was being erased. The newer one's count is known.
        if found and (found[1] == journal._count + 1 or not journal._count):
            journal._seed, journal._count = found
            records, size, _ = _count(journal, HEADER)
            return half, 0, records, size, "its header is wrong"
    journal._seed = seed
    if best < 0:
        return None
    area.half = best
    records, size, is_marked = _count(journal, at)
    if not records:
        return None
    if not is_marked:
        place = HEADER
        while place < at:
            if area.read(place + 3, 1)[0] == MARK:
                return None  # the last append is torn
            place += int.from_bytes(area.read(place, 3), "big") + FRAME
    return best, at, records, size, "it is wrong at byte %d" % at


def _count(journal: "Journal", at: int) -> "tuple[int, int, bool]":
    """Whole records from `at` on, their bytes, and whether a mark is among them. Nothing is kept: heap is short."""
    area: Any = journal._area
    records = total = 0
    is_marked = False
    for place, size in whole(journal, at):
        records += 1
        total += size
        is_marked = is_marked or area.read(place + 3, 1)[0] == MARK
    return records, total, is_marked


def header(journal: "Journal") -> "tuple[int, int] | None":
    """(start of the checksums, count) of a generation whose header is damaged; None: it is none, or not finished."""
    area: Any = journal._area
    data = bytes(area.read(0, HEADER))
    if len(data) < HEADER:
        return None
    computed = crc32(data[:8], FORMAT)
    stored = int.from_bytes(data[8:], "big")
    if stored == computed:
        return None
    count = int.from_bytes(data[:4], "big")
    for bit in range(64):
        mended = (int.from_bytes(data[:8], "big") ^ 1 << bit).to_bytes(8, "big")
        if crc32(mended, FORMAT) == stored:
            return stored, int.from_bytes(mended[:4], "big")
    for seed in (stored, computed):
        journal._seed = seed
        if journal._holds(HEADER) or (hasattr(area, "path") and next(whole(journal, HEADER), None)):
            right = computed.to_bytes(4, "big")
            for size in range(4):
                if seed == computed and data[8:] == right[:size] + b"\xff" * (4 - size):
                    return None  # flash that was being programmed
            return seed, count
    return None


def whole(journal: "Journal", at: int) -> "Any":
    """(place, bytes) of each whole frame from `at` on. What lies between them is passed over."""
    area: Any = journal._area
    end = at + _WINDOW
    if hasattr(area, "path"):
        end = 1 << 40
    data = b""
    begin = at  # of data
    while at < end:
        i = at - begin
        if i + 10 > len(data):
            data = bytes(area.read(at, 512))
            begin = at
            i = 0
            if len(data) < 10:
                return
        kind = data[i + 3]
        size = 0
        # Few bytes that are none look like the beginning of a record: kind, and a number whose upper bytes are zero.
        if kind < 64 and (kind in (IDENTITY, ORIGIN, SEEN) or not (data[i + 4] or data[i + 5])):
            length = int.from_bytes(data[i : i + 3], "big")
            if length > 6 and area.read(at + length + 6, 1):
                size = journal._holds(at)
        if size:
            yield at, size + FRAME
            at += size + FRAME
        else:
            at += 1


def salvaged(journal: "Journal", half: int) -> State:
    """What all whole records add up to, in a way that loses nothing: what is not certain is done again."""
    area: Any = journal._area
    area.half = half
    state = State()
    last = -1
    for at, size in whole(journal, HEADER):
        kind, number, head, payload, key = decode(bytes(area.read(at + 3, size - FRAME)))
        state.apply(kind, number, head, payload, key)
        if kind < 5:  # about a message
            last = max(last, number)
    state.held.clear()  # an identifier that was freed meanwhile would swallow a message
    if state.next >= 0 or last >= 0:
        state.next = max(state.next, last + 1) + _AHEAD
    return state


def _aside(journal: "Journal", state: State, what: str, behind: int, size: int = 0) -> State:
    area: Any = journal._area
    path = getattr(area, "path", "")
    if behind:
        what += ", and %d whole records (%d bytes) can be read" % (behind, size)
    when = journal.when_damaged or ("aside" if sys.implementation.name == "micropython" else "refuse")
    if when != "aside":
        raise OSError(
            what
            + "; take out what is whole with `mqttlite store salvage %s`, or move it away; when_damaged='aside' does"
            % area
            + " both by itself"
        )
    kept = "until it is written again"
    if path:
        kept = "as " + _keep(path)
    _tell(
        journal,
        "journal %s is damaged: %s; it is kept %s, what is whole goes on: messages may be missing, or be sent twice"
        % (_name(journal), what, kept),
    )
    return state


def _keep(path: str) -> str:
    """Copy a file to a name beside it: the journal's own is then replaced in one step."""
    number = 1
    while True:
        name = path + ".damaged" + (str(number) if number > 1 else "")
        number += 1
        try:
            open(name, "rb").close()
        except OSError:
            break
        if number > 9 or _copy(path, name, True):
            return name  # a power cut came before the new journal
    _copy(path, name, False)
    return name


def _copy(path: str, name: str, compare: bool) -> bool:
    """Copy a file, or compare it with its copy: whether they are the same."""
    with open(path, "rb") as source, open(name, "rb" if compare else "wb") as target:
        while True:
            data = source.read(512)
            if compare:
                if target.read(512) != data:
                    return False
            else:
                target.write(data)
            if not data:
                break
        if not compare:
            target.flush()
            if hasattr(os, "fsync"):
                os.fsync(target.fileno())
    return True


def _tell(journal: "Journal", text: str) -> None:
    """Whoever runs the program, and the application: `journal.notice`."""
    journal.notice = text
    if sys.implementation.name == "micropython":
        print("mqttlite:", text)
    else:
        import logging

        logging.getLogger("mqttlite.store").warning("%s", text)
