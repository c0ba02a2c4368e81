"""Patterns that people write, matched by RE2 only: the time it takes grows with the text, never with the pattern's malice.

All patterns on one field are one `PatternSet`: unanchored, without regard to case, over the `plain` form. RE2 is imported
here alone.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from koban.text.normalise import fold
from koban.text.tables import KANA

if TYPE_CHECKING:
    import re2

PATTERN_LENGTH = 1_000
_PATTERN_MEMORY = 8 << 20  # what one pattern may take
_SET_MEMORY = 256 << 20  # what all patterns of one field may take together
_SPECIAL = frozenset("\\.+*?()|[]{}^$-&~#")


class BadPattern(Exception):
    """A pattern that RE2 does not take; `args[0]` says why."""


def pattern_options(memory: int) -> "re2.Options":
    """Return the flags of every pattern: silent, without regard to case, bounded memory."""
    import re2

    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = False
    options.never_capture = True
    options.max_mem = memory
    return options


def fold_pattern(pattern: str) -> str:
    """Rewrite a pattern for the `plain` form: katakana as hiragana, full-width as half-width, look-alikes as letters.

    A character that folds to one with a meaning in patterns, such as 「（」, is escaped.
    """
    folded: list[str] = []
    for character in pattern:
        if character.isascii():
            folded.append(character)
            continue
        plain = fold(character).translate(KANA)
        folded.append("".join(f"\\{each}" if each in _SPECIAL else each for each in plain))
    return "".join(folded)


def check_pattern(pattern: str) -> None:
    """Refuse a pattern that RE2 cannot take, with RE2's own words."""
    import re2

    if len(pattern) > PATTERN_LENGTH:
        raise BadPattern(f"the pattern is longer than {PATTERN_LENGTH} characters")
    try:
        re2.compile(fold_pattern(pattern), pattern_options(_PATTERN_MEMORY))
    except re2.error as error:
        detail = error.args[0]
        raise BadPattern(detail.decode("utf-8", "replace") if isinstance(detail, bytes) else str(detail)) from error


class PatternSet:
    """Several patterns searched in one pass; `search` returns the indexes of those found."""

    def __init__(self, patterns: Sequence[str]) -> None:
        """Compile the patterns, which `check_pattern` has taken."""
        import re2

        self.patterns = tuple(patterns)
        self._set = re2.Set.SearchSet(pattern_options(_SET_MEMORY))
        for pattern in self.patterns:
            self._set.Add(fold_pattern(pattern))
        self._set.Compile()

    def search(self, plain: str) -> list[int]:
        """Return the indexes of the patterns that occur in a `plain` form, in no particular order."""
        found: list[int] | None = self._set.Match(plain)
        return [] if found is None else found
