"""Worked examples of a pack: postings one after the other on an empty ledger, and what the books must then hold."""

import contextlib
import pathlib
import tempfile
from collections.abc import Iterator

import msgspec

from koban.base import Instant
from koban.db import Database, Tx, metadata
from koban.ledger import store
from koban.ledger.posting import Posting, post
from koban.ledger.templates import LedgerCase, LedgerDef
from koban.ledger.verify import verify

_START = Instant(1_768_446_000_000_000)  # 2026-01-15T12:00:00+09:00


class CaseResult(msgspec.Struct, frozen=True, kw_only=True):
    """How one worked example went; nothing wrong means that it passed."""

    name: str
    wrong: tuple[str, ...]


class _Undone(Exception):
    pass


def run_ledger_cases(ledger: LedgerDef) -> tuple[CaseResult, ...]:
    """Run every worked example on an empty ledger of its own."""
    if not ledger.cases:
        return ()
    with tempfile.TemporaryDirectory(prefix="koban-ledger-") as folder:
        database = Database.open(f"sqlite:///{pathlib.Path(folder) / 'ledger.db'}", durable=False)
        try:
            with database.write() as tx:
                tables = [each for each in metadata.sorted_tables if each.name.startswith("ledger_")]
                metadata.create_all(tx.connection, tables=tables)
            return tuple(_run(database, ledger, case) for case in ledger.cases)
        finally:
            database.close()


def _run(database: Database, ledger: LedgerDef, case: LedgerCase) -> CaseResult:
    wrong: list[str] = []
    with contextlib.suppress(_Undone), database.write() as tx:
        wrong.extend(_play(tx, ledger, case))
        raise _Undone
    return CaseResult(name=case.name, wrong=tuple(wrong))


def _play(tx: Tx, ledger: LedgerDef, case: LedgerCase) -> Iterator[str]:
    at = _START
    for number, step in enumerate(case.steps, start=1):
        at = Instant(at + step.after_us + 1)
        result = post(
            tx,
            at,
            ledger,
            Posting(
                id=step.id,
                template=step.posting,
                currency=step.currency,
                parameters=step.parameters,
                level=step.level,
            ),
            approved=True,  # what a posting does is proved here, not who may do it
        )
        if result.code.value != step.expect:
            about = f" ({result.about})" if result.about else ""
            yield f"step {number}, {step.posting}: {result.code.value}{about} instead of {step.expect}"
    books = store.load_books(tx, [*case.balances, *case.pending])
    for name, wanted in case.balances.items():
        found = books.get(name)
        grows = ledger.chart.kinds[found.code].grows if found is not None else "credit"
        held = 0 if found is None else found.credits_posted - found.debits_posted
        held = -held if grows == "debit" else held
        if held != wanted:
            yield f"{name} holds {held} instead of {wanted}"
    for name, wanted in case.pending.items():
        found = books.get(name)
        waiting = 0 if found is None else found.debits_pending + found.credits_pending
        if waiting != wanted:
            yield f"{name} has {waiting} pending instead of {wanted}"
    named = {*case.balances, *case.pending}
    for book in store.walk_books(tx):
        if book.id not in named and book.credits_posted != book.debits_posted:
            yield f"{book.id} holds {book.credits_posted - book.debits_posted} (credits less debits), and no line says so"
    broken = verify(tx).broken
    if broken is not None:
        yield f"the books cannot be proved: {broken.detail}"
