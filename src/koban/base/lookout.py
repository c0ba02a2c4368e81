"""A thread that looks for work again and again: at once when it is woken, else after a while."""

import threading
from collections.abc import Callable

Look = Callable[[], bool]  # tells whether there may be more to find at once


class Lookout:
    """Looks until it is closed. Invariant: a wake that comes during a look is followed by another look."""

    def __init__(
        self, name: str, look: Look, *, every_s: float, after_failure_s: float, failed: Callable[[], None]
    ) -> None:
        """Make ready; `failed` is called in the handler of what `look` raised, so that it can be logged."""
        self._look = look
        self._every_s = every_s
        self._after_failure_s = after_failure_s
        self._failed = failed
        self._changed = threading.Condition()
        self._closing = False
        self._woken = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to look. Why not at once: what `look` reads may still be on its way."""
        self._thread.start()

    def wake(self) -> None:
        """Look now: called after a commit that left work, from any thread."""
        with self._changed:
            self._woken = True
            self._changed.notify()

    def close(self) -> None:
        """Look no more, and wait for the look under way."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            pause_s, more = self._every_s, False
            try:
                more = self._look()
            except Exception:  # noqa: BLE001 — the edge of a thread: an outage of the database must not end it
                self._failed()
                pause_s = self._after_failure_s
            with self._changed:
                if not more and not self._woken and not self._closing:
                    self._changed.wait(pause_s)
                self._woken = False
                if self._closing:
                    return
