"""The list of accounts: those that did something last, those under a measure, those whose id begins so."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from koban.base import Instant
from koban.db import Tx
from koban.finding import account_store, store
from koban.finding.entries import Span

BEGINNING_MAX: Final = 500  # accounts whose id begins as asked: more letters say the rest
SCAN_MAX: Final = 20_000  # entries of the log that one page of a screen walks back
VERDICTS_OF: Final = 200  # newest events of an account whose verdicts are counted
ANY: Final = "any"
_CHUNK: Final = 400  # SQLite takes 999 parameters in its oldest builds


class AccountsAsked(msgspec.Struct, frozen=True, kw_only=True):
    """Which accounts are wanted."""

    begins: str = ""  # their id
    effect: str | None = None  # of a sanction in force; `any` of them all
    policy: str | None = None  # under which a sanction is in force
    has_case: bool = False  # somebody has yet to judge what they did
    span: Span = Span()  # of the last thing they did


class AccountLine(msgspec.Struct, frozen=True, kw_only=True):
    """One account, as a list shows it."""

    id: str
    first_at: Instant | None  # what it did first and last; None: it was only named
    last_at: Instant | None
    effects: tuple[str, ...]  # of its sanctions in force
    open_cases: int
    verdicts: Mapping[str, int]  # of its newest events, VERDICTS_OF at most


class AccountsFound(msgspec.Struct, frozen=True, kw_only=True):
    """A page of accounts."""

    items: list[AccountLine]
    next_cursor: str | None
    is_cut: bool  # more ids begin so than are looked at


def list_accounts(
    tx: Tx, asked: AccountsAsked, *, cursor: str | None, limit: int, scan: int = SCAN_MAX
) -> AccountsFound:
    """Return accounts, those that did something last first."""
    after = _read_cursor(cursor)
    since, before = asked.span.seqs(tx, before_seq=None)
    is_cut, go_on = False, None
    if asked.effect is not None or asked.policy is not None:
        rows = account_store.in_force(
            tx, effect=None if asked.effect == ANY else asked.effect, policy=asked.policy, begins=asked.begins,
            has_case=asked.has_case, span=(since, before), after=after, limit=limit + 1,
        )  # fmt: skip
    elif asked.begins:
        ids = store.ids_like(tx, "account", asked.begins, limit=BEGINNING_MAX + 1)
        is_cut = len(ids) > BEGINNING_MAX
        rows = account_store.among(
            tx, ids[:BEGINNING_MAX], has_case=asked.has_case, span=(since, before), after=after, limit=limit + 1,
        )  # fmt: skip
    else:
        rows, go_on = account_store.last_active(
            tx, since_seq=since, before_seq=before if after is None else min(before, after[0]),
            has_case=asked.has_case, scan=scan, limit=limit + 1,
        )  # fmt: skip
    shown = rows[:limit]
    next_cursor = None
    if len(rows) > limit:
        next_cursor = _cursor(shown, after)
    elif go_on is not None:
        next_cursor = f"{go_on}.0"
    return AccountsFound(items=_lines(tx, shown), next_cursor=next_cursor, is_cut=is_cut)


def _lines(tx: Tx, rows: Sequence[tuple[str, int]]) -> list[AccountLine]:
    found: list[AccountLine] = []
    for start in range(0, len(rows), _CHUNK):
        some = rows[start : start + _CHUNK]
        ids = [account for account, _ in some]
        firsts = account_store.firsts_of(tx, ids)
        times = account_store.times_of(tx, sorted({*firsts.values(), *(last for _, last in some)}))
        effects = store.suspended_among(tx, ids)
        cases = account_store.open_cases_of(tx, ids)
        verdicts = account_store.verdicts_of(tx, ids, newest=VERDICTS_OF)
        found += [
            AccountLine(
                id=account, first_at=times.get(firsts.get(account, 0)), last_at=times.get(last),
                effects=effects.get(account, ()), open_cases=cases.get(account, 0),
                verdicts=verdicts[account],
            )
            for account, last in some
        ]  # fmt: skip
    return found


def _cursor(shown: Sequence[tuple[str, int]], after: account_store.Place | None) -> str:
    last = shown[-1][1]
    if last:
        return f"{last}.0"  # one account alone did it
    idle = sum(1 for _, each in shown if not each)
    return f"0.{idle + (after[1] if after is not None else 0)}"


def _read_cursor(cursor: str | None) -> account_store.Place | None:
    last, separator, passed = (cursor or "").partition(".")
    if not separator or not all(each.isascii() and each.isdigit() and len(each) <= 18 for each in (last, passed)):
        return None
    return int(last), int(passed)
