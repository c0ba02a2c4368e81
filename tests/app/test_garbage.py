"""Garbage in cycles goes soon while it is young, at a whole look when it is old, and no look is long while others work."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from koban.app.garbage import GROWN_BUSY, GROWN_QUIET, YOUNG, WholeCollections, short_collections


class _Knot:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def collections_seen() -> Iterator[list[int]]:
    """Note the generation of each collection while Koban's rhythm holds."""
    seen: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            seen.append(info["generation"])

    with short_collections():
        gc.callbacks.append(note)
        yield seen
        gc.callbacks.remove(note)


def _knot() -> "weakref.ref[_Knot]":
    return weakref.ref(_Knot())


def test_only_new_objects_are_looked_through_however_many_come(collections_seen: list[int]) -> None:
    kept = [[number] for number in range(YOUNG * 200)]
    assert len(collections_seen) >= 150
    assert set(collections_seen) == {0}
    assert gc.get_freeze_count() >= len(kept) - 2 * YOUNG


def test_young_garbage_goes_without_a_whole_look(collections_seen: list[int]) -> None:
    knot = _knot()
    kept = [[number] for number in range(YOUNG * 3)]
    assert knot() is None
    assert kept
    assert set(collections_seen) == {0}


@pytest.mark.parametrize(("is_quiet", "grown"), [(True, GROWN_QUIET), (False, GROWN_BUSY)])
def test_old_garbage_goes_when_memory_has_grown(collections_seen: list[int], *, is_quiet: bool, grown: float) -> None:
    done = 0

    def work() -> int:
        nonlocal done
        done += not is_quiet
        return done

    whole = WholeCollections(work)
    before = gc.get_freeze_count()
    knot = _Knot()
    gone = weakref.ref(knot)
    kept: list[list[int]] = [[number] for number in range(YOUNG * 2)]
    del knot  # it was looked through while somebody had it: no later short look will find it
    whole.look()  # what was done until now is known
    for _ in range(int(before * grown) // YOUNG - 5):
        kept += [[] for _ in range(YOUNG)]
        assert not whole.look()
    assert gone() is not None
    kept += [[] for _ in range(YOUNG * 10)]
    assert whole.look()
    assert gone() is None
    assert not whole.look()
    assert 2 in collections_seen


def test_what_was_before_comes_back() -> None:
    before, callbacks = gc.get_threshold(), list(gc.callbacks)
    with short_collections():
        assert gc.get_threshold()[0] == YOUNG
    assert gc.get_threshold() == before
    assert gc.callbacks == callbacks
    assert gc.get_freeze_count() == 0
