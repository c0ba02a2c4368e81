"""What changes lists, and what is refused."""

from collections.abc import Container
from typing import ClassVar, Final

import msgspec

from koban.base import Instant, Refusal

VALUE_CHARS_MAX: Final = 500
NOTE_CHARS_MAX: Final = 1_000
VALUES_PER_ENTRY_MAX: Final = 1_000  # one log entry; longer additions are several

ENTRIES_ADDED: Final = "list.entry_added"
ENTRY_REMOVED: Final = "list.entry_removed"


class EntriesAdded(msgspec.Struct, frozen=True, kw_only=True):
    """Payload of `list.entry_added`: values put on a list, until `expires_at` or for good."""

    list: str
    values: tuple[str, ...]
    note: str
    by: str
    expires_at: Instant | None = None


class EntryRemoved(msgspec.Struct, frozen=True, kw_only=True):
    """Payload of `list.entry_removed`: a value taken off a list, be it from the pack or added later."""

    list: str
    value: str
    note: str
    by: str


ListChange = EntriesAdded | EntryRemoved


class ListEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a list's history. A value of the pack that was taken off has `added_by` "pack"."""

    list: str
    value: str
    note: str
    added_by: str
    added_seq: int
    added_at: Instant
    expires_at: Instant | None
    removed_by: str | None
    removed_seq: int | None
    removed_at: Instant | None


class ListMissing(Refusal):
    """A list that the active pack does not declare."""

    code: ClassVar[str] = "list_missing"
    status: ClassVar[int] = 404
    title: ClassVar[str] = "There is no such list."


def check_declared(names: Container[str], name: str) -> None:
    """Refuse a list that is none of those that the active pack declares. Refuses: ListMissing."""
    if name not in names:
        raise ListMissing(f"The active pack declares no list {name[:80]!r}.")


class ListEntryMissing(Refusal):
    """A value that is not on the list."""

    code: ClassVar[str] = "list_entry_missing"
    status: ClassVar[int] = 404
    title: ClassVar[str] = "The value is not on the list."


class ListEntryInvalid(Refusal):
    """A value, note or expiry that a list cannot hold."""

    code: ClassVar[str] = "list_entry_invalid"
    status: ClassVar[int] = 422
    title: ClassVar[str] = "The list entry cannot be used."
