"""The thread that delivers webhooks and watches for what stays unconfirmed."""

import collections
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import structlog

from koban.base import SECOND, Instant, Lookout
from koban.webhooks import actions, logic
from koban.webhooks.actions import Post
from koban.webhooks.types import Due

IN_FLIGHT_MAX: Final = 16
IN_FLIGHT_PER_ENDPOINT_MAX: Final = 8  # a receiver that hangs leaves room for the others
LOOK_EVERY_S: Final = 0.5
WATCH_EVERY: Final = 10 * SECOND
TRY_AGAIN_AFTER_S: Final = 2.0

assert IN_FLIGHT_PER_ENDPOINT_MAX < IN_FLIGHT_MAX

_log: Final = structlog.get_logger("koban.webhooks")


class WebhookWorker:
    """Delivers until it is closed. Several may run, also in other processes: each action is claimed before it is sent."""

    def __init__(self, post: Post, *, unconfirmed_after_us: int = logic.UNCONFIRMED_AFTER) -> None:
        """Start the threads."""
        self._post = post
        self._unconfirmed_after_us = unconfirmed_after_us
        self._counting = threading.Lock()
        self._in_flight: collections.Counter[str] = collections.Counter()
        self._watched_at: Instant | None = None
        self._pool = ThreadPoolExecutor(IN_FLIGHT_MAX, thread_name_prefix="koban-webhook")
        self._lookout = Lookout(
            "koban-webhooks",
            self._look,
            every_s=LOOK_EVERY_S,
            after_failure_s=TRY_AGAIN_AFTER_S,
            failed=lambda: _log.exception("webhooks could not be delivered; trying again"),
        )
        self._lookout.start()

    def wake(self) -> None:
        """Look for due actions now: called after a commit that stored some, from any thread."""
        self._lookout.wake()

    def close(self) -> None:
        """Begin no further attempt, and wait for those under way."""
        self._lookout.close()
        self._pool.shutdown(wait=True)

    def _look(self) -> bool:
        found = self._begin_due()
        self._watch()
        return found > 0

    def _begin_due(self) -> int:
        with self._counting:
            free = IN_FLIGHT_MAX - self._in_flight.total()
            in_flight = dict(self._in_flight)
        full = tuple(sorted(each for each, count in in_flight.items() if count >= IN_FLIGHT_PER_ENDPOINT_MAX))
        busiest = max((count for each, count in in_flight.items() if each not in full), default=0)
        limit = min(free, IN_FLIGHT_PER_ENDPOINT_MAX - busiest)
        if limit <= 0:
            return 0
        claimed = actions.claim(self._post, limit=limit, skipping=full)
        for due in claimed:
            with self._counting:
                self._in_flight[due.endpoint.id] += 1
            self._pool.submit(self._deliver, due)
        return len(claimed)

    def _deliver(self, due: Due) -> None:
        try:
            actions.deliver(self._post, due)
        except Exception:  # noqa: BLE001 — the edge of a thread: the claim lapses and the action is sent again
            _log.exception("a webhook attempt could not be noted", action=due.action.id)
        finally:
            with self._counting:
                self._in_flight[due.endpoint.id] -= 1
            self._lookout.wake()

    def _watch(self) -> None:
        at = self._post.clock.now()
        if self._watched_at is not None and 0 <= at - self._watched_at < WATCH_EVERY:
            return
        self._watched_at = at
        with self._post.database.write() as tx:
            actions.watch_unconfirmed(tx, at, self._post.randomness, after_us=self._unconfirmed_after_us)
