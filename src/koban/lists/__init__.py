"""Lists: named sets of values and phrases that people edit every day.

Owns: the tables `list_entries` and `list_owners`, the live view, the payloads of `list.entry_added` and `list.entry_removed`.
Guarantees: membership is a fold over the log; a list edit is dated, owned, can expire, and is never overwritten.
"""

from koban.lists.actions import add_entries, remove_entry
from koban.lists.live import LiveLists
from koban.lists.owners import ListOwner, ListOwnerInvalid, owners_now, owners_of, set_owner
from koban.lists.store import all_entries, entries_of
from koban.lists.types import (
    ENTRIES_ADDED,
    ENTRY_REMOVED,
    EntriesAdded,
    EntryRemoved,
    ListChange,
    ListEntry,
    ListEntryInvalid,
    ListEntryMissing,
    ListMissing,
    check_declared,
)

__all__ = [
    "ENTRIES_ADDED",
    "ENTRY_REMOVED",
    "EntriesAdded",
    "EntryRemoved",
    "ListChange",
    "ListEntry",
    "ListEntryInvalid",
    "ListEntryMissing",
    "ListMissing",
    "ListOwner",
    "ListOwnerInvalid",
    "LiveLists",
    "add_entries",
    "all_entries",
    "check_declared",
    "entries_of",
    "owners_now",
    "owners_of",
    "remove_entry",
    "set_owner",
]
