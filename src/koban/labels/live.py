"""Labels as the decider sees them, folded from log entries, in memory."""

from collections.abc import Callable
from typing import Final, TypeAlias

from koban.db import Tx
from koban.labels import store
from koban.labels.types import LabelRow, LabelSet, LabelSource

Undo: TypeAlias = Callable[[], None]
_Key: TypeAlias = tuple[str, str, str]  # subject kind, subject id, label
_Word: TypeAlias = tuple[str, int | None]  # value, expires_at

_STRONGEST_FIRST: Final = tuple(LabelSource)


class LiveLabels:
    """What each source now says about each subject.

    Invariant: equal to folding `apply` over the log in order; the table holds the same.
    """

    __slots__ = ("_words",)

    def __init__(self) -> None:
        """Start with no label at all."""
        self._words: dict[_Key, dict[LabelSource, _Word]] = {}

    def load(self, tx: Tx) -> None:
        """Read all labels from the table."""
        self._words = {}
        for row in store.all_labels(tx):
            self._set((row.subject_kind, row.subject_id, row.label), row)

    def apply(self, change: LabelSet) -> Undo:
        """Follow one log entry and return what takes it back; undo in reverse order."""
        key = (change.subject_kind, change.subject_id, change.label)
        before = dict(self._words.get(key, {}))
        self._set(key, change)

        def undo() -> None:
            if before:
                self._words[key] = before
            else:
                self._words.pop(key, None)

        return undo

    def value(self, subject_kind: str, subject_id: str, label: str, at: int) -> str | None:
        """Return what holds at a log time: the word of the strongest source that has not expired."""
        words = self._words.get((subject_kind, subject_id, label))
        if words is None:
            return None
        for source in _STRONGEST_FIRST:
            word = words.get(source)
            if word is not None and (word[1] is None or word[1] > at):
                return word[0]
        return None

    def _set(self, key: _Key, change: LabelSet | LabelRow) -> None:
        words = self._words.setdefault(key, {})
        if change.value is None:
            words.pop(change.source, None)
            if not words:
                del self._words[key]
        else:
            words[change.source] = (change.value, change.expires_at)
