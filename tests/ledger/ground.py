"""Books to play with: an outside bank, wallets that cannot go negative, a fee book, one in dollars, one with a ceiling."""

from typing import Any

from koban.base import Instant
from koban.db import Tx
from koban.ledger import (
    BookKind,
    Chart,
    Flag,
    NewBook,
    Transfer,
    TransferCode,
    TransferResult,
    create_books,
    create_transfers,
)

START = Instant(1_792_584_000_000_000)  # 2026-10-21T12:00:00Z, 21:00 in Tokyo
BOTH = ("JPY", "USD")

CHART = Chart(
    kinds={
        each.code: each
        for each in (
            BookKind(
                code="bank", grows="debit", backing="outside", owner=None, currencies=BOTH, title={}, may_overdraw=True
            ),
            BookKind(code="wallet", grows="credit", backing="people", owner="account", currencies=BOTH, title={}),
            BookKind(
                code="capped",
                grows="credit",
                backing="people",
                owner="account",
                currencies=("JPY",),
                title={},
                most_minor=1_000,
            ),
            BookKind(code="fee", grows="credit", backing="own", owner=None, currencies=("JPY",), title={}),
            BookKind(code="loan", grows="debit", backing="people", owner="account", currencies=("JPY",), title={}),
        )
    }
)

BOOKS = (
    NewBook(id="bank", currency="JPY", code="bank"),
    NewBook(id="bank.usd", currency="USD", code="bank"),
    NewBook(id="a", currency="JPY", code="wallet", owner="a"),
    NewBook(id="b", currency="JPY", code="wallet", owner="b"),
    NewBook(id="a.usd", currency="USD", code="wallet", owner="a"),
    NewBook(id="c", currency="JPY", code="capped", owner="c"),
    NewBook(id="fee", currency="JPY", code="fee"),
    NewBook(id="free", currency="JPY", code="wallet", owner="free", net_debit_max_minor=None),
    NewBook(id="free2", currency="JPY", code="wallet", owner="free2", net_debit_max_minor=None),
)


def move(transfer_id: str, debit: str, credit: str, amount: int | None, **more: Any) -> Transfer:
    more.setdefault("reason", "test")
    more.setdefault("currency", "JPY")
    return Transfer(id=transfer_id, debit_book=debit, credit_book=credit, amount_minor=amount, **more)


def post(transfer_id: str, pending_id: str, amount: int | None = None, **more: Any) -> Transfer:
    return Transfer(
        id=transfer_id,
        pending_id=pending_id,
        amount_minor=amount,
        flags=Flag.POST_PENDING | more.pop("flags", 0),
        **more,
    )


def void(transfer_id: str, pending_id: str, amount: int | None = None, **more: Any) -> Transfer:
    return Transfer(
        id=transfer_id,
        pending_id=pending_id,
        amount_minor=amount,
        flags=Flag.VOID_PENDING | more.pop("flags", 0),
        **more,
    )


def run(tx: Tx, *batch: Transfer, at: int = START) -> list[TransferResult]:
    return create_transfers(tx, Instant(at), CHART, batch)


def codes(tx: Tx, *batch: Transfer, at: int = START) -> list[TransferCode]:
    return [each.code for each in run(tx, *batch, at=at)]


def open_ground(tx: Tx) -> None:
    results = create_books(tx, START, CHART, BOOKS)
    assert [each.code for each in results] == ["created"] * len(BOOKS)
    assert codes(tx, move("start", "bank", "a", 10_000)) == [TransferCode.CREATED]


def everything(tx: Tx) -> dict[str, list[Any]]:
    """All rows of the ledger but the head and the ids that refusals burned."""
    return {
        "books": tx.rows("SELECT * FROM ledger_books ORDER BY num"),
        "transfers": tx.rows("SELECT * FROM ledger_transfers ORDER BY position"),
        "pendings": tx.rows("SELECT * FROM ledger_pendings ORDER BY position"),
        "marks": tx.rows("SELECT * FROM ledger_marks ORDER BY num, position"),
        "totals": tx.rows("SELECT * FROM ledger_totals ORDER BY code, currency"),
        "changes": tx.rows("SELECT * FROM ledger_changes WHERE kind <> 'burned' ORDER BY position"),
    }


def burned(tx: Tx) -> set[str]:
    return {row[0] for row in tx.rows("SELECT about FROM ledger_changes WHERE kind = 'burned'")}
