"""Lists as rows of plain cells, a page at a time, each in the order in which its page shows it. Open columns alone."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from koban.audit import list_entries
from koban.base import Instant, keyset, keyset_of, to_rfc3339
from koban.cases import store as case_store
from koban.db import Database, Tx
from koban.decisions import store as decision_store
from koban.enforcement import search_sanctions
from koban.finding.accounts import AccountsAsked, list_accounts
from koban.finding.entries import Span
from koban.finding.export import Cell, NextPage, Rows
from koban.finding.store import entries_of_event, search_entries
from koban.webhooks import search_actions


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be taken out: a list's own filters, its span of time, and as of when it was asked for."""

    filters: Mapping[str, str]
    span: Span = Span()
    at: Instant


Read = Callable[[Tx, str | None, int, Asked], list[tuple[str, dict[str, Cell]]]]  # rows, each with its cursor


class ExportTable(msgspec.Struct, frozen=True, kw_only=True):
    """A list that can be taken out: its permission, columns, filters, and how a page of it is read."""

    permission: str
    columns: tuple[str, ...]
    filters: tuple[str, ...]
    read: Read
    has_span: bool  # whether `since` and `until` are filters of it


def pages_of(database: Database, table: ExportTable, asked: Asked) -> NextPage:
    """Return how a file reads its next page: a snapshot each, so that a slow reader holds none open."""

    def next_page(cursor: str | None, limit: int) -> tuple[Rows, str | None]:
        with database.read() as tx:
            found = table.read(tx, cursor, limit, asked)
        return [row for _, row in found], found[-1][0] or None if len(found) == limit else None

    return next_page


def _decisions(tx: Tx, cursor: str | None, limit: int, asked: Asked) -> list[tuple[str, dict[str, Cell]]]:
    since, before = asked.span.seqs(tx, before_seq=None if cursor is None else int(cursor))
    filters = asked.filters
    records = decision_store.search(
        tx,
        before_seq=before,
        since_seq=since,
        limit=limit,
        verdict=filters.get("verdict"),
        type=filters.get("type"),
        rule=filters.get("rule"),
        acting=filters.get("account"),
        source=filters.get("source"),
    )
    facts = decision_store.read_facts(tx, [record.seq for record in records])
    return [
        (
            str(record.seq),
            {
                "seq": record.seq, "decided_at": record.decided_at, "type": record.type, "source": record.source,
                "event_id": record.id, "verdict": record.verdict, "account": facts.get(record.seq, (None, 0))[0],
                "rules": " ".join(signal.rule for signal in record.signals if signal.applied),
                "withheld": " ".join(signal.rule for signal in record.signals if not signal.applied),
                "sanctions": " ".join(record.sanctions), "cases": " ".join(record.cases),
                "took_us": facts.get(record.seq, (None, 0))[1],
            },
        )
        for record in records
    ]  # fmt: skip


def _sanctions(tx: Tx, cursor: str | None, limit: int, asked: Asked) -> list[tuple[str, dict[str, Cell]]]:
    names = {"status": "status", "kind": "kind", "policy": "policy", "rule": "rule", "subject": "subject_id"}
    columns = {names[name]: value for name, value in asked.filters.items() if name in names}
    since, before = asked.span.ids(tx, "sanction", before=cursor)
    return [
        (
            one.id,
            {
                "id": one.id, "imposed_at": to_rfc3339(one.imposed_at), "subject_kind": one.subject.kind,
                "subject": one.subject.id, "kind": one.kind, "effect": one.measure.effect, "scope": one.measure.scope,
                "policy": one.policy, "status": one.status, "ends_at": _time(one.ends_at),
                "rule": (one.grounds or one.withdrawn)[0].rule, "closed_at": _time(one.closing.at if one.closing else None),
            },
        )
        for one in search_sanctions(tx, before=before, since=since, limit=limit, filters=columns)
    ]  # fmt: skip


def _cases(tx: Tx, cursor: str | None, limit: int, asked: Asked) -> list[tuple[str, dict[str, Cell]]]:
    closed = asked.filters.get("status") == "closed"
    columns = {name: asked.filters[name] for name in ("queue", "claimed_by") if name in asked.filters}
    found = case_store.search_ranked(
        tx,
        closed=closed,
        limit=limit,
        after=keyset_of(cursor),
        filters=columns,
        due_by=asked.at if asked.filters.get("late") and not closed else None,
    )
    return [
        (
            keyset((one.closed_at or 0) if closed else one.rank_at, one.id),
            {
                "id": one.id, "queue": one.queue, "subject_kind": one.subject.kind, "subject": one.subject.id,
                "account": one.acting.id if one.acting else None, "policy": one.policy, "opened_at": to_rfc3339(one.opened_at),
                "due_at": to_rfc3339(one.due_at), "signals": one.signals, "status": one.status, "outcome": one.outcome,
                "closed_at": _time(one.closed_at), "closed_by": one.closed_by,
            },
        )
        for one in found
    ]  # fmt: skip


def _actions(tx: Tx, cursor: str | None, limit: int, asked: Asked) -> list[tuple[str, dict[str, Cell]]]:
    names = {"status": "status", "kind": "kind", "subject": "subject_id"}
    columns = {names[name]: value for name, value in asked.filters.items() if name in names}
    return [
        (
            one.id,
            {
                "id": one.id, "kind": one.kind, "subject_kind": one.subject.kind, "subject": one.subject.id,
                "status": one.status, "requested_at": to_rfc3339(one.requested_at), "delivered_at": _time(one.delivered_at),
                "confirmed_at": _time(one.confirmed_at), "attempts": one.attempts, "cause_seq": one.state_version,
            },
        )
        for one in search_actions(tx, before=cursor, limit=limit, filters=columns)
    ]  # fmt: skip


def _audit(tx: Tx, cursor: str | None, limit: int, asked: Asked) -> list[tuple[str, dict[str, Cell]]]:
    found = list_entries(
        tx, before_id=None if cursor is None else int(cursor), limit=limit, actor=asked.filters.get("actor"),
        action=asked.filters.get("action"), object_id=asked.filters.get("object"), since_at=asked.span.since_at,
        until_at=asked.span.until_at,
    )  # fmt: skip
    return [
        (
            str(one.id),
            {
                "id": one.id, "position": one.position, "recorded_at": to_rfc3339(one.recorded_at), "actor": one.actor,
                "action": one.action, "object_id": one.object_id,
                "details": msgspec.json.encode(one.details).decode(),
            },
        )
        for one in found
    ]  # fmt: skip


def _events(tx: Tx, cursor: str | None, limit: int, asked: Asked) -> list[tuple[str, dict[str, Cell]]]:
    since, before = asked.span.seqs(tx, before_seq=None if cursor is None else int(cursor))
    columns = {"acting" if name == "account" else name: value for name, value in asked.filters.items()}
    event_id = columns.pop("event_id", None)
    found = search_entries(
        tx, before_seq=before, since_seq=since, limit=limit, filters=columns,
        among=None if event_id is None else entries_of_event(tx, event_id),
    )  # fmt: skip
    return [
        (
            str(one.seq),
            {
                "seq": one.seq, "logged_at": to_rfc3339(one.log_at), "kind": one.kind, "type": one.type,
                "source": one.source, "event_id": one.event_id, "subject": one.subject, "verdict": one.verdict,
                "account": one.acting,
            },
        )
        for one in found
    ]  # fmt: skip


def _accounts(tx: Tx, cursor: str | None, limit: int, asked: Asked) -> list[tuple[str, dict[str, Cell]]]:
    filters = asked.filters
    wanted = AccountsAsked(
        begins=filters.get("q", ""), effect=filters.get("state"), policy=filters.get("policy"),
        has_case=bool(filters.get("case")), span=asked.span,
    )  # fmt: skip
    found = list_accounts(tx, wanted, cursor=cursor, limit=limit, scan=_WHOLE_LOG)
    rows: list[dict[str, Cell]] = [
        {
            "id": one.id, "first_at": _time(one.first_at), "last_at": _time(one.last_at), "effects": " ".join(one.effects),
            "open_cases": one.open_cases, **{each: one.verdicts.get(each, 0) for each in _VERDICTS},
        }
        for one in found.items
    ]  # fmt: skip
    return [(found.next_cursor or "", row) for row in rows]


def _time(at: Instant | None) -> str | None:
    return None if at is None else to_rfc3339(at)


def _table(permission: str, read: Read, columns: str, filters: Sequence[str], *, has_span: bool = True) -> ExportTable:
    return ExportTable(
        permission=permission, columns=tuple(columns.split()), filters=tuple(filters), read=read, has_span=has_span
    )


_WHOLE_LOG: Final = 1 << 60
_VERDICTS: Final = ("allow", "warn", "challenge", "hold", "block")
TABLES: Final[Mapping[str, ExportTable]] = {
    "decisions": _table(
        "decisions.read", _decisions,
        "seq decided_at type source event_id verdict account rules withheld sanctions cases took_us",
        ("verdict", "type", "rule", "account", "source"),
    ),
    "events": _table(
        "events.read", _events, "seq logged_at kind type source event_id subject verdict account",
        ("kind", "type", "source", "account", "event_id", "subject"),
    ),
    "accounts": _table(
        "subjects.read", _accounts, "id first_at last_at effects open_cases allow warn challenge hold block",
        ("q", "state", "policy", "case"),
    ),
    "sanctions": _table(
        "sanctions.read", _sanctions,
        "id imposed_at subject_kind subject kind effect scope policy status ends_at rule closed_at",
        ("status", "kind", "policy", "rule", "subject"),
    ),
    "cases": _table(
        "cases.read", _cases,
        "id queue subject_kind subject account policy opened_at due_at signals status outcome closed_at closed_by",
        ("queue", "status", "mine", "late"), has_span=False,
    ),
    "actions": _table(
        "webhooks.read", _actions,
        "id kind subject_kind subject status requested_at delivered_at confirmed_at attempts cause_seq",
        ("status", "kind", "subject"), has_span=False,
    ),
    "audit": _table(
        "audit.read", _audit, "id position recorded_at actor action object_id details", ("actor", "action", "object")
    ),
}  # fmt: skip
