"""Money moved by the decider: the posting, its audit row and the fact that rules see stand in one transaction."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn, TypeVar

from koban import ledger
from koban.audit import record
from koban.db import Tx
from koban.ledger import BookResult, LimitResult, NewBook, Posting, PostingCode, PostingResult, Transfer, TransferResult
from koban.pipeline.facts import Fact, enter_fact
from koban.pipeline.memory import Memory

if TYPE_CHECKING:
    from koban.pipeline.desk import Desk

T = TypeVar("T")


def make_posting(
    memory: Memory, tx: Tx, posting: Posting, *, by: str, cause_seq: int | None = None, approved: bool = False
) -> PostingResult:
    """Make a posting and tell the fact that its template names, decided like any event, in the same transaction.

    `cause_seq` is the log entry that brought it about, when one did.
    """
    at = memory.log_time.peek()
    definition = memory.compiled.pack.ledger
    result = ledger.post(tx, at, definition, posting, approved=approved)
    if result.is_recorded:
        details = {"template": posting.template, "code": result.code.value, "transfers": len(result.transfers)}
        record(tx, at, by, "ledger.posting", posting.id, details)
    tells = definition.templates[posting.template].tells if result.code is PostingCode.POSTED else None
    if tells is not None:
        values: dict[str, object] = {
            **posting.parameters,
            "posting": posting.id,
            "level": posting.level,
            "currency": posting.currency,
        }
        data = {path: values[name] for path, name in tells.data.items() if values[name] is not None}
        fact = Fact(room="ledger", id=posting.id, type=tells.event, subject=None, data=nested(data))
        enter_fact(memory, tx, fact, cause_seq=cause_seq)
    return result


def make_transfers(memory: Memory, tx: Tx, batch: Sequence[Transfer], *, by: str) -> list[TransferResult]:
    """Make transfers by hand; each made one has its audit row."""
    at = memory.log_time.peek()
    results = ledger.create_transfers(tx, at, memory.compiled.pack.ledger.chart, batch)
    for result in results:
        if result.code is ledger.TransferCode.CREATED:
            record(tx, at, by, "ledger.transfer", result.id, {"amount_minor": result.amount_minor})
    return results


def open_books(memory: Memory, tx: Tx, batch: Sequence[NewBook], *, by: str) -> list[BookResult]:
    """Open books by hand; each opened one has its audit row."""
    at = memory.log_time.peek()
    results = ledger.create_books(tx, at, memory.compiled.pack.ledger.chart, batch)
    for result in results:
        if result.code is ledger.BookCode.CREATED:
            record(tx, at, by, "ledger.book_opened", result.id)
    return results


def set_limits(
    memory: Memory,
    tx: Tx,
    book: str,
    *,
    net_debit_max_minor: int | None,
    net_credit_max_minor: int | None,
    by: str,
) -> LimitResult:
    """Change what a book may reach, with its audit row."""
    at = memory.log_time.peek()
    result = ledger.change_limits(
        tx, at, book, net_debit_max_minor=net_debit_max_minor, net_credit_max_minor=net_credit_max_minor
    )
    if result.code is ledger.LimitCode.CHANGED:
        limits = {"net_debit_max_minor": net_debit_max_minor, "net_credit_max_minor": net_credit_max_minor}
        record(tx, at, by, "ledger.limits_changed", book, limits)
    return result


def close_period(memory: Memory, tx: Tx, through: str, *, note: str, by: str) -> None:
    """Close the books up to a booking date, with its audit row.

    Refuses: PeriodStep.
    """
    at = memory.log_time.peek()
    ledger.close_period(tx, at, memory.compiled.pack.ledger.chart, through, by=by, note=note)
    record(tx, at, by, "ledger.period_closed", through)


def reopen_period(memory: Memory, tx: Tx, through: str, *, reason: str, by: str) -> None:
    """Open the books again after a booking date, with its audit row.

    Refuses: PeriodStep.
    """
    at = memory.log_time.peek()
    ledger.reopen_period(tx, at, through, by=by, note=reason)
    record(tx, at, by, "ledger.period_reopened", through or "all")


def expire_when_due(desk: "Desk") -> int:
    """Free what pending transfers reserved whose time ran out; return how many were freed."""
    with desk.database.read() as tx:
        due = ledger.next_due(tx)
    if due is None or due > desk.memory.clock.now():
        return 0
    return desk.command(
        lambda memory, tx: len(ledger.expire_due(tx, memory.log_time.peek(), memory.compiled.pack.ledger.chart))
    )


class _TakenBack(Exception):
    pass


def tried(tx: Tx, attempt: Callable[[], T]) -> T:
    """Ask the ledger what it would say and take everything back, also a burned id; return what it answered."""
    said: list[T] = []
    try:
        with tx.savepoint():
            said.append(attempt())
            _take_back()
    except _TakenBack:
        pass
    return said[0]


def _take_back() -> NoReturn:
    raise _TakenBack


def nested(data: dict[str, object]) -> dict[str, object]:
    """Turn dotted paths into the nested data of an event."""
    document: dict[str, object] = {}
    for path, value in data.items():
        node = document
        *above, last = path.split(".")
        for part in above:
            below = node.setdefault(part, {})
            assert isinstance(below, dict), "no declared field holds another"
            node = below
        node[last] = value
    return document
