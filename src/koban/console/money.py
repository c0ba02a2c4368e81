"""Money: where every yen sits, the statement of a book at any moment, what happened to an order's money, the proof."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from koban.access import Answer, Call, Endpoint, endpoint
from koban.banking import expected_store
from koban.base import Instant
from koban.console.formats import Formats
from koban.console.glance import on_the_way, second_person
from koban.console.kit import ConsoleKit
from koban.console.pages import PAGE_ITEMS, page
from koban.console.pay_order import payable_methods
from koban.console.payments import GIVES_BACK, TONES, of_order
from koban.console.words import language_of
from koban.ledger import (
    Balance,
    BookKind,
    BookMissing,
    Flag,
    StoredTransfer,
    Total,
    list_books,
    list_transfers,
    read_totals,
    statement,
)
from koban.ledger.booking_store import count_waiting
from koban.ledger.routes import place_of
from koban.payments.types import Kept

BACKINGS: Final = ("outside", "people", "own")
NAME_CHARS_MAX: Final = 200
ORDER_LINES_MAX: Final = 500


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One code of the chart, all of its books together, on the side on which they grow."""

    kind: BookKind
    total: Total
    balance_minor: int
    pending_in_minor: int
    pending_out_minor: int


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """All codes with one backing in one currency; `balance_minor` counts debits for `outside`, else credits."""

    backing: str
    balance_minor: int
    rows: tuple[Row, ...]


class Currency(msgspec.Struct, frozen=True, kw_only=True):
    """All books of one currency."""

    code: str
    shares: tuple[Share, ...]
    is_balanced: bool
    moved_minor: int


def endpoints(kit: ConsoleKit) -> tuple[Endpoint, ...]:
    """Return the pages of this part."""
    return (
        endpoint("GET", "/money", "ledger.read", lambda call: _glance(kit, call), summary="Money at a glance",
                 page=True),
        endpoint("GET", "/money/books", "ledger.read", lambda call: _books(kit, call), summary="Books", page=True),
        endpoint("GET", "/money/books/{id}", "ledger.read", lambda call: _statement(kit, call),
                 summary="Statement of a book", page=True, raises=(BookMissing,)),
        endpoint("GET", "/money/orders", "ledger.read", lambda call: _order(kit, call), summary="An order's money",
                 page=True),
        endpoint("POST", "/money/proof", "ledger.verify", lambda call: _proof(kit, call),
                 summary="Prove every balance", accepts="form", page=True),
    )  # fmt: skip


def _glance(kit: ConsoleKit, call: Call) -> Answer:
    kinds = kit.pack().ledger.chart.kinds
    with kit.database.read() as tx:
        totals = read_totals(tx)
        newest = list_transfers(tx, order=None, payment=None, before=None, limit=12)
        bookings_waiting = count_waiting(tx)
        tiles = on_the_way(tx, call.at, has_bank=kit.bank is not None)
        proposed = second_person(tx, has_bank=kit.bank is not None)
    return page(
        kit,
        call,
        "money.html",
        currencies=_currencies(totals, kinds),
        tiles=tiles,
        proposed=proposed,
        newest=newest,
        bookings_waiting=bookings_waiting,
        postings=kit.pack().ledger.templates,
    )


def _currencies(totals: Sequence[Total], kinds: Mapping[str, BookKind]) -> list[Currency]:
    found = []
    for code in sorted({each.currency for each in totals}):
        here = [each for each in totals if each.currency == code]
        shares = []
        for backing in BACKINGS:
            rows = [
                _row(kinds[each.code], each)
                for each in here
                if each.code in kinds and kinds[each.code].backing == backing
            ]
            sign = 1 if backing == "outside" else -1
            balance = sum(sign * (each.total.debits_posted_minor - each.total.credits_posted_minor) for each in rows)
            shares.append(Share(backing=backing, balance_minor=balance, rows=tuple(rows)))
        debits = sum(each.debits_posted_minor for each in here)
        credits_ = sum(each.credits_posted_minor for each in here)
        pending = sum(each.debits_pending_minor - each.credits_pending_minor for each in here)
        found.append(
            Currency(
                code=code, shares=tuple(shares), is_balanced=debits == credits_ and not pending, moved_minor=debits
            )
        )
    return found


def _row(kind: BookKind, total: Total) -> Row:
    net = total.credits_posted_minor - total.debits_posted_minor
    grows_by_credit = kind.grows == "credit"
    return Row(
        kind=kind,
        total=total,
        balance_minor=net if grows_by_credit else -net,
        pending_in_minor=total.credits_pending_minor if grows_by_credit else total.debits_pending_minor,
        pending_out_minor=total.debits_pending_minor if grows_by_credit else total.credits_pending_minor,
    )


def _books(kit: ConsoleKit, call: Call) -> Answer:
    code = call.query.get("code", "")[:NAME_CHARS_MAX]
    owner = call.query.get("owner", "").strip()[:NAME_CHARS_MAX]
    cursor = call.query.get("cursor", "")
    with kit.database.read() as tx:
        found = list_books(
            tx, code=code or None, owner=owner or None, after=place_of(cursor) or 0, limit=PAGE_ITEMS + 1
        )
    kinds = kit.pack().ledger.chart.kinds
    shown = found[:PAGE_ITEMS]
    return page(
        kit,
        call,
        "money_books.html",
        books=[(balance, kinds.get(balance.code), shown_balance(balance, kinds)) for _, balance in shown],
        kinds=kinds,
        code=code,
        owner=owner,
        cursor=cursor,
        next_cursor=str(shown[-1][0]) if len(found) > PAGE_ITEMS else "",
    )


def shown_balance(balance: Balance, kinds: Mapping[str, BookKind]) -> int:
    """Return a balance on the side on which books of its code grow."""
    kind = kinds.get(balance.code)
    return -balance.net_credit_minor if kind is not None and kind.grows == "debit" else balance.net_credit_minor


def _statement(kit: ConsoleKit, call: Call) -> Answer:
    wanted = call.query.get("at", "")
    formats = Formats(language_of(call.language), kit.zone, call.at)
    # A minute that is written means all of it: what happened at 21:04:30 belongs to 21:04.
    at = formats.read_field(wanted) if wanted else None
    upto = None if at is None else Instant(at + 59_999_999)
    cursor = call.query.get("cursor", "")
    before = place_of(cursor)
    with kit.database.read() as tx:
        found = statement(tx, call.path["id"], at=upto, before=before, limit=PAGE_ITEMS)
    kinds = kit.pack().ledger.chart.kinds
    kind = kinds.get(found.balance.code)
    return page(
        kit,
        call,
        "money_statement.html",
        balance=found.balance,
        kind=kind,
        grows=kind.grows if kind is not None else "credit",
        held_minor=shown_balance(found.balance, kinds),
        lines=found.lines,
        at=at,
        wanted=wanted if at is not None else "",
        is_wrong=bool(wanted) and at is None,
        now_field=formats.field(call.at),
        postings=kit.pack().ledger.templates,
        expired_flag=256,
        Flag=Flag,
        cursor=cursor,
        next_cursor="" if found.next_position is None else str(found.next_position),
    )


def _order(kit: ConsoleKit, call: Call) -> Answer:
    order = call.query.get("order", "").strip()[:NAME_CHARS_MAX]
    found: Sequence[StoredTransfer] = ()
    kept: Sequence[Kept] = ()
    if order:
        with kit.database.read() as tx:
            found = list_transfers(tx, order=order, payment=None, before=None, limit=ORDER_LINES_MAX)
            kept = expected_store.kept_of_order(tx, order)
    return page(
        kit,
        call,
        "money_order.html",
        order=order,
        kept=kept,
        payments=of_order(kit, order) if order else (),
        tones=TONES,
        gives_back=GIVES_BACK,
        may_pay=kit.payments is not None and bool(payable_methods(kit.pack())),
        steps=_steps(found),
        postings=kit.pack().ledger.templates,
        kinds=kit.pack().ledger.chart.kinds,
        expired_flag=256,
        Flag=Flag,
    )


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What one posting did to an order's money, and what the order's own book held after it."""

    transfers: tuple[StoredTransfer, ...]
    held_minor: int


def _steps(found: Sequence[StoredTransfer]) -> list[Step]:
    """Group transfers by posting, oldest first, with what is held in escrow after each."""
    steps: list[Step] = []
    held = 0
    for each in sorted(found, key=lambda one: one.position):
        if not each.flags & (Flag.PENDING | Flag.VOID_PENDING | 256):
            held += each.amount_minor if each.credit_book.startswith("escrow.") else 0
            held -= each.amount_minor if each.debit_book.startswith("escrow.") else 0
        last = steps[-1].transfers[-1] if steps else None
        if last is not None and last.id.rpartition(".")[0] == each.id.rpartition(".")[0] != "":
            steps[-1] = Step(transfers=(*steps[-1].transfers, each), held_minor=held)
        else:
            steps.append(Step(transfers=(each,), held_minor=held))
    return steps


def _proof(kit: ConsoleKit, call: Call) -> Answer:
    report = kit.prove_ledger()
    return page(kit, call, "money_proof.html", report=report)
