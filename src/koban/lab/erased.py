"""Who was erased, where the past is read: features forget whoever is erased, and so must everything that says what they hold.

An erased person's events stay, without what was personal; who comes back under the same account is new to features. A
decision before the erasure read everything before it, one after it only what came since.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final

import duckdb

from koban.base import Instant
from koban.features import FeatureStore, archive_relation, members_of
from koban.lab.types import Log
from koban.packs import PackDef
from koban.vault import erased_since

ACCOUNT: Final = "account"
Erased = tuple[int, str]  # log time and account


def erasures_of(log: Log, accounts: Iterable[str]) -> list[Erased]:
    """Return when those of some accounts were erased who ever were, the oldest first."""
    times: dict[str, list[int]] = {}
    for pseudonym, at in erased_since(log.tx, Instant(0)):
        times.setdefault(pseudonym, []).append(at)
    if not times:
        return []
    return sorted((at, one) for one in accounts for at in times.get(log.vault.pseudonym("person", one), ()))


def erasures_in(log: Log, connection: duckdb.DuckDBPyConnection, pack: PackDef, kinds: Collection[str]) -> list[Erased]:
    """Return the erasures of accounts that events of some types name both before and after an erasure."""
    found = erased_since(log.tx, Instant(0))
    if not found or not kinds:
        return []
    named = [
        f'SELECT "{path}" AS account, log_at FROM {archive_relation(name)}'
        for name in sorted(kinds)
        for path, role in pack.events[name].subjects.items()
        if role.kind == ACCOUNT
    ]
    if not named:
        return []
    first, last = min(at for _, at in found), max(at for _, at in found)
    rows = connection.execute(
        f"SELECT account FROM ({' UNION ALL '.join(named)}) WHERE account IS NOT NULL GROUP BY account"
        f" HAVING min(log_at) <= {int(last)} AND max(log_at) > {int(first)}"
    ).fetchall()
    return erasures_of(log, (str(account) for (account,) in rows))


class Forgetting:
    """Makes features forget who was erased, as they did live, while the past is gone through."""

    def __init__(self, erased: Sequence[Erased]) -> None:
        """Begin before the first event."""
        self._erased = erased
        self._next = 0

    def before(self, features: FeatureStore, at: int) -> None:
        """Forget whoever was erased before an event; events are asked in the order of the log."""
        while self._next < len(self._erased) and self._erased[self._next][0] < at:
            features.forget()  # what was applied so far is final: only then a subject is erased
            features.erase(None, ACCOUNT, self._erased[self._next][1])
            self._next += 1


def erased_last(log: Log, kind: str, subject: str, at: int) -> int:
    """Return the log time up to which features forgot a subject, or one of a pair, as of a moment; -1: nothing of it."""
    accounts = [one for its_kind, one in members_of(kind, subject) if its_kind == ACCOUNT]
    return max((moment for moment, _ in erasures_of(log, accounts) if moment < at), default=-1)
