"""Records that wait in slices, in the order of their writing, until they are folded into the table of records.

Under load a record written back on its own costs a page of `feature_state`, which lie in no order. So what is written
back goes to the end of `feature_slices` first, hundreds of records as one row; the newest row that holds a record holds
what counts. The oldest row is folded into `feature_state` when little happens, or when many wait: of its records only
those that no newer row holds, so that what changes often is rarely written there (a log-structured merge, as in
O'Neil, Cheng, Gawlick & O'Neil, "The log-structured merge-tree", 1996). Record 0024.
"""

from collections import defaultdict, deque
from collections.abc import Collection, Iterator
from typing import Final

import msgspec

from koban.base import limits
from koban.db import Tx
from koban.features import store

Saved = tuple[str, str, int, bytes]  # kind, subject, as_of_seq, packed record
_Held = tuple[str, str, bytes]  # the same in a slice, which says once what they are as of

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(list[_Held])


class Slices:
    """Which slices there are, and which of them holds the newest state of a subject. The records stay in the database."""

    def __init__(self) -> None:
        self._newest: dict[str, dict[str, int]] = defaultdict(dict)  # by kind and subject: number of the slice
        self._waiting: deque[tuple[int, int]] = deque()  # number of the slice, records in it
        self._last = 0
        self.records = 0

    def load(self, tx: Tx) -> Iterator[Saved]:
        """Take over the stored slices; yields every record in them, older states of a subject before newer ones."""
        for number, as_of_seq, packed in store.read_slices(tx):
            held = _decoder.decode(packed)
            self._note(number, held)
            for kind, subject, record in held:
                yield kind, subject, as_of_seq, record

    def append(self, tx: Tx, as_of_seq: int, records: list[_Held]) -> None:
        """Write records at the end: kind, subject, packed."""
        for begin in range(0, len(records), limits.FEATURE_SLICE_MAX):
            held = records[begin : begin + limits.FEATURE_SLICE_MAX]
            store.save_slice(tx, self._last + 1, as_of_seq, _encoder.encode(held))
            self._note(self._last + 1, held)

    def fold(self, tx: Tx, limit: int) -> int:
        """Move the oldest slices into the table of records, whole ones until `limit` records are; returns how many were."""
        folded = 0
        while self._waiting and folded < limit:
            number, count = self._waiting.popleft()
            as_of_seq, packed = store.read_slice(tx, number)
            newest: list[Saved] = []
            for kind, subject, record in _decoder.decode(packed):
                if self._newest[kind].get(subject) == number:
                    del self._newest[kind][subject]
                    newest.append((kind, subject, as_of_seq, record))
            store.save_records(tx, newest)
            store.delete_slice(tx, number)
            self.records -= count
            folded += count
        return folded

    def find(self, tx: Tx, kind: str, subject: str) -> tuple[int, bytes] | None:
        """Return the newest state of a subject in the slices, with its as_of_seq; None where no slice holds it."""
        number = self._newest[kind].get(subject)
        if number is None:
            return None
        as_of_seq, packed = store.read_slice(tx, number)
        return as_of_seq, next(record for *name, record in _decoder.decode(packed) if name == [kind, subject])

    def subjects(self, kind: str) -> Collection[str]:
        """Return the subjects of a kind that some slice holds."""
        return self._newest[kind].keys()

    def erase(self, tx: Tx, doomed: Collection[tuple[str, str]]) -> None:
        """Delete every state of these subjects, kind and id, in any slice."""
        for kind, subject in doomed:
            self._newest[kind].pop(subject, None)
        for number, _ in self._waiting:
            as_of_seq, packed = store.read_slice(tx, number)
            held = _decoder.decode(packed)
            kept = [each for each in held if each[:2] not in doomed]
            if len(kept) < len(held):
                store.delete_slice(tx, number)
                store.save_slice(tx, number, as_of_seq, _encoder.encode(kept))

    def _note(self, number: int, held: list[_Held]) -> None:
        self._last = number
        self._waiting.append((number, len(held)))
        self.records += len(held)
        for kind, subject, _ in held:
            self._newest[kind][subject] = number
