"""What happens: the board with its live part, decisions and the log."""

import threading
from typing import Final

import msgspec

from koban.access import Answer, Call, Endpoint, endpoint
from koban.base import HOUR, MINUTE, SECOND, Instant
from koban.cases import store as case_store
from koban.console import store
from koban.console.filters import Filters, read_filters
from koban.console.formats import Formats
from koban.console.kit import ConsoleKit
from koban.console.pages import PAGE_ITEMS, page
from koban.console.words import language_of
from koban.db import Tx
from koban.decisions import VERDICT_NAMES, DecisionRecord
from koban.decisions import store as decision_store
from koban.events import store as event_store
from koban.packs import PackDef, RuleDef
from koban.rules import store as rule_store
from koban.webhooks import store as webhook_store

BOARD_EVERY: Final = SECOND
RULES_FIRING: Final = 12
LATEST: Final = 8


class DecisionLine(msgspec.Struct, frozen=True, kw_only=True):
    """A decision as lists show it."""

    record: DecisionRecord
    at: Instant
    acting: str | None
    took_us: int


class FiringLine(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that fired within the hour."""

    rule: RuleDef
    activity: store.Activity
    harmed: int
    tripped: bool


def endpoints(kit: ConsoleKit) -> tuple[Endpoint, ...]:
    """Return the pages of this part."""
    recent = _Recent(kit)

    def board(call: Call) -> Answer:
        return page(kit, call, "board.html", _board_values(kit, call.at))

    def board_live(call: Call) -> Answer:
        return page(kit, call, "board_live.html", recent.values(call.at))

    def decisions(call: Call) -> Answer:
        filters = read_filters(call.query, ("verdict", "type", "rule", "account", "source"), _formats(kit, call))
        with kit.database.read() as tx:
            lines = _decision_lines(tx, filters)
        more = len(lines) > PAGE_ITEMS
        lines = lines[:PAGE_ITEMS]
        return page(
            kit,
            call,
            "decisions.html",
            filters=filters,
            lines=lines,
            next_cursor=str(lines[-1].record.seq) if more else "",
            pack=kit.pack(),
            verdicts=VERDICT_NAMES,
        )

    def events(call: Call) -> Answer:
        filters = read_filters(
            call.query, ("kind", "type", "source", "account", "event_id", "subject"), _formats(kit, call)
        )
        columns = {"acting" if name == "account" else name: value for name, value in filters.given.items()}
        with kit.database.read() as tx:
            lines = store.search_entries(
                tx,
                before_seq=filters.before_seq,
                limit=PAGE_ITEMS + 1,
                filters={name: value for name, value in columns.items() if name not in ("since", "until")},
                since_at=filters.since_at,
                until_at=filters.until_at,
            )
        more = len(lines) > PAGE_ITEMS
        lines = lines[:PAGE_ITEMS]
        return page(
            kit,
            call,
            "events.html",
            filters=filters,
            lines=lines,
            next_cursor=str(lines[-1].seq) if more else "",
            pack=kit.pack(),
        )

    return (
        endpoint("GET", "/board", "board.read", board, summary="The board", page=True),
        endpoint("GET", "/board/live", "board.read", board_live, summary="The board's moving part", page=True),
        endpoint("GET", "/decisions", "decisions.read", decisions, summary="Decisions", page=True),
        endpoint("GET", "/events", "events.read", events, summary="The log", page=True),
    )


class _Recent:
    """The board's values, worked out at most once a second however many people look; only the words are theirs."""

    def __init__(self, kit: ConsoleKit) -> None:
        self._kit = kit
        self._lock = threading.Lock()
        self._values: dict[str, object] = {}
        self._at = Instant(0)

    def values(self, at: Instant) -> dict[str, object]:
        """Return values that are at most a second old."""
        with self._lock:
            if not self._values or not 0 <= at - self._at < BOARD_EVERY:
                self._values, self._at = _board_values(self._kit, at), at
            return self._values


def _formats(kit: ConsoleKit, call: Call) -> Formats:
    return Formats(language_of(call.language), kit.zone, call.at)


def _decision_lines(tx: Tx, filters: Filters) -> list[DecisionLine]:
    verdict = filters.get("verdict")
    records = decision_store.search(
        tx,
        before_seq=filters.before_seq,
        limit=PAGE_ITEMS + 1,
        verdict=verdict,
        type=filters.get("type"),
        rule=filters.get("rule"),
        acting=filters.get("account"),
        source=filters.get("source"),
        since_at=filters.since_at,
        until_at=filters.until_at,
    )
    return with_facts(tx, records)


def with_facts(tx: Tx, records: list[DecisionRecord]) -> list[DecisionLine]:
    """Add to decisions what lists show beside them."""
    facts = store.facts_of(tx, [record.seq for record in records])
    lines = []
    for record in records:
        acting, took_us = facts.get(record.seq, (None, 0))
        at = Formats("en", "UTC", Instant(0)).instant(record.decided_at) or Instant(0)
        lines.append(DecisionLine(record=record, at=at, acting=acting, took_us=took_us))
    return lines


def _board_values(kit: ConsoleKit, at: Instant) -> dict[str, object]:
    figures = kit.figures()
    pack = kit.pack()
    with kit.database.read() as tx:
        since_seq = store.seq_since(tx, Instant(at - HOUR))
        firing = _firing(tx, pack, since_seq=since_seq, after=Instant(at - HOUR))
        latest = _latest(tx)
        values = {
            "quarantined": event_store.count_quarantined(tx),
            "cases": _case_figures(tx, at),
            "alerts": store.open_alerts(tx),
            "actions": webhook_store.count_actions(tx),
            "waiting": event_store.inbox_bounds(tx)[0],
            "sanctions": store.sanctions_by_status(tx),
            "review_all": any(row.rule == rule_store.ALL and row.mode == "review" for row in rule_store.modes(tx)),
        }
    return {
        **values,
        "figures": figures,
        "rate": sum(figures.per_second[-10:]) / 10 if figures.per_second else 0,
        "minute": sum(figures.last_minute.values()),
        "since_minute": Instant(at - MINUTE),
        "since_hour": Instant(at - HOUR),
        "firing": firing,
        "latest": latest,
        "verdicts": VERDICT_NAMES,
        "pack": pack,
    }


class CaseFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Open cases of every queue together."""

    open: int
    overdue: int
    next_due_at: Instant


def _case_figures(tx: Tx, at: Instant) -> CaseFigures:
    queues = case_store.count_open(tx, at).values()
    return CaseFigures(
        open=sum(count for count, _, _ in queues),
        overdue=sum(overdue for _, overdue, _ in queues),
        next_due_at=min((due_at for _, _, due_at in queues), default=at),
    )


def _firing(tx: Tx, pack: PackDef, *, since_seq: int, after: Instant) -> list[FiringLine]:
    harmed = store.harmed_lately(tx, after=after)
    tripped = {row.rule for row in rule_store.modes(tx) if row.tripped_seq is not None}
    lines = [
        FiringLine(rule=pack.rules[name], activity=activity, harmed=harmed.get(name, 0), tripped=name in tripped)
        for name, activity in store.activity(tx, since_seq=since_seq).items()
        if name in pack.rules
    ]
    return sorted(lines, key=lambda line: (-line.activity.applied, -line.activity.hits, line.rule.name))[:RULES_FIRING]


def _latest(tx: Tx) -> list[DecisionLine]:
    """Return the newest decisions that were not `allow`, whatever their verdict."""
    found: list[DecisionRecord] = []
    for verdict in VERDICT_NAMES:
        if verdict != "allow":
            found.extend(decision_store.search(tx, before_seq=None, limit=LATEST, verdict=verdict))
    return with_facts(tx, sorted(found, key=lambda record: -record.seq)[:LATEST])
