"""Lists of what happened: decisions and the log."""

from typing import Final

import msgspec

from koban.access import Answer, Call, Endpoint, endpoint
from koban.base import Instant
from koban.console.filters import MOMENTS, Filters, read_filters
from koban.console.formats import Formats
from koban.console.kit import ConsoleKit
from koban.console.pages import PAGE_ITEMS, page
from koban.console.search import views_of
from koban.console.words import language_of
from koban.db import Tx
from koban.decisions import VERDICT_NAMES, DecisionRecord
from koban.decisions import store as decision_store
from koban.events import store as event_store
from koban.finding import entries_of_event, search_entries

WALK_MAX: Final = 50_000  # entries that one page walks where no index helps; the next page goes on


class DecisionLine(msgspec.Struct, frozen=True, kw_only=True):
    """A decision as lists show it."""

    record: DecisionRecord
    at: Instant
    acting: str | None
    took_us: int


def endpoints(kit: ConsoleKit) -> tuple[Endpoint, ...]:
    """Return the pages of this part."""

    def decisions(call: Call) -> Answer:
        filters = read_filters(
            call.query, ("verdict", "type", "rule", "account", "source", *MOMENTS), _formats(kit, call)
        )
        with kit.database.read() as tx:
            span = _span(tx, filters, is_indexed=not filters.get("source") or _has(filters, "account", "rule"))
            lines = _decision_lines(tx, filters, span)
            shelf = views_of(call, tx, "/decisions")
        more = len(lines) > PAGE_ITEMS
        lines = lines[:PAGE_ITEMS]
        return page(
            kit,
            call,
            "decisions.html",
            shelf,
            filters=filters,
            lines=lines,
            next_cursor=str(lines[-1].record.seq) if more else span.rest,
            pack=kit.pack(),
            verdicts=VERDICT_NAMES,
        )

    def events(call: Call) -> Answer:
        filters = read_filters(
            call.query, ("kind", "type", "source", "account", "event_id", "subject", *MOMENTS), _formats(kit, call)
        )
        columns = {
            "acting" if name == "account" else name: value
            for name, value in filters.given.items()
            if name not in MOMENTS
        }
        event_id = columns.pop("event_id", None)
        with kit.database.read() as tx:
            span = _span(
                tx,
                filters,
                is_indexed=not _has(filters, "source", "subject", "kind") or _has(filters, "account", "type"),
            )
            lines = search_entries(
                tx,
                before_seq=span.until_seq,
                since_seq=span.since_seq,
                limit=PAGE_ITEMS + 1,
                filters=columns,
                among=None if event_id is None else entries_of_event(tx, event_id),
            )
            shelf = views_of(call, tx, "/events")
        more = len(lines) > PAGE_ITEMS
        lines = lines[:PAGE_ITEMS]
        return page(
            kit,
            call,
            "events.html",
            shelf,
            filters=filters,
            lines=lines,
            next_cursor=str(lines[-1].seq) if more else span.rest,
            pack=kit.pack(),
        )

    return (
        endpoint("GET", "/decisions", "decisions.read", decisions, summary="Decisions", page=True),
        endpoint("GET", "/events", "events.read", events, summary="The log", page=True),
    )


def _formats(kit: ConsoleKit, call: Call) -> Formats:
    return Formats(language_of(call.language), kit.zone, call.at)


class _Part(msgspec.Struct, frozen=True, kw_only=True):
    """The part of the log that one page looks at; `rest` is where the next page goes on although this one is not full."""

    since_seq: int
    until_seq: int
    rest: str


def _has(filters: Filters, *names: str) -> bool:
    return any(filters.get(name) for name in names)


def _span(tx: Tx, filters: Filters, *, is_indexed: bool) -> _Part:
    """Return from where to where to look: moments become places in the log, and a filter without an index a bounded walk."""
    since, until = filters.span.seqs(tx, before_seq=filters.before_seq)
    begin = since
    if not is_indexed:
        # Why from the newest entry on: a restored log goes on a whole epoch later, and no page could walk what is between.
        begin = max(since, event_store.newest_before(tx, until) + 1 - WALK_MAX)
    return _Part(since_seq=begin, until_seq=until, rest=str(begin) if begin > since else "")


def _decision_lines(tx: Tx, filters: Filters, span: _Part) -> list[DecisionLine]:
    records = decision_store.search(
        tx,
        before_seq=span.until_seq,
        since_seq=span.since_seq,
        limit=PAGE_ITEMS + 1,
        verdict=filters.get("verdict"),
        type=filters.get("type"),
        rule=filters.get("rule"),
        acting=filters.get("account"),
        source=filters.get("source"),
    )
    return with_facts(tx, records)


def with_facts(tx: Tx, records: list[DecisionRecord]) -> list[DecisionLine]:
    """Add to decisions what lists show beside them."""
    facts = decision_store.read_facts(tx, [record.seq for record in records])
    lines = []
    for record in records:
        acting, took_us = facts.get(record.seq, (None, 0))
        at = Formats("en", "UTC", Instant(0)).instant(record.decided_at) or Instant(0)
        lines.append(DecisionLine(record=record, at=at, acting=acting, took_us=took_us))
    return lines
