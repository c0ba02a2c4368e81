"""Look the characters of many texts up at once. Apart from `many`, so that only a process that has many loads numpy.

Most texts need nothing but the tables: their letters were not pulled apart, no digit stands for a letter. Which ones do
is seen from the classes of neighbouring characters; the steps for these are taken one text at a time.
"""

import functools
import itertools
import unicodedata
from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from koban.text.normalise import Normalised, close_up, is_japanese, is_soft, normalise
from koban.text.tables import KANA, TIGHT, fold_table

Codes: TypeAlias = NDArray[np.uint32]
Marks: TypeAlias = NDArray[np.uint8]

_CODES: Final = "<u4"
_END: Final = 0x20000  # characters from here on are looked up one text at a time
_UNKNOWN: Final = 0xFFFFFFFF  # not looked up yet
_HARD: Final = 0xFFFFFFFE  # becomes nothing, or several characters
_WORD, _JAPANESE, _SOFT, _SLASH, _LETTER, _LEET, _ALONE = (1 << bit for bit in range(7))


def normalise_together(texts: Sequence[str]) -> list[Normalised]:
    """Return all forms of each text, as `normalise` does."""
    tables = _tables()
    folded = tables.fold(_codes(texts))
    places = folded % _END
    bases = _cut(_text(places), texts)
    alone = {place: normalise(texts[place]) for place in _whose(texts, tables.hard(folded))}
    for place, base in enumerate(bases):
        if place not in alone and not unicodedata.is_normalized("NFKC", base):
            alone[place] = normalise(texts[place])
    plains = _cut(_text(tables.kana[places]), texts)
    shapes, others = bases.copy(), dict[int, tuple[str, str]]()
    for place in _whose(texts, _changing(tables.mark(places))):
        if place not in alone:
            shapes[place], second = close_up(bases[place])
            if second is not None:
                others[place] = (second.translate(TIGHT), second)
    tights = _cut(_text(tables.tight[_codes(shapes)]), shapes)
    return [
        alone.get(place) or Normalised(base, plain, tight, shape, others.get(place))
        for place, (base, plain, tight, shape) in enumerate(zip(bases, plains, tights, shapes, strict=True))
    ]


def _codes(texts: Sequence[str]) -> Codes:
    """Return the characters of all texts, one after the other."""
    return np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), _CODES)


def _text(codes: Codes) -> str:
    return codes.tobytes().decode("utf-32-le", "surrogatepass")


def _cut(joined: str, texts: Sequence[str]) -> list[str]:
    """Cut a text into parts as long as these."""
    ends = list(itertools.accumulate(map(len, texts), initial=0))
    return [joined[start:end] for start, end in itertools.pairwise(ends)]


def _whose(texts: Sequence[str], places: NDArray[np.intp]) -> list[int]:
    """Return in which of the texts these places of all their characters lie."""
    whose = np.unique(np.searchsorted(np.cumsum([len(text) for text in texts]), places, side="right"))
    return [int(place) for place in whose]


def _changing(marks: Marks) -> NDArray[np.intp]:
    """Return places at which a text may hold letters that were pulled apart, or digits written for letters.

    Each test is a necessary condition of one pattern of `normalise`; neighbours from another text only find too much.
    """

    def has(mark: int) -> NDArray[np.bool_]:
        held: NDArray[np.bool_] = (marks & mark) != 0
        return held

    word, japanese = has(_WORD), has(_JAPANESE)
    found = has(_ALONE)
    found[1:-1] |= word[1:-1] & ~word[:-2] & ~word[2:]
    found[1:] |= has(_SOFT)[1:] & japanese[:-1]
    found[1:-1] |= has(_SLASH)[1:-1] & japanese[:-2] & japanese[2:]
    found[:-1] |= has(_LEET)[:-1] & has(_LETTER)[1:]
    return np.flatnonzero(found)


class _Tables:
    """What each character becomes and is, as arrays by code point, filled as characters are met."""

    def __init__(self) -> None:
        self._fold: Codes = np.full(_END + 1, _UNKNOWN, _CODES)
        self._fold[_END] = _HARD
        self._marks: Marks = np.zeros(_END, np.uint8)
        self._marked: NDArray[np.bool_] = np.zeros(_END, np.bool_)
        self.kana: Codes = np.arange(_END, dtype=_CODES)
        self.tight: Codes = np.arange(_END, dtype=_CODES)
        for table, array in ((KANA, self.kana), (TIGHT, self.tight)):
            for code, shape in list(table.items()):
                if code < _END:  # a table remembers what it was asked, 𠮷 as well
                    array[code] = shape

    def fold(self, codes: Codes) -> Codes:
        """Return what the characters become; `_HARD` for those that are not one character any more."""
        places = np.minimum(codes, _END)
        folded = self._fold[places]
        unknown = folded == _UNKNOWN
        if unknown.any():
            table = fold_table()
            for code in np.unique(places[unknown]).tolist():
                shape = table[code]
                self._fold[code] = ord(shape) if shape is not None and len(shape) == 1 else _HARD
            folded = self._fold[places]
        return folded

    def hard(self, folded: Codes) -> NDArray[np.intp]:
        """Return the places of characters that are not one character any more."""
        return np.flatnonzero(folded >= _END)

    def mark(self, places: Codes) -> Marks:
        """Return of which classes the characters are."""
        if not self._marked[places].all():
            for code in np.unique(places[~self._marked[places]]).tolist():
                self._marks[code] = _classes(chr(code))
                self._marked[code] = True
        return self._marks[places]


@functools.cache
def _tables() -> _Tables:
    return _Tables()


def _classes(character: str) -> int:
    found = 0
    if character.isalnum():
        found |= _WORD
    if is_japanese(character):
        found |= _JAPANESE
    if is_soft(character) or character == "_":
        found |= _SOFT
    if character in "/.,|":
        found |= _SLASH
    if "a" <= character <= "z":
        found |= _LETTER
    if character in "013457$!|":
        found |= _LEET
    if character in "@~":
        found |= _ALONE
    return found
