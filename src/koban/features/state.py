"""The decider's feature state: records in memory, written back in slices, rebuilt after a crash.

Three places hold a subject's record. `hot`: decoded, those that came or were changed lately (a queue with a second
chance). `cold`: packed, in memory. The database: read on first touch, unless everything stored is in memory anyway;
there it stands in the table `feature_state`, or newer in a slice that `fold` moves there later (see `slices`). Changes
reach the database through `write_slice`, oldest first; a record leaves memory only when the database has it.
"""

import functools
import itertools
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final

from koban.base import limits
from koban.db import Tx
from koban.features import store
from koban.features.generate import HEAD, UNSAVED, VERSION, Apply, Bind, Row, Standing, Texts, take_back
from koban.features.program import FeatureProgram, compile_features
from koban.features.records import Record, pack_record, unpack_record
from koban.features.slices import Slices
from koban.features.store import CellId, Layout
from koban.features.subjects import in_pair, members_of
from koban.language import Value
from koban.packs import PackDef

HOT_MAX: Final = 50_000  # decoded records
COLD_MAX: Final = 4_000_000  # packed records in memory
EVICT_MAX: Final = 2_000  # records moved from hot to cold, or out of cold, after one batch: about 2 ms
LATELY: Final = 6  # of as many entries as records may be hot, one in so many are the latest
SCRATCH: Final = -1  # in a record's place for its first unsaved sequence number: changes to it are thrown away

Entry = tuple[int, str, Row, int]  # sequence number, event type, row, log time


class FeatureStore:
    """Feature state of one log. Not thread-safe: the decider is its only user.

    `FeatureStore(program)` lives in memory alone (backtests, imports, tests); `FeatureStore.open` is durable.

    A batch: `mark` and `apply` for each entry (`undo` when it fails), `write_slice`, `fold`, commit, `forget`; after a
    commit that failed or is unknown, `reload` and replay.
    """

    def __init__(
        self,
        program: FeatureProgram,
        *,
        hot_limit: int = HOT_MAX,
        cold_limit: int = COLD_MAX,
        durable: bool = False,
    ) -> None:
        self._hot_limit = hot_limit
        self._cold_limit = cold_limit
        self._durable = durable
        self._layouts: dict[str, list[Layout]] = {}
        self.watermark = 0
        self._tx: Tx | None = None
        self._seq = 0
        self._filled_at = 0  # where features were filled from the past last
        self._undo: list[Any] = []  # target, index, old value; and again (Any: flat, for it is the hottest list)
        self._unsaved: deque[tuple[str, str, int]] = deque()  # kind, subject, sequence number of the first change
        self._left = 0  # how many of them waited when some were written last, or were filled from the past since
        self._subjects: dict[str, _Subjects] = {}
        self._slices = Slices()
        self._functions: dict[str, Apply] = {}
        self.standing: Standing = _nothing_stands  # what linked features ask; its owner sets it
        if not durable:
            self._follow(None, program, 0)

    @staticmethod
    def open(
        tx: Tx, program: FeatureProgram, *, hot_limit: int = HOT_MAX, cold_limit: int = COLD_MAX
    ) -> "FeatureStore":
        """Open the stored state as of `watermark`; the caller then replays the entries after it through `apply`.

        `program` is the one in force at the watermark (`stored_watermark` tells it). Where the replay passes a
        pack's activation, the caller calls `switch` just as it did the first time.
        Why it writes: a first start, or an upgrade that computes a feature differently, begins a new layout.
        """
        opened = FeatureStore(program, hot_limit=hot_limit, cold_limit=cold_limit, durable=True)
        opened.reload(tx, program)
        return opened

    def reload(self, tx: Tx, program: FeatureProgram) -> None:
        """Throw away all memory and start from the database again, as after a commit that failed or is unknown.

        `tx` is a new transaction. The caller then replays the entries after `watermark`.
        """
        self._empty_memory()
        self.watermark = store.read_watermark(tx)
        self._seq = self.watermark + 1
        self._layouts = {}
        for layout in store.read_layouts(tx):
            self._layouts.setdefault(layout.kind, []).append(layout)
        later = any(layout.since_seq > self.watermark for known in self._layouts.values() for layout in known)
        if later and not self._is_in_force(program):
            raise RuntimeError("the program is not the one that was in force at the watermark")
        self._follow(tx, program, self.watermark)
        newer = self._slices.load(tx)
        complete = store.count_records(tx, self._cold_limit + 1) <= self._cold_limit
        if complete:
            for kind_name, subject, as_of_seq, packed in itertools.chain(store.read_records(tx), newer):
                self._of(kind_name).admit(subject, as_of_seq, packed)
        else:
            deque(newer, maxlen=0)  # the slices are noted, their records read when they are touched
        for kind in self._subjects.values():
            kind.complete = complete

    def apply(
        self, tx: Tx | None, seq: int, event_type: str, row: Row, at: int, *, texts: Texts | None = None
    ) -> dict[str, Value]:
        """Update the state by one log entry and return the values of the features that its rules read.

        `row` holds the event's typed fields by dotted path (a missing key is NULL); `at` is its log time, above that
        of every entry before. `texts` may hold fields already normalised, and is filled with those that were needed.
        In a replay after `open` the values mean nothing: a record that was stored ahead of the
        watermark already holds later entries, and is left alone until the replay has caught up with it.
        """
        self._tx = tx
        self._seq = seq
        function = self._functions.get(event_type)
        return {} if function is None else function(row, at, seq, texts)

    @property
    def unsaved(self) -> int:
        """How many records hold changes that are not written back."""
        return len(self._unsaved)

    @property
    def came(self) -> int:
        """How many records were changed first since some were written back last; none that was filled from the past."""
        return len(self._unsaved) - self._left

    @property
    def unfolded(self) -> int:
        """How many records stand in slices."""
        return self._slices.records

    def mark(self) -> int:
        """Return a point to which `undo` can go back: before an entry, inside a batch."""
        return len(self._undo)

    def undo(self, mark: int) -> None:
        """Take back everything since `mark`, exactly."""
        for _ in range(take_back(self._undo, mark)):
            self._unsaved.pop()

    def forget(self) -> None:
        """Make the changes so far final (the batch is committed), and move what was used least to the cold side."""
        self._undo.clear()
        if not self._durable:
            self._unsaved.clear()
        for kind in self._subjects.values():
            kind.evict(self._hot_limit, self._cold_limit if self._durable else None)

    def write_slice(self, tx: Tx, seq: int, limit: int, *, until: int | None = None) -> int:
        """Write back up to `limit` changed records, oldest change first; returns how many.

        `until`: leave alone those that were changed first after this entry; what changes again and again is written once.
        And leave all until there are `FEATURES_TOGETHER` entries' worth of them: writing few with each small batch costs more.
        What was filled from the past waits for nothing: until it is written, a recovery would fill it again.
        They go into a slice. Without `until`, and where nothing stands in slices, into the table of records directly.
        `seq` is the last entry applied; the caller commits it in the same transaction. Afterwards single entries can
        no longer be undone: when the commit fails, `reload`.
        Invariant: all effects of entries up to `watermark` are in the database once the transaction commits.
        """
        self._undo.clear()
        self._tx = tx
        rows: list[tuple[str, str, bytes]] = []
        newest = seq if until is None else max(until, self._filled_at)
        if newest == until and until < self.watermark + limits.FEATURES_TOGETHER:
            return 0
        while self._unsaved and len(rows) < limit and self._unsaved[0][2] <= newest:
            kind, subject, _ = self._unsaved.popleft()
            packed = self._of(kind).pack_saved(subject)
            if packed is not None:
                rows.append((kind, subject, packed))
        if until is None and not self._slices.records:
            store.save_records(tx, [(kind, subject, seq, packed) for kind, subject, packed in rows])
        else:
            self._slices.append(tx, seq, rows)
        self._left = len(self._unsaved)
        watermark = self._unsaved[0][2] - 1 if self._unsaved else seq
        if watermark != self.watermark:
            store.save_watermark(tx, watermark)
            self.watermark = watermark
        return len(rows)

    def fold(self, tx: Tx, limit: int) -> int:
        """Move the oldest slices into the table of records, whole ones until `limit` records are moved; returns how many.

        The caller commits; when the commit fails, `reload`.
        """
        return self._slices.fold(tx, limit)

    def switch(self, tx: Tx | None, program: FeatureProgram, seq: int, *, filled: "FeatureStore | None" = None) -> None:
        """Go over to another pack's features at the entry `seq` that activates it.

        Unchanged features carry over; others start empty, or from `filled` (see `backfill`), which must have seen
        every entry before `seq`. Records change their layout when they are next touched.
        A recovery that replays the switch has to backfill again and pass `filled`: what was filled is written back in
        slices like any change, and `watermark` stays below `seq` until all of it is.
        """
        assert not self._undo, "a pack is switched between batches"
        self._seq = seq
        self._tx = tx
        for kind in self._subjects.values():
            kind.settle()
        self._follow(tx, program, seq)
        if filled is not None:
            self._filled_at = seq
            for name, source in filled.release().items():
                for subject in self._of(name).overlay(source, seq):
                    self._unsaved.append((name, subject, seq))
                    self._left += 1

    def rebind(self, functions: Mapping[str, Bind]) -> Callable[[], None]:
        """Run other functions of the same plan over the same records; returns what takes it back."""
        before = self._functions
        touches = {kind: subjects.touch for kind, subjects in self._subjects.items()}
        self._functions = {
            name: bind(touches, self._undo, self._unsaved.append, self._stands) for name, bind in functions.items()
        }

        def undo() -> None:
            self._functions = before

        return undo

    def release(self) -> "dict[str, _Subjects]":
        """Hand over the records of a backfilled store to the live one, and keep none."""
        records, self._subjects = self._subjects, {}
        self._functions = {}
        return records

    def write_all(self, tx: Tx, seq: int) -> None:
        """Write back all that changed, before somebody is erased: a recovery from before that would count them again."""
        self.write_slice(tx, seq, len(self._unsaved))

    def erase(self, tx: Tx | None, kind: str, subject: str) -> None:
        """Forget everything about a subject and its pairs with others, in memory and in the database."""
        assert not self._undo, "a subject is erased between batches"
        doomed = {(kind, subject)}
        for pairs in [name for name in self._subjects if kind in name.split("+") and "+" in name]:
            stored = store.pairs_of(tx, pairs, subject) if tx is not None and self._durable else []
            first, second = (each == kind for each in pairs.split("+"))
            for pair in {*stored, *self._slices.subjects(pairs), *self._of(pairs).names()}:
                is_first, is_second = in_pair(pair, subject)
                if (first and is_first) or (second and is_second):
                    doomed.add((pairs, pair))
        self._drop(tx, doomed)

    def erase_all(self, tx: Tx | None, kind: str, is_doomed: Callable[[str], bool]) -> int:
        """Forget every subject of a kind of which this is said, as `erase` does; returns how many.

        Looks once at each that has a record, and at the members of each pair.
        """
        assert not self._undo, "a subject is erased between batches"
        is_doomed = functools.cache(is_doomed)
        doomed: set[tuple[str, str]] = set()
        gone: set[str] = set()
        for name in [each for each in self._subjects if kind in each.split("+")]:
            stored = store.subjects_of(tx, name) if tx is not None and self._durable else []
            for subject in {*stored, *self._slices.subjects(name), *self._of(name).names()}:
                members = {one for its_kind, one in members_of(name, subject) if its_kind == kind and is_doomed(one)}
                if members:
                    gone |= members
                    doomed.add((name, subject))
        self._drop(tx, doomed)
        return len(gone)

    def _drop(self, tx: Tx | None, doomed: set[tuple[str, str]]) -> None:
        """Drop records, by kind and subject, wherever they stand."""
        for name, one in doomed:
            self._of(name).drop(one)
            if tx is not None and self._durable:
                store.delete_record(tx, name, one)
        if doomed and tx is not None and self._durable:
            self._slices.erase(tx, doomed)

    def _empty_memory(self) -> None:
        self._undo = []
        self._unsaved = deque()
        self._left = 0
        self._subjects = {}
        self._slices = Slices()
        self._functions = {}

    def _of(self, kind: str) -> "_Subjects":
        if kind not in self._subjects:
            self._subjects[kind] = _Subjects(kind, self._position, self._stored, self._layouts.setdefault(kind, []))
        return self._subjects[kind]

    def _position(self) -> int:
        return self._seq

    def _stored(self, kind: str, subject: str) -> tuple[int, bytes] | None:
        assert self._tx is not None, "a store that is not all in memory needs a transaction"
        return self._slices.find(self._tx, kind, subject) or store.read_record(self._tx, kind, subject)

    def _stands(self, kind: str, subject: str, at: int) -> bool:
        return self.standing(kind, subject, at)

    def _in_force(self, kind: str, seq: int) -> Layout | None:
        known = [layout for layout in self._layouts.get(kind, []) if layout.since_seq <= seq]
        return max(known, key=lambda layout: layout.version, default=None)

    def _is_in_force(self, program: FeatureProgram) -> bool:
        for kind in {*self._layouts, *program.plan.layouts}:
            layout = self._in_force(kind, self.watermark)
            kept = tuple(fingerprint for fingerprint, _ in layout.cells) if layout else ()
            if kept != program.plan.layouts.get(kind, ()):
                return False
        return True

    def _follow(self, tx: Tx | None, program: FeatureProgram, seq: int) -> None:
        """Lay records out for `program` from `seq` on, and bind its functions to them."""
        for kind in sorted({*self._layouts, *program.plan.layouts}):
            known = self._layouts.setdefault(kind, [])
            current = self._in_force(kind, seq)
            since = dict(current.cells) if current else {}
            cells = tuple(
                (fingerprint, since.get(fingerprint, seq)) for fingerprint in program.plan.layouts.get(kind, ())
            )
            if current is None or current.cells != cells:
                version = max((layout.version for layout in known), default=0) + 1
                current = Layout(kind=kind, version=version, since_seq=seq, cells=cells)
                known.append(current)
                if tx is not None and self._durable:
                    store.save_layout(tx, current)
            self._of(kind).lay_out(current)
        touches = {kind: subjects.touch for kind, subjects in self._subjects.items()}
        self._functions = {
            name: bind(touches, self._undo, self._unsaved.append, self._stands)
            for name, bind in program.functions.items()
        }


def _nothing_stands(_kind: str, _subject: str, _at: int) -> bool:
    return False


class _Subjects:
    """The records of one kind of subject."""

    def __init__(
        self,
        kind: str,
        position: Callable[[], int],
        stored: Callable[[str, str], tuple[int, bytes] | None],
        layouts: list[Layout],
    ) -> None:
        self.kind = kind
        self.complete = True  # what is not in memory is not in the database either
        self._position = position
        self._stored = stored
        self._layouts = layouts
        self._hot: OrderedDict[str, Record] = OrderedDict()
        self._cold: dict[str, bytes] = {}  # in order of their coming; an OrderedDict takes 80 bytes more for each
        self._ahead: dict[str, int] = {}  # as_of_seq of stored records that a replay has not caught up with yet
        self._version = 0
        self._cells: tuple[CellId, ...] = ()
        self._empty: tuple[int | None, ...] = (0, 0)  # the record of a subject that nothing is known of
        self._moves: dict[int, list[int | None]] = {}
        self._filled: _Subjects | None = None
        self._filled_seq = 0
        self._fills: list[tuple[int, int]] = []  # place in a backfilled record, place in ours

    def touch(self, subject: str) -> Record:
        """Return the record of a subject, ready to be read and changed; an empty one where there is none."""
        record = self._hot.get(subject)
        if record is not None and record[VERSION] == self._version:
            return record  # where it stands in the order is not changed: its neighbours there lie anywhere in memory
        return self._load(subject)

    def admit(self, subject: str, as_of_seq: int, packed: bytes) -> None:
        """Take a stored record into memory."""
        if as_of_seq >= self._position():
            self._ahead[subject] = as_of_seq
        if self._filled is not None and as_of_seq >= self._filled_seq:
            self._filled.drop(subject)
        self._cold[subject] = packed

    def lay_out(self, layout: Layout) -> None:
        """From now on, keep these cells."""
        self._version = layout.version
        self._cells = layout.cells
        self._empty = (layout.version, 0, *(None for _ in layout.cells))
        self._moves = {}

    def overlay(self, filled: "_Subjects", seq: int) -> list[str]:
        """Take new features' cells from backfilled state as records are touched; returns the subjects it has."""
        for subject in [subject for subject, as_of in self._ahead.items() if as_of >= seq]:
            filled.drop(subject)
        self._filled = filled
        self._filled_seq = seq
        places = {cell: place for place, cell in enumerate(self._cells, HEAD)}
        self._fills = [
            (place, places[fingerprint, seq])
            for place, fingerprint in enumerate(filled.fingerprints(), HEAD)
            if (fingerprint, seq) in places
        ]
        return filled.names()

    def fingerprints(self) -> list[str]:
        """Return what the places of a record hold."""
        return [fingerprint for fingerprint, _ in self._cells]

    def names(self) -> list[str]:
        """Return the subjects that have a record in memory."""
        return [*self._hot, *(subject for subject in self._cold if subject not in self._hot)]

    def settle(self) -> None:
        """Take over all that is left of backfilled state, so that another layout may follow."""
        if self._filled is not None:
            for subject in self._filled.names():
                self.touch(subject)

    def pack_saved(self, subject: str) -> bytes | None:
        """Pack a record for the database and note that it is saved; None where nothing of it is unsaved."""
        if self._filled is not None and self._filled.has(subject):
            self.touch(subject)
        record = self._hot.get(subject)
        if record is None:
            cold = self._cold.get(subject)
            if cold is None:
                return None
            record = unpack_record(cold)
        if not record[UNSAVED]:
            return None
        record[UNSAVED] = 0
        packed = pack_record(record)
        if subject in self._cold:
            self._cold[subject] = packed
        return packed

    def has(self, subject: str) -> bool:
        """Tell whether a record is in memory."""
        return subject in self._hot or subject in self._cold

    def take(self, subject: str) -> Record | None:
        """Take a record out of memory."""
        record = self._hot.pop(subject, None)
        if record is not None:
            return record
        packed = self._cold.pop(subject, None)
        return None if packed is None else unpack_record(packed)

    def drop(self, subject: str) -> None:
        """Forget a record in memory, backfilled state included."""
        self._hot.pop(subject, None)
        self._cold.pop(subject, None)
        self._ahead.pop(subject, None)
        if self._filled is not None:
            self._filled.drop(subject)

    def evict(self, hot_limit: int, cold_limit: int | None) -> None:
        """Pack records that came long ago and were not changed lately, and let go of packed ones that the database has too."""
        lately = self._position() - hot_limit // LATELY
        for _ in range(min(len(self._hot) - hot_limit, EVICT_MAX)):
            subject, record = self._hot.popitem(last=False)
            if record[UNSAVED] > lately:
                self._hot[subject] = record  # a second chance
            elif record[UNSAVED] or any(cell is not None for cell in record[HEAD:]):
                self._cold[subject] = pack_record(record)
        if cold_limit is None:
            return
        if len(self._cold) <= cold_limit:
            return
        for subject in list(itertools.islice(self._cold, min(len(self._cold) - cold_limit, EVICT_MAX))):
            packed = self._cold.pop(subject)
            if unpack_record(packed)[UNSAVED]:
                self._cold[subject] = packed
            else:
                self._ahead.pop(subject, None)
                self.complete = False

    def _load(self, subject: str) -> Record:
        record = self._hot.get(subject)
        if record is None:
            if subject not in self._cold and not self.complete:
                self._fetch(subject)
            packed = self._cold.get(subject)
            record = list(self._empty) if packed is None else unpack_record(packed)
            if packed is not None and self._ahead and subject in self._ahead:
                if self._ahead[subject] >= self._position():
                    self._move(record)
                    record[UNSAVED] = SCRATCH
                    return record
                del self._ahead[subject]
            self._cold.pop(subject, None)
            self._hot[subject] = record
        if record[VERSION] != self._version:
            self._move(record)
        if self._filled is not None:
            self._fill(subject, record)
        return record

    def _fetch(self, subject: str) -> None:
        stored = self._stored(self.kind, subject)
        if stored is not None:
            self.admit(subject, *stored)

    def _move(self, record: Record) -> None:
        """Bring a record from the layout that it was packed with into the present one."""
        version = record[VERSION]
        if version not in self._moves:
            old = next((layout.cells for layout in self._layouts if layout.version == version), ())
            places = {cell: HEAD + place for place, cell in enumerate(old)}
            self._moves[version] = [places.get(cell) for cell in self._cells]
        cells = [None if place is None else record[place] for place in self._moves[version]]
        record[:] = [self._version, record[UNSAVED], *cells]

    def _fill(self, subject: str, record: Record) -> None:
        """Add what was backfilled for the features that are new."""
        assert self._filled is not None
        found = self._filled.take(subject)
        if found is None:
            return
        for source, place in self._fills:
            record[place] = found[source]
        record[UNSAVED] = record[UNSAVED] or self._filled_seq


def stored_watermark(tx: Tx) -> int:
    """Return the entry up to which stored feature state is complete: recovery replays what comes after."""
    return store.read_watermark(tx)


def backfill(pack: PackDef, names: Collection[str], entries: Iterable[Entry]) -> FeatureStore:
    """Fill only the named features from past entries, in memory and apart from the live state.

    The answer can be fed on with `apply` until the activation, and is then handed to `switch`.
    """
    filled = FeatureStore(compile_features(pack, {}, names=names))
    for seq, event_type, row, at in entries:
        filled.apply(None, seq, event_type, row, at)
        filled.forget()
    return filled
