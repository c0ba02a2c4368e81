"""Normalise the texts of a batch's events together, before they are decided one by one.

A text that is normalised with two hundred others costs a quarter of one that is normalised alone. Which texts rules and
features will ask for is seen from a few events of each type, which are left to themselves.
"""

from collections.abc import Sequence
from typing import Final, TypeAlias

from koban.pipeline.types import EventUnit
from koban.text import Normalised, normalise_many
from koban.text.many import TOGETHER_MIN

_WATCHED: Final = 64  # one event in so many of a type is left to itself
_REMEMBERED: Final = 8  # a field that as many watched events one after the other were not asked for is not any more
_CHARS_MAX: Final = 2_000  # a longer text gains nothing

Texts: TypeAlias = dict[str, Normalised]


class TextsAhead:
    """The normalised texts of the events of one batch, by unit. Of the decider's thread alone."""

    def __init__(self) -> None:
        """Know of no texts."""
        self._asked: dict[str, dict[str, int]] = {}  # event type: fields, and how often more they may be left out
        self._watched: list[tuple[str, Texts]] = []
        self._texts: dict[int, Texts] = {}

    def look(self, units: Sequence[EventUnit]) -> None:
        """Normalise what these events will probably be asked for; of a few, each is better left to itself."""
        self._learn()
        if len(units) < TOGETHER_MIN:
            return
        count: dict[str, int] = {}
        gathered: list[tuple[Texts, str, str]] = []
        for unit in units:
            prepared = unit.prepared
            name = prepared.type
            number = count[name] = count.get(name, 0) + 1
            texts: Texts = {}
            self._texts[id(unit)] = texts
            if number % _WATCHED == 1:
                self._watched.append((name, texts))
                continue
            for path in self._asked.get(name, ()):
                text = prepared.row.get(path)
                if isinstance(text, str) and len(text) <= _CHARS_MAX:
                    gathered.append((texts, path, text))
        if gathered:
            found = normalise_many([text for _, _, text in gathered])
            for (texts, path, _), normalised in zip(gathered, found, strict=True):
                texts[path] = normalised

    def of(self, unit: EventUnit) -> Texts:
        """Return the texts of an event by field, to be filled with those that are normalised later."""
        texts = self._texts.get(id(unit))
        return {} if texts is None else texts

    def _learn(self) -> None:
        if not self._texts:
            return
        for name, texts in self._watched:
            left = {path: times - 1 for path, times in self._asked.get(name, {}).items() if times > 1}
            self._asked[name] = left | dict.fromkeys(texts, _REMEMBERED)
        self._watched.clear()
        self._texts.clear()
