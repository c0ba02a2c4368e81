"""Time as data: an `Instant` is an integer count of microseconds since 1970-01-01T00:00:00Z."""

import datetime
import functools
import threading
import time
from typing import Final, NewType, Protocol

Instant = NewType("Instant", int)

SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND: Final = datetime.timedelta(microseconds=1)

FIRST: Final = Instant(-62_135_596_800 * SECOND)  # 0001-01-01T00:00:00Z, the first instant that can be written
LAST: Final = Instant(253_402_300_800 * SECOND - 1)  # 9999-12-31T23:59:59.999999Z


class Clock(Protocol):
    """A seam: the system's clock in production, a hand-moved one in tests and simulations."""

    def now(self) -> Instant:
        """Return the wall-clock time, UTC."""
        ...

    def monotonic(self) -> Instant:
        """Return microseconds on a clock that is never set; only differences mean anything."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> Instant:
        """Return the wall-clock time, UTC."""
        return Instant(time.time_ns() // 1_000)

    def monotonic(self) -> Instant:
        """Return microseconds since an arbitrary start."""
        return Instant(time.monotonic_ns() // 1_000)


class ManualClock:
    """A clock that moves only when told to; safe to read from several threads."""

    def __init__(self, start: Instant) -> None:
        """Start at `start`, with the monotonic reading at zero."""
        self._lock = threading.Lock()
        self._now = int(start)
        self._monotonic = 0

    def now(self) -> Instant:
        """Return the time last set."""
        with self._lock:
            return Instant(self._now)

    def monotonic(self) -> Instant:
        """Return microseconds advanced since the start; steps of the wall clock do not count."""
        with self._lock:
            return Instant(self._monotonic)

    def advance(self, by: int) -> Instant:
        """Move both readings forward by `by` microseconds and return the new time."""
        with self._lock:
            self._now += by
            self._monotonic += by
            return Instant(self._now)

    def step(self, by: int) -> Instant:
        """Set the wall clock forward or back without time passing, as a broken NTP would."""
        with self._lock:
            self._now += by
            return Instant(self._now)


def from_rfc3339(text: str) -> Instant | None:
    """Read an RFC 3339 timestamp with an offset; None where it is not one, or lies outside the years 1 to 9999."""
    if len(text) < 20 or text[10] not in "Tt ":
        return None
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    at = Instant((moment - _EPOCH) // _MICROSECOND)
    return at if FIRST <= at <= LAST else None


def instant_of(moment: datetime.datetime) -> Instant:
    """Return a moment with an offset as an instant; what lies before the first year or beyond the last is its edge."""
    return Instant(min(max((moment - _EPOCH) // _MICROSECOND, FIRST), LAST))


def to_rfc3339(at: Instant) -> str:
    """Write an instant as RFC 3339 in UTC with microseconds and a Z, the form that every API answer uses."""
    second, microsecond = divmod(at, SECOND)
    return f"{_second(second)}.{microsecond:06d}Z"


@functools.lru_cache(maxsize=4_096)
def _second(second: int) -> str:
    """Write a whole second; an answer names a few of them, and neighbouring answers the same ones."""
    return (_EPOCH + datetime.timedelta(seconds=second)).replace(tzinfo=None).isoformat()
