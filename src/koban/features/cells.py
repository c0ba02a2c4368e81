"""Slow paths of windowed cells: what the generated functions call when a window's edge has moved.

A cell is what one feature keeps of one subject. Windowed cells are flat lists in the order of their slots, so that a
subject's record packs into few bytes and copies fast:

    count    [total, slot, n, slot, n, …]
    sum      [total, slot, part, …]
    avg      [total, count, slot, part, n, …]
    min, max [slot, value, …]    values strictly rising (min) or falling (max): only those that can still win
    first    [slot, value, …]    the first value of each slot
    last     [slot, value]
    distinct {value: slot last seen}, oldest first, at most K; linked subjects are kept so too
    stddev   [total, sum of squares, count, slot, part, squares, n, …]
    frequent [slot, value, …]    the K values seen last
    sequence [log time of the newest first step, … of the last but one, count of whole ones, slot, n, …]

`floor` is the oldest slot of the window. Reads never change a cell; updates drop what has left the window.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from koban.base import DAY
from koban.language import most_frequent

Cell = list[Any]  # Any: a cell mixes slots with values of the feature's own type
Scalar = int | str | bool | bytes

PAIR: Final = 2
TRIPLE: Final = 3
QUADRUPLE: Final = 4
HEAD_OF_DEVIATION: Final = 3


def expire_totals(cell: Cell, floor: int) -> None:
    """Take slots older than `floor` out of a count or sum; the newest slot is never older."""
    end = 1
    while cell[end] < floor:
        cell[0] -= cell[end + 1]
        end += PAIR
    del cell[1:end]


def expire_average(cell: Cell, floor: int) -> None:
    """Take slots older than `floor` out of an average; the newest slot is never older."""
    end = 2
    while cell[end] < floor:
        cell[0] -= cell[end + 1]
        cell[1] -= cell[end + 2]
        end += TRIPLE
    del cell[2:end]


def expire_head(cell: Cell, floor: int) -> None:
    """Take slots older than `floor` off the front of a min, max or first; the newest slot is never older."""
    end = 0
    while cell[end] < floor:
        end += PAIR
    del cell[:end]


def push_min(cell: Cell, slot: int, value: int) -> None:
    """Add a value to a min: it drops every earlier value that it ties or beats, for they can never win again."""
    while cell and cell[-1] >= value:
        del cell[-PAIR:]
    if not cell or cell[-PAIR] != slot:
        cell += (slot, value)


def push_max(cell: Cell, slot: int, value: int) -> None:
    """Add a value to a max: it drops every earlier value that it ties or beats."""
    while cell and cell[-1] <= value:
        del cell[-PAIR:]
    if not cell or cell[-PAIR] != slot:
        cell += (slot, value)


def see(cell: dict[Scalar, int], value: Scalar, slot: int, floor: int, bound: int) -> dict[Scalar, int]:
    """Note that a value was seen now, keeping the `bound` last seen; returns a new cell."""
    kept = cell.copy()
    kept.pop(value, None)
    kept[value] = slot
    oldest = next(iter(kept))
    if len(kept) > bound:
        del kept[oldest]
        oldest = next(iter(kept))
    while kept[oldest] < floor:
        del kept[oldest]
        oldest = next(iter(kept))
    return kept


def see_deviation(cell: Cell | None, x: int, slot: int, floor: int) -> Cell:
    """Add a value to a standard deviation; returns a new cell."""
    kept: Cell = [0, 0, 0] if cell is None else cell.copy()
    end = HEAD_OF_DEVIATION
    while end < len(kept) and kept[end] < floor:
        for place in range(3):
            kept[place] -= kept[end + 1 + place]
        end += QUADRUPLE
    del kept[HEAD_OF_DEVIATION:end]
    parts = (x, x * x, 1)
    if len(kept) == HEAD_OF_DEVIATION or kept[-QUADRUPLE] != slot:
        kept += (slot, 0, 0, 0)
    for place, part in enumerate(parts):
        kept[place] += part
        kept[place - 3] += part
    return kept


def deviation_in(cell: Cell, floor: int) -> tuple[int, int, int]:
    """Read total, sum of squares and count of what is still inside the window."""
    total, squares, count = cell[:HEAD_OF_DEVIATION]
    for index in range(HEAD_OF_DEVIATION, len(cell), QUADRUPLE):
        if cell[index] >= floor:
            break
        total -= cell[index + 1]
        squares -= cell[index + 2]
        count -= cell[index + 3]
    return total, squares, count


def see_frequent(cell: Cell | None, value: Scalar, slot: int, floor: int, bound: int) -> Cell:
    """Note a value among the `bound` seen last; returns a new cell."""
    kept: Cell = [] if cell is None else cell.copy()
    kept += (slot, value)
    start = max(0, len(kept) - PAIR * bound)
    while kept[start] < floor:
        start += PAIR
    return kept[start:]


def frequent_in(cell: Cell, floor: int) -> Any:  # Any: a value of the feature's own type
    """Read the most frequent of the values that are still inside the window."""
    return most_frequent([cell[index + 1] for index in range(0, len(cell), PAIR) if cell[index] >= floor])


def see_step(
    cell: Cell | None, matched: Sequence[int], at: int, withins: Sequence[int], *, slot: int, floor: int
) -> Cell | None:
    """Follow an event that is one or several steps of a sequence; returns a new cell, or None where nothing changes.

    `withins[i]` is how long after step i - 1 step i may come. Steps are looked at from the last, so that one event never
    is two steps after each other.
    """
    last = len(withins) - 1
    kept: Cell = [None] * last + [0] if cell is None else cell.copy()
    changed = False
    for step in sorted(matched, reverse=True):
        if step > 0 and (kept[step - 1] is None or at - kept[step - 1] > withins[step]):
            continue
        changed = True
        if step < last:
            kept[step] = at
            continue
        end = last + 1
        while end < len(kept) and kept[end] < floor:
            kept[last] -= kept[end + 1]
            end += PAIR
        del kept[last + 1 : end]
        if len(kept) == last + 1 or kept[-PAIR] != slot:
            kept += (slot, 0)
        kept[last] += 1
        kept[-1] += 1
    return kept if changed else None


def sequences_in(cell: Cell, steps: int, floor: int) -> int:
    """Read how many whole sequences ended inside the window."""
    total: int = cell[steps - 1]
    for index in range(steps, len(cell), PAIR):
        if cell[index] >= floor:
            break
        total -= cell[index + 1]
    return total


def count_standing(
    cell: dict[str, int], floor: int, standing: Callable[[str, str, int], bool], kind: str, at: int
) -> int:
    """Count the linked subjects inside the window of which something stands."""
    return sum(1 for subject, slot in cell.items() if slot >= floor and standing(kind, subject, at))


def linked_age(
    cell: dict[str, int], floor: int, touch: Callable[[str], Cell], place: int, at: int, *, youngest: bool
) -> int | None:
    """Read the whole days since the youngest (or oldest) linked subject was first counted."""
    first = [touch(subject)[place] for subject, slot in cell.items() if slot >= floor]
    known = [each for each in first if each is not None]
    if not known:
        return None
    return int(at - (max(known) if youngest else min(known))) // DAY


def count_in(cell: Cell, floor: int) -> int:
    """Read a count whose oldest slots have left the window."""
    total: int = cell[0]
    for index in range(1, len(cell), PAIR):
        if cell[index] >= floor:
            break
        total -= cell[index + 1]
    return total


def sum_in(cell: Cell, floor: int) -> int | None:
    """Read a sum whose oldest slots have left the window; NULL when all have."""
    return count_in(cell, floor) if cell[-PAIR] >= floor else None


def average_in(cell: Cell, floor: int) -> tuple[int, int]:
    """Read the sum and the count of an average whose oldest slots have left the window."""
    total, count = cell[0], cell[1]
    for index in range(2, len(cell), TRIPLE):
        if cell[index] >= floor:
            break
        total -= cell[index + 1]
        count -= cell[index + 2]
    return total, count


def head_in(cell: Cell, floor: int) -> Any:  # Any: a value of the feature's own type
    """Read a min, max or first whose oldest slots have left the window; NULL when all have."""
    for index in range(0, len(cell), PAIR):
        if cell[index] >= floor:
            return cell[index + 1]
    return None


def distinct_in(cell: dict[Scalar, int], floor: int) -> int:
    """Read a distinct count: how many of the kept values were last seen inside the window."""
    gone = 0
    for slot in cell.values():
        if slot >= floor:
            break
        gone += 1
    return len(cell) - gone
