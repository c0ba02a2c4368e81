"""Python's search for garbage in cycles, in the rhythm of a server: short and often, and whole when nobody waits."""

import contextlib
import gc
import time
from collections.abc import Callable, Iterator
from typing import Final

import structlog

_log = structlog.get_logger("koban.app")

YOUNG: Final = 2_000  # objects that are new and not gone by themselves: a look through so many takes 1 to 2 ms
GROWN_QUIET: Final = 0.5  # so much more than after the last whole look, as a share of it: look when nobody waits
GROWN_BUSY: Final = 2.0  # look although somebody waits


@contextlib.contextmanager
def short_collections() -> Iterator[None]:
    """Have Python look for garbage in cycles only among new objects, and never in what such a look has left.

    Why: an event makes hundreds of small objects, which go by themselves when it is done. Looking through a decider's
    whole memory again and again took a tenth of its time, and holds up every answer: a millisecond for a thousand
    objects that are not in a core's cache. What is left after a look lives long, with few exceptions;
    `WholeCollections` finds these. Source: https://docs.python.org/3/library/gc.html#gc.freeze
    """
    before = gc.get_threshold()
    gc.callbacks.append(_set_aside)
    gc.collect()
    gc.set_threshold(YOUNG)  # the older generations stay empty
    try:
        yield
    finally:
        gc.callbacks.remove(_set_aside)
        gc.set_threshold(*before)
        gc.unfreeze()


def _set_aside(phase: str, _info: dict[str, int]) -> None:
    if phase == "stop":
        gc.freeze()


class WholeCollections:
    """Looks through the whole memory once it has grown, within `short_collections`."""

    def __init__(self, done: Callable[[], int]) -> None:
        """Begin with memory as it is; `done` is a number that rises whenever something was done for somebody."""
        self._done = done
        self._seen = -1
        self._note()

    def _note(self) -> None:
        self._after = gc.get_freeze_count()  # counts one by one: not asked at every look
        self._short = _short_looks()

    def look(self) -> bool:
        """Collect when memory has grown by half and nothing was done since the last call, or when it grew threefold."""
        done, grown = self._done(), (_short_looks() - self._short) * YOUNG
        is_quiet, self._seen = done == self._seen, done
        if grown < self._after * (GROWN_QUIET if is_quiet else GROWN_BUSY):
            return False
        start = time.perf_counter()
        gc.unfreeze()
        gone = gc.collect()  # what it leaves is set aside as after every look
        self._note()
        _log.info("memory_collected", objects=self._after, gone=gone, seconds=round(time.perf_counter() - start, 2))
        return True


def _short_looks() -> int:
    """Return how often new objects were looked through: each time there are `YOUNG` more than have gone."""
    looks: int = gc.get_stats()[0]["collections"]
    return looks
