"""Lists in time: what was on one after any entry of the log, its versions, what a way back changes, what expires soon.

Here the two halves of a list meet: what the pack of the time brought, and what people did.
"""

from collections.abc import Callable, Mapping

import msgspec

from koban.access import Staff, list_staff
from koban.audit import record
from koban.base import Instant, Problem, Refusal
from koban.db import Tx
from koban.events import store as event_store
from koban.lists import (
    ENTRY_REMOVED,
    EntryRemoved,
    ListChange,
    ListEntry,
    ListEntryMissing,
    ListOwner,
    check_declared,
    logic,
    set_owner,
)
from koban.lists import store as list_store
from koban.packs import Activation, PackDef, PackVersionMissing, activations, active_at, lists_of_files, version_files

ROWS_MAX = 100_000  # of one list's history
PACKS_MAX = 200  # activations that are looked at for what they changed
BACK_MAX = 2_000  # log entries that a way back may need
EXPIRING_MAX = 500
STAFF_MAX = 1_000
NOTES_MAX = 500  # log entries that are read for their notes


class WayBackTooLong(Refusal):
    """A way back that would need too many log entries at once."""

    code = "way_back_too_long"
    status = 422
    title = "Too much has changed since."


class PlaceUnknown(Refusal):
    """A place in the log that is none of this list's."""

    code = "list_place_unknown"
    status = 422
    title = "The list has no such version."


class Expiring(msgspec.Struct, frozen=True, kw_only=True):
    """A value that leaves its list by itself."""

    list: str
    entry: ListEntry


def members(tx: Tx, pack: PackDef, name: str, *, at: Instant, upto_seq: int | None = None) -> dict[str, logic.Member]:
    """Return what is on a list now, or was after an entry of the log, as of a log time.

    Refuses: ListMissing.
    """
    return logic.members_at(_brought(tx, pack, name, upto_seq), _rows(tx, pack, name), upto_seq=upto_seq, at=at)


def members_then(tx: Tx, pack: PackDef, name: str, at: Instant) -> dict[str, logic.Member]:
    """Return what was on a list at a moment. Refuses: ListMissing."""
    return members(tx, pack, name, at=at, upto_seq=event_store.seq_since(tx, Instant(at + 1)) - 1)


def versions(tx: Tx, pack: PackDef, name: str) -> list[logic.Version]:
    """Return every change of a list, the newest first. Refuses: ListMissing."""
    rows = _rows(tx, pack, name)
    held: dict[str, frozenset[str]] = {}
    packs = []
    for one in reversed(activations(tx, limit=PACKS_MAX)):
        if one.digest not in held:
            held[one.digest] = _values(tx, one, name)
        packs.append((one.seq, one.activated_at, one.author, held[one.digest]))
    put = {row.added_seq for row in rows if row.added_by != "pack"}
    alone = [row.removed_seq for row in rows if row.removed_seq is not None and row.removed_seq not in put]
    notes = {
        entry.seq: msgspec.json.decode(entry.data, type=EntryRemoved).note
        for entry in event_store.read_many(tx, sorted(set(alone))[-NOTES_MAX:])
        if entry.type == ENTRY_REMOVED
    }
    return logic.versions_of(rows, packs, notes)


def way_back(tx: Tx, pack: PackDef, name: str, *, seq: int, at: Instant) -> logic.Difference:
    """Return what would change if a list were again as it was after an entry of the log; what has expired since stays off.

    Refuses: ListMissing, PlaceUnknown.
    """
    if not any(each.seq == seq for each in versions(tx, pack, name)) and seq != 0:
        raise PlaceUnknown(f"The list {name!r} did not change at log entry {seq}.")
    return logic.difference(members(tx, pack, name, at=at), members(tx, pack, name, at=at, upto_seq=seq))


def go_back(
    tx: Tx,
    pack: PackDef,
    name: str,
    *,
    seq: int,
    at: Instant,
    by: str,
    note: str,
    change: Callable[[ListChange], object],
) -> logic.Difference:
    """Make a list again what it was after an entry of the log; asked again after a crash, it does what is left.

    Refuses: ListMissing, PlaceUnknown, WayBackTooLong, ListEntryInvalid.
    """
    wanted = way_back(tx, pack, name, seq=seq, at=at)
    changes = logic.changes_to(name, wanted, note=note, by=by)
    if len(changes) > BACK_MAX:
        problem = Problem(
            path="/seq", detail=f"It would take {len(changes)} entries of the log; {BACK_MAX} is the most."
        )
        raise WayBackTooLong("Nothing was changed.", problems=(problem,))
    for each in changes:
        try:
            change(each)
        except ListEntryMissing:
            continue  # it expired, or somebody took it off, since we looked
    return wanted


def expiring(tx: Tx, pack: PackDef, *, at: Instant, until: Instant, by: str | None = None) -> list[Expiring]:
    """Return what leaves a list by itself between two moments, the soonest first; `by`: only what this actor put there."""
    found = list_store.expiring(tx, after=at, until=until, by=by, limit=EXPIRING_MAX)
    brought = {name: frozenset(each.entries) for name, each in pack.lists.items()}
    return [
        Expiring(list=row.list, entry=row)
        for row in found
        if row.list in brought and row.value not in brought[row.list]
    ]


def active_staff(tx: Tx) -> list[Staff]:
    """Return who of the staff may sign in, and so may answer for a list."""
    return [each for each in list_staff(tx, after_id="", limit=STAFF_MAX) if each.disabled_at is None]


def give_owner(tx: Tx, at: Instant, pack: PackDef, name: str, owner: str | None, *, by: str, reason: str) -> ListOwner:
    """Make a member of staff, by id or e-mail address, answer for a list as a whole, or nobody.

    Refuses: ListMissing, ListOwnerInvalid.
    """
    staff = active_staff(tx)
    found = next((each.id for each in staff if owner in {each.id, each.email}), owner)
    new = set_owner(tx, at, name, found, by=by, reason=reason, declared=pack.lists, staff={each.id for each in staff})
    record(tx, at, by, "list.owner_set", f"list:{name}", {"owner": new.owner or ""})
    return new


def _rows(tx: Tx, pack: PackDef, name: str) -> list[ListEntry]:
    check_declared(pack.lists, name)
    return list(list_store.entries_of(tx, name, limit=ROWS_MAX))


def _brought(tx: Tx, pack: PackDef, name: str, upto_seq: int | None) -> frozenset[str]:
    if upto_seq is None:
        return frozenset(pack.lists[name].entries) if name in pack.lists else frozenset()
    active = active_at(tx, upto_seq + 1)
    return frozenset() if active is None else _values(tx, active, name)


def _values(tx: Tx, activation: Activation, name: str) -> frozenset[str]:
    try:
        files: Mapping[str, str] = version_files(tx, activation.digest)
    except PackVersionMissing:
        return frozenset()
    found = lists_of_files(files).get(name)
    return frozenset() if found is None else frozenset(found.entries)
