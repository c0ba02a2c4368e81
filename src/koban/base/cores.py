"""Which core a thread runs on: two threads that always wait for each other are quicker on the same one.

Python lets one thread compute at a time. The event loop and the decider hand the interpreter's lock to each other some
thousand times a second; between two cores each time wakes a core that sleeps, which takes longer than what is done
with the lock. A thread inherits its place from the one that starts it: whatever they start says `roam` first.
"""

import os
from collections.abc import Sequence

_ALL = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set[int]()


def share_core(threads: Sequence[int]) -> int | None:
    """Put threads, by their native ids, on one of the cores that the process may use; return it, None where none can.

    Which one goes by the process id, so that several servers on a machine do not crowd one core. Linux alone does it.
    """
    if len(_ALL) < 2:
        return None
    core = sorted(_ALL)[os.getpid() % len(_ALL)]
    try:
        for thread in threads:
            os.sched_setaffinity(thread, {core})
    except OSError:  # a sandbox forbids it: everything works, a little slower
        return None
    return core


def roam() -> None:
    """Let the calling thread, and what it starts, run on every core that the process may use."""
    if _ALL:
        try:
            os.sched_setaffinity(0, _ALL)
        except OSError:
            return
