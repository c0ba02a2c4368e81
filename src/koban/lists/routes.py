"""The border for lists: see them, add to them, take from them."""

import base64
from collections.abc import Callable, Mapping
from typing import Annotated

import msgspec

from koban.access import Call, Endpoint, Page, PageQuery, endpoint
from koban.base import Instant, Problem, from_rfc3339, to_rfc3339
from koban.db import Database
from koban.lists import store
from koban.lists.owners import owners_now
from koban.lists.types import (
    NOTE_CHARS_MAX,
    VALUE_CHARS_MAX,
    VALUES_PER_ENTRY_MAX,
    EntriesAdded,
    EntryRemoved,
    ListChange,
    ListEntry,
    ListEntryInvalid,
    ListEntryMissing,
    ListMissing,
    check_declared,
)

Change = Callable[[ListChange], object]
Declared = Callable[[], Mapping[str, tuple[str, int]]]  # list -> kind, entries that the pack brings

Value = Annotated[str, msgspec.Meta(min_length=1, max_length=VALUE_CHARS_MAX)]
Note = Annotated[str, msgspec.Meta(max_length=NOTE_CHARS_MAX)]


class ListView(msgspec.Struct, frozen=True, kw_only=True):
    """A list of the active pack."""

    name: str
    kind: str
    from_pack: int
    owner: str | None  # member of staff who answers for it as a whole


class Addition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Values to put on a list."""

    values: Annotated[list[Value], msgspec.Meta(min_length=1, max_length=VALUES_PER_ENTRY_MAX)]
    note: Note = ""
    expires_at: Annotated[str, msgspec.Meta(max_length=40, description="RFC 3339; null: for good")] | None = None


class Removal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A value to take off a list."""

    value: Value
    note: Note = ""


class EntryView(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a list's history."""

    value: str
    note: str
    added_by: str
    added_at: str
    expires_at: str | None
    removed_by: str | None
    removed_at: str | None


def endpoints(database: Database, change: Change, declared: Declared) -> list[Endpoint]:
    """Describe the routes; `change` has the decider enter the change."""

    def index(_call: Call) -> list[ListView]:
        return _index(database, declared())

    def entries(call: Call) -> Page[EntryView]:
        query = call.params_as(PageQuery)
        name = call.path["name"]
        check_declared(declared(), name)
        with database.read() as tx:
            rows = store.entries_of(tx, name, limit=query.limit + 1, after=_after(query.cursor))
        shown = rows[: query.limit]
        more = len(rows) > query.limit
        return Page(items=[_view(row) for row in shown], next_cursor=_cursor(shown[-1]) if more else None)

    def add(call: Call) -> object:
        body = call.body_as(Addition)
        return change(
            EntriesAdded(
                list=call.path["name"],
                values=tuple(body.values),
                note=body.note,
                by=call.principal.actor,
                expires_at=_moment(body.expires_at),
            )
        )

    def remove(call: Call) -> object:
        body = call.body_as(Removal)
        return change(EntryRemoved(list=call.path["name"], value=body.value, note=body.note, by=call.principal.actor))

    return [
        endpoint("GET", "/v1/lists", "lists.read", index, summary="See the lists", returns=list[ListView]),
        endpoint(
            "GET",
            "/v1/lists/{name}/entries",
            "lists.read",
            entries,
            summary="See what people put on a list and took off it",
            query=PageQuery,
            returns=Page[EntryView],
            raises=(ListMissing,),
        ),
        endpoint(
            "POST",
            "/v1/lists/{name}/entries",
            "lists.write",
            add,
            summary="Put values on a list",
            body=Addition,
            returns=Changed,
            status=201,
            raises=(ListMissing, ListEntryInvalid),
        ),
        endpoint(
            "POST",
            "/v1/lists/{name}/remove",
            "lists.write",
            remove,
            summary="Take a value off a list",
            body=Removal,
            returns=Changed,
            raises=(ListMissing, ListEntryMissing, ListEntryInvalid),
        ),
    ]


def _index(database: Database, declared: Mapping[str, tuple[str, int]]) -> list[ListView]:
    with database.read() as tx:
        owned = owners_now(tx)
    return [
        ListView(name=name, kind=kind, from_pack=count, owner=owned.get(name))
        for name, (kind, count) in sorted(declared.items())
    ]


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """Where in the log the change stands."""

    seq: int


def _moment(text: str | None) -> Instant | None:
    if text is None:
        return None
    at = from_rfc3339(text)
    if at is None:
        problem = Problem(path="/expires_at", detail=f"{text!r} is no RFC 3339 time with an offset.")
        raise ListEntryInvalid("Nothing was added.", problems=(problem,))
    return at


def _cursor(row: ListEntry) -> str:
    return base64.urlsafe_b64encode(f"{row.added_seq}.{row.value[:100]}".encode()).decode()


def _after(cursor: str | None) -> tuple[str, int]:
    """Read a cursor; one that is none of ours begins at the start."""
    try:
        seq, _, value = base64.urlsafe_b64decode(cursor or "").decode().partition(".")
        return (value, int(seq)) if cursor else ("", -1)
    except ValueError:
        return ("", -1)


def _view(row: ListEntry) -> EntryView:
    return EntryView(
        value=row.value,
        note=row.note,
        added_by=row.added_by,
        added_at=to_rfc3339(row.added_at),
        expires_at=None if row.expires_at is None else to_rfc3339(row.expires_at),
        removed_by=row.removed_by,
        removed_at=None if row.removed_at is None else to_rfc3339(row.removed_at),
    )
