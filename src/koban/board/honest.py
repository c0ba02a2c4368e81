"""Honest people whom rules touched: by a label, a case closed as honest, or a sanction overturned."""

from collections.abc import Callable, Mapping
from typing import Final

from koban.base import DAY, Instant
from koban.board import store
from koban.db import Tx

HONEST_FOR: Final = DAY  # how far back people who turned out honest are looked for
HONEST_CASES_MAX: Final = 5_000


class ActedOn:
    """The accounts that each rule acted on, kept in memory so that a look reads only what is new in the log.

    About 100 bytes for each rule and account of a day. Not safe to use from several threads at once.
    """

    def __init__(self) -> None:
        """Know nothing yet: the first look reads all that it is asked for."""
        self._seen: dict[str, dict[str, int]] = {}  # rule, account -> newest place in the log
        self._next_seq = 0

    def honest(self, tx: Tx, since_seq: int, is_honest: Callable[[str], bool]) -> dict[str, set[str]]:
        """Return by rule the honest accounts that it acted on since a place in the log, which only moves on."""
        newest = store.newest_signal(tx)
        for rule, account, seq in store.acted_on(tx, since_seq=max(since_seq, self._next_seq)):
            self._seen.setdefault(rule, {})[account] = seq
        self._next_seq = max(self._next_seq, newest + 1)
        self._seen = {
            rule: kept
            for rule, people in self._seen.items()
            if (kept := {account: seq for account, seq in people.items() if seq >= since_seq})
        }
        found = {rule: {account for account in people if is_honest(account)} for rule, people in self._seen.items()}
        return {rule: people for rule, people in found.items() if people}


def honest_touched(
    tx: Tx, at: Instant, since_seq: int, is_honest: Callable[[str], bool], acted_on: ActedOn
) -> Mapping[str, int]:  # fmt: skip
    """Return how many honest people each rule touched: by a label, a case closed as honest, or a sanction overturned."""
    touched = acted_on.honest(tx, since_seq, is_honest)
    for rule, person in store.judged_honest(tx, since_at=Instant(at - HONEST_FOR), limit=HONEST_CASES_MAX):
        touched.setdefault(rule, set()).add(person)
    for rule, person in store.overturned(tx, since_seq=since_seq, limit=HONEST_CASES_MAX):
        touched.setdefault(rule, set()).add(person)
    return {rule: len(people) for rule, people in touched.items()}
