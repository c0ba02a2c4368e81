"""Slow paths of windowed cells: what the generated functions call when a window's edge has moved.

A cell is what one feature keeps of one subject. Windowed cells are flat lists in the order of their slots, so that a
subject's record packs into few bytes and copies fast:

    count    [total, slot, n, slot, n, …]
    sum      [total, slot, part, …]
    avg      [total, count, slot, part, n, …]
    min, max [slot, value, …]    values strictly rising (min) or falling (max): only those that can still win
    first    [slot, value, …]    the first value of each slot
    last     [slot, value]
    distinct {value: slot last seen}, oldest first, at most K

`floor` is the oldest slot of the window. Reads never change a cell; updates drop what has left the window.
"""

from typing import Any, Final

Cell = list[Any]  # Any: a cell mixes slots with values of the feature's own type
Scalar = int | str | bool | bytes

PAIR: Final = 2
TRIPLE: Final = 3


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
