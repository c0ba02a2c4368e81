"""Find the phrases of all lists in one pass, with word context and negation.

A hit counts when it is not inside one of its list's `unless` phrases, is not part of a longer Latin or katakana word (for
lists of whole words), and is not denied in its own clause (for negatable lists).
"""

from collections.abc import Iterable, Mapping

import msgspec

from koban.text import automaton
from koban.text.negation import is_negated
from koban.text.normalise import Normalised, normalise

_NEGATIONS = 20  # places of one text whose clause is read; a text with more mentions than this is no honest refusal


class PhraseList(msgspec.Struct, frozen=True, kw_only=True):
    """One list of phrases and how its hits are judged."""

    name: str
    phrases: tuple[str, ...]
    unless: tuple[str, ...] = ()
    negatable: bool = True
    whole_word: bool = True


class _Entry(msgspec.Struct, frozen=True):
    """What one pattern of the automaton stands for in one list; `phrase` is None for an `unless` phrase."""

    list_name: str
    phrase: str | None
    negatable: bool
    whole_word: bool


class PhraseMatcher:
    """All phrase lists of an installation as one automaton. Immutable: a changed list makes a new matcher."""

    def __init__(self, lists: Iterable[PhraseList] = ()) -> None:
        """Build the automaton; 10,000 phrases take some 30 ms."""
        self.lists: Mapping[str, PhraseList] = {each.name: each for each in lists}
        entries: dict[str, list[_Entry]] = {}
        for each in self.lists.values():
            for phrase in dict.fromkeys(each.phrases):
                if key := normalise(phrase).tight.strip():
                    entry = _Entry(each.name, phrase, each.negatable, each.whole_word)
                    entries.setdefault(key, []).append(entry)
            for phrase in dict.fromkeys(each.unless):
                if key := normalise(phrase).tight.strip():
                    entries.setdefault(key, []).append(_Entry(each.name, None, each.negatable, each.whole_word))
        self._entries = tuple(tuple(each) for each in entries.values())
        self._search = automaton.build(list(entries)) if entries else None

    def find(self, text: Normalised) -> dict[str, tuple[str, ...]]:
        """Return, per list with a hit, its different phrases that count, as written in the list."""
        if self._search is None:
            return {}
        found: dict[str, dict[str, None]] = {}
        raw = self._search(text.tight)
        if raw:
            self._judge(raw, text.tight, text.shape, found)
        if text.other is not None:
            tight, shape = text.other
            raw = self._search(tight)
            if raw:
                self._judge(raw, tight, shape, found)
        return {name: tuple(phrases) for name, phrases in found.items()}

    def _judge(
        self, raw: list[tuple[int, int, int]], tight: str, shape: str, found: dict[str, dict[str, None]]
    ) -> None:
        spared: dict[str, list[tuple[int, int]]] = {}
        hits: list[tuple[_Entry, str, int, int]] = []
        for index, start, end in raw:
            for entry in self._entries[index]:
                if entry.phrase is None:
                    spared.setdefault(entry.list_name, []).append((start, end))
                else:
                    hits.append((entry, entry.phrase, start, end))
        negated: dict[tuple[int, int], bool] = {}
        for entry, phrase, start, end in hits:
            if phrase in found.get(entry.list_name, ()):
                continue
            if any(low <= start and end <= high for low, high in spared.get(entry.list_name, ())):
                continue
            if entry.whole_word and not _stands_alone(shape, start, end):
                continue
            if entry.negatable:
                place = (start, end)
                if place not in negated and len(negated) < _NEGATIONS:
                    negated[place] = is_negated(tight, start, end)
                if negated.get(place, False):
                    continue
            found.setdefault(entry.list_name, {})[phrase] = None


def _script(character: str) -> str:
    if "a" <= character <= "z":
        return "latin"
    if "ァ" <= character <= "ヺ" or character == "ー":
        return "katakana"
    return ""


def _stands_alone(shape: str, start: int, end: int) -> bool:
    """Say whether the place is not part of a longer run of the script that it begins or ends with."""
    first = _script(shape[start])
    if first and start > 0 and _script(shape[start - 1]) == first:
        return False
    last = _script(shape[end - 1])
    if not last:
        return True
    while end < len(shape) and shape[end] == "ー":  # a drawn-out ending is still the word
        end += 1
    return end >= len(shape) or _script(shape[end]) != last
