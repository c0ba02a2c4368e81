"""Routes of finding: search, linked accounts, saved views, exports."""

import dataclasses
import datetime
import random
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Annotated, Final, Literal

import msgspec

from koban.access import SIGNED_IN, Answer, Call, Endpoint, Page, PageQuery, endpoint
from koban.access import types as access_types
from koban.audit import record
from koban.base import Clock, Instant, Refusal, instant_of, to_rfc3339
from koban.db import Database, Tx
from koban.finding import actions, links, store
from koban.finding.accounts import VERDICTS_OF, AccountLine, AccountsAsked, list_accounts
from koban.finding.entries import Span
from koban.finding.export import EXPORT_ROWS_MAX, csv_parts, ndjson_parts
from koban.finding.tables import TABLES, Asked, pages_of
from koban.finding.types import SavedView, SubjectHit, ViewMissing, ViewNotYours, ViewUnfit, Word
from koban.finding.words import words_matching
from koban.packs import PackDef
from koban.text import fold

DETAIL_CHARS_MAX: Final = 100
HITS_MAX: Final = 20
HITS_OF_KIND_MAX: Final = 8
VIEWS_SHOWN_MAX: Final = 400
_MEDIA: Final = {"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"}


class ExportUnknown(Refusal):
    """There is no such list to take out."""

    code = "export_unknown"
    status = 404
    title = "There is no such list."


class ExportUnfit(Refusal):
    """A filter that the list does not know."""

    code = "export_unfit"
    status = 422
    title = "This list does not know such a filter."


@dataclasses.dataclass(frozen=True, kw_only=True)
class FindingDesk:
    """What finding works with; made once by the application."""

    database: Database
    clock: Clock
    randomness: random.Random
    pack: Callable[[], PackDef]


class SearchQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What to look for."""

    q: Annotated[str, msgspec.Meta(min_length=1, max_length=256, description="An id, its beginning, or a word")]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What was found: subjects that the log names, and words of the pack."""

    subjects: list[SubjectHit]
    words: list[Word]
    indexed_seq: int  # how far the index has followed the log


class ViewBody(msgspec.Struct, frozen=True, kw_only=True):
    """A saved view, as the API shows it."""

    id: str
    owner: str
    shared: bool
    page: str
    query: str
    name: str
    created_at: str


class NewView(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A list to keep with its filters."""

    page: Annotated[str, msgspec.Meta(max_length=40, description="/decisions, /events, /sanctions, …")]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
    query: Annotated[str, msgspec.Meta(max_length=2_000, description="As behind the question mark")] = ""
    shared: bool = False


class ViewsQuery(PageQuery, frozen=True, kw_only=True):
    """Which views to list."""

    page: Annotated[str, msgspec.Meta(max_length=40)] | None = None


class AccountsQuery(PageQuery, frozen=True, kw_only=True):
    """Which accounts to list."""

    q: Annotated[str, msgspec.Meta(max_length=256, description="How their ids begin")] | None = None
    state: (
        Annotated[
            Literal["any", "warn", "hide", "restrict", "freeze_payout", "suspend"],
            msgspec.Meta(description="What is in force on them"),
        ]
        | None
    ) = None
    policy: Annotated[str, msgspec.Meta(max_length=256, description="Under which something is in force")] | None = None
    case: Annotated[bool, msgspec.Meta(description="Only those with an open case")] = False
    since: Annotated[datetime.datetime, msgspec.Meta(tz=True, description="Of the last thing they did")] | None = None
    until: Annotated[datetime.datetime, msgspec.Meta(tz=True)] | None = None


class AccountBody(msgspec.Struct, frozen=True, kw_only=True):
    """An account, as the API lists it."""

    id: str
    first_at: str | None  # what it did first and last; null: it was only named
    last_at: str | None
    effects: tuple[str, ...]  # of its sanctions in force
    open_cases: int
    verdicts: Mapping[str, int]  # of its newest events


class ExportQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What to take out; filters are those of the list's page."""

    format: Literal["csv", "ndjson"] = "csv"
    verdict: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    type: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    rule: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    account: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    source: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    status: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    kind: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    policy: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    subject: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    queue: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    actor: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    action: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    object: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    event_id: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    q: Annotated[str, msgspec.Meta(max_length=256, description="The beginning of an account's id")] | None = None
    state: (
        Annotated[str, msgspec.Meta(max_length=40, description="An effect in force on an account, or any")] | None
    ) = None
    case: Annotated[str, msgspec.Meta(max_length=1, description="1: accounts with an open case")] | None = None
    mine: Annotated[str, msgspec.Meta(max_length=1, description="1: cases that one holds")] | None = None
    late: Annotated[str, msgspec.Meta(max_length=1, description="1: cases whose time is over")] | None = None
    since: Annotated[datetime.datetime, msgspec.Meta(tz=True)] | None = None
    until: Annotated[datetime.datetime, msgspec.Meta(tz=True)] | None = None


def look_for(tx: Tx, pack: PackDef, query: str) -> Result:
    """Return what a few letters may mean: the ids that begin so, whole ones first, and words of the pack."""
    wanted = fold_id(query)
    kind, separator, rest = wanted.partition(":")
    kinds = sorted({role.kind for event in pack.events.values() for role in event.subjects.values()} | {"event"})
    if separator and kind in kinds:
        kinds, wanted = [kind], rest
    hits: list[SubjectHit] = []
    if wanted:
        # Accounts first: they are what most people look for.
        for each in sorted(kinds, key=lambda name: (name != "account", name)):
            hits.extend(store.named_like(tx, each, wanted, limit=HITS_OF_KIND_MAX))
    hits.sort(key=lambda hit: (hit.id != wanted, hit.kind != "account"))
    return Result(
        subjects=hits[:HITS_MAX],
        words=words_matching(pack, query),
        indexed_seq=actions.behind(tx),
    )


def fold_id(query: str) -> str:
    """Return a query as ids are written: full-width letters and spaces around it do not matter, case does."""
    text = query.strip()
    return text if text.isascii() else "".join(fold(each) if not each.isascii() else each for each in text)


def endpoints(desk: FindingDesk) -> tuple[Endpoint, ...]:
    """Return the endpoint table of this room."""
    return (*_search_endpoints(desk), *_view_endpoints(desk), *_export_endpoints(desk))


def _search_endpoints(desk: FindingDesk) -> tuple[Endpoint, ...]:
    def get_search(call: Call) -> Result:
        with desk.database.read() as tx:
            return look_for(tx, desk.pack(), call.params_as(SearchQuery).q)

    def get_accounts(call: Call) -> Page[AccountBody]:
        asked = call.params_as(AccountsQuery)
        wanted = AccountsAsked(
            begins=fold_id(asked.q or ""), effect=asked.state, policy=asked.policy, has_case=asked.case,
            span=Span(since_at=_moment(asked.since), until_at=_moment(asked.until)),
        )  # fmt: skip
        with desk.database.read() as tx:
            found = list_accounts(tx, wanted, cursor=asked.cursor, limit=asked.limit)
        return Page(items=[_account_body(each) for each in found.items], next_cursor=found.next_cursor)

    def get_links(call: Call) -> links.Neighbourhood:
        with desk.database.read() as tx:
            return links.neighbourhood(tx, call.path["id"])

    return (
        endpoint("GET", "/v1/search", "events.read", get_search, summary="Find subjects, events and rules",
                 query=SearchQuery, returns=Result,
                 description="Ids by their beginning (`account:u-1` for one kind), and words of the pack in Japanese and "
                 "English. What people wrote is sealed and is not searched here."),
        endpoint("GET", "/v1/accounts", "subjects.read", get_accounts, summary="List accounts", query=AccountsQuery,
                 returns=Page[AccountBody],
                 description=f"Those that did something last first; `verdicts` are of the newest {VERDICTS_OF} events. A page "
                 "may be short while there is a next one."),
        endpoint("GET", "/v1/accounts/{id}/links", "subjects.read", get_links, returns=links.Neighbourhood,
                 summary="List accounts that share something with one"),
    )  # fmt: skip


def _view_endpoints(desk: FindingDesk) -> tuple[Endpoint, ...]:
    def get_views(call: Call) -> Page[ViewBody]:
        asked = call.params_as(ViewsQuery)
        with desk.database.read() as tx:
            found = store.list_views(tx, reader=call.principal.id, page=asked.page, limit=VIEWS_SHOWN_MAX)
        items = [_view_body(each) for each in found if asked.cursor is None or each.id > asked.cursor]
        items = sorted(items, key=lambda each: each.id)
        shown = items[: asked.limit]
        return Page(items=shown, next_cursor=shown[-1].id if len(items) > asked.limit else None)

    def post_view(call: Call) -> ViewBody:
        asked = call.body_as(NewView)
        with desk.database.write() as tx:
            view = actions.save_view(
                tx, call.at, desk.randomness, by=call.principal, page=asked.page, query=asked.query, name=asked.name,
                shared=asked.shared,
            )  # fmt: skip
        return _view_body(view)

    def delete_view(call: Call) -> Answer:
        with desk.database.write() as tx:
            actions.delete_view(tx, call.at, by=call.principal, view_id=call.path["id"])
        return Answer(status=204)

    return (
        endpoint("GET", "/v1/views", SIGNED_IN, get_views, summary="List saved views", query=ViewsQuery,
                 returns=Page[ViewBody]),
        endpoint("POST", "/v1/views", SIGNED_IN, post_view, summary="Keep a list as a view", body=NewView,
                 returns=ViewBody, status=201, raises=(ViewUnfit,)),
        endpoint("DELETE", "/v1/views/{id}", SIGNED_IN, delete_view, summary="Take a view away", status=204,
                 raises=(ViewMissing, ViewNotYours)),
    )  # fmt: skip


def _export_endpoints(desk: FindingDesk) -> tuple[Endpoint, ...]:
    def get_export(call: Call) -> Answer:
        name, asked = call.path["list"], call.params_as(ExportQuery)
        table = TABLES.get(name)
        if table is None:
            raise ExportUnknown(f"lists that can be taken out: {', '.join(TABLES)}")
        if table.permission not in call.principal.grants:
            raise access_types.NotAllowed(f"this list needs {table.permission}")
        given = {each: getattr(asked, each) for each in table.filters if getattr(asked, each)}
        moments = {each: at for each in ("since", "until") if (at := getattr(asked, each)) is not None}
        if moments and not table.has_span:
            raise ExportUnfit(f"{name} are not taken out by a span of time: leave {' and '.join(moments)} out")
        with desk.database.write() as tx:
            details = {each: urllib.parse.quote(value, safe="")[:DETAIL_CHARS_MAX] for each, value in given.items()}
            details |= {each: to_rfc3339(instant_of(at)) for each, at in moments.items()}
            record(tx, call.at, call.principal.actor, "export.begun", name, {"format": asked.format, **details})

        def ended(count: int) -> None:
            with desk.database.write() as tx:
                record(tx, desk.clock.now(), call.principal.actor, "export.ended", name, {"rows": count})

        if given.pop("mine", None):
            given["claimed_by"] = call.principal.id
        span = Span(since_at=_moment(asked.since), until_at=_moment(asked.until))
        pages = pages_of(desk.database, table, Asked(filters=given, span=span, at=call.at))
        parts = csv_parts(table.columns, pages, ended) if asked.format == "csv" else ndjson_parts(pages, ended)
        return Answer(
            parts=parts,
            media_type=_MEDIA[asked.format],
            headers={"content-disposition": f'attachment; filename="koban-{name}.{asked.format}"'},
        )

    return (
        endpoint("GET", "/v1/export/{list}", "exports.make", get_export, summary="Take a list out as a file",
                 query=ExportQuery, returns=bytes, media_types=tuple(_MEDIA.values()),
                 raises=(ExportUnknown, ExportUnfit, access_types.NotAllowed),
                 description=f"decisions, events, accounts, sanctions, cases, actions or audit; {EXPORT_ROWS_MAX:,} rows at most. Open "
                 "columns alone; who took out what stands in the audit trail."),
    )  # fmt: skip


def _moment(given: datetime.datetime | None) -> Instant | None:
    return None if given is None else instant_of(given)


def _account_body(one: AccountLine) -> AccountBody:
    return AccountBody(
        id=one.id, first_at=None if one.first_at is None else to_rfc3339(one.first_at),
        last_at=None if one.last_at is None else to_rfc3339(one.last_at), effects=one.effects, open_cases=one.open_cases,
        verdicts=one.verdicts,
    )  # fmt: skip


def _view_body(view: SavedView) -> ViewBody:
    return ViewBody(
        id=view.id, owner=view.owner, shared=view.shared, page=view.page, query=view.query, name=view.name,
        created_at=to_rfc3339(view.created_at),
    )  # fmt: skip
