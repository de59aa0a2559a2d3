"""Who speaks on a bus without having been asked, or does not stop. Hosts.

Whole frames name who sent them. What is no frame does not: then the device is suspected that had the turn, or had it
last, when the bytes began to flow.
"""

from typing import NamedTuple

from .station import Station

_FLOW_GAP_MS = 20  # bytes with less between them are one flow
_FLOW_MS = 150  # more than an answer of the longest kind may take, and the bus counts as occupied
_UNASKED_LEAST = 3  # frames without a question within
_WITHIN_MS = 10_000
_OVER_MS = 5_000  # after so long without any, all is well again


class Babbler(NamedTuple):
    """`address`: of the device; 0: it began before anybody was asked. `is_sure`: its own frames say so."""

    address: int
    is_sure: bool


class Occupied:
    """Listens beside the master; `answer_ms`: what the longest answer takes. Times in milliseconds."""

    def __init__(self, answer_ms: int) -> None:
        self._flow_max_ms = answer_ms + _FLOW_MS
        self._begun_at: int | None = None
        self._heard_at = 0
        self._suspect: Station | None = None
        self._found: Babbler | None = None
        self._found_at = 0
        self._unasked: dict[int, list[int]] = {}

    def heard(self, now: int, station: Station | None) -> None:
        """Bytes, while `station` has the turn, or had it last."""
        if self._begun_at is None or now - self._heard_at > _FLOW_GAP_MS:
            self._begun_at = now
            self._suspect = station
        self._heard_at = now
        if now - self._begun_at > self._flow_max_ms and not (self._found and self._found.is_sure):
            self._found = Babbler(self._suspect.address if self._suspect else 0, False)
            self._found_at = now

    def unasked(self, now: int, station: Station) -> None:
        """A whole frame of a device that was not asked."""
        times = self._unasked.setdefault(station.address, [])
        times[:] = [at for at in times if now - at < _WITHIN_MS][-_UNASKED_LEAST:] + [now]
        if len(times) >= _UNASKED_LEAST:
            self._found = Babbler(station.address, True)
            self._found_at = now

    def is_flowing(self, now: int, quiet_ms: int) -> bool:
        """Bytes have come within `quiet_ms`."""
        return self._begun_at is not None and now - self._heard_at < quiet_ms

    def quiet_at(self, quiet_ms: int) -> int:
        """When nothing will have come for `quiet_ms`, if nothing comes."""
        return 0 if self._begun_at is None else self._heard_at + quiet_ms

    def ends(self) -> None:
        """An answer has ended as it should, or it was an echo: what comes now is another flow."""
        self._begun_at = None

    def babbler(self, now: int) -> Babbler | None:
        """Who it is, while it goes on."""
        if self._found and now - self._found_at > _OVER_MS:
            self._found = None
        return self._found
