"""Lists and labels as they stood at each event, under a pack that is being tested.

What people put on lists or took off counts from the moment they did. A value that the pack under test shares with the
version in force counts from the activation that brought it; a value that is new in the pack under test counts from the
start, since otherwise nobody could see what it does. A value that the trial leaves out counts at no moment.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from koban.db import Tx
from koban.events import Entry
from koban.events import store as event_store
from koban.labels import LABEL_SET, LabelSet, LiveLabels
from koban.lists import ENTRIES_ADDED, ENTRY_REMOVED, EntriesAdded, EntryRemoved, LiveLists
from koban.packs import PackDef, PackVersionMissing, lists_of_files, version_files
from koban.rules import PACK_ACTIVATED, PackActivated
from koban.scores import SCORE_RECORDED, LiveScores, ScoreRecorded

ALWAYS: Final = -1

Entries = Mapping[str, Collection[str]]


class Interval(NamedTuple):
    """A value that counted for log times after `after_at` and before `until_at`."""

    name: str  # the list; of a label, the label's value
    value: str  # what is on the list; of a label, the account
    after_at: int
    until_at: int


class Past:
    """Lists and labels of a log, which can be gone through again and again."""

    def __init__(self, tx: Tx, pack: PackDef, *, upto_seq: int) -> None:
        """Read every change up to a place in the log."""
        kinds = (ENTRIES_ADDED, ENTRY_REMOVED, LABEL_SET, SCORE_RECORDED, PACK_ACTIVATED)
        self._changes: Sequence[Entry] = event_store.read_changes(tx, kinds, before_seq=upto_seq + 1)
        self._left_out: Entries = {name: each.left_out for name, each in pack.lists.items() if each.left_out}
        self._own: Entries = {name: frozenset(each.entries) - each.left_out for name, each in pack.lists.items()}
        self._versions = self._read_versions(tx)
        first = next((self._versions[each.seq] for each in self._changes if each.seq in self._versions), None)
        self.first = self._own if first is None else first

    def _read_versions(self, tx: Tx) -> dict[int, Entries]:
        """Return what the pack's lists held from each activation on."""
        held: dict[str, Mapping[str, frozenset[str]]] = {}
        activated: list[tuple[int, str]] = []
        for entry in self._changes:
            if entry.type == PACK_ACTIVATED:
                digest = msgspec.json.decode(entry.data, type=PackActivated).digest
                if digest not in held:
                    try:
                        files = version_files(tx, digest)
                    except PackVersionMissing:
                        continue
                    lists = lists_of_files(files)
                    held[digest] = {name: frozenset(each.entries) for name, each in lists.items()}
                activated.append((entry.seq, digest))
        if not activated:
            return {}
        current = held[activated[-1][1]]
        return {
            seq: {
                name: (own - current.get(name, frozenset())) | (own & held[digest].get(name, frozenset()))
                for name, own in ((name, frozenset(values)) for name, values in self._own.items())
            }
            for seq, digest in activated
        }

    def cursor(self) -> "Cursor":
        """Return the state before the first entry, to be moved forward."""
        return Cursor(self.first, self._changes, self._versions, self._left_out)

    def intervals(self) -> tuple[list[Interval], list[Interval]]:
        """Return when each value was on a list of values, and when each label counted for an account."""
        cursor = self.cursor()
        lists, labels = _Spans(), _Spans()
        lists.follow(_flat(cursor.lists.values), ALWAYS)
        for entry in cursor.walk():
            if entry.type == SCORE_RECORDED:
                continue
            if entry.type == LABEL_SET:
                change = msgspec.json.decode(entry.data, type=LabelSet)
                words = {(value, account): expiry for (account, value), expiry in cursor.labels.words.items()
                         if account == change.subject_id}  # fmt: skip
                labels.follow(words, entry.log_at, among=lambda key, who=change.subject_id: key[1] == who)
            elif entry.type == PACK_ACTIVATED:
                lists.follow(_flat(cursor.lists.values), entry.log_at)
            else:
                changed = _values_of(entry)
                live = {key: expiry for key in changed
                        if (expiry := cursor.lists.values.get(key[0], {}).get(key[1])) is not None}  # fmt: skip
                lists.follow(live, entry.log_at, among=changed.__contains__)
        return list(lists.done()), list(labels.done())


class Cursor:
    """Lists and labels at one place in the log."""

    def __init__(
        self, first: Entries, changes: Sequence[Entry], versions: Mapping[int, Entries], left_out: Entries
    ) -> None:
        self.lists = LiveLists()
        self.lists.set_pack(first)
        self.labels = LiveLabels()
        self.scores = LiveScores()
        self._changes = changes
        self._versions = versions
        self._left_out = left_out
        self._next = 0

    def advance(self, seq: int) -> None:
        """Follow every change before an entry; entries are asked in the order of the log."""
        while self._next < len(self._changes) and self._changes[self._next].seq < seq:
            self._step()

    def walk(self) -> Iterator[Entry]:
        """Follow every change and yield it afterwards."""
        while self._next < len(self._changes):
            yield self._step()

    def _step(self) -> Entry:
        entry = self._changes[self._next]
        self._next += 1
        if entry.type == ENTRIES_ADDED:
            self._put(msgspec.json.decode(entry.data, type=EntriesAdded))
        elif entry.type == ENTRY_REMOVED:
            self.lists.apply(msgspec.json.decode(entry.data, type=EntryRemoved))
        elif entry.type == LABEL_SET:
            self.labels.apply(msgspec.json.decode(entry.data, type=LabelSet), entry.log_at)
        elif entry.type == SCORE_RECORDED:
            self.scores.apply(msgspec.json.decode(entry.data, type=ScoreRecorded))
        elif entry.seq in self._versions:
            self.lists.set_pack(self._versions[entry.seq])
        return entry

    def _put(self, added: EntriesAdded) -> None:
        left_out = self._left_out.get(added.list, ())
        values = tuple(value for value in added.values if value not in left_out)
        if values:
            self.lists.apply(msgspec.structs.replace(added, values=values))


class _Spans:
    """Spans that are open, and those that ended."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], tuple[int, int]] = {}  # since when, and its expiry
        self._ended: list[Interval] = []

    def follow(self, live: Mapping[tuple[str, str], int], at: int, *, among: object = None) -> None:
        """Take over what counts from a log time on; `among` tells which keys were looked at, all without it."""
        looked = among if callable(among) else (lambda _key: True)
        for key in [key for key in self._open if looked(key) and self._open[key][1] != live.get(key)]:
            since, expiry = self._open.pop(key)
            self._ended.append(Interval(*key, since, min(expiry, at)))
        for key, expiry in live.items():
            self._open.setdefault(key, (at, expiry))

    def done(self) -> Iterator[Interval]:
        """Return every span."""
        yield from self._ended
        for key, (since, expiry) in self._open.items():
            yield Interval(*key, since, expiry)


def _flat(values: Mapping[str, Mapping[str, int]]) -> dict[tuple[str, str], int]:
    return {(name, value): expiry for name, held in values.items() for value, expiry in held.items()}


def _values_of(entry: Entry) -> set[tuple[str, str]]:
    if entry.type == ENTRIES_ADDED:
        added = msgspec.json.decode(entry.data, type=EntriesAdded)
        return {(added.list, value) for value in added.values}
    removed = msgspec.json.decode(entry.data, type=EntryRemoved)
    return {(removed.list, removed.value)}
