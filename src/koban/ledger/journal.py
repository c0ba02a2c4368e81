"""The journal of the ledger for the company's own books: what was booked, by the company's accounts, as a file."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Literal

import msgspec

from koban.base import Refusal
from koban.base.money import MINOR_DIGITS
from koban.db import Tx
from koban.ledger import logic, period_store
from koban.ledger.types import Account, BookKind, JournalLine, Side, TrialLine

Layout = Literal["generic", "yayoi"]
Grain = Literal["day", "posting"]

TEXT_BYTES_MAX: Final = 64  # of a text in Yayoi's format: 32 full-width characters
VOUCHERS_MAX: Final = 999_999  # in Yayoi's format: six digits
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
# Characters that Unicode and Shift_JIS write differently.
_CP932: Final = str.maketrans({"\N{WAVE DASH}": "\uff5e", "\N{MINUS SIGN}": "\uff0d", "\N{EM DASH}": "\u2015"})


class JournalSpan(Refusal):
    """No span of dates."""

    code = "journal_span"
    status = 422
    title = "There is no such span of dates."


class JournalTooLong(Refusal):
    """More was booked than one answer holds."""

    code = "journal_too_long"
    status = 413
    title = "More was booked than one answer holds."


class JournalCurrency(Refusal):
    """The layout is for yen."""

    code = "journal_currency"
    status = 422
    title = "This layout is for yen only."


class JournalUnbalanced(AssertionError):
    """The file and the ledger differ: a bug of ours, found before the file is handed out. Always on (law 5)."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the journal: a debit and a credit of one amount. `voucher` counts what belongs together."""

    voucher: int
    booking_date: str
    debit: Account
    debit_sub: str
    credit: Account
    credit_sub: str
    amount_minor: int
    currency: str
    text: str
    posting: str
    order: str
    payment: str
    debit_code: str
    credit_code: str
    count: int


class Journal(msgspec.Struct, frozen=True, kw_only=True):
    """What was booked between two dates; `closed` where no more can be booked there."""

    first: str
    last: str
    closed: bool
    entries: tuple[Entry, ...]
    unmapped: tuple[str, ...]  # codes for which the pack names no account


def read_journal(
    tx: Tx,
    kinds: Mapping[str, BookKind],
    texts: Mapping[str, str],
    first: str,
    last: str,
    *,
    by: Grain,
    most: int | None,
) -> Journal:
    """Return the journal from one booking date to another, both included, checked against the ledger's own sums.

    `texts` says in words what each reason is; `most` bounds the lines.
    Refuses: JournalSpan, JournalTooLong.
    """
    if not logic.is_date(first) or not logic.is_date(last) or first > last:
        raise JournalSpan(f"{first[:20]!r} to {last[:20]!r} are no two dates YYYY-MM-DD, the earlier one first.")
    lines = _bounded(period_store.walk_journal(tx, first, last), most)
    entries = _by_day(lines, kinds, texts) if by == "day" else _by_posting(lines, kinds, texts)
    found = Journal(
        first=first,
        last=last,
        closed=last <= period_store.closed_through(tx),
        entries=tuple(entries),
        unmapped=tuple(sorted({code for each in entries for code in _codes(each) if _is_unmapped(kinds, code)})),
    )
    check_journal(found.entries, period_store.trial_lines(tx, first, last))
    return found


def check_journal(entries: Iterable[Entry], trial: Sequence[TrialLine]) -> None:
    """Hold that the journal moves every code by what the ledger says, summed up by another way.

    Raises JournalUnbalanced.
    """
    sums: dict[tuple[str, str], list[int]] = {}
    for each in entries:
        sums.setdefault((each.debit_code, each.currency), [0, 0])[0] += each.amount_minor
        sums.setdefault((each.credit_code, each.currency), [0, 0])[1] += each.amount_minor
    told = {
        (each.code, each.currency): [each.debits_minor, each.credits_minor]
        for each in trial
        if each.debits_minor or each.credits_minor
    }
    if sums != told:
        wrong = next(key for key in {**told, **sums} if told.get(key) != sums.get(key))
        raise JournalUnbalanced(f"{wrong}: the journal says {sums.get(wrong)}, the ledger {told.get(wrong)}")
    for currency in {key[1] for key in sums}:
        debits, credits_ = (sum(each[side] for key, each in sums.items() if key[1] == currency) for side in (0, 1))
        if debits != credits_:
            raise JournalUnbalanced(f"{currency}: debits {debits}, credits {credits_}")


def _bounded(lines: Iterable[JournalLine], most: int | None) -> list[JournalLine]:
    found = []
    for line in lines:
        found.append(line)
        if most is not None and len(found) > most:
            raise JournalTooLong(
                f"There are more than {most:,} lines: ask for fewer days, or use `koban ledger journal`, which has no bound."
            )
    return found


def _codes(entry: Entry) -> tuple[str, str]:
    return entry.debit_code, entry.credit_code


def _is_unmapped(kinds: Mapping[str, BookKind], code: str) -> bool:
    kind = kinds.get(code)
    return kind is None or kind.account is None


def account_of(kinds: Mapping[str, BookKind], code: str) -> Account:
    """Return the company's account of a code; where the pack names none, the code with its title."""
    kind = kinds.get(code)
    if kind is None:
        return Account(code=code, name=code)
    return kind.account or Account(code=code, name=kind.title.get("ja") or kind.title.get("en") or code)


def _sub(account: Account, owner: str | None) -> str:
    return owner or "" if account.by_owner else ""


def _by_posting(
    lines: Iterable[JournalLine], kinds: Mapping[str, BookKind], texts: Mapping[str, str]
) -> Iterable[Entry]:
    vouchers: dict[tuple[str, str], int] = {}
    found = []
    for line in lines:
        posting = line.transfer.rpartition(".")[0] or line.transfer
        voucher = vouchers.setdefault((line.booking_date, posting), len(vouchers) + 1)
        debit, credit = account_of(kinds, line.debit_code), account_of(kinds, line.credit_code)
        found.append(
            Entry(
                voucher=voucher,
                booking_date=line.booking_date,
                debit=debit,
                debit_sub=_sub(debit, line.debit_owner),
                credit=credit,
                credit_sub=_sub(credit, line.credit_owner),
                amount_minor=line.amount_minor,
                currency=line.currency,
                text=texts.get(line.reason, line.reason),
                posting=posting,
                order=line.order or "",
                payment=line.payment or "",
                debit_code=line.debit_code,
                credit_code=line.credit_code,
                count=1,
            )
        )
    return sorted(found, key=lambda each: (each.booking_date, each.voucher))


def _by_day(lines: Iterable[JournalLine], kinds: Mapping[str, BookKind], texts: Mapping[str, str]) -> Iterable[Entry]:
    """Sum up each day by what happened and by account: what a company's books want of ten thousand orders a day."""
    sums: dict[tuple[str, str, str, str, str, str, str], list[int]] = {}
    for line in lines:
        debit, credit = account_of(kinds, line.debit_code), account_of(kinds, line.credit_code)
        subs = (_sub(debit, line.debit_owner), _sub(credit, line.credit_owner))
        key = (line.booking_date, line.reason, line.debit_code, subs[0], line.credit_code, subs[1], line.currency)
        sum_ = sums.setdefault(key, [0, 0])
        sum_[0] += line.amount_minor
        sum_[1] += 1
    return [
        Entry(
            voucher=number,
            booking_date=day,
            debit=account_of(kinds, debit_code),
            debit_sub=debit_sub,
            credit=account_of(kinds, credit_code),
            credit_sub=credit_sub,
            amount_minor=amount,
            currency=currency,
            text=f"{texts.get(reason, reason)} ×{count}",
            posting=reason,
            order="",
            payment="",
            debit_code=debit_code,
            credit_code=credit_code,
            count=count,
        )
        for number, (
            (day, reason, debit_code, debit_sub, credit_code, credit_sub, currency),
            (amount, count),
        ) in enumerate(sorted(sums.items()), 1)
    ]


GENERIC_COLUMNS: Final = (
    "booking_date", "voucher", "line", "account_code", "account_name", "sub_account", "tax", "debit", "credit", "currency",
    "text", "posting", "order", "payment", "book_code",
)  # fmt: skip


def generic_csv(journal: Journal) -> bytes:
    """Write one row for each side of an entry, UTF-8; amounts in the currency's own unit (1234.50)."""
    rows: list[Sequence[str]] = [GENERIC_COLUMNS]
    numbers: dict[int, int] = {}
    for each in journal.entries:
        for side in ("debit", "credit"):
            numbers[each.voucher] = numbers.get(each.voucher, 0) + 1
            rows.append(_generic_row(each, "debit" if side == "debit" else "credit", numbers[each.voucher]))
    return b"\xef\xbb\xbf" + _csv(rows).encode()


def _generic_row(each: Entry, side: Side, line: int) -> tuple[str, ...]:
    is_debit = side == "debit"
    account = each.debit if is_debit else each.credit
    amount = in_units(each.amount_minor, each.currency)
    return (
        each.booking_date,
        str(each.voucher),
        str(line),
        _safe(account.code),
        _safe(account.name),
        _safe(each.debit_sub if is_debit else each.credit_sub),
        _safe(account.tax),
        amount if is_debit else "",
        "" if is_debit else amount,
        each.currency,
        _safe(each.text),
        each.posting,
        _safe(each.order),
        _safe(each.payment),
        each.debit_code if is_debit else each.credit_code,
    )


def yayoi_csv(journal: Journal) -> bytes:
    """Write the 25 columns in which 弥生会計 takes journals (仕訳データ), Shift_JIS.

    A posting of several transfers is one compound voucher: 2110, 2100 …, 2101; any other a line of its own: 2000.
    Refuses: JournalCurrency.
    """
    others = sorted({each.currency for each in journal.entries if each.currency != "JPY"})
    if others:
        raise JournalCurrency(f"There are entries in {', '.join(others)}; take the generic layout.")
    sizes: dict[int, int] = {}
    for each in journal.entries:
        sizes[each.voucher] = sizes.get(each.voucher, 0) + 1
    rows = []
    seen: dict[int, int] = {}
    for each in journal.entries:
        nth = seen[each.voucher] = seen.get(each.voucher, 0) + 1
        size = sizes[each.voucher]
        mark = "2000" if size == 1 else "2110" if nth == 1 else "2101" if nth == size else "2100"
        rows.append(_yayoi_row(each, mark))
    return _csv(rows).translate(_CP932).encode("cp932", errors="replace")


def _yayoi_row(each: Entry, mark: str) -> tuple[str, ...]:
    number = str((each.voucher - 1) % VOUCHERS_MAX + 1)
    amount = str(each.amount_minor)
    debit_tax, credit_tax = each.debit.tax or "対象外", each.credit.tax or "対象外"
    return (
        mark, number, "", each.booking_date.replace("-", "/"),
        each.debit.name, _safe(each.debit_sub), "", debit_tax, amount, "",
        each.credit.name, _safe(each.credit_sub), "", credit_tax, amount, "",
        _fitted(_safe(each.text)), "", "", "0", "", "", "0", "0", "no",
    )  # fmt: skip


def _fitted(text: str) -> str:
    """Cut a text to what the format takes, at a whole character."""
    written = text.translate(_CP932).encode("cp932", errors="replace")[:TEXT_BYTES_MAX]
    return written.decode("cp932", errors="ignore")


def in_units(amount_minor: int, currency: str) -> str:
    """Write an amount in the currency's own unit, with a point: 1234.50; minor units of a currency not known here."""
    digits = MINOR_DIGITS.get(currency, 0)
    if not digits:
        return str(amount_minor)
    whole, fraction = divmod(abs(amount_minor), 10**digits)
    return f"{'-' if amount_minor < 0 else ''}{whole}.{fraction:0{digits}d}"


LAYOUTS: Final[Mapping[Layout, tuple[Callable[[Journal], bytes], str]]] = {
    "generic": (generic_csv, "text/csv; charset=utf-8"),
    "yayoi": (yayoi_csv, "text/csv; charset=shift_jis"),
}


def file_name(journal: Journal, layout: Layout) -> str:
    """Name the file; an open period says so, since more may be booked there."""
    state = "" if journal.closed else "-open"
    return f"koban-journal-{journal.first}-{journal.last}{state}-{layout}.csv"


def _safe(text: str) -> str:
    """Keep a cell that somebody else filled from running as a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _csv(rows: Sequence[Sequence[str]]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="\r\n").writerows(rows)
    return written.getvalue()
