"""Verbs: follow the log, forget what left it, keep and take away views."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

import msgspec

from koban.access import Principal
from koban.audit import record
from koban.base import Instant, random_id
from koban.db import Database, Tx
from koban.decisions import acts_store
from koban.events import Entry, Kind
from koban.events import store as event_store
from koban.finding import store
from koban.finding.types import IndexLag, ReadArchived, SavedView, SubjectHit, ViewMissing, ViewNotYours, ViewUnfit
from koban.packs import EventType

FOLLOW_CHUNK: Final = 25  # events in one transaction beside a decider: it waits for no more than these
ARCHIVED_CHUNK: Final = 200
FOLLOW_FAR_BEHIND: Final = 20_000  # log entries
FOLLOW_CHUNKS_MAX: Final = 400  # in one run of the job
ARCHIVED_AT_ONCE: Final = 20_000  # entries that left the database, read for one run of the job
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

R = TypeVar("R")

_DATA: Final = msgspec.json.Decoder(dict[str, object])


def follow(
    database: Database,
    events: Mapping[str, EventType],
    archived: ReadArchived | None = None,
    *,
    chunk: int = FOLLOW_CHUNK,
    goes_on: Callable[[], bool] = lambda: True,
    is_current: Callable[[Tx], bool] = lambda _tx: True,
) -> int:
    """Enter new events into the index, in transactions of `chunk` of them, after each of which it asks whether it `goes_on`.

    `is_current` is asked where events were read whether `events` still is of the pack in force; if not, nothing of them is
    entered. Returns how many events there were.

    An index that is behind the archive takes what accounts used from there: entries that left the database link them, too.
    Everything is made ready before it writes, in few statements: at each one the interpreter's lock goes around.
    """
    database.mend_index()
    with database.read() as tx:
        place = acts_store.read_place(tx)
        left = event_store.read_state(tx, "archived_seq")
        entries: list[Entry] = []
        if archived is not None and _seq(place) < left:
            entries = archived(tx, after_seq=_seq(place), limit=ARCHIVED_AT_ONCE)
    if entries:
        return _enter_archived(database, events, entries, place, goes_on)
    done = 0
    for _ in range(FOLLOW_CHUNKS_MAX):
        with database.read() as tx:
            place = acts_store.read_place(tx)
            rows = store.unindexed(tx, after_seq=_seq(place), limit=chunk)
            # What left the database meanwhile is missing among these rows, and is in the archive.
            is_next = event_store.read_state(tx, "archived_seq") == left and is_current(tx)
        if not rows or not is_next:
            break
        to = (int(rows[-1][0]), Instant(int(rows[-1][1])))
        subjects, links = _read(rows, events)
        acts = [(acting, seq) for seq, _, _, _, _, acting in rows if acting is not None]
        if not _enter(database, subjects, links, acts, before=place, to=to):
            break
        done += len(rows)
        if len(rows) < chunk or not goes_on():
            break
    return done


def fit_index(database: Database, archived: ReadArchived | None = None) -> bool:
    """Throw the index away unless it was made from this very log; tell whether it was.

    Why the log time of its last entry: times rise by a microsecond at least and never come again, so that a log in which
    another event stands there, or none, is a restored one, an older copy, or somebody else's.
    """
    database.mend_index()
    with database.read() as tx:
        place = acts_store.read_place(tx)
        if place is None:
            return True
        entries = event_store.read_some(tx, [place[0]])
        if not entries and archived is not None:
            entries = archived(tx, after_seq=place[0] - 1, limit=1)
    if [(entry.seq, entry.log_at) for entry in entries] == [place]:
        return True
    database.empty_index()
    return False


def behind(tx: Tx) -> int:
    """Return the last place in the log that the index knows."""
    return acts_store.indexed_upto(tx)


def index_lag(tx: Tx) -> IndexLag | None:
    """Return how far the index is where so much is missing that people should know; None where little is."""
    place = acts_store.read_place(tx)
    if store.newest_seq(tx) - _seq(place) <= FOLLOW_FAR_BEHIND:
        return None
    return IndexLag(up_to=None if place is None else place[1])


def events_behind(tx: Tx, *, at_most: int) -> int:
    """Return how many events of the database the index has not taken in, counted up to a number.

    Why not by places in the log: changes stand between events, and are no work for it.
    """
    return store.count_unindexed(tx, after_seq=acts_store.indexed_upto(tx), at_most=at_most)


def forget_links(database: Database, *, before_at: Instant) -> int:
    """Delete what accounts used last before a moment, in chunks; return how many rows.

    A link outlives its events in the database, since an old one tells as much as a new one, but not their retention.
    """
    return _forget(
        database,
        lambda tx, after: store.read_old_links(tx, before_at=before_at, after=after, limit=FORGET_CHUNK),
        lambda tx, links: store.delete_links(tx, links, before_at=before_at),
        begin=("", "", ""),
    )


def forget_gone(database: Database, *, leave_early: bool = False) -> int:
    """Delete what points to events that left the database, in chunks; return how many rows.

    Each table is walked once from its beginning to its end, whatever lies between the rows that go. `leave_early`: some
    events leave before older ones, so each row's event is looked for, which takes 40 times as long.
    """
    with database.read() as tx:
        first = store.first_seq(tx)
        last = event_store.last_seq(tx) if leave_early else first - 1
    return _forget(
        database,
        lambda tx, after: store.read_gone(tx, before_seq=first, upto_seq=last, after=after, limit=FORGET_CHUNK),
        store.delete,
        begin=("", "", 0),
    ) + _forget(
        database,
        lambda tx, after: acts_store.read_gone(tx, before_seq=first, upto_seq=last, after=after, limit=FORGET_CHUNK),
        acts_store.delete,
        begin=("", 0),
    )


def is_named(kind: str, subject: str, entry: Entry, declared: EventType | None) -> bool:
    """Tell whether an entry names a subject."""
    return (kind, subject) in _named(_DATA.decode(entry.data), declared) or (kind, subject) == ("event", entry.event_id)


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


def _forget(
    database: Database, read: Callable[[Tx, R], list[R]], delete: Callable[[Tx, Sequence[R]], None], *, begin: R
) -> int:
    """Walk a table from `begin` to its end and delete what `read` finds, in chunks; return how many rows."""
    deleted, after = 0, begin
    while True:
        with database.read() as tx:
            rows = read(tx, after)
        if not rows:
            return deleted
        after = rows[-1]
        with database.write_index() as tx:
            delete(tx, rows)
        deleted += len(rows)


def _enter(
    database: Database,
    subjects: Sequence[store.SubjectRow],
    links: Sequence[store.LinkRow],
    acts: Sequence[acts_store.ActRow],
    *,
    before: acts_store.Place | None,
    to: acts_store.Place,
) -> bool:
    """Enter what was read, with the place up to which the index is made; tell whether it was next."""
    with database.write_index() as tx:
        if not acts_store.move_place(tx, before=before, to=to):
            return False  # somebody else follows too, or the index was thrown away: rows count once
        store.add(tx, subjects, links)
        acts_store.add(tx, acts)
    return True


def _enter_archived(
    database: Database,
    events: Mapping[str, EventType],
    entries: Sequence[Entry],
    place: acts_store.Place | None,
    goes_on: Callable[[], bool],
) -> int:
    """Enter what accounts used; which entries name which subjects is known of those in the database alone.

    Entries of the archive may be in the database, too, until they are deleted there: so long their accounts' acts count.
    """
    for start in range(0, len(entries), ARCHIVED_CHUNK):
        some = entries[start : start + ARCHIVED_CHUNK]
        rows = [
            (entry.seq, entry.log_at, entry.type, entry.event_id, entry.data.decode(), _acting(entry, events))
            for entry in some
            if entry.kind is Kind.EVENT
        ]
        to = (some[-1].seq, some[-1].log_at)
        with database.read() as tx:
            acts = acts_store.acts_between(tx, after_seq=_seq(place), upto_seq=to[0])
        if not _enter(database, [], _read(rows, events)[1], acts, before=place, to=to):
            return start
        place = to
        if not goes_on():
            return start + len(some)
    return len(entries)


def _acting(entry: Entry, events: Mapping[str, EventType]) -> str | None:
    declared = events.get(entry.type)
    return None if declared is None or declared.acting is None else _at(_DATA.decode(entry.data), declared.acting)


def _read(
    rows: Sequence[store.EventRow], events: Mapping[str, EventType]
) -> tuple[list[store.SubjectRow], list[store.LinkRow]]:
    subjects: list[store.SubjectRow] = []
    links: dict[tuple[str, str, str], list[int]] = {}
    for seq, log_at, type_, event_id, data, acting in rows:
        subjects.append(("event", event_id, int(seq)))
        for kind, value in _named(_DATA.decode(data), events.get(type_)):
            subjects.append((kind, value, int(seq)))
            if acting is not None and kind not in NOT_LINKING:
                link = links.setdefault((acting, kind, value), [0, int(log_at), int(log_at), int(seq)])
                link[0] += 1
                link[2], link[3] = int(log_at), int(seq)
    return subjects, [(*key, each[0], each[1], each[2], each[3]) for key, each in links.items()]


def _named(sent: Mapping[str, object], declared: EventType | None) -> set[tuple[str, str]]:
    """Return the subjects that an event names."""
    if declared is None:
        return set()
    return {(role.kind, value) for path, role in declared.subjects.items() if (value := _at(sent, path))}


def _seq(place: acts_store.Place | None) -> int:
    return 0 if place is None else place[0]


def _at(sent: Mapping[str, object], path: str) -> str | None:
    value: object = sent
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value if isinstance(value, str) and value else None
