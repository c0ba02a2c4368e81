"""The matcher: rows of three sides in, matches and exceptions out. Pure; the order of the rows does not matter.

Passes, each over what the one before left: a provider's payouts (many rows, one line of the bank, one posting), exact
references, sums of a reference (one line of the bank for a batch), amount and date where no reference speaks.
"""

import datetime
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from koban.reconciliation.types import ExceptionType, Found, Leg, Match, Outcome, Pass, Row, Side, Terms

Seen = AbstractSet[
    tuple[str, str, str, int, str]
]  # leg, side, reference, amount, currency of rows that are matched already
_FEE_TIMES_MAX: Final = 10  # a difference up to ten times the booked fee is one of the fee


def match_rows(
    rows: Iterable[Row],
    today: str,
    terms: Terms,
    *,
    known: AbstractSet[str] = frozenset(),
    seen: Seen = frozenset(),
) -> Outcome:
    """Compare the open rows of all sides. `known` and `seen` speak for rows that are matched already."""
    work = _Work(today, terms, set(known), set(seen))
    ordered = sorted(rows, key=_place)
    for row in ordered:
        work.known.update(row.keys if row.side == "ledger" else ())
    by_leg: dict[Leg, list[Row]] = defaultdict(list)
    for row in ordered:
        by_leg[row.leg].append(row)
    claimed = _settle(work, by_leg["settlement"], by_leg["bank"])
    for source in sorted({row.source for row in by_leg["provider"]}):
        _pair(work, "provider", [row for row in by_leg["provider"] if row.source == source])
    _pair(work, "bank", [row for row in by_leg["bank"] if row.id not in claimed])
    return Outcome(matches=tuple(work.matches), exceptions=tuple(sorted(work.found, key=lambda each: each.key)))


def _place(row: Row) -> tuple[str, str]:
    return row.booked_on, row.id


def days_after(day: str, days: int) -> str:
    """Return a date some days later."""
    return (datetime.date.fromisoformat(day) + datetime.timedelta(days=days)).isoformat()


def _apart(one: Row, other: Row) -> int:
    first, second = datetime.date.fromisoformat(one.booked_on), datetime.date.fromisoformat(other.booked_on)
    return abs((first - second).days)


class _Work:
    """What one comparison has found so far."""

    def __init__(self, today: str, terms: Terms, known: set[str], seen: set[tuple[str, str, str, int, str]]) -> None:
        self.today, self.terms, self.known, self.seen = today, terms, known, seen
        self.matches: list[Match] = []
        self.found: list[Found] = []

    def match(self, leg: Leg, by: Pass, rows: Sequence[Row]) -> None:
        self.matches.append(Match(leg=leg, found_by=by, rows=tuple(sorted(row.id for row in rows))))
        for row in rows:
            self.seen.update((leg, row.side, key, row.amount_minor, row.currency) for key in row.keys)

    def fault(self, leg: Leg, kind: ExceptionType, rows: Sequence[Row], *, key: str = "") -> None:
        since = min(row.booked_on for row in rows)
        ours = sum(_net(row) for row in rows if row.side == "ledger")
        theirs = sum(_net(row) for row in rows if row.side == _other_side(leg, rows))
        first = min(rows, key=_place)
        late = since if kind is not ExceptionType.LATE else days_after(since, self.allowed(leg))
        self.found.append(
            Found(
                key=key or f"{leg}:{first.id}",
                type=kind,
                leg=leg,
                rows=tuple(sorted(row.id for row in rows)),
                source=next((row.source for row in rows if row.source), ""),
                amount_minor=ours - theirs,
                currency=first.currency,
                since=since,
                due=days_after(late, self.terms.act_days),
            )
        )

    def allowed(self, leg: Leg) -> int:
        if leg == "provider":
            return self.terms.provider_days
        return self.terms.bank_days if leg == "bank" else self.terms.settled_days

    def may_come(self, leg: Leg, day: str) -> bool:
        return days_after(day, self.allowed(leg)) >= self.today


def _other_side(leg: Leg, rows: Sequence[Row]) -> Side:
    if leg != "settlement":
        return leg
    return "bank" if any(row.side == "bank" for row in rows) else "provider"


def _net(row: Row) -> int:
    """Return what reaches the bank: of a provider's row in a payout the amount less its fee."""
    return row.amount_minor - row.fee_minor if row.leg == "settlement" and row.side == "provider" else row.amount_minor


# Payouts of providers: many rows of a report, one posting, one line of the bank.


def _settle(work: _Work, rows: Sequence[Row], bank: Sequence[Row]) -> set[str]:
    """Compare payouts; return the lines of the bank that belong to them."""
    lines = {row.id: row for row in bank if row.side == "bank"}
    by_key: dict[str, list[Row]] = defaultdict(list)
    for row in lines.values():
        for key in row.keys:
            by_key[key].append(row)
    claimed: set[str] = set()
    left = {row.id: row for row in rows if row.side == "provider"}
    for posting in (row for row in rows if row.side == "ledger"):
        line = next((each for key in posting.keys for each in by_key[key] if each.id not in claimed), None)
        refs = {*posting.keys, *(line.keys if line is not None else ())}
        group, by = _group(posting, list(left.values()), refs)
        if line is not None:
            claimed.add(line.id)
        for row in group:
            del left[row.id]
        _judge_payout(work, posting, line, group, by=by)
    booked = {key for row in bank if row.side == "ledger" for key in row.keys}
    for line in bank:
        if line.side != "bank" or line.id in claimed or line.amount_minor <= 0 or booked.intersection(line.keys):
            continue
        for source in sorted({row.source for row in left.values()}):
            mine = [row for row in left.values() if row.source == source]
            group = _group_for_line(line, mine)
            if group:
                claimed.add(line.id)
                for row in group:
                    del left[row.id]
                work.fault("settlement", ExceptionType.MISSING_IN_LEDGER, [line, *group])
                break
    _unsettled(work, left.values())
    return claimed


def _judge_payout(work: _Work, posting: Row, line: Row | None, group: Sequence[Row], *, by: Pass) -> None:
    kind = ExceptionType
    told = [posting, *([line] if line is not None else []), *group]
    if line is None:
        work.fault(
            "settlement", kind.LATE if _bank_may_come(work, posting) else kind.MISSING_AT_BANK, told,
            key=f"settlement:{posting.id}",
        )  # fmt: skip
        return
    net, fee = sum(map(_net, group)), sum(row.fee_minor for row in group)
    if line.currency != posting.currency:
        work.fault("settlement", kind.CURRENCY_DIFFERS, told)
    elif not group:
        wrong = kind.MISSING_AT_PROVIDER if line.amount_minor == posting.amount_minor else kind.AMOUNT_DIFFERS
        work.fault("settlement", wrong, told)
    elif (net, fee) == (posting.amount_minor, posting.fee_minor) and line.amount_minor == net:
        work.match("settlement", by, told)
    elif net + fee == posting.amount_minor + posting.fee_minor and fee != posting.fee_minor:
        work.fault("settlement", kind.FEE_DIFFERS, told)
    else:
        work.fault("settlement", kind.AMOUNT_DIFFERS, told)


def _bank_may_come(work: _Work, posting: Row) -> bool:
    return days_after(posting.booked_on, work.terms.bank_days) >= work.today


def _group(posting: Row, left: Sequence[Row], refs: AbstractSet[str]) -> tuple[list[Row], Pass]:
    """Return the rows of a report that a payout's posting is about."""
    mine = [row for row in left if row.source == posting.source and row.currency == posting.currency]
    named = [row for row in mine if row.group and row.group in refs]
    if named:
        return named, "settlement_reference"
    gross = posting.amount_minor + posting.fee_minor
    runs = list(_whole_days([row for row in mine if not row.group]))
    exact = next((run for run, total, fee in runs if (total, fee) == (gross, posting.fee_minor)), None)
    near = next((run for run, total, fee in runs if total == gross or total - fee == posting.amount_minor), None)
    return exact or near or [], "settlement_days"


def _group_for_line(line: Row, mine: Sequence[Row]) -> list[Row]:
    """Return the rows whose payout a line of the bank is, where no posting says so: by reference, or by the sum."""
    named = [row for row in mine if row.group and row.group in line.keys]
    if named:
        return named
    same = [row for row in mine if row.currency == line.currency and not row.group]
    return next((run for run, total, fee in _whole_days(same) if total - fee == line.amount_minor), [])


def _whole_days(rows: Sequence[Row]) -> Iterable[tuple[list[Row], int, int]]:
    """Yield the rows up to the end of each day, from the first unsettled one, with their sum and fees."""
    ordered = sorted(rows, key=_place)
    total = fee = 0
    for index, row in enumerate(ordered):
        total += row.amount_minor
        fee += row.fee_minor
        if index + 1 == len(ordered) or ordered[index + 1].booked_on != row.booked_on:
            yield ordered[: index + 1], total, fee


def _unsettled(work: _Work, left: Iterable[Row]) -> None:
    """Keep what no payout covers yet waiting for one, day by day."""
    days: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in left:
        days[row.source, row.currency, row.booked_on].append(row)
    for (source, currency, day), rows in sorted(days.items()):
        kind = ExceptionType.LATE if work.may_come("settlement", day) else ExceptionType.MISSING_AT_BANK
        work.fault("settlement", kind, rows, key=f"settlement:{source}:{currency}:{day}")


# Ledger against one other side.


def _pair(work: _Work, leg: Leg, rows: Sequence[Row]) -> None:
    ours = {row.id: row for row in rows if row.side == "ledger"}
    theirs = {row.id: row for row in rows if row.side != "ledger"}
    _by_reference(work, leg, ours, theirs)
    _by_sum(work, leg, ours, theirs)
    _by_amount(work, leg, ours, theirs)
    for row in theirs.values():
        work.fault(leg, _why_theirs(work, leg, row), [row])
    for row in ours.values():
        work.fault(leg, _why_ours(work, leg, row), [row])


def _index(rows: Mapping[str, Row]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for row in rows.values():
        for key in row.keys:
            found[key].append(row.id)
    return found


def _by_reference(work: _Work, leg: Leg, ours: dict[str, Row], theirs: dict[str, Row]) -> None:
    """One row each, with a reference in common and the same amount; the surest reference first."""
    index = _index(ours)
    for nth in range(max((len(row.keys) for row in theirs.values()), default=0)):
        for row in list(theirs.values()):
            if len(row.keys) <= nth:
                continue
            fits = [
                ours[each]
                for each in index.get(row.keys[nth], ())
                if each in ours and (ours[each].amount_minor, ours[each].currency) == (row.amount_minor, row.currency)
            ]
            if fits:
                mine = min(fits, key=lambda each: (_apart(each, row), each.id))
                del ours[mine.id], theirs[row.id]
                work.match(leg, "reference", [mine, row])


def _by_sum(work: _Work, leg: Leg, ours: dict[str, Row], theirs: dict[str, Row]) -> None:
    """All rows that references hold together: equal sums match, others differ."""
    for mine, other in _components(ours, theirs):
        told = [*mine, *other]
        for row in mine:
            del ours[row.id]
        for row in other:
            del theirs[row.id]
        currencies = {row.currency for row in told}
        difference = sum(row.amount_minor for row in mine) - sum(row.amount_minor for row in other)
        fees = sum(row.fee_minor for row in mine)
        if len(currencies) > 1:
            work.fault(leg, ExceptionType.CURRENCY_DIFFERS, told)
        elif difference == 0:
            work.match(leg, "reference_sum", told)
        elif leg == "bank" and fees and abs(difference) <= _FEE_TIMES_MAX * fees:
            work.fault(leg, ExceptionType.FEE_DIFFERS, told)
        else:
            work.fault(leg, ExceptionType.AMOUNT_DIFFERS, told)


def _components(ours: Mapping[str, Row], theirs: Mapping[str, Row]) -> list[tuple[list[Row], list[Row]]]:
    """Return the groups of rows of both sides that share references, directly or through others."""
    by_key = {"ours": _index(ours), "theirs": _index(theirs)}
    shared = by_key["ours"].keys() & by_key["theirs"].keys()
    done: set[str] = set()
    found = []
    for start in theirs.values():
        if start.id in done or not shared.intersection(start.keys):
            continue
        waiting = [start]
        mine: list[Row] = []
        other: list[Row] = []
        done.add(start.id)
        while waiting:
            row = waiting.pop()
            (mine if row.id in ours else other).append(row)
            for key in shared.intersection(row.keys):
                for each in (*by_key["ours"][key], *by_key["theirs"][key]):
                    if each not in done:
                        done.add(each)
                        waiting.append(ours[each] if each in ours else theirs[each])
        found.append((sorted(mine, key=_place), sorted(other, key=_place)))
    return found


def _by_amount(work: _Work, leg: Leg, ours: dict[str, Row], theirs: dict[str, Row]) -> None:
    """Where no reference speaks: the same amount within some days.

    Why in the order of dates, and not the nearest first: of rows that only differ by their date, as many as possible match.
    """
    waiting: dict[tuple[int, str], list[Row]] = defaultdict(list)
    for row in sorted(ours.values(), key=_place, reverse=True):
        if not _is_seen(work, leg, row):
            waiting[row.amount_minor, row.currency].append(row)
    for row in sorted(theirs.values(), key=_place):
        if row.named or _is_seen(work, leg, row):
            continue
        mine = waiting.get((row.amount_minor, row.currency), [])
        while mine and days_after(mine[-1].booked_on, work.terms.window_days) < row.booked_on:
            mine.pop()
        if mine and _apart(mine[-1], row) <= work.terms.window_days:
            del theirs[row.id], ours[mine[-1].id]
            work.match(leg, "amount_and_date", [mine.pop(), row])


def _is_seen(work: _Work, leg: Leg, row: Row) -> bool:
    return any((leg, row.side, key, row.amount_minor, row.currency) in work.seen for key in row.keys)


def _why_theirs(work: _Work, leg: Leg, row: Row) -> ExceptionType:
    if _is_seen(work, leg, row):
        return ExceptionType.DUPLICATED
    if work.may_come(leg, row.booked_on):
        return ExceptionType.LATE
    if row.named and not work.known.intersection(row.keys):
        return ExceptionType.UNKNOWN_REFERENCE
    return ExceptionType.MISSING_IN_LEDGER


def _why_ours(work: _Work, leg: Leg, row: Row) -> ExceptionType:
    if _is_seen(work, leg, row):
        return ExceptionType.DUPLICATED
    if work.may_come(leg, row.booked_on):
        return ExceptionType.LATE
    return ExceptionType.MISSING_AT_PROVIDER if leg == "provider" else ExceptionType.MISSING_AT_BANK
