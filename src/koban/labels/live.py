"""Labels as the decider sees them, folded from log entries, in memory."""

from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from koban.base import Instant
from koban.db import Tx
from koban.labels import store
from koban.labels.types import LabelRow, LabelSet, LabelSource
from koban.language import NEVER

Undo: TypeAlias = Callable[[], None]
_Subject: TypeAlias = tuple[str, str]  # kind, id

_STRENGTH: Final = {LabelSource.PERSON: 2, LabelSource.IMPORT: 1, LabelSource.AUTOMATION: 0}
ACCOUNT: Final = "account"


class _Word(NamedTuple):
    """What counts now, who said so, and until when."""

    value: str
    source: LabelSource
    expires_at: int


class LiveLabels:
    """What counts of all that was said about each subject.

    A word stands until a source at least as strong speaks again, or until it expires; what a weaker source says
    meanwhile is kept in the table and does not count.

    `words` is what programs read: (account id, value) -> log time from which it no longer counts. Ids of other kinds of
    subject stay out of it, because an order and an account may have the same id. It is changed in place, never replaced.

    Invariant: equal to folding `apply` over the log in order; the table holds the same.
    """

    __slots__ = ("_standing", "words")

    def __init__(self) -> None:
        """Start with no label at all."""
        self.words: dict[tuple[str, str], int] = {}
        self._standing: dict[_Subject, dict[str, _Word]] = {}

    def load(self, tx: Tx) -> None:
        """Read all labels from the table."""
        self.words.clear()
        self._standing = {}
        for row in store.all_labels(tx):
            self._say(row, row.at)

    def apply(self, change: LabelSet, at: Instant) -> Undo:
        """Follow a log entry of time `at` and return what takes it back; undo in reverse order."""
        subject = (change.subject_kind, change.subject_id)
        before = self._standing.get(subject, {}).get(change.label)
        self._say(change, at)
        return lambda: self._stand(subject, change.label, before)

    def value(self, subject_kind: str, subject_id: str, label: str, at: int) -> str | None:
        """Return what counts at a log time."""
        word = self._standing.get((subject_kind, subject_id), {}).get(label)
        return None if word is None or word.expires_at <= at else word.value

    def _say(self, change: LabelSet | LabelRow, at: int) -> None:
        subject = (change.subject_kind, change.subject_id)
        standing = self._standing.get(subject, {}).get(change.label)
        if standing is not None and standing.expires_at > at and _STRENGTH[standing.source] > _STRENGTH[change.source]:
            return
        expires_at = NEVER if change.expires_at is None else int(change.expires_at)
        word = None if change.value is None else _Word(change.value, change.source, expires_at)
        self._stand(subject, change.label, word)

    def _stand(self, subject: _Subject, label: str, word: _Word | None) -> None:
        words = self._standing.setdefault(subject, {})
        before = words.pop(label, None)
        if word is not None:
            words[label] = word
        if not words:
            del self._standing[subject]
        if subject[0] != ACCOUNT:
            return
        for value in {each.value for each in (before, word) if each is not None}:
            # Two labels of one account may have the same value: the one that counts longest is shown.
            expiry = max((each.expires_at for each in words.values() if each.value == value), default=-1)
            if expiry < 0:
                self.words.pop((subject[1], value), None)
            else:
                self.words[subject[1], value] = expiry
