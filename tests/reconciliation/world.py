"""A clean world of three sides that agree, and the ways to spoil it: each with the exception that must come of it."""

import random

import msgspec

from koban.reconciliation import ExceptionType, Row
from koban.reconciliation.logic import days_after

DAY = "2026-10-01"
TODAY = "2026-12-31"  # long after: nothing is late any more
T = ExceptionType
change = msgspec.structs.replace


def ledger(name: str, leg: str, keys: tuple[str, ...], amount: int, day: str, *, source: str = "", fee: int = 0) -> Row:
    return Row(
        id=f"l_{name}", leg=leg, side="ledger", source=source, kind="posting", keys=keys, amount_minor=amount,  # type: ignore[arg-type]  # a leg
        currency="JPY", booked_on=day, fee_minor=fee, named=True,
    )  # fmt: skip


def reported(
    name: str, keys: tuple[str, ...], amount: int, fee: int, day: str, *, source: str, payout: str, named: bool
) -> list[Row]:
    row = Row(
        id=f"p_{name}", leg="provider", side="provider", source=source, kind="capture", keys=keys, amount_minor=amount,
        currency="JPY", booked_on=day, named=named,
    )  # fmt: skip
    return [row, change(row, leg="settlement", fee_minor=fee, group=payout, named=False)]


def banked(name: str, keys: tuple[str, ...], amount: int, day: str, *, named: bool = False) -> Row:
    return Row(
        id=f"b_{name}", leg="bank", side="bank", source="main", kind="transfer", keys=keys, amount_minor=amount,
        currency="JPY", booked_on=day, named=named,
    )  # fmt: skip


def clean(seed: int) -> list[Row]:
    """Two providers with a payout after some days each, cash-ins, and cash-outs paid in one line."""
    rnd = random.Random(seed)
    rows: list[Row] = []
    for source, by_ref in (("gmo", False), ("sbps", True)):
        gross = fees = number = 0
        for day in range(rnd.randint(1, 4)):
            for _ in range(rnd.randint(1, 4)):
                number += 1
                name, date = f"{source}{number}", days_after(DAY, day)
                amount = rnd.randint(100, 50_000) * (-1 if rnd.random() < 0.2 and gross > 60_000 else 1)
                fee = max(1, abs(amount) // 30)
                gross, fees = gross + amount, fees + fee
                ours = (f"post-{name}", f"cause-{name}", f"pay-{name}")
                theirs = ((ours[0],), (f"ref-{name}", ours[2]))[rnd.random() < 0.5]
                rows.append(ledger(name, "provider", ours, amount, date, source=source))
                rows += reported(
                    name, theirs, amount, fee, date, source=source, payout=f"po-{source}" if by_ref else "", named=True
                )
        if gross > fees:
            date, line = days_after(DAY, 9), f"line-{source}"
            net = gross - fees
            rows.append(ledger(f"po{source}", "settlement", (line, f"post-{line}"), net, date, source=source, fee=fees))
            rows.append(banked(f"po{source}", (line, f"po-{source}"), net, date))
    for number in range(rnd.randint(2, 6)):
        # Few amounts, so that references and dates have to decide; the first one is its own.
        amount, date = 1_000_000 + (rnd.randint(1, 9) if number else 0), days_after(DAY, rnd.randint(0, 9))
        by_line = rnd.random() < 0.5
        keys = (f"in-{number}", f"post-in-{number}") if by_line else (f"else-{number}", f"post-in-{number}")
        rows.append(ledger(f"in{number}", "bank", keys, amount, days_after(date, 0 if by_line else rnd.randint(0, 3))))
        rows.append(banked(f"in{number}", (f"in-{number}",), amount, date))
    outs = [rnd.randint(2_000_000, 3_000_000) for _ in range(rnd.randint(2, 5))]
    for number, amount in enumerate(outs):
        rows.append(ledger(f"out{number}", "bank", ("batch", f"post-out-{number}"), -amount, days_after(DAY, 5)))
    rows.append(banked("batch", ("batch",), -sum(outs), days_after(DAY, 5), named=True))
    rows.append(ledger("fee", "bank", ("fee-line", "post-fee"), -5_000_330, days_after(DAY, 6), fee=330))
    rows.append(banked("fee", ("fee-line",), -5_000_330, days_after(DAY, 6)))
    return rows


PLANTED = (
    "missing_in_ledger", "unknown_reference", "missing_at_provider", "missing_at_bank", "amount_differs", "fee_differs",
    "bank_fee_differs", "currency_differs", "duplicated", "duplicated_in_ledger", "payout_not_booked", "payout_not_at_bank",
)  # fmt: skip


def plant(rows: list[Row], what: str, rnd: random.Random) -> tuple[list[Row], set[tuple[str, frozenset[str]]]]:
    """Spoil a clean world in one way; return it with the types and rows of the exceptions that must come of it."""
    lines = [row for row in rows if row.leg == "bank" and row.id.startswith("b_in")]
    line = lines[0]
    report = rnd.choice([row for row in rows if row.leg == "provider" and row.side == "provider"])
    both = f"l_{report.id[2:]}"
    payout = next((row for row in rows if row.leg == "settlement" and row.side == "ledger"), None)
    match what:
        case "missing_in_ledger":
            return _without(rows, f"l_{line.id[2:]}"), {(T.MISSING_IN_LEDGER, frozenset({line.id}))}
        case "unknown_reference":
            return _without(rows, both), {(T.UNKNOWN_REFERENCE, frozenset({report.id}))}
        case "missing_at_provider":
            left = [row for row in rows if not (row.id == report.id and row.leg == "provider")]
            return left, {(T.MISSING_AT_PROVIDER, frozenset({both}))}
        case "missing_at_bank":
            return _without(rows, line.id), {(T.MISSING_AT_BANK, frozenset({f"l_{line.id[2:]}"}))}
        case "amount_differs":
            return _swap(rows, both, "provider", amount_minor=report.amount_minor + 1), {
                (T.AMOUNT_DIFFERS, frozenset({both, report.id}))
            }
        case "currency_differs":
            return _swap(rows, both, "provider", currency="USD"), {(T.CURRENCY_DIFFERS, frozenset({both, report.id}))}
        case "bank_fee_differs":
            return _swap(rows, "l_fee", "bank", amount_minor=-5_000_440, fee_minor=440), {
                (T.FEE_DIFFERS, frozenset({"l_fee", "b_fee"}))
            }
        case "duplicated":
            again = change(report, id=f"{report.id}x")
            return [*rows, again], {(T.DUPLICATED, frozenset({again.id}))}
        case "duplicated_in_ledger":
            mine = next(row for row in rows if row.id == both)
            return [*rows, change(mine, id=f"{mine.id}x")], {(T.DUPLICATED, frozenset({f"{mine.id}x"}))}
    if payout is None:
        return rows, set()
    bank = f"b_{payout.id[2:]}"
    group = {
        row.id for row in rows if row.leg == "settlement" and row.source == payout.source and row.side == "provider"
    }
    match what:
        case "fee_differs":
            spoilt = _swap(
                rows, payout.id, "settlement", amount_minor=payout.amount_minor + 5, fee_minor=payout.fee_minor - 5
            )
            return spoilt, {(T.FEE_DIFFERS, frozenset({payout.id, bank, *group}))}
        case "payout_not_booked":
            return _without(rows, payout.id), {(T.MISSING_IN_LEDGER, frozenset({bank, *group}))}
        case "payout_not_at_bank":
            return _without(rows, bank), {(T.MISSING_AT_BANK, frozenset({payout.id, *group}))}
    raise AssertionError(what)


def _without(rows: list[Row], row_id: str) -> list[Row]:
    return [row for row in rows if row.id != row_id]


def _swap(rows: list[Row], row_id: str, leg: str, **values: object) -> list[Row]:
    return [change(row, **values) if (row.id, row.leg) == (row_id, leg) else row for row in rows]
