"""Books and transfers between them: every yen accounted for, at any moment. A keeper: it knows nobody.

Owns the tables ledger_*. Every verb works in the caller's transaction. Guarantees (law 5): debits equal credits at every
commit, per currency; no transfer takes a book past its limit; what stands is never changed, a correction is a new
transfer; a refusal is a result code that changes nothing but the id that it burns; every balance can be proved again from
a hash-chained log.
"""

from koban.ledger.actions import (
    BatchTooLarge,
    LedgerBroken,
    balances,
    booking_date,
    change_limits,
    close_period,
    create_books,
    create_transfers,
    expire_due,
    statement,
    transfer,
    why_refused,
)
from koban.ledger.codes import MEANING, TRANSIENT, BookCode, LimitCode, TransferCode
from koban.ledger.store import list_transfers, next_due, read_totals
from koban.ledger.types import (
    Balance,
    BookKind,
    BookMissing,
    BookResult,
    Chart,
    Condition,
    Expired,
    Flag,
    LimitResult,
    Line,
    NewBook,
    PeriodStep,
    Statement,
    StoredTransfer,
    Total,
    Transfer,
    TransferMissing,
    TransferResult,
)
from koban.ledger.verify import LedgerBreak, LedgerReport, log_end, verify

__all__ = [
    "MEANING",
    "TRANSIENT",
    "Balance",
    "BatchTooLarge",
    "BookCode",
    "BookKind",
    "BookMissing",
    "BookResult",
    "Chart",
    "Condition",
    "Expired",
    "Flag",
    "LedgerBreak",
    "LedgerBroken",
    "LedgerReport",
    "LimitCode",
    "LimitResult",
    "Line",
    "NewBook",
    "PeriodStep",
    "Statement",
    "StoredTransfer",
    "Total",
    "Transfer",
    "TransferCode",
    "TransferMissing",
    "TransferResult",
    "balances",
    "booking_date",
    "change_limits",
    "close_period",
    "create_books",
    "create_transfers",
    "expire_due",
    "list_transfers",
    "log_end",
    "next_due",
    "read_totals",
    "statement",
    "transfer",
    "verify",
    "why_refused",
]
