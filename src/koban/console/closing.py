"""The close: what a period did, closing and reopening it, and its journal for the company's own books."""

import datetime
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from koban.access import Answer, Call, Endpoint, endpoint, redirect
from koban.console.kit import ConsoleKit
from koban.console.pages import done, page, with_query
from koban.ledger import BookKind, PeriodStep, booking_date, period_store
from koban.ledger.journal import account_of
from koban.ledger.logic import is_date
from koban.ledger.period_routes import CloseBody, ReopenBody
from koban.ledger.types import Account, TrialLine
from koban.reconciliation import PeriodUnreconciled
from koban.reconciliation import store as reconciliation_store

NOTE_CHARS_MAX: Final = 500
REASON_CHARS_MIN: Final = 5
CHANGES_SHOWN: Final = 50


class TrialRow(msgspec.Struct, frozen=True, kw_only=True):
    """One code in a period; balances on the side on which the code grows."""

    line: TrialLine
    kind: BookKind | None
    account: Account
    opening_minor: int
    closing_minor: int


def endpoints(kit: ConsoleKit) -> tuple[Endpoint, ...]:
    """Return the pages of this part."""
    return (
        endpoint("GET", "/money/close", "ledger.read", lambda call: _close(kit, call), summary="The close", page=True),
        endpoint("POST", "/money/close", "ledger.close", lambda call: _do_close(kit, call), summary="Close a period",
                 accepts="form", page=True, raises=(PeriodStep, PeriodUnreconciled)),
        endpoint("POST", "/money/reopen", "ledger.reopen", lambda call: _do_reopen(kit, call),
                 summary="Open a closed period again", accepts="form", page=True, raises=(PeriodStep,)),
        endpoint("GET", "/money/journal", "ledger.journal", _journal, summary="Take the journal out", page=True),
    )  # fmt: skip


def _close(kit: ConsoleKit, call: Call, *, problem: str = "", note: str = "") -> Answer:
    ledger = kit.pack().ledger
    today = booking_date(call.at, ledger.chart.time_zone)
    with kit.database.read() as tx:
        through = period_store.closed_through(tx)
        first, last = _span(call, today, through)
        trial = period_store.trial_lines(tx, first, last)
        changes = period_store.list_period_changes(tx, limit=CHANGES_SHOWN)
        unreconciled = reconciliation_store.open_through(tx, last)
    return page(
        kit,
        call,
        "money_close.html",
        closed_through=through,
        first=first,
        last=last,
        trial=_by_currency(trial, ledger.chart.kinds),
        changes=changes,
        unreconciled=unreconciled,
        status=422 if problem else 200,
        problem=problem,
        note=note,
        chars=len(note),
        chars_max=NOTE_CHARS_MAX,
        day_before=_before(through),
        may_close=last > through and last < today,
    )


def _span(call: Call, today: str, through: str) -> tuple[str, str]:
    """Return the span that is asked for; by itself the month before this one, or what is open since a later close."""
    first, last = call.query.get("first", ""), call.query.get("last", "")
    if is_date(first) and is_date(last) and first <= last:
        return first, last
    now = datetime.date.fromisoformat(today)
    end = now.replace(day=1) - datetime.timedelta(days=1)
    if through > end.isoformat():
        begins, yesterday = (
            datetime.date.fromisoformat(through) + datetime.timedelta(days=1),
            now - datetime.timedelta(days=1),
        )
        return begins.isoformat(), max(begins, yesterday).isoformat()
    return end.replace(day=1).isoformat(), end.isoformat()


def _before(through: str) -> str:
    """Return the end of the month before a date: what a reopening mostly leads back to."""
    if not through:
        return ""
    return (datetime.date.fromisoformat(through).replace(day=1) - datetime.timedelta(days=1)).isoformat()


def _by_currency(
    trial: Sequence[TrialLine], kinds: Mapping[str, BookKind]
) -> list[tuple[str, list[TrialRow], int, int]]:
    """Return each currency with its rows, and the sums of its debits and credits."""
    found = []
    for currency in sorted({each.currency for each in trial}):
        rows = []
        for line in trial:
            if line.currency != currency:
                continue
            kind = kinds.get(line.code)
            sign = -1 if kind is not None and kind.grows == "debit" else 1
            rows.append(
                TrialRow(
                    line=line,
                    kind=kind,
                    account=account_of(kinds, line.code),
                    opening_minor=sign * line.opening_minor,
                    closing_minor=sign * line.closing_minor,
                )
            )
        rows.sort(key=lambda row: (row.account.code, row.line.code))
        debits = sum(row.line.debits_minor for row in rows)
        found.append((currency, rows, debits, sum(row.line.credits_minor for row in rows)))
    return found


def _do_close(kit: ConsoleKit, call: Call) -> Answer:
    through, note = call.form.get("through", ""), _typed(call, "note")
    if len(note) > NOTE_CHARS_MAX:
        return _close(kit, call, problem="close.problem_long", note=note)
    kit.periods.close(
        CloseBody(through=through[:10], note=note, despite_open=bool(call.form.get("despite_open"))),
        call.principal.actor,
    )
    return done(call, "/money/close", "period_closed")


def _do_reopen(kit: ConsoleKit, call: Call) -> Answer:
    through, reason = call.form.get("through", "").strip()[:10], _typed(call, "reason")
    if len(reason) < REASON_CHARS_MIN:
        return _close(kit, call, problem="close.problem_reason", note=reason)
    if len(reason) > NOTE_CHARS_MAX:
        return _close(kit, call, problem="close.problem_long", note=reason)
    kit.periods.reopen(ReopenBody(through=through or None, reason=reason), call.principal.actor)
    return done(call, "/money/close", "period_reopened")


def _typed(call: Call, name: str) -> str:
    """Return what was typed; a browser sends two characters for a line's end where its own limit counts one."""
    return call.form.get(name, "").replace("\r\n", "\n").strip()


def _journal(call: Call) -> Answer:
    """Lead to the file."""
    kept = {name: call.query.get(name, "")[:20] for name in ("first", "last", "layout", "by")}
    return redirect(with_query("/v1/ledger/journal", **kept))
