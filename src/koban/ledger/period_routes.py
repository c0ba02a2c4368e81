"""Routes of periods: what a period did, closing and reopening it, and the journal for the company's own books."""

from collections.abc import Callable, Iterator
from typing import Annotated, Final

import msgspec

from koban.access import Answer, Call, Endpoint, endpoint
from koban.audit import record
from koban.base import Refusal, to_rfc3339
from koban.db import Database
from koban.ledger import period_store
from koban.ledger.journal import (
    LAYOUTS,
    Grain,
    Journal,
    JournalCurrency,
    JournalSpan,
    Layout,
    check_layout,
    file_name,
    survey_journal,
    walk_entries,
)
from koban.ledger.logic import is_date
from koban.ledger.templates import LedgerDef
from koban.ledger.types import PeriodChange, PeriodStep, TrialLine

Date = Annotated[str, msgspec.Meta(min_length=10, max_length=10, description="YYYY-MM-DD")]
Note = Annotated[str, msgspec.Meta(max_length=500)]
Reason = Annotated[str, msgspec.Meta(min_length=5, max_length=500)]
CHANGES_SHOWN: Final = 200


class PeriodCommands(msgspec.Struct, frozen=True, kw_only=True):
    """What the application has the decider do; each returns once it is durable."""

    close: Callable[["CloseBody", str], None]
    reopen: Callable[["ReopenBody", str], None]
    definition: Callable[[], LedgerDef]
    close_refuses: tuple[type[Refusal], ...] = ()  # what a close refuses besides the ledger itself


class CloseBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Close the books for booking dates up to `through`."""

    through: Date
    note: Note = ""
    despite_open: Annotated[
        bool, msgspec.Meta(description="Close although exceptions of reconciliation are open; say why in `note`")
    ] = False


class ReopenBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Open the books again for booking dates after `through`; null: all of them."""

    reason: Reason
    through: Date | None = None


class PeriodChangeView(msgspec.Struct, frozen=True, kw_only=True):
    """A close or a reopening."""

    position: int
    at: str
    kind: str
    through: str | None
    by: str
    note: str


class PeriodView(msgspec.Struct, frozen=True, kw_only=True):
    """Up to which booking date the books are closed, and how that came about, newest first."""

    closed_through: str | None
    changes: list[PeriodChangeView]


class SpanQuery(msgspec.Struct, frozen=True, kw_only=True):
    """From which booking date to which, both included."""

    first: Date
    last: Date


class JournalQuery(SpanQuery, frozen=True, kw_only=True):
    """How the journal is written."""

    layout: Annotated[Layout, msgspec.Meta(description="generic: one row a side; yayoi: 弥生会計")] = "generic"
    by: Annotated[Grain, msgspec.Meta(description="day: summed up by day and account; posting: each one")] = "day"


class TrialView(msgspec.Struct, frozen=True, kw_only=True):
    """What all books of a code did in the period. Units: minor units; balances are credits less debits."""

    code: str
    currency: str
    opening_minor: int
    debits_minor: int
    credits_minor: int
    closing_minor: int


def period_endpoints(database: Database, commands: PeriodCommands) -> list[Endpoint]:
    """Describe the routes; `commands` carries changes through the decider."""

    def periods(_call: Call) -> PeriodView:
        with database.read() as tx:
            return PeriodView(
                closed_through=period_store.closed_through(tx) or None,
                changes=[_change_view(each) for each in period_store.list_period_changes(tx, limit=CHANGES_SHOWN)],
            )

    def close(call: Call) -> PeriodView:
        commands.close(call.body_as(CloseBody), call.principal.actor)
        return periods(call)

    def reopen(call: Call) -> PeriodView:
        commands.reopen(call.body_as(ReopenBody), call.principal.actor)
        return periods(call)

    def trial(call: Call) -> list[TrialView]:
        asked = call.params_as(SpanQuery)
        if not is_date(asked.first) or not is_date(asked.last) or asked.first > asked.last:
            raise JournalSpan(f"{asked.first!r} to {asked.last!r} are no two dates YYYY-MM-DD, the earlier one first.")
        with database.read() as tx:
            return [trial_view(each) for each in period_store.trial_lines(tx, asked.first, asked.last)]

    def journal(call: Call) -> Answer:
        asked = call.params_as(JournalQuery)
        found, parts = write_journal(database, commands.definition(), asked)
        with database.write() as tx:
            about = f"{asked.first}/{asked.last}"
            details = {"layout": asked.layout, "by": asked.by, "entries": found.count}
            record(tx, call.at, call.principal.actor, "ledger.journal", about, details)
        return Answer(
            parts=parts,
            media_type=LAYOUTS[asked.layout][1],
            headers={"content-disposition": f'attachment; filename="{file_name(found, asked.layout)}"'},
        )

    return [
        endpoint(
            "GET", "/v1/ledger/periods", "ledger.read", periods, summary="See up to when the books are closed",
            returns=PeriodView,
        ),
        endpoint(
            "POST", "/v1/ledger/periods/close", "ledger.close", close, summary="Close the books for a period",
            body=CloseBody, returns=PeriodView, raises=(PeriodStep, *commands.close_refuses),
            description="Nothing more can be booked on a date up to `through`; corrections are booked later.",
        ),
        endpoint(
            "POST", "/v1/ledger/periods/reopen", "ledger.reopen", reopen, summary="Open a closed period again",
            body=ReopenBody, returns=PeriodView, raises=(PeriodStep,),
            description="Who did it and why stands in the ledger's log for ever.",
        ),
        endpoint(
            "GET", "/v1/ledger/trial-balance", "ledger.read", trial, summary="See what a period did, by code",
            query=SpanQuery, returns=list[TrialView], raises=(JournalSpan,),
        ),
        endpoint(
            "GET", "/v1/ledger/journal", "ledger.journal", journal,
            summary="Take the journal out for the company's own books", query=JournalQuery, returns=bytes,
            media_types=("text/csv",), raises=(JournalSpan, JournalCurrency),
            description="Double entry, by the accounts that the pack's chart names; checked against the ledger's sums "
            "before any of it is handed out, and sent as it is read, however long it is.",
        ),
    ]  # fmt: skip


def write_journal(database: Database, definition: LedgerDef, asked: JournalQuery) -> tuple[Journal, Iterator[bytes]]:
    """Check a journal whole, and return it with its file, part by part in its layout.

    Refuses: JournalSpan, JournalCurrency.
    """
    texts = {name: each.about.get("ja") or each.about.get("en") or name for name, each in definition.templates.items()}
    kinds = definition.chart.kinds
    found = survey_journal(database.read, kinds, asked.first, asked.last, by=asked.by)
    check_layout(found, asked.layout)
    return found, LAYOUTS[asked.layout][0](walk_entries(database.read, kinds, texts, found))


def trial_view(line: TrialLine) -> TrialView:
    """Return a line of a trial balance in the form that leaves Koban."""
    return TrialView(
        code=line.code,
        currency=line.currency,
        opening_minor=line.opening_minor,
        debits_minor=line.debits_minor,
        credits_minor=line.credits_minor,
        closing_minor=line.closing_minor,
    )


def _change_view(change: PeriodChange) -> PeriodChangeView:
    return PeriodChangeView(
        position=change.position,
        at=to_rfc3339(change.at),
        kind=change.kind,
        through=change.through or None,
        by=change.by,
        note=change.note,
    )
