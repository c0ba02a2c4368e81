"""SQL of the list of accounts."""

from collections.abc import Mapping, Sequence
from typing import Final

from koban.base import Instant
from koban.db import Tx

Place = tuple[int, int]  # the last thing that the account before did; of those that did nothing, how many were shown
IN_FORCE_MAX: Final = 10_000  # newest sanctions that a filter by state looks at

# A subquery for each row, and no NOT EXISTS: PostgreSQL would turn that into a join over the whole log.
_NEWEST: Final = "(SELECT max(n.seq) FROM decisions n WHERE n.acting = d.acting) = d.seq"
_OPEN_CASE: Final = (
    "EXISTS (SELECT 1 FROM cases c WHERE c.acting_kind = 'account' AND c.acting_id = {name} AND c.status = 'open')"
)


def last_active(
    tx: Tx, *, since_seq: int, before_seq: int, has_case: bool, scan: int, limit: int
) -> tuple[list[tuple[str, int]], int | None]:
    """Return accounts with the last thing they did, the latest first, and where to go on if `scan` rows held too few.

    Why it walks the log backwards: nothing else knows whom the last hour was about, and a row is an account's last one
    where its index has no later one.
    """
    walked = (
        "SELECT seq, acting FROM decisions WHERE acting IS NOT NULL AND seq < ? AND seq >= ? ORDER BY seq DESC LIMIT ?"
    )
    wanted = f"{_NEWEST} AND {_OPEN_CASE.format(name='d.acting')}" if has_case else _NEWEST
    rows = tx.rows(
        f"SELECT d.acting, d.seq FROM ({walked}) d WHERE {wanted} ORDER BY d.seq DESC LIMIT ?",
        (before_seq, since_seq, scan, limit),
    )
    found = [(str(row[0]), int(row[1])) for row in rows]
    if len(found) == limit:
        return found, None
    walked_rows, walked_to = tx.rows(f"SELECT count(*), min(seq) FROM ({walked}) d", (before_seq, since_seq, scan))[0]
    return found, int(walked_to) if int(walked_rows) == scan else None


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
    last = "COALESCE((SELECT max(d.seq) FROM decisions d WHERE d.acting = a.account), 0)"
    inner, bound = f"SELECT a.account AS account, {last} AS last FROM ({candidates}) a", list(values)
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
        f"SELECT account, last FROM ({inner}) l WHERE {' AND '.join(outer)} ORDER BY last DESC, account LIMIT ? OFFSET ?",
        (*bound, limit, passed),
    )
    return [(str(row[0]), int(row[1])) for row in rows]


def firsts_of(tx: Tx, accounts: Sequence[str]) -> Mapping[str, int]:
    """Return the first thing that each of some accounts did, as a place in the log."""
    if not accounts:
        return {}
    marks = ", ".join(["(?)"] * len(accounts))
    rows = tx.rows(
        f"WITH given (account) AS (VALUES {marks})"
        " SELECT account, (SELECT min(d.seq) FROM decisions d WHERE d.acting = given.account) FROM given",
        tuple(accounts),
    )
    return {str(row[0]): int(row[1]) for row in rows if row[1] is not None}


def verdicts_of(tx: Tx, account: str, *, newest: int) -> Mapping[str, int]:
    """Return how the newest events of an account were decided."""
    rows = tx.rows(
        "SELECT verdict, count(*) FROM (SELECT verdict FROM decisions WHERE acting = ? ORDER BY seq DESC LIMIT ?) d"
        " GROUP BY verdict",
        (account, newest),
    )
    return {str(row[0]): int(row[1]) for row in rows}


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
