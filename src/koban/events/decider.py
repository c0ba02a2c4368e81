"""The one thread that decides: takes work in order, handles it in batches, commits each batch once.

What is done with a unit of work is the pipeline's; this module holds the queue, the lease, group commit and the
rule that nobody is answered before the commit, and that memory is rebuilt when a commit fails or is unknown.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Generic, TypeVar

import structlog

from koban.base import SECOND, Clock, Instant, Relay, Unavailable, limits
from koban.db import Database, Held, Lease, Tx, drop_lease, failure, keep_lease, take_lease
from koban.events.types import Fenced, LogTaken

_log = structlog.get_logger("koban.decider")

U = TypeVar("U")
R = TypeVar("R")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Steps(Generic[U, R]):
    """What the pipeline does; all of it runs on the decider's thread.

    `begin(tx, units)` looks up what the batch needs; `handle(units)` handles units in order, and gives a refusal as the
    result of one after undoing it; `waiting(tx, limit)` gives units from the durable inbox; `flush(tx)` writes every buffered
    row; `committed()` forgets undo lists; `rebuild()` makes memory anew from the database; `until_due()` says in how
    many microseconds a timer wants handling, `tick()` handles those that do.
    """

    begin: Callable[[Tx, Sequence[U]], None]
    handle: Callable[[Sequence[U]], list[R]]
    waiting: Callable[[Tx, int], Sequence[U]]
    tick: Callable[[], None]
    until_due: Callable[[], int | None]
    flush: Callable[[Tx], None]
    committed: Callable[[], None]
    rebuild: Callable[[], None]
    behind: Callable[[], bool]  # whether memory holds changes that the database does not
    idle: Callable[[], bool]  # whether there is anything to do when nothing else is, those included


def _deliver(future: "concurrent.futures.Future[list[R]]", results: list[R]) -> None:
    future.set_result(results)


@dataclasses.dataclass(kw_only=True)
class _Job(Generic[U, R]):
    """Units that one caller waits for."""

    units: Sequence[U]
    future: "concurrent.futures.Future[list[R]]"
    alone: bool
    deliver: "Callable[[concurrent.futures.Future[list[R]], list[R]], None]" = _deliver


class Decider(Generic[U, R]):
    """The decider's thread with its queue. Start it once; close it before the database."""

    def __init__(self, database: Database, clock: Clock, lease: Lease, steps: Steps[U, R]) -> None:
        """Take a lease that is already held, and the pipeline's steps."""
        self._database = database
        self._clock = clock
        self._lease = lease
        self._steps = steps
        self._queue: collections.deque[_Job[U, R]] = collections.deque()
        self._queued = 0
        self._wake = threading.Condition()
        self._stopping = False
        self._inbox_hint = True
        self._renewed_at = clock.monotonic()
        self._busy_at = clock.monotonic()
        self.failed: BaseException | None = None
        self.relay = Relay()  # for coroutines that wait for results: a batch wakes their event loop once
        self._thread = threading.Thread(target=self._run, name="koban-decider", daemon=True)

    def start(self) -> None:
        """Begin to decide."""
        self._thread.start()

    def submit(
        self,
        units: Sequence[U],
        *,
        alone: bool = False,
        deliver: "Callable[[concurrent.futures.Future[list[R]], list[R]], None]" = _deliver,
    ) -> "concurrent.futures.Future[list[R]]":
        """Queue units of work; the future holds their results in order, after their commit.

        `deliver` gives the future its results, on the decider's thread, or sees that somebody else does. `alone` gives
        them a batch of their own: a pack is switched, a person erased, between batches. Coroutines wait by `relay`.
        Raises Unavailable when the queue is full or the decider has stopped: come back, nothing was taken.
        """
        future: concurrent.futures.Future[list[R]] = concurrent.futures.Future()
        future.set_running_or_notify_cancel()  # what is queued is done, whoever stops waiting
        with self._wake:
            if self._stopping or self.failed is not None:
                raise Unavailable("decider", 5, "The decider has stopped; another process may hold the log now.")
            if self._queued + len(units) > limits.DECIDER_QUEUE_MAX:
                raise Unavailable("decider", 1, "More events wait than can be answered in time; come back in a second.")
            self._queue.append(_Job(units=units, future=future, alone=alone, deliver=deliver))
            self._queued += len(units)
            self._wake.notify()
        return future

    @property
    def thread_id(self) -> int:
        """The id that the system gives the decider's thread."""
        return self._thread.native_id or 0

    def nudge(self) -> None:
        """Say that the inbox may hold something, or that a timer was set by another hand."""
        with self._wake:
            self._inbox_hint = True
            self._wake.notify()

    @property
    def queued(self) -> int:
        """How many units wait in memory."""
        return self._queued

    def close(self) -> None:
        """Finish what is queued, write memory back, give the lease back and stop."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join(timeout=30)
        if self.failed is None:
            with self._database.write() as tx:
                drop_lease(tx, self._lease)

    def _run(self) -> None:
        taken: list[_Job[U, R]] = []
        try:
            while (jobs := self._next_jobs()) is not None:
                taken = jobs
                self._process(jobs)
        except Fenced as error:
            self._fail(error, taken)
            _log.error("fenced", detail="another process took the log; this one stops deciding")
        except BaseException as error:  # noqa: BLE001 - the thread's edge: whoever waits must be told
            self._fail(error, taken)
            _log.exception("decider_died")

    def _fail(self, error: BaseException, taken: Sequence[_Job[U, R]]) -> None:
        """Stop for good, and tell whoever waits; of the jobs that were taken, some may have their answers already."""
        with self._wake:
            self.failed = error
            jobs = (*taken, *self._queue)
            self._queue.clear()
        for job in jobs:
            with contextlib.suppress(concurrent.futures.InvalidStateError):
                job.future.set_exception(Unavailable("decider", 5))

    def _next_jobs(self) -> list[_Job[U, R]] | None:
        """Wait for work: a job, a timer, the inbox, a renewal of the lease, or the end."""
        with self._wake:
            while not self._queue and not self._inbox_hint and not self._stopping:
                wait_us = self._patience()
                if wait_us <= 0:
                    break
                self._wake.wait(wait_us / 1_000_000)
                if self._patience() <= 0:
                    break
            if self._stopping and not self._queue:
                self._write_back()
                return None
            jobs: list[_Job[U, R]] = []
            taken = 0
            while self._queue and (
                not jobs
                or (
                    taken + len(self._queue[0].units) <= limits.DECIDER_BATCH_MAX
                    and not self._queue[0].alone
                    and not jobs[0].alone
                )
            ):
                job = self._queue.popleft()
                taken += len(job.units)
                jobs.append(job)
            self._queued -= taken
            return jobs

    def _write_back(self) -> None:
        while self._steps.behind():
            self._process([])

    def _keep_lease(self, tx: Tx) -> None:
        if not keep_lease(tx, self._clock.now(), self._lease, lasts=limits.LEASE_FOR):
            raise Fenced

    def _patience(self) -> int:
        """Return for how many microseconds there is nothing to do."""
        until = self._renewed_at + limits.LEASE_RENEW_EVERY - self._clock.monotonic()
        due = self._steps.until_due()
        if due is not None:
            until = min(until, due)
        if self._steps.idle():
            until = min(until, self._busy_at + limits.WRITE_BACK_AFTER - self._clock.monotonic())
        return until

    def _process(self, jobs: list[_Job[U, R]]) -> None:
        """Handle one batch in one transaction, then answer."""
        replies: Iterator[R] = iter(())
        waiting: Sequence[U] = ()
        try:
            with self._database.write() as tx:
                if self._inbox_hint and not (jobs and jobs[0].alone):
                    # Whoever waits goes first, but the inbox always gets a little: it must not starve under load.
                    room = limits.INBOX_BESIDE_MAX if jobs else limits.INBOX_BATCH_MAX
                    waiting = self._steps.waiting(tx, room)
                    self._inbox_hint = len(waiting) == room
                units = [*(unit for job in jobs for unit in job.units), *waiting]
                self._steps.begin(tx, units)
                self._steps.tick()
                replies = iter(self._steps.handle(units))
                self._steps.flush(tx)
                self._keep_lease(tx)
                self._renewed_at = self._clock.monotonic()
        except Fenced:
            raise  # whoever waits is told at the thread's edge
        except Exception as error:  # noqa: BLE001 - an edge: memory no longer equals the database, whatever it was
            _log.exception("batch_failed", units=sum(len(job.units) for job in jobs))
            for job in jobs:
                job.future.set_exception(Unavailable("database", 2, f"The batch could not be stored: {failure(error)}"))
            self._rebuild()
            self._inbox_hint = True
            if not jobs:
                # Nobody waits, and what failed would fail again at once: the inbox, a timer.
                self._rest()
            return
        self._steps.committed()
        if jobs or waiting:
            self._busy_at = self._clock.monotonic()
        with self.relay.gather():
            for job in jobs:
                job.deliver(job.future, list(itertools.islice(replies, len(job.units))))

    def _rebuild(self) -> None:
        """Make memory anew, however long the database stays away: a decider that died of an outage would stay dead."""
        while True:
            try:
                self._steps.rebuild()
            except Exception as error:
                _log.exception("rebuild_failed")
                with self._wake:
                    jobs = list(self._queue)
                    self._queue.clear()
                    self._queued = 0
                    is_over = self._stopping
                for job in jobs:
                    job.future.set_exception(
                        Unavailable("database", 2, f"The database does not answer: {failure(error)}")
                    )
                if is_over:
                    raise
                self._rest()
            else:
                return

    def _rest(self) -> None:
        """Wait a little after a failure, or until somebody asks for something."""
        with self._wake:
            if not self._queue and not self._stopping:
                self._wake.wait(limits.REST_AFTER_FAILURE / SECOND)


class LogTime:
    """Log time: arrival time that rises by at least a microsecond per entry and does not follow a stepped clock."""

    def __init__(self, clock: Clock, last: Instant, stepped: Callable[[int], None]) -> None:
        """Go on after `last`; `stepped` is told by how many microseconds the wall clock jumped."""
        self._clock = clock
        self._last = last
        self._stepped = stepped
        self._wall = clock.now()
        self._monotonic = clock.monotonic()
        self._followed = True

    def peek(self) -> Instant:
        """Return the present log time without using it up."""
        monotonic, wall = self._clock.monotonic(), self._clock.now()
        expected = self._wall + (monotonic - self._monotonic)
        if abs(wall - expected) <= limits.CLOCK_STEP_MAX:
            self._wall, self._monotonic = wall, monotonic
            self._followed = True
            return max(self._last, wall)
        if self._followed:
            self._followed = False
            self._stepped(wall - expected)
        return Instant(max(expected, self._last))

    def next(self) -> Instant:
        """Return the log time of the next entry."""
        at, last = self.peek(), self._last
        self._last = at if at > last else Instant(last + 1)
        return self._last

    def several(self, count: int) -> list[Instant]:
        """Return the log times of the next entries, which are handled together: the clock is asked once."""
        first = self.next()
        self._last = Instant(first + count - 1)
        return [Instant(at) for at in range(first, first + count)]

    def go_to(self, at: Instant) -> None:
        """Make a time that was given out the last one; those given out after it will be given out again, or later ones."""
        self._last = at


LEASE_NAME: Final = "decider"


def take_log(
    database: Database,
    clock: Clock,
    *,
    holder: str,
    is_dead: Callable[[str], bool],
    named: Callable[[str], str] = str,
) -> Lease:
    """Take the lease of the log, at once where its holder is known to be dead.

    Refuses: LogTaken, naming who holds it as `named` writes it for people.
    """
    with database.write() as tx:
        taken = take_lease(tx, clock.now(), LEASE_NAME, holder=holder, lasts=limits.LEASE_FOR)
        if isinstance(taken, Held) and is_dead(taken.holder):
            taken = take_lease(tx, clock.now(), LEASE_NAME, holder=holder, lasts=limits.LEASE_FOR, over=True)
    if isinstance(taken, Held):
        raise LogTaken(f"The log is held by {named(taken.holder)}. Stop that process, or send events to it.")
    return taken
