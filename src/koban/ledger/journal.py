"""The journal of the ledger for the company's own books: what was booked, by the company's accounts, as a file."""

import contextlib
import csv
import io
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from koban.base import Refusal
from koban.base.money import MINOR_DIGITS
from koban.db import Tx
from koban.ledger import logic, period_store
from koban.ledger.store import read_head
from koban.ledger.types import Account, BookKind, JournalLine, Side, TrialLine

Layout = Literal["generic", "yayoi"]
Grain = Literal["day", "posting"]
Sums: TypeAlias = dict[tuple[str, str], list[int]]  # (code, currency) -> debits, credits

TEXT_BYTES_MAX: Final = 64  # of a text in Yayoi's format: 32 full-width characters
ROWS_OF_A_PART: Final = 5_000
PAGE: Final = 2_000  # transfers read at once
VOUCHERS_MAX: Final = 999_999  # in Yayoi's format: six digits
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
# Characters that Unicode and Shift_JIS write differently.
_CP932: Final = str.maketrans({"\N{WAVE DASH}": "\uff5e", "\N{MINUS SIGN}": "\uff0d", "\N{EM DASH}": "\u2015"})


class JournalSpan(Refusal):
    """No span of dates."""

    code = "journal_span"
    status = 422
    title = "There is no such span of dates."


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
    """What was booked between two dates, as one look at the log found it; `closed` where no more can be booked there."""

    first: str
    last: str
    by: Grain
    closed: bool
    upto: int  # the log's end at that look
    count: int  # entries
    unmapped: tuple[str, ...]  # codes for which the pack names no account
    currencies: tuple[str, ...]


Read = Callable[[], contextlib.AbstractContextManager[Tx]]


def survey_journal(read: Read, kinds: Mapping[str, BookKind], first: str, last: str, *, by: Grain) -> Journal:
    """Look at everything that a journal will hold, and check it against the ledger's own sums, before any of it is out.

    Refuses: JournalSpan.
    """
    if not logic.is_date(first) or not logic.is_date(last) or first > last:
        raise JournalSpan(f"{first[:20]!r} to {last[:20]!r} are no two dates YYYY-MM-DD, the earlier one first.")
    with read() as tx:
        upto, closed = read_head(tx).position, last <= period_store.closed_through(tx)
    journal = Journal(first=first, last=last, by=by, closed=closed, upto=upto, count=0, unmapped=(), currencies=())
    with read() as tx:
        trial = period_store.trial_lines(tx, first, last, upto=upto)
    sums, count = check_journal(walk_entries(read, kinds, {}, journal), trial)
    return msgspec.structs.replace(
        journal,
        count=count,
        unmapped=tuple(sorted({code for code, _ in sums if _is_unmapped(kinds, code)})),
        currencies=tuple(sorted({currency for _, currency in sums})),
    )


def walk_entries(
    read: Read, kinds: Mapping[str, BookKind], texts: Mapping[str, str], journal: Journal, *, page: int = PAGE
) -> Iterator[Entry]:
    """Yield a journal's entries by booking date, a page of the log in memory; `texts` says what each reason is."""
    lines = _walk(read, journal, page)
    return _by_day(lines, kinds, texts) if journal.by == "day" else _by_posting(lines, kinds, texts)


def _walk(read: Read, journal: Journal, size: int) -> Iterator[JournalLine]:
    after = (journal.first, -1)
    while True:
        with read() as tx:
            page = period_store.journal_page(tx, journal.last, after=after, upto=journal.upto, limit=size)
        yield from page
        if not page:
            return
        after = (page[-1].booking_date, page[-1].position)


def check_journal(entries: Iterable[Entry], trial: Sequence[TrialLine]) -> tuple[Sums, int]:
    """Hold that a journal moves every code by what the ledger says, summed up by another way.

    Returns the sums, and how many entries there are. Raises JournalUnbalanced.
    """
    sums: Sums = {}
    count = 0
    for each in entries:
        sums.setdefault((each.debit_code, each.currency), [0, 0])[0] += each.amount_minor
        sums.setdefault((each.credit_code, each.currency), [0, 0])[1] += each.amount_minor
        count += 1
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
    return sums, count


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
) -> Iterator[Entry]:
    """Give each posting a voucher: its transfers follow each other in the log."""
    voucher, last = 0, ("", "")
    for line in lines:
        posting = line.transfer.rpartition(".")[0] or line.transfer
        if (line.booking_date, posting) != last:
            voucher, last = voucher + 1, (line.booking_date, posting)
        debit, credit = account_of(kinds, line.debit_code), account_of(kinds, line.credit_code)
        yield Entry(
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


def _by_day(lines: Iterable[JournalLine], kinds: Mapping[str, BookKind], texts: Mapping[str, str]) -> Iterator[Entry]:
    """Sum up each day by what happened and by account: what a company's books want of ten thousand orders a day."""
    voucher = 0
    for day, of_day in itertools.groupby(lines, key=lambda each: each.booking_date):
        sums: dict[tuple[str, str, str, str, str, str], list[int]] = {}
        for line in of_day:
            debit, credit = account_of(kinds, line.debit_code), account_of(kinds, line.credit_code)
            subs = (_sub(debit, line.debit_owner), _sub(credit, line.credit_owner))
            key = (line.reason, line.debit_code, subs[0], line.credit_code, subs[1], line.currency)
            sum_ = sums.setdefault(key, [0, 0])
            sum_[0] += line.amount_minor
            sum_[1] += 1
        for (reason, debit_code, debit_sub, credit_code, credit_sub, currency), (amount, count) in sorted(sums.items()):
            voucher += 1
            yield Entry(
                voucher=voucher,
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


GENERIC_COLUMNS: Final = (
    "booking_date", "voucher", "line", "account_code", "account_name", "sub_account", "tax", "debit", "credit", "currency",
    "text", "posting", "order", "payment", "book_code",
)  # fmt: skip


def generic_csv(entries: Iterable[Entry]) -> Iterator[bytes]:
    """Write one row for each side of an entry, UTF-8; amounts in the currency's own unit (1234.50)."""
    yield b"\xef\xbb\xbf"
    yield from (part.encode() for part in _csv(_generic_rows(entries)))


def _generic_rows(entries: Iterable[Entry]) -> Iterator[Sequence[str]]:
    yield GENERIC_COLUMNS
    for _, of_voucher in itertools.groupby(entries, key=lambda each: each.voucher):
        for number, each in enumerate(of_voucher):
            yield _generic_row(each, "debit", 2 * number + 1)
            yield _generic_row(each, "credit", 2 * number + 2)


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


def yayoi_csv(entries: Iterable[Entry]) -> Iterator[bytes]:
    """Write the 25 columns in which 弥生会計 takes journals (仕訳データ), Shift_JIS; for yen alone.

    A posting of several transfers is one compound voucher: 2110, 2100 …, 2101; any other a line of its own: 2000.
    """
    for part in _csv(_yayoi_rows(entries)):
        yield part.translate(_CP932).encode("cp932", errors="replace")


def _yayoi_rows(entries: Iterable[Entry]) -> Iterator[Sequence[str]]:
    for _, of_voucher in itertools.groupby(entries, key=lambda each: each.voucher):
        whole = list(of_voucher)
        for nth, each in enumerate(whole, 1):
            mark = "2000" if len(whole) == 1 else "2110" if nth == 1 else "2101" if nth == len(whole) else "2100"
            yield _yayoi_row(each, mark)


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


LAYOUTS: Final[Mapping[Layout, tuple[Callable[[Iterable[Entry]], Iterator[bytes]], str]]] = {
    "generic": (generic_csv, "text/csv; charset=utf-8"),
    "yayoi": (yayoi_csv, "text/csv; charset=shift_jis"),
}


def check_layout(journal: Journal, layout: Layout) -> None:
    """Make sure that a journal can be written so. Refuses: JournalCurrency."""
    others = [each for each in journal.currencies if each != "JPY"]
    if layout == "yayoi" and others:
        raise JournalCurrency(f"There are entries in {', '.join(others)}; take the generic layout.")


def file_name(journal: Journal, layout: Layout) -> str:
    """Name the file; an open period says so, since more may be booked there."""
    state = "" if journal.closed else "-open"
    return f"koban-journal-{journal.first}-{journal.last}{state}-{layout}.csv"


def _safe(text: str) -> str:
    """Keep a cell that somebody else filled from running as a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _csv(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Write rows, some thousands in each part."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\r\n")
    for number, row in enumerate(rows, 1):
        writer.writerow(row)
        if number % ROWS_OF_A_PART == 0:
            yield written.getvalue()
            written.seek(0)
            written.truncate()
    yield written.getvalue()
