"""Live figures of the decider: rates, shares and times, for the board and for Prometheus."""

import bisect
import collections
import dataclasses
import threading
from collections.abc import Mapping, Sequence
from typing import Final

from koban.base import SECOND, Instant
from koban.decisions import VERDICT_NAMES
from koban.decisions.store import Row as DecisionRow

KEPT_S: Final = 300
COMMITS_KEPT: Final = 20_000
BUCKETS_US: Final = (250, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 250_000, 1_000_000)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Figures at one moment. Times are microseconds from arrival to the decision, before its commit."""

    per_second: tuple[int, ...]  # events decided in each of the last 60 full seconds, oldest first
    verdicts: Mapping[str, int]  # since the start of the process
    last_minute: Mapping[str, int]
    p50_us: int
    p99_us: int
    buckets: Mapping[int, int]  # upper bound -> decisions, cumulative, since the start
    decided: int
    took_us_sum: int
    duplicates: int
    conflicts: int
    quarantined: int
    overdue: int


class Figures:
    """Counts what the decider does; written by its thread, read by any."""

    def __init__(self) -> None:
        """Start at zero."""
        self._lock = threading.Lock()
        self._seconds: collections.OrderedDict[int, collections.Counter[str]] = collections.OrderedDict()
        self._verdicts: collections.Counter[str] = collections.Counter()
        self._times: collections.deque[int] = collections.deque(maxlen=2_000)
        self._buckets = [0] * (len(BUCKETS_US) + 1)
        self._sum = 0
        self._commits: collections.deque[tuple[int, Instant]] = collections.deque(maxlen=COMMITS_KEPT)
        self._others: collections.Counter[str] = collections.Counter()

    def committed(self, last_seq: int, at: Instant) -> None:
        """Note when a batch became durable, by its last place in the log."""
        with self._lock:
            self._commits.append((last_seq, at))

    def committed_at(self, seq: int) -> Instant | None:
        """Return when an entry became durable; None where that is too long ago to be remembered."""
        with self._lock:
            place = bisect.bisect_left(self._commits, (seq, 0))
            is_known = 0 < place < len(self._commits) or (place == 0 and self._commits and self._commits[0][0] == seq)
            return self._commits[place][1] if is_known else None

    def decided(self, decisions: Sequence[DecisionRow]) -> None:
        """Count the decisions of a batch that was committed."""
        times = [each[5] for each in decisions]
        verdicts: dict[tuple[int, str], int] = {}
        for each in decisions:
            key = (each[1] // SECOND, each[3])
            verdicts[key] = verdicts.get(key, 0) + 1
        with self._lock:
            for (second, verdict), count in verdicts.items():
                counts = self._seconds.get(second)
                if counts is None:
                    counts = self._seconds[second] = collections.Counter()
                    while len(self._seconds) > KEPT_S:
                        self._seconds.popitem(last=False)
                counts[verdict] += count
                self._verdicts[verdict] += count
            self._times.extend(times)
            self._sum += sum(times)
            for took_us in times:
                self._buckets[bisect.bisect_left(BUCKETS_US, took_us)] += 1

    def count(self, what: str) -> None:
        """Count something else: duplicate, conflict, quarantined, overdue."""
        with self._lock:
            self._others[what] += 1

    def snapshot(self, at: Instant) -> Snapshot:
        """Return the figures as of `at`."""
        now = at // SECOND
        with self._lock:
            per_second = tuple(
                sum(self._seconds.get(second, collections.Counter()).values()) for second in range(now - 60, now)
            )
            minute: collections.Counter[str] = collections.Counter()
            for second in range(now - 60, now + 1):
                minute.update(self._seconds.get(second, collections.Counter()))
            times = sorted(self._times)
            cumulative, running = {}, 0
            for bound, count in zip(BUCKETS_US, self._buckets, strict=False):  # the last is for what took longer
                running += count
                cumulative[bound] = running
            return Snapshot(
                per_second=per_second,
                verdicts={name: self._verdicts[name] for name in VERDICT_NAMES},
                last_minute={name: minute[name] for name in VERDICT_NAMES},
                p50_us=times[len(times) // 2] if times else 0,
                p99_us=times[min(len(times) - 1, len(times) * 99 // 100)] if times else 0,
                buckets=cumulative,
                decided=sum(self._verdicts.values()),
                took_us_sum=self._sum,
                duplicates=self._others["duplicate"],
                conflicts=self._others["conflict"],
                quarantined=self._others["quarantined"],
                overdue=self._others["overdue"],
            )
