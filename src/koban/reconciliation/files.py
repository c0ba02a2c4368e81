"""Reports of providers and lines of banks as CSV: from columns to rows, with errors that say line, column and what to do."""

import csv
import datetime
import hashlib
import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal

from koban.base import Problem
from koban.base.money import MINOR_DIGITS
from koban.reconciliation.types import Row, RowsUnreadable

if TYPE_CHECKING:
    import _csv

FileKind = Literal["provider", "bank"]

PROVIDER_KINDS: Final = ("capture", "refund", "payout", "payout_returned", "chargeback", "chargeback_won")
COLUMNS: Final[Mapping[FileKind, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "provider": (
        ("provider_ref", "kind", "amount", "currency", "booked_on"),
        ("fee", "payment", "reference", "payout"),
    ),
    "bank": (("id", "booked_on", "amount", "currency"), ("reference", "kind")),
}
RAISES: Final = frozenset({"capture", "payout_returned", "chargeback_won"})  # what the provider owes us
PROBLEMS_MAX: Final = 20
CELL_CHARS_MAX: Final = 128
ROWS_MAX: Final = 200_000


class _Wrong(Exception):
    """A cell that cannot be read: what is wrong, and what to do."""

    def __init__(self, detail: str, hint: str) -> None:
        super().__init__(detail)
        self.detail, self.hint = detail, hint


def read_file(kind: FileKind, source: str, raw: bytes) -> list[Row]:
    """Read a file whole or not at all. A row of a provider is compared twice: with the ledger, and with payouts.

    Refuses: RowsUnreadable, naming up to twenty places.
    """
    lines = _lines(raw)
    header = [each.strip() for each in next(lines, [])]
    needed, further = COLUMNS[kind]
    problems = _header_problems(header, needed, further)
    if problems:
        raise RowsUnreadable("The header does not fit.", problems=tuple(problems))
    seen: Counter[tuple[str, ...]] = Counter()
    found: list[Row] = []
    for cells in lines:
        if not any(each.strip() for each in cells):
            continue
        number = lines.line_num
        if len(cells) != len(header):
            detail = f"there are {len(cells)} cells, the header has {len(header)}"
            problems.append(Problem(path=f"line {number}", detail=detail, hint='put a cell with a comma into "…"'))
        else:
            named = dict(zip(header, (each.strip() for each in cells), strict=True))
            read = _provider_row if kind == "provider" else _bank_row
            found.extend(_read_line(named, source, seen, number=number, read=read, problems=problems))
        if len(problems) >= PROBLEMS_MAX or len(found) > 2 * ROWS_MAX:
            break
    if problems:
        raise RowsUnreadable("Nothing of the file was taken in.", problems=tuple(problems[:PROBLEMS_MAX]))
    if len(found) > 2 * ROWS_MAX:
        raise RowsUnreadable(f"A file has {ROWS_MAX:,} rows at most; cut it by days.")
    return found


def _lines(raw: bytes) -> "_csv.Reader":
    for encoding in ("utf-8-sig", "cp932"):
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        return csv.reader(io.StringIO(text.replace("\0", "\N{REPLACEMENT CHARACTER}"), newline=""))
    raise RowsUnreadable("The file is neither UTF-8 nor Shift_JIS.")


def _header_problems(header: Sequence[str], needed: Sequence[str], further: Sequence[str]) -> list[Problem]:
    known = ", ".join((*needed, *(f"{each} (may be left out)" for each in further)))
    problems = [
        Problem(path="line 1", detail=f"the column {each!r} is missing", hint=f"columns: {known}")
        for each in needed
        if each not in header
    ]
    problems += [
        Problem(path=f"line 1, column {each[:40]}", detail="is given twice", hint="keep one of them")
        for each, times in Counter(header).items()
        if times > 1
    ]
    problems += [
        Problem(path=f"line 1, column {each[:40]}", detail="is not known here", hint=f"take it out; columns: {known}")
        for each in header
        if each not in (*needed, *further)
    ]
    return problems[:PROBLEMS_MAX]


_Read = Callable[[Mapping[str, str], Callable[[str], "_Cell"], str, Counter[tuple[str, ...]]], list[Row]]


class _Cell:
    """One cell, read as what its column is."""

    def __init__(self, text: str) -> None:
        self.text = text

    def needed(self) -> str:
        if not self.text:
            raise _Wrong("is empty", "it is needed in every line")
        return self.words()

    def words(self) -> str:
        if len(self.text) > CELL_CHARS_MAX or not self.text.isprintable():
            raise _Wrong(f"{self.text[:20]!r} is no reference", f"{CELL_CHARS_MAX} printable characters at most")
        return self.text

    def one_of(self, words: Sequence[str]) -> str:
        if self.text not in words:
            raise _Wrong(f"{self.text[:20]!r} is not known", f"one of {', '.join(words)}")
        return self.text

    def currency(self) -> str:
        if self.text not in MINOR_DIGITS:
            raise _Wrong(f"{self.text[:20]!r} is no currency", "three capital letters, as in JPY")
        return self.text

    def date(self) -> str:
        try:
            found = datetime.date.fromisoformat(self.text.replace("/", "-")).isoformat()
        except ValueError:
            found = ""
        if len(self.text) != 10 or not found or not "1900" < found < "2900":
            raise _Wrong(f"{self.text[:20]!r} is no date", "as in 2026-10-31 or 2026/10/31")
        return found

    def amount(self, currency: str, *, signed: bool) -> int:
        digits = MINOR_DIGITS[currency]
        text = self.text.replace(",", "")
        sign, body = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
        whole, _, fraction = body.partition(".")
        fraction = fraction.ljust(digits, "0")
        hint = f"as in 1234{'.' + '50'.ljust(digits, '0')[:digits] if digits else ''}" + (
            " or -1234 for what went out" if signed else ", never below zero: the kind says which way it went"
        )
        good = whole.isascii() and whole.isdigit() and len(whole) <= 16 and len(fraction) == digits
        if not good or (fraction and not (fraction.isascii() and fraction.isdigit())) or (sign < 0 and not signed):
            raise _Wrong(f"{self.text[:20]!r} is no amount in {currency}", hint)
        unit: int = 10**digits
        return sign * (int(whole) * unit + (int(fraction) if fraction else 0))


def _read_line(
    named: Mapping[str, str],
    source: str,
    seen: Counter[tuple[str, ...]],
    *,
    number: int,
    read: _Read,
    problems: list[Problem],
) -> list[Row]:
    at = ""

    def cell(column: str) -> _Cell:
        nonlocal at
        at = column
        return _Cell(named.get(column, ""))

    try:
        return read(named, cell, source, seen)
    except _Wrong as wrong:
        problems.append(Problem(path=f"line {number}, column {at}", detail=wrong.detail, hint=wrong.hint))
        return []


def _provider_row(
    named: Mapping[str, str], cell: Callable[[str], _Cell], source: str, seen: Counter[tuple[str, ...]]
) -> list[Row]:
    currency = cell("currency").currency()
    fee = cell("fee").amount(currency, signed=False) if named.get("fee") else 0
    return provider_rows(
        source,
        provider_ref=cell("provider_ref").needed(),
        kind=cell("kind").one_of(PROVIDER_KINDS),
        amount_minor=cell("amount").amount(currency, signed=False),
        fee_minor=fee,
        currency=currency,
        booked_on=cell("booked_on").date(),
        posting=cell("reference").words(),
        payment=cell("payment").words(),
        payout=cell("payout").words(),
        seen=seen,
    )


def provider_rows(
    source: str,
    *,
    provider_ref: str,
    kind: str,
    amount_minor: int,
    fee_minor: int,
    currency: str,
    booked_on: str,
    posting: str,
    payment: str,
    payout: str,
    seen: Counter[tuple[str, ...]],
) -> list[Row]:
    """Make the two rows of one line of a provider's report."""
    content = (source, kind, provider_ref, str(amount_minor), str(fee_minor), currency, booked_on)
    signed = amount_minor if kind in RAISES else -amount_minor
    row = Row(
        id=_row_id("provider", content, seen),
        leg="provider",
        side="provider",
        source=source,
        kind=kind,
        keys=tuple(dict.fromkeys(each for each in (posting, provider_ref, payment) if each)),
        amount_minor=signed,
        currency=currency,
        booked_on=booked_on,
        named=bool(posting or payment),
    )
    return [row, settling(row, fee_minor, payout)]


def settling(row: Row, fee_minor: int, payout: str) -> Row:
    """Return the row as it is compared with payouts."""
    return Row(
        id=row.id,
        leg="settlement",
        side="provider",
        source=row.source,
        kind=row.kind,
        keys=row.keys,
        amount_minor=row.amount_minor,
        currency=row.currency,
        booked_on=row.booked_on,
        fee_minor=fee_minor,
        group=payout,
    )


def _bank_row(
    named: Mapping[str, str], cell: Callable[[str], _Cell], source: str, seen: Counter[tuple[str, ...]]
) -> list[Row]:
    del named
    currency = cell("currency").currency()
    return [
        bank_row(
            source,
            line=cell("id").needed(),
            kind=cell("kind").words() or "other",
            amount_minor=cell("amount").amount(currency, signed=True),
            currency=currency,
            booked_on=cell("booked_on").date(),
            reference=cell("reference").words(),
            bank_id="",
            seen=seen,
        )
    ]


def bank_row(
    source: str,
    *,
    line: str,
    kind: str,
    amount_minor: int,
    currency: str,
    booked_on: str,
    reference: str,
    bank_id: str,
    seen: Counter[tuple[str, ...]],
) -> Row:
    """Make the row of one line of a bank's statement."""
    content = (source, line, str(amount_minor), currency, booked_on)
    return Row(
        id=_row_id("bank", content, seen),
        leg="bank",
        side="bank",
        source=source,
        kind=kind,
        keys=tuple(dict.fromkeys(each for each in (line, bank_id, reference) if each)),
        amount_minor=amount_minor,
        currency=currency,
        booked_on=booked_on,
        named=amount_minor < 0 and bool(reference),
    )


def _row_id(side: str, content: tuple[str, ...], seen: Counter[tuple[str, ...]]) -> str:
    """Name a row by what it says, so that the same file twice is the same rows; what a file says twice is two."""
    seen[content] += 1
    digest = hashlib.sha256("\0".join((side, *content, str(seen[content]))).encode()).hexdigest()
    return f"{side[0]}_{digest[:24]}"
