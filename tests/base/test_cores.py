"""Threads are put on one core and let go again."""

import os
import pathlib
import threading
import time

import pytest

from koban.base import roam, share_core

ALLOWED = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def in_a_thread(run: "list[object]") -> set[int]:
    seen: list[set[int]] = []

    def work() -> None:
        for each in run:
            each()  # type: ignore[operator]  # steps without parameters
        seen.append(os.sched_getaffinity(0))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return seen[0]


@pytest.mark.skipif(len(ALLOWED) < 2, reason="one core, or a system without places")
def test_threads_that_share_a_core_stay_there_and_what_roams_goes_everywhere() -> None:
    placed: list[object] = []

    def share() -> None:
        placed.append(share_core((threading.get_native_id(),)))

    assert in_a_thread([share]) == {placed[0]}
    assert in_a_thread([share, roam]) == ALLOWED, "a thread that was started from there lets go"
    assert os.sched_getaffinity(0) == ALLOWED, "others stay as they were"


def test_a_thread_that_is_gone_changes_nothing() -> None:
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()  # returns when Python is through with it; the system takes a moment longer
    task = pathlib.Path(f"/proc/self/task/{thread.native_id}")
    until = time.monotonic() + 60
    while task.exists() and time.monotonic() < until:
        time.sleep(0.001)
    assert share_core((thread.native_id or 0,)) is None or not ALLOWED
