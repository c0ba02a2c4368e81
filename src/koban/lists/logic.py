"""Membership of a list at any place in the log, its versions, and the way back to one; without I/O.

The pack's values and what people did are folded as `LiveLists` does: a value of the pack outlives an addition that expires.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, Literal

import msgspec

from koban.base import Instant
from koban.lists.types import VALUES_PER_ENTRY_MAX, EntriesAdded, EntryRemoved, ListChange, ListEntry

SAMPLE: Final = 5


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A value that counts; `entry` is None where the pack brings it."""

    value: str
    entry: ListEntry | None
    expires_at: Instant | None


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a list, by people or by another version of the pack, with the first few values."""

    seq: int
    at: Instant
    by: str
    kind: Literal["people", "pack"]
    note: str
    added: int
    removed: int
    sample: tuple[str, ...]


def members_at(
    from_pack: Collection[str], rows: Sequence[ListEntry], *, upto_seq: int | None, at: int
) -> dict[str, Member]:
    """Return what is on a list after an entry of the log (None: after all of it), as of a log time, sorted by value."""
    newest: dict[str, ListEntry] = {}
    for row in rows:
        if upto_seq is None or row.added_seq <= upto_seq:
            before = newest.get(row.value)
            if before is None or before.added_seq < row.added_seq:
                newest[row.value] = row
    found: dict[str, Member] = {}
    for value in sorted({*from_pack, *newest}):
        entry = newest.get(value)
        on = entry is not None and _is_on(entry, upto_seq)
        if value in from_pack:
            if entry is None or on:
                found[value] = Member(value=value, entry=None, expires_at=None)
        elif entry is not None and on and (entry.expires_at is None or entry.expires_at > at):
            found[value] = Member(value=value, entry=entry, expires_at=entry.expires_at)
    return found


def _is_on(entry: ListEntry, upto_seq: int | None) -> bool:
    if entry.removed_seq is None:
        return True
    return upto_seq is not None and entry.removed_seq > upto_seq


def versions_of(
    rows: Sequence[ListEntry],
    packs: Sequence[tuple[int, Instant, str, frozenset[str]]],
    notes: Mapping[int, str],
) -> list[Version]:
    """Return every change of a list, the newest first.

    `packs` are activations in log order: where, when, by whom, and what the pack brought from there on; `notes` hold
    what is known of log entries that only took something off, by their place.
    """
    on: dict[int, list[ListEntry]] = {}
    off: dict[int, list[ListEntry]] = {}
    for row in rows:
        if row.added_by != "pack":
            on.setdefault(row.added_seq, []).append(row)
        if row.removed_seq is not None:
            off.setdefault(row.removed_seq, []).append(row)
    found = []
    for seq in {*on, *off}:
        put = {row.value: row for row in on.get(seq, ())}
        taken = {row.value: row for row in off.get(seq, ()) if row.value not in put}
        first = next(iter(put.values()), None)
        last = next(iter(taken.values()), None)
        if first is not None:
            at, by, note = first.added_at, first.added_by, first.note
        else:
            assert last is not None, "a change put something on or took something off"
            assert last.removed_at is not None, "what was taken off was taken off at a time"
            at, by, note = last.removed_at, last.removed_by or "", notes.get(seq, "")
        found.append(
            Version(
                seq=seq,
                at=at,
                by=by,
                kind="people",
                note=note,
                added=len(put),
                removed=len(taken),
                sample=tuple([*sorted(put), *sorted(taken)][:SAMPLE]),
            )
        )
    found.extend(_pack_versions(packs, rows))
    return sorted(found, key=lambda each: -each.seq)


def _pack_versions(
    packs: Sequence[tuple[int, Instant, str, frozenset[str]]], rows: Sequence[ListEntry]
) -> Iterator[Version]:
    """Return what packs put on and took off; a value that people had on or off by then stays as they had it."""
    history: dict[str, list[ListEntry]] = {}
    for row in sorted(rows, key=lambda row: row.added_seq):
        history.setdefault(row.value, []).append(row)

    def is_up_to_people(value: str, seq: int, at: Instant) -> bool:
        newest = next((row for row in reversed(history.get(value, ())) if row.added_seq <= seq), None)
        if newest is None:
            return False
        if not _is_on(newest, seq):
            return True
        return newest.added_by != "pack" and (newest.expires_at is None or newest.expires_at > at)

    before: frozenset[str] = frozenset()
    for seq, at, by, values in packs:
        added = sorted(each for each in values - before if not is_up_to_people(each, seq, at))
        removed = sorted(each for each in before - values if not is_up_to_people(each, seq, at))
        if added or removed:
            yield Version(
                seq=seq, at=at, by=by, kind="pack", note="", added=len(added), removed=len(removed),
                sample=tuple([*added, *removed][:SAMPLE]),
            )  # fmt: skip
        before = values


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What goes on a list and comes off it between two states."""

    added: tuple[Member, ...]
    removed: tuple[Member, ...]


def difference(before: Mapping[str, Member], after: Mapping[str, Member]) -> Difference:
    """Return what makes a state from another one; a value that ends at another time goes on anew.

    Why not what the pack brings before: it outlives an addition that expires.
    """
    added = tuple(
        one
        for value, one in after.items()
        if value not in before or (before[value].entry is not None and before[value].expires_at != one.expires_at)
    )
    return Difference(added=added, removed=tuple(one for value, one in before.items() if value not in after))


def changes_to(name: str, wanted: Difference, *, note: str, by: str) -> list[ListChange]:
    """Return the log entries that make a difference true: additions that end together in one, each removal its own."""
    together: dict[Instant | None, list[str]] = {}
    for one in wanted.added:
        together.setdefault(one.expires_at, []).append(one.value)
    changes: list[ListChange] = []
    for expires_at, values in together.items():
        for start in range(0, len(values), VALUES_PER_ENTRY_MAX):
            chunk = tuple(values[start : start + VALUES_PER_ENTRY_MAX])
            changes.append(EntriesAdded(list=name, values=chunk, note=note, by=by, expires_at=expires_at))
    changes.extend(EntryRemoved(list=name, value=one.value, note=note, by=by) for one in wanted.removed)
    return changes
