"""Many fixed strings found in one pass. ahocorasick-rs is imported here alone."""

import functools
from collections.abc import Callable, Sequence
from typing import TypeAlias

Found: TypeAlias = list[tuple[int, int, int]]  # (index of the string, start, end)


def build(strings: Sequence[str]) -> Callable[[str], Found]:
    """Return a function that finds all occurrences, overlapping ones too."""
    import ahocorasick_rs

    automaton = ahocorasick_rs.AhoCorasick(list(strings), matchkind=ahocorasick_rs.MatchKind.Standard)
    return functools.partial(automaton.find_matches_as_indexes, overlapping=True)


def build_longest(strings: Sequence[str]) -> Callable[[str], Found]:
    """Return a function that finds occurrences from left to right, the longest at each place."""
    import ahocorasick_rs

    automaton = ahocorasick_rs.AhoCorasick(list(strings), matchkind=ahocorasick_rs.MatchKind.LeftmostLongest)
    find: Callable[[str], Found] = automaton.find_matches_as_indexes
    return find
