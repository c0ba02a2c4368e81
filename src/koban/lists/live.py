"""Lists as the decider sees them: what the pack brings, changed by log entries, in memory."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import NamedTuple, TypeAlias

from koban.db import Tx
from koban.lists import store
from koban.lists.types import EntriesAdded, EntryRemoved, ListChange

Undo: TypeAlias = Callable[[], None]


class _Change(NamedTuple):
    """The newest change of one value: put on (perhaps for a while), or taken off."""

    on: bool
    expires_at: int | None


class LiveLists:
    """Membership of every list of the active pack.

    Invariant: equal to folding `set_pack` and `apply` over the log in order; the tables hold the same.
    """

    __slots__ = ("_changes", "_pack", "_versions")

    def __init__(self) -> None:
        """Start with no list at all."""
        self._pack: dict[str, frozenset[str]] = {}
        self._changes: dict[str, dict[str, _Change]] = {}
        self._versions: dict[str, int] = {}

    def load(self, tx: Tx) -> None:
        """Read all changes from the tables; the pack's own entries come by `set_pack`."""
        self._changes = {}
        for row in store.all_entries(tx):
            changes = self._changes.setdefault(row.list, {})
            changes[row.value] = _Change(row.removed_seq is None, row.expires_at)
        for name in self._changes:
            self._touch(name)

    def set_pack(self, entries: Mapping[str, Collection[str]]) -> Undo:
        """Take over the lists of another pack version. Changes made by people stay, also those to lists that left."""
        before = self._pack
        self._pack = {name: frozenset(values) for name, values in entries.items()}
        for name in {*before, *self._pack}:
            self._touch(name)

        def undo() -> None:
            self._pack = before
            for name in {*before, *entries}:
                self._touch(name)

        return undo

    def apply(self, change: ListChange) -> Undo:
        """Follow one log entry and return what takes it back; undo in reverse order."""
        changes = self._changes.setdefault(change.list, {})
        match change:
            case EntriesAdded():
                new = {value: _Change(on=True, expires_at=change.expires_at) for value in change.values}
            case EntryRemoved():
                new = {change.value: _Change(on=False, expires_at=None)}
        before = {value: changes.get(value) for value in new}
        changes.update(new)
        self._touch(change.list)

        def undo() -> None:
            for value, was in before.items():
                if was is None:
                    changes.pop(value, None)
                else:
                    changes[value] = was
            self._touch(change.list)

        return undo

    def names(self) -> Collection[str]:
        """Return the lists that the active pack declares."""
        return self._pack.keys()

    def has(self, name: str, value: str, at: int) -> bool:
        """Tell whether a value counts as on the list at a log time; a list that is not declared holds nothing."""
        pack = self._pack.get(name)
        if pack is None:
            return False
        changes = self._changes.get(name)
        change = None if changes is None else changes.get(value)
        if change is None or (change.on and change.expires_at is not None and change.expires_at <= at):
            return value in pack
        return change.on

    def values(self, name: str, at: int) -> Iterator[str]:
        """List the values that count at a log time, sorted."""
        changes = self._changes.get(name, {})
        candidates = {*self._pack.get(name, ()), *(value for value, change in changes.items() if change.on)}
        return (value for value in sorted(candidates) if self.has(name, value, at))

    def version(self, name: str) -> int:
        """Return a number that grows whenever the list changes, so that what was compiled from it can be renewed."""
        return self._versions.get(name, 0)

    def _touch(self, name: str) -> None:
        self._versions[name] = self._versions.get(name, 0) + 1
