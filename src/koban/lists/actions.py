"""The verbs of lists.

The caller has made the log entry `seq`, pseudonymised values of personal kinds, and applies the change to its
`LiveLists` afterwards.
"""

from koban.base import Instant, Problem
from koban.db import Tx
from koban.lists import store
from koban.lists.live import LiveLists
from koban.lists.types import (
    NOTE_CHARS_MAX,
    VALUE_CHARS_MAX,
    VALUES_PER_ENTRY_MAX,
    EntriesAdded,
    EntryRemoved,
    ListEntryInvalid,
    ListEntryMissing,
    check_declared,
)


def add_entries(tx: Tx, seq: int, at: Instant, change: EntriesAdded, *, live: LiveLists) -> None:
    """Put values on a list; one that is on already gets the new note and expiry.

    Refuses: ListMissing, ListEntryInvalid.
    """
    check_declared(live.names(), change.list)
    problems = [
        Problem(path=f"/values/{index}", detail=detail)
        for index, value in enumerate(change.values)
        if (detail := _wrong_with(value))
    ]
    if not 0 < len(change.values) <= VALUES_PER_ENTRY_MAX:
        problems.append(Problem(path="/values", detail=f"Between 1 and {VALUES_PER_ENTRY_MAX} values at a time."))
    if len(set(change.values)) != len(change.values):
        problems.append(Problem(path="/values", detail="A value stands there twice."))
    if change.expires_at is not None and change.expires_at <= at:
        problems.append(Problem(path="/expires_at", detail="The expiry must lie in the future."))
    if len(change.note) > NOTE_CHARS_MAX:
        problems.append(Problem(path="/note", detail=f"At most {NOTE_CHARS_MAX} characters."))
    if problems:
        raise ListEntryInvalid(f"Nothing was added to '{change.list}'.", problems=tuple(problems))
    store.insert_added(tx, seq, at, change)


def remove_entry(tx: Tx, seq: int, at: Instant, change: EntryRemoved, *, live: LiveLists) -> None:
    """Take a value off a list, also one that the pack brings; it stays off until somebody adds it again.

    Refuses: ListMissing, ListEntryMissing, ListEntryInvalid.
    """
    check_declared(live.names(), change.list)
    if len(change.note) > NOTE_CHARS_MAX:
        problem = Problem(path="/note", detail=f"At most {NOTE_CHARS_MAX} characters.")
        raise ListEntryInvalid(f"Nothing was removed from '{change.list}'.", problems=(problem,))
    if not live.has(change.list, change.value, at):
        raise ListEntryMissing(f"The list '{change.list}' does not hold that value now.")
    store.insert_removed(tx, seq, at, change)


def _wrong_with(value: str) -> str:
    if not value or value != value.strip():
        return "A value must not be empty, nor begin or end with a space."
    if len(value) > VALUE_CHARS_MAX:
        return f"A value has at most {VALUE_CHARS_MAX} characters."
    if not value.isprintable():
        return "A value must not hold line breaks or control characters."
    return ""
