"""Lists: named sets of values and phrases that people edit every day.

Owns: the table `list_entries`, the live view, the payloads of `list.entry_added` and `list.entry_removed`.
Guarantees: membership is a fold over the log; a list edit is dated, owned, can expire, and is never overwritten.
"""

from koban.lists.actions import add_entries, remove_entry
from koban.lists.live import LiveLists
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
    "LiveLists",
    "add_entries",
    "all_entries",
    "entries_of",
    "remove_entry",
]
