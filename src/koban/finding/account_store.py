"""SQL of the list of accounts."""

import collections
from collections.abc import Mapping, Sequence
from typing import Any, Final

from koban.base import Instant
from koban.db import Tx
from koban.decisions import acts_store

Place = tuple[int, int]  # the last thing that the account before did; of those that did nothing, how many were shown
IN_FORCE_MAX: Final = 10_000  # newest sanctions that a filter by state looks at

# A subquery for each row, and no NOT EXISTS: PostgreSQL would turn that into a join over the whole log.
_NEWEST: Final = (
    f"{acts_store.last_indexed('d.acting')} = d.seq AND d.acting NOT IN (SELECT t.account FROM ({acts_store.TAIL}) t)"
)
_OPEN_CASE: Final = (
    "EXISTS (SELECT 1 FROM cases c WHERE c.acting_kind = 'account' AND c.acting_id = {name} AND c.status = 'open')"
)


def last_active(
    tx: Tx, *, since_seq: int, before_seq: int, has_case: bool, scan: int, limit: int
) -> tuple[list[tuple[str, int]], int | None]:
    """Return accounts with the last thing they did, the latest first, and where to go on if `scan` rows held too few.

    Why it walks the log backwards: nothing else knows whom the last hour was about, and a decision is the last about an
    account where neither the index nor the log after it has a later one.
    """
    upto = acts_store.indexed_upto(tx)
    found: list[Any] = []  # Any: rows of the driver
    if before_seq > upto + 1:
        case = f" AND {_OPEN_CASE.format(name='t.account')}" if has_case else ""
        found = tx.rows(
            f"SELECT t.account, t.last FROM ({acts_store.TAIL}) t WHERE t.last < ? AND t.last >= ?{case}"
            " ORDER BY t.last DESC LIMIT ?",
            (upto, before_seq, since_seq, limit),
        )
    begin = min(before_seq, upto + 1)
    rest = tx.rows(
        "SELECT seq FROM decisions WHERE seq < ? AND seq >= ? ORDER BY seq DESC LIMIT 1 OFFSET ?",
        (begin, since_seq, scan - 1),
    )
    walked_to = int(rest[0][0]) if rest else since_seq
    if len(found) < limit:
        case = f" AND {_OPEN_CASE.format(name='d.acting')}" if has_case else ""
        found += tx.rows(
            f"SELECT d.acting, d.seq FROM decisions d WHERE d.seq < ? AND d.seq >= ? AND d.acting IS NOT NULL AND {_NEWEST}"
            f"{case} ORDER BY d.seq DESC LIMIT ?",
            (begin, walked_to, upto, limit - len(found)),
        )
    is_over = len(found) == limit or not rest
    return [(str(row[0]), int(row[1])) for row in found], None if is_over else walked_to


def in_force(
    tx: Tx, *, effect: str | None, policy: str | None, begins: str, has_case: bool, span: tuple[int, int],
    after: Place | None, limit: int,
) -> list[tuple[str, int]]:  # fmt: skip
    """Return accounts under a sanction in force with the last thing they did (0: nothing), the latest first."""
    wanted = ["status = 'in_force'", "subject_kind = 'account'"]
    values: list[object] = []
    for name, value in (("effect", effect), ("policy", policy)):
        if value is not None:
            wanted.append(f"{name} = ?")
            values.append(value)
    newest = f"SELECT subject_id FROM sanctions WHERE {' AND '.join(wanted)} ORDER BY id DESC LIMIT ?"
    values.append(IN_FORCE_MAX)
    return _by_last(tx, f"SELECT DISTINCT subject_id AS account FROM ({newest}) s", values, begins=begins,
                    has_case=has_case, span=span, after=after, limit=limit)  # fmt: skip


def among(
    tx: Tx, accounts: Sequence[str], *, has_case: bool, span: tuple[int, int], after: Place | None, limit: int
) -> list[tuple[str, int]]:
    """Return some accounts in the same order."""
    if not accounts:
        return []
    marks = ", ".join(["(?)"] * len(accounts))
    given = f"WITH given (account) AS (VALUES {marks}) SELECT account FROM given"
    return _by_last(tx, given, accounts, begins="", has_case=has_case, span=span, after=after, limit=limit)


def _by_last(
    tx: Tx, candidates: str, values: Sequence[object], *, begins: str, has_case: bool, span: tuple[int, int],
    after: Place | None, limit: int,
) -> list[tuple[str, int]]:  # fmt: skip
    last = f"COALESCE(t.last, {acts_store.last_indexed('a.account')}, 0)"
    inner = (
        f"SELECT a.account AS account, {last} AS last FROM ({candidates}) a LEFT JOIN tail t ON t.account = a.account"
    )
    bound = [acts_store.indexed_upto(tx), *values]
    outer = ["last >= ?", "last < ?"]
    bound += span
    if begins:
        outer.append("substr(account, 1, ?) = ?")
        bound += [len(begins), begins]
    if has_case:
        outer.append(_OPEN_CASE.format(name="l.account"))
    passed = 0
    if after is not None:
        outer.append("last < ?" if after[0] else "last <= ?")
        bound.append(after[0])
        passed = after[1]
    rows = tx.rows(
        f"WITH tail AS ({acts_store.TAIL}) SELECT account, last FROM ({inner}) l WHERE {' AND '.join(outer)}"
        " ORDER BY last DESC, account LIMIT ? OFFSET ?",
        (*bound, limit, passed),
    )
    return [(str(row[0]), int(row[1])) for row in rows]


def firsts_of(tx: Tx, accounts: Sequence[str]) -> Mapping[str, int]:
    """Return the first thing that each of some accounts did, as a place in the log."""
    if not accounts:
        return {}
    marks = ", ".join(["(?)"] * len(accounts))
    rows = tx.rows(
        f"WITH tail AS ({acts_store.TAIL}), given (account) AS (VALUES {marks}) SELECT given.account,"
        f" COALESCE({acts_store.first_indexed('given.account')}, t.first) FROM given LEFT JOIN tail t ON t.account = given.account",
        (acts_store.indexed_upto(tx), *accounts),
    )
    return {str(row[0]): int(row[1]) for row in rows if row[1] is not None}


def verdicts_of(tx: Tx, accounts: Sequence[str], *, newest: int) -> Mapping[str, Mapping[str, int]]:
    """Return how the newest events of each of some accounts were decided; one that did nothing has no verdicts.

    Why all at once: what the index lacks is then walked once, however many accounts there are.
    """
    upto = acts_store.indexed_upto(tx)
    found: dict[str, collections.Counter[str]] = {account: collections.Counter() for account in accounts}
    tail = tx.among(
        "WITH bound (newest) AS (VALUES (?)) SELECT account, verdict, count(*) FROM ("
        "SELECT acting AS account, verdict, row_number() OVER (PARTITION BY acting ORDER BY seq DESC) AS place"
        " FROM decisions WHERE seq > ? AND acting IN (??)) d JOIN bound ON place <= newest GROUP BY account, verdict",
        accounts,
        (newest, upto),
    )
    for account, verdict, count in tail:
        found[str(account)][str(verdict)] += int(count)
    for account, counts in found.items():
        rows = tx.rows(
            "SELECT verdict, count(*) FROM (SELECT d.verdict FROM account_acts a CROSS JOIN decisions d"
            " WHERE a.account = ? AND d.seq = a.seq ORDER BY a.seq DESC LIMIT ?) d GROUP BY verdict",
            (account, newest - counts.total()),
        )
        counts.update({str(verdict): int(count) for verdict, count in rows})
    return found


def open_cases_of(tx: Tx, accounts: Sequence[str]) -> Mapping[str, int]:
    """Return how many open cases there are about what each of some accounts did."""
    rows = tx.among(
        "SELECT acting_id, count(*) FROM cases WHERE acting_kind = 'account' AND status = 'open'"
        " AND acting_id IN (??) GROUP BY acting_id",
        accounts,
    )
    return {str(row[0]): int(row[1]) for row in rows}


def times_of(tx: Tx, seqs: Sequence[int]) -> Mapping[int, Instant]:
    """Return the log time of some entries."""
    rows = tx.among("SELECT seq, log_at FROM log_entries WHERE seq IN (??)", seqs)
    return {int(row[0]): Instant(int(row[1])) for row in rows}
