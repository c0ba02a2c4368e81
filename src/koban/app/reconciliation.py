"""Reconciliation's part of the wiring: where its rows come from, its daily run, its commands through the decider."""

import datetime
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import structlog

from koban.banking import store as bank_store
from koban.banking.types import BankLine
from koban.base import DAY, Clock, Instant, Unavailable
from koban.db import Database
from koban.ledger import Chart, booking_date
from koban.payments.logic import posting_of
from koban.payments.types import Provider, ProviderReportRow
from koban.pipeline import reconciling
from koban.pipeline.desk import Desk
from koban.reconciliation import Proposal, Row, RunReport, Terms, run
from koban.reconciliation.files import bank_row, provider_rows
from koban.reconciliation.routes import DecideBody, ProposeBody, ReconciliationDesk
from koban.reconciliation.store import read_state

REPORTS_SINCE_DAYS: Final = 7  # of providers that speak over an interface; a day is asked for again while it may grow
LINES_SINCE_DAYS: Final = 62  # of statements that are looked at again: a bank may send a month late
PAGE: Final = 2_000
TERMS: Final = Terms()
_log: Final = structlog.get_logger("koban.reconciliation")
_ONE_AT_A_TIME: Final = threading.Lock()


def reconciliation_desk(desk: Desk, providers: Mapping[str, Provider] | None = None) -> ReconciliationDesk:
    """Return what routes, pages and the daily job do. `providers` are those that report over an interface."""
    database, clock = desk.database, desk.memory.clock

    def outside() -> list[Row]:
        zone = desk.memory.compiled.pack.ledger.chart.time_zone
        return report_rows((providers or {}).values(), clock, zone)

    def propose(exception: str, body: ProposeBody, by: str) -> Proposal:
        wanted = reconciling.Propose(
            exception=exception,
            template=body.template,
            currency=body.currency,
            parameters=body.parameters,
            reason=body.reason,
            by=by,
        )
        return desk.command(lambda memory, tx: reconciling.propose(memory, tx, wanted))

    def decide(exception: str, body: DecideBody, approves: bool, by: str) -> Proposal:  # noqa: FBT001 - a callback
        said = reconciling.Decide(
            exception=exception, proposal=body.proposal, approves=approves, reason=body.reason, by=by
        )
        return desk.command(lambda memory, tx: reconciling.decide(memory, tx, said))

    return ReconciliationDesk(
        database=database,
        clock=clock,
        run=lambda: run_now(database, clock, desk.memory.compiled.pack.ledger.chart, outside),
        propose=propose,
        decide=decide,
        definition=lambda: desk.memory.compiled.pack.ledger,
    )


def run_now(database: Database, clock: Clock, chart: Chart, outside: Callable[[], Sequence[Row]] = tuple) -> RunReport:
    """Compare everything that is open; two at once go one after the other."""
    with _ONE_AT_A_TIME:
        return run(database, clock.now, chart, TERMS, lambda: [*outside(), *_statement_rows(database, clock, chart)])


def run_daily(desk: ReconciliationDesk) -> None:
    """Compare once on each date of the ledger's time zone."""
    with desk.database.read() as tx:
        last = Instant(read_state(tx, "last_run_at"))
    zone = desk.definition().chart.time_zone
    if booking_date(last, zone) != booking_date(desk.clock.now(), zone):
        desk.run()


def _statement_rows(database: Database, clock: Clock, chart: Chart) -> list[Row]:
    """Return the lines of statements that were taken in lately, each that moves money once."""
    since = booking_date(Instant(clock.now() - LINES_SINCE_DAYS * DAY), chart.time_zone)
    rows: list[Row] = []
    after = ""
    while True:
        with database.read() as tx:
            found = bank_store.list_lines(tx, filters={}, after=after, limit=PAGE, since=since, counted=True)
        rows += rows_of_lines(line for line, _ in found)
        if len(found) < PAGE:
            return rows
        after = found[-1][0].id


def report_rows(providers: Iterable[Provider], clock: Clock, zone: str) -> list[Row]:
    """Return what providers report of the last days. One that does not answer is asked again at the next run."""
    rows: list[Row] = []
    for provider in providers:
        for days in range(REPORTS_SINCE_DAYS, -1, -1):
            day = datetime.date.fromisoformat(booking_date(Instant(clock.now() - days * DAY), zone))
            try:
                rows += rows_of_report(provider.report(day))
            except Unavailable as out:
                # Fail open: everything else is compared; what it would have told stays late, and is told next time.
                _log.warning("provider_report_missing", provider=provider.name, day=day.isoformat(), why=str(out))
                break
    return rows


def rows_of_report(report: Iterable[ProviderReportRow]) -> list[Row]:
    """Return the rows of a report that a provider gave over its interface."""
    seen: Counter[tuple[str, ...]] = Counter()
    found: list[Row] = []
    for each in report:
        found += provider_rows(
            each.provider,
            provider_ref=each.provider_ref,
            kind=each.kind,
            amount_minor=each.amount_minor,
            fee_minor=each.fee_minor,
            currency=each.currency,
            booked_on=each.booked_on.isoformat(),
            posting=posting_of(each),
            payment=each.payment or "",
            payout="",
            seen=seen,
        )
    return found


def rows_of_lines(lines: Iterable[BankLine]) -> list[Row]:
    """Return the rows of statements that `banking` took in; names and notes stay there."""
    seen: Counter[tuple[str, ...]] = Counter()
    return [
        bank_row(
            each.account,
            line=each.id,
            kind=each.kind,
            amount_minor=each.amount_minor,
            currency=each.currency,
            booked_on=each.booked_on,
            reference=each.reference,
            bank_id=each.bank_id,
            seen=seen,
        )
        for each in lines
    ]
