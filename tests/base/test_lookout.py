"""The lookout looks at once when woken, goes on after a failure, and ends when it is closed."""

import threading

from koban.base import Lookout

FOREVER_S = 3_600.0


def test_it_looks_at_the_start_again_while_there_is_more_and_whenever_it_is_woken() -> None:
    looks: list[int] = []
    seen = threading.Semaphore(0)

    def look() -> bool:
        looks.append(len(looks))
        seen.release()
        return len(looks) < 3

    lookout = Lookout("test", look, every_s=FOREVER_S, after_failure_s=FOREVER_S, failed=lambda: None)
    lookout.start()
    for _ in range(3):
        assert seen.acquire(timeout=60)
    lookout.wake()
    assert seen.acquire(timeout=60)
    lookout.close()
    assert looks == [0, 1, 2, 3]


def test_a_wake_during_a_look_is_followed_by_another() -> None:
    began, may_end, again = threading.Event(), threading.Event(), threading.Event()

    def look() -> bool:
        if began.is_set():
            again.set()
        began.set()
        assert may_end.wait(60)
        return False

    lookout = Lookout("test", look, every_s=FOREVER_S, after_failure_s=FOREVER_S, failed=lambda: None)
    lookout.start()
    assert began.wait(60)
    lookout.wake()
    may_end.set()
    assert again.wait(60)
    lookout.close()


def test_a_failure_is_told_and_not_the_end() -> None:
    failures: list[str] = []
    looked_again = threading.Event()

    def look() -> bool:
        if not failures:
            raise RuntimeError("the database is away")
        looked_again.set()
        return False

    lookout = Lookout("test", look, every_s=FOREVER_S, after_failure_s=0.0, failed=lambda: failures.append("told"))
    lookout.start()
    assert looked_again.wait(60)
    lookout.close()
    assert failures == ["told"]
