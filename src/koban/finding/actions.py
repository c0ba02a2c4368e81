"""Verbs: follow the log, forget what left it, keep and take away views."""

import random
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from koban.access import Principal
from koban.audit import record
from koban.base import Instant, random_id
from koban.db import Database, Tx
from koban.events import Entry
from koban.events import store as event_store
from koban.finding import store
from koban.finding.types import SavedView, SubjectHit, ViewMissing, ViewNotYours, ViewUnfit
from koban.packs import EventType

FOLLOW_CHUNK: Final = 25  # events in one transaction: the decider waits for no more than these
FOLLOW_CHUNK_BEHIND: Final = 200  # the same when it is far behind: then it must come nearer under any load
FOLLOW_FAR_BEHIND: Final = 20_000  # log entries
FOLLOW_CHUNKS_MAX: Final = 400  # in one run of the job
FORGET_CHUNK: Final = 2_000
VIEWS_MAX: Final = 200  # of one person
VIEW_PAGES: Final = (
    "/accounts", "/decisions", "/events", "/sanctions", "/cases", "/actions", "/waiting", "/audit", "/search",
)  # fmt: skip
NOT_LINKING: Final = frozenset({
    "account", "listing", "comment", "message", "thread", "order", "stream", "chat", "auction", "bid", "payment",
    "dispute", "return", "alert",
})  # fmt: skip
# Kinds that an account meets rather than has. Everything else (device, address, card, bank, phone, ip, image, code) links
# the accounts that use it.

_CURSOR: Final = "finding_seq"
_DATA: Final = msgspec.json.Decoder(dict[str, object])


def follow(
    database: Database,
    events: Mapping[str, EventType],
    is_busy: Callable[[], bool] = lambda: False,
    rest: Callable[[], object] = lambda: None,
) -> int:
    """Enter new events into the index, in small transactions with a `rest` after each; return how many there were.

    Why it gives way: it shares the writer with the decider, and nobody waits for an index. Everything is made ready before
    the writer is taken, and written in few statements: at each one the interpreter's lock goes to somebody else, while the
    decider waits for the writer.
    """
    done = 0
    for _ in range(FOLLOW_CHUNKS_MAX):
        if is_busy():
            break
        with database.read() as tx:
            after = event_store.read_state(tx, _CURSOR)
            is_far = event_store.last_seq(tx) - after > FOLLOW_FAR_BEHIND
            chunk = FOLLOW_CHUNK_BEHIND if is_far else FOLLOW_CHUNK
            rows = store.unindexed(tx, after_seq=after, limit=chunk)
        if not rows:
            break
        subjects, links = _read(rows, events)
        with database.write_unhurried() as tx:
            if not event_store.advance_state(tx, _CURSOR, before=after, to=int(rows[-1][0])):
                break  # somebody else follows too; their rows count once
            store.add(tx, subjects, links)
        done += len(rows)
        if len(rows) < chunk:
            break
        rest()
    return done


def behind(tx: Tx) -> int:
    """Return the last place in the log that the index knows."""
    return event_store.read_state(tx, _CURSOR)


def forget_gone(database: Database) -> int:
    """Delete what points to events that left the database, in chunks; return how many rows."""
    with database.read() as tx:
        before_seq = store.first_seq(tx)
    deleted = 0
    while True:
        with database.write() as tx:
            some = store.delete_gone(tx, before_seq=before_seq, limit=FORGET_CHUNK)
        deleted += some
        if some < FORGET_CHUNK:
            return deleted


def save_view(
    tx: Tx, at: Instant, randomness: random.Random, *, by: Principal, page: str, query: str, name: str, shared: bool
) -> SavedView:  # fmt: skip
    """Keep a list with its filters under a name.

    Refuses: ViewUnfit.
    """
    if page not in VIEW_PAGES:
        raise ViewUnfit(f"views are kept of {', '.join(VIEW_PAGES)}")
    if store.count_views(tx, by.id) >= VIEWS_MAX:
        raise ViewUnfit(f"you keep {VIEWS_MAX} views; take some away first")
    view = SavedView(
        id=random_id("view", at, randomness), owner=by.id, shared=shared, page=page, query=query, name=name,
        created_at=at,
    )  # fmt: skip
    store.insert_view(tx, view)
    record(tx, at, by.id, "view.saved", view.id, {"page": page, "shared": shared})
    return view


def delete_view(tx: Tx, at: Instant, *, by: Principal, view_id: str) -> None:
    """Take a view away.

    Refuses: ViewMissing, ViewNotYours.
    """
    view = store.read_view(tx, view_id)
    if view is None or (view.owner != by.id and not view.shared):
        raise ViewMissing("it never was, or somebody took it away")
    if view.owner != by.id and "staff.manage" not in by.grants:
        raise ViewNotYours("ask its owner")
    store.delete_view(tx, view.id)
    record(tx, at, by.id, "view.deleted", view.id)


def sealed_entries(tx: Tx, *, before_seq: int | None, account: str | None, limit: int) -> list[Entry]:
    """Return entries with sealed fields, newest first: all, or those that name an account."""
    if account is None:
        seqs = store.sealed_seqs(tx, before_seq=before_seq, limit=limit)
    else:
        seqs = store.seqs_of(tx, "account", account, before_seq=before_seq, limit=limit)
    return [entry for entry in event_store.read_some(tx, seqs) if entry.sealed is not None]


def named_exactly(tx: Tx, kind: str, subject: str) -> list[SubjectHit]:
    """Return a subject if the log names it."""
    span = store.span_of(tx, kind, subject)
    return [] if span is None else [SubjectHit(kind=kind, id=subject, last_seq=span[1])]


def _read(
    rows: list[tuple[int, int, str, str, str, str | None]], events: Mapping[str, EventType]
) -> tuple[list[tuple[str, str, int]], list[store.LinkRow]]:  # fmt: skip
    subjects: list[tuple[str, str, int]] = []
    links: dict[tuple[str, str, str], list[int]] = {}
    for seq, log_at, type_, event_id, data, acting in rows:
        subjects.append(("event", event_id, int(seq)))
        declared = events.get(type_)
        if declared is None:
            continue
        sent = _DATA.decode(data)
        named = {(role.kind, value) for path, role in declared.subjects.items() if (value := _at(sent, path))}
        for kind, value in named:
            subjects.append((kind, value, int(seq)))
            if acting is not None and kind not in NOT_LINKING:
                link = links.setdefault((acting, kind, value), [0, int(log_at), int(log_at), int(seq)])
                link[0] += 1
                link[2], link[3] = int(log_at), int(seq)
    return subjects, [(*key, each[0], each[1], each[2], each[3]) for key, each in links.items()]


def _at(sent: Mapping[str, object], path: str) -> str | None:
    value: object = sent
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value if isinstance(value, str) and value else None
