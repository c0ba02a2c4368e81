"""Lists as the decider sees them: what the pack brings, changed by log entries, in memory."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

import msgspec

from koban.db import Tx
from koban.language.types import NEVER, Environment
from koban.lists import store
from koban.lists.types import EntriesAdded, EntryRemoved, ListChange
from koban.text import PhraseList, PhraseMatcher

Undo: TypeAlias = Callable[[], None]


class _Change(NamedTuple):
    """The newest change of one value: put on until `expires_at` (or NEVER), or taken off."""

    on: bool
    expires_at: int


class LiveLists:
    """Membership of every list of the active pack.

    `values` is what programs read: list -> value -> log time from which it no longer counts. It is changed in place and
    never replaced, so an `Environment` may hold it. Phrases stand in a matcher that `refresh` renews.

    Invariant: equal to folding `set_pack` and `apply` over the log in order; the tables hold the same.
    """

    __slots__ = ("_changes", "_pack", "_phrases", "_renew_at", "values")

    def __init__(self) -> None:
        """Start with no list at all."""
        self.values: dict[str, dict[str, int]] = {}
        self._pack: dict[str, frozenset[str]] = {}
        self._phrases: dict[str, PhraseList] = {}
        self._changes: dict[str, dict[str, _Change]] = {}
        self._renew_at = 0  # the matcher is out of date from this log time on

    def load(self, tx: Tx) -> None:
        """Read all changes from the tables; the pack's own entries come by `set_pack`."""
        self._changes = {}
        for row in store.all_entries(tx):
            expires_at = NEVER if row.expires_at is None else int(row.expires_at)
            changes = self._changes.setdefault(row.list, {})
            changes[row.value] = _Change(row.removed_seq is None, expires_at)
        self._rebuild()

    def set_pack(self, values: Mapping[str, Collection[str]], phrases: Iterable[PhraseList] = ()) -> Undo:
        """Take over the lists of another pack version. Changes made by people stay, also those to lists that left."""
        before = self._pack, self._phrases
        self._phrases = {each.name: each for each in phrases}
        self._pack = {name: frozenset(entries) for name, entries in values.items()}
        self._pack.update({name: frozenset(each.phrases) for name, each in self._phrases.items()})
        self._rebuild()

        def undo() -> None:
            self._pack, self._phrases = before
            self._rebuild()

        return undo

    def apply(self, change: ListChange) -> Undo:
        """Follow one log entry and return what takes it back; undo in reverse order."""
        match change:
            case EntriesAdded():
                expires_at = NEVER if change.expires_at is None else int(change.expires_at)
                new = dict.fromkeys(change.values, _Change(on=True, expires_at=expires_at))
            case EntryRemoved():
                new = {change.value: _Change(on=False, expires_at=0)}
        changes = self._changes.setdefault(change.list, {})
        before = {value: changes.get(value) for value in new}
        changes.update(new)
        self._follow(change.list, new)

        def undo() -> None:
            changes = self._changes.setdefault(change.list, {})
            for value, was in before.items():
                if was is None:
                    changes.pop(value, None)
                else:
                    changes[value] = was
            self._follow(change.list, before)

        return undo

    def refresh(self, environment: Environment, at: int) -> None:
        """Renew the environment's phrase matcher if a phrase list changed, or a phrase expired, up to this log time.

        The decider calls it before each event; most calls are one comparison.
        """
        if at < self._renew_at:
            return
        environment.phrases = PhraseMatcher(
            msgspec.structs.replace(each, phrases=tuple(self.members(name, at))) for name, each in self._phrases.items()
        )
        expiries = (
            change.expires_at
            for name in self._phrases
            for change in self._changes.get(name, {}).values()
            if change.on and change.expires_at > at
        )
        self._renew_at = min(expiries, default=NEVER)

    def names(self) -> Collection[str]:
        """Return the lists that the active pack declares."""
        return self._pack.keys()

    def has(self, name: str, value: str, at: int) -> bool:
        """Tell whether a value counts as on the list at a log time; a list that is not declared holds nothing."""
        return name in self._pack and self._expiry(name, value) > at

    def members(self, name: str, at: int) -> Iterator[str]:
        """List the values that count at a log time, sorted."""
        candidates = {*self._pack.get(name, ()), *self._changes.get(name, ())}
        return (value for value in sorted(candidates) if self.has(name, value, at))

    def _expiry(self, name: str, value: str) -> int:
        """Return the log time from which a value no longer counts; -1 when it does not count at all.

        A value of the pack outlives an addition that expires.
        """
        change = self._changes.get(name, {}).get(value)
        if change is None or change.on:
            if value in self._pack.get(name, ()):
                return NEVER
            return -1 if change is None else change.expires_at
        return -1

    def _follow(self, name: str, changed: Iterable[str]) -> None:
        if name in self._phrases:
            self._renew_at = 0
        elif name in self._pack:
            live = self.values[name]
            for value in changed:
                expiry = self._expiry(name, value)
                if expiry < 0:
                    live.pop(value, None)
                else:
                    live[value] = expiry

    def _rebuild(self) -> None:
        self.values.clear()
        for name, entries in self._pack.items():
            if name not in self._phrases:
                self.values[name] = {}
                self._follow(name, {*entries, *self._changes.get(name, ())})
        self._renew_at = 0
