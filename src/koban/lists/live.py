"""Lists as the decider sees them: what the pack brings, changed by log entries, in memory."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

from koban.db import Tx
from koban.language import NEVER
from koban.lists import store
from koban.lists.types import EntriesAdded, EntryRemoved, ListChange

Undo: TypeAlias = Callable[[], None]


class _Change(NamedTuple):
    """The newest change of one value: put on until `expires_at` (or NEVER), or taken off."""

    on: bool
    expires_at: int


class LiveLists:
    """Membership of every list of the active pack.

    `values` is what programs read: list -> value -> log time from which it no longer counts. It is changed in place and
    never replaced, so an `Environment` may hold it. `version` grows with every change and every undo.

    Invariant: equal to folding `set_pack` and `apply` over the log in order; the tables hold the same.
    """

    __slots__ = ("_changes", "_pack", "_versions", "values", "version")

    def __init__(self) -> None:
        """Start with no list at all."""
        self.values: dict[str, dict[str, int]] = {}
        self.version = 0
        self._versions: dict[str, int] = {}
        self._pack: dict[str, frozenset[str]] = {}
        self._changes: dict[str, dict[str, _Change]] = {}

    def load(self, tx: Tx) -> None:
        """Read all changes from the tables; the pack's own entries come by `set_pack`."""
        self._changes = {}
        for row in store.all_entries(tx):
            expires_at = NEVER if row.expires_at is None else int(row.expires_at)
            changes = self._changes.setdefault(row.list, {})
            changes[row.value] = _Change(row.removed_seq is None, expires_at)
        self._rebuild()

    def set_pack(self, entries: Mapping[str, Collection[str]]) -> Undo:
        """Take over the lists of another pack version. Changes made by people stay, also those to lists that left."""
        before = self._pack
        self._pack = {name: frozenset(values) for name, values in entries.items()}
        self._rebuild()

        def undo() -> None:
            self._pack = before
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

    def version_of(self, name: str) -> int:
        """Return a number that differs from every earlier one whenever the list has changed since."""
        return self._versions.get(name, 0)

    def next_expiry(self, name: str, at: int) -> int:
        """Return the log time at which the list next loses a value by itself; NEVER when it does not."""
        return min((expiry for expiry in self.values.get(name, {}).values() if expiry > at), default=NEVER)

    def last_expiry(self, name: str, at: int) -> int:
        """Return the log time at which the list last lost a value by itself; 0 when it has not."""
        return max((expiry for expiry in self.values.get(name, {}).values() if expiry <= at), default=0)

    def names(self) -> Collection[str]:
        """Return the lists that the active pack declares."""
        return self._pack.keys()

    def has(self, name: str, value: str, at: int) -> bool:
        """Tell whether a value counts as on the list at a log time; a list that is not declared holds nothing."""
        return self.values.get(name, {}).get(value, -1) > at

    def members(self, name: str, at: int) -> Iterator[str]:
        """List the values that count at a log time, sorted."""
        return (value for value, expiry in sorted(self.values.get(name, {}).items()) if expiry > at)

    def _follow(self, name: str, changed: Iterable[str]) -> None:
        self.version += 1
        self._versions[name] = self.version
        live = self.values.get(name)
        if live is None:
            return
        changes, pack = self._changes.get(name, {}), self._pack[name]
        for value in changed:
            change = changes.get(value)
            if value in pack and (change is None or change.on):
                live[value] = NEVER  # a value of the pack outlives an addition that expires
            elif change is not None and change.on:
                live[value] = change.expires_at
            else:
                live.pop(value, None)

    def _rebuild(self) -> None:
        names = {*self.values, *self._pack}
        self.values.clear()
        for name in names:
            if name in self._pack:
                self.values[name] = {}
            self._follow(name, {*self._pack.get(name, ()), *self._changes.get(name, ())})
