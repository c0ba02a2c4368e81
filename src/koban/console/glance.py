"""Money on its way, for the page that says where every yen sits: what is neither here nor there yet, and what nobody can explain."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

import koban.banking.store as bank_store
import koban.payments.store as payment_store
import koban.reconciliation.store as reconciliation_store
from koban.banking import expected_store
from koban.base import Instant
from koban.db import Tx
from koban.ledger import booking_store
from koban.payments.types import UNDER_WAY, PaymentStatus
from koban.reconciliation.types import ExceptionType

BANK_CURRENCY: Final = "JPY"  # of cash-outs
TO_BE_SENT: Final = ("waiting", "drafted")

Sums = Mapping[str, int]


class Tile(msgspec.Struct, frozen=True, kw_only=True):
    """One figure that links to the rows behind it, for whoever may read them."""

    name: str
    href: str
    permission: str
    sums: Sums  # minor units by currency; empty: only counted
    count: int
    is_bad: bool = False  # somebody has to do something


def on_the_way(tx: Tx, at: Instant, *, has_bank: bool) -> tuple[Tile, ...]:
    """Return the tiles of everything that is on its way or waits for a person."""
    found = payment_store.sum_by_status(tx, (*UNDER_WAY, PaymentStatus.PAYING_OUT, PaymentStatus.STUCK))
    under_way = [each for each in found if each[0] in UNDER_WAY]
    paying_out = [each for each in found if each[0] == PaymentStatus.PAYING_OUT]
    stuck = [each for each in found if each[0] == PaymentStatus.STUCK]
    going_back = payment_store.sum_going_back(tx)
    # What is only late may still come by itself: nobody has to do anything about it yet.
    aged = [row for row in reconciliation_store.ageing(tx) if row[0] != ExceptionType.LATE]
    differences = [("", row[1], row[4], row[5]) for row in aged]
    return (
        _tile("under_way", "/money/payments?status=under_way", "payments.read", under_way),
        _tile("going_back", "/money/payments?status=going_back", "payments.read", [("", *each) for each in going_back]),
        _tile("paying_out", "/money/payments?status=paying_out", "payments.read", paying_out),
        _tile("stuck", "/money/payments?status=stuck", "payments.read", stuck, is_trouble=True),
        *(_bank_tiles(tx, at) if has_bank else ()),
        _tile("differences", "/money/exceptions", "reconciliation.read", differences, is_trouble=True),
    )


def second_person(tx: Tx, *, has_bank: bool) -> tuple[Tile, ...]:
    """Return the tiles of what colleagues proposed and another person has to decide; nothing where nothing waits."""
    found = [
        (
            "adjustments",
            "/money/exceptions?state=proposed",
            "reconciliation.read",
            reconciliation_store.count_proposed(tx),
        ),
        ("bookings", "/money/bookings", "ledger.read", booking_store.count_waiting(tx)),
    ]
    if has_bank:
        found += [
            ("batches", "/bank", "bank.read", bank_store.count_proposed_batches(tx)),
            ("proposals", "/bank", "bank.read", len(bank_store.waiting_proposals(tx))),
        ]
    return tuple(
        Tile(name=name, href=href, permission=permission, sums={}, count=count)
        for name, href, permission, count in found
        if count
    )


def _bank_tiles(tx: Tx, at: Instant) -> tuple[Tile, ...]:
    states = bank_store.sums(tx)
    waiting = [("", BANK_CURRENCY, *states[each]) for each in TO_BE_SENT if each in states]
    sent = [("", BANK_CURRENCY, *states["sent"])] if "sent" in states else []
    expected = [("", code, count, total) for code, (count, total, _) in expected_store.sum_open(tx, at).items()]
    lines = sum(bank_store.count_exceptions(tx).values())
    return (
        _tile("to_be_sent", "/bank/cash-outs?state=waiting", "bank.read", waiting),
        _tile("in_transit", "/bank/cash-outs?state=sent", "bank.read", sent),
        _tile("expected", "/bank/expected", "bank.read", expected),
        Tile(name="lines", href="/bank/lines?state=exception", permission="bank.read", sums={}, count=lines,
             is_bad=lines > 0),
    )  # fmt: skip


def _tile(
    name: str, href: str, permission: str, found: Sequence[tuple[str, str, int, int]], *, is_trouble: bool = False
) -> Tile:
    sums: dict[str, int] = {}
    for _, currency, _, amount in found:
        sums[currency] = sums.get(currency, 0) + amount
    count = sum(each[2] for each in found)
    return Tile(
        name=name, href=href, permission=permission, sums=sums or {BANK_CURRENCY: 0}, count=count,
        is_bad=is_trouble and count > 0,
    )  # fmt: skip
