"""Law 8: how many people each rule has harmed in the last hour of log time."""

from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from koban.base import limits
from koban.db import Tx
from koban.rules import store

Undo: TypeAlias = Callable[[], None]


class Budgets:
    """Distinct accounts harmed by each rule later than an hour ago.

    The person who uses a budget up is still acted upon, so that the decision that trips it is the same in a replay,
    which reads `budget.tripped` right behind it. So at most `cap_per_hour` people are harmed.
    Invariant: log time never falls from one `spend` to the next.
    """

    __slots__ = ("_rules",)

    def __init__(self) -> None:
        """Start with nobody harmed."""
        self._rules: dict[str, _Window] = {}

    def load(self, tx: Tx, at: int) -> None:
        """Read who was harmed in the hour before a log time."""
        self._rules = {}
        for rule, account, harmed_at in store.harm_since(tx, at - limits.HARM_WINDOW):
            self._rules.setdefault(rule, _Window()).add(account, harmed_at)

    def spend(self, rule: str, account: str, at: int) -> Undo:
        """Count one harmed account and return what takes it back; undo in reverse order."""
        return self._rules.setdefault(rule, _Window()).add(account, at)

    def restart(self, rule: str) -> Undo:
        """Count anew from here: a person has set the rule's mode, and so taken on what it did until now.

        Without this a rule that was switched on again after a trip would trip at the next person. Under a severe policy
        two people take it on, so that one alone cannot give the budget again and again.
        """
        before = self._rules.pop(rule, None)

        def undo() -> None:
            self._rules.pop(rule, None)
            if before is not None:
                self._rules[rule] = before

        return undo

    def acted(self, rule: str, at: int) -> int:
        """Return how often the rule acted against anybody in the hour up to a log time."""
        window = self._rules.get(rule)
        return 0 if window is None else window.actions(at)

    def harmed(self, rule: str, at: int) -> int:
        """Return how many different accounts the rule harmed in the hour up to a log time."""
        window = self._rules.get(rule)
        return 0 if window is None else window.count(at)


class _Window:
    """Who was harmed when, the oldest first; `_last` holds each account's newest time."""

    __slots__ = ("_last", "_times")

    def __init__(self) -> None:
        self._times: deque[tuple[int, str]] = deque()
        self._last: dict[str, int] = {}

    def count(self, at: int) -> int:
        """Count without forgetting, so that reading never needs an undo; what `add` has dropped was older still."""
        since = at - limits.HARM_WINDOW
        if not self._times or self._times[0][0] > since:
            return len(self._last)
        return sum(1 for last in self._last.values() if last > since)

    def actions(self, at: int) -> int:
        since = at - limits.HARM_WINDOW
        return sum(1 for time, _ in self._times if time > since)

    def add(self, account: str, at: int) -> Undo:
        dropped = self._drop(at - limits.HARM_WINDOW)
        before = self._last.get(account)
        self._times.append((at, account))
        self._last[account] = at

        def undo() -> None:
            self._times.pop()
            if before is None:
                del self._last[account]
            else:
                self._last[account] = before
            for time, who in reversed(dropped):
                self._times.appendleft((time, who))
                self._last.setdefault(who, time)

        return undo

    def _drop(self, until: int) -> list[tuple[int, str]]:
        dropped = []
        while self._times and self._times[0][0] <= until:
            time, account = self._times.popleft()
            dropped.append((time, account))
            if self._last.get(account) == time:
                del self._last[account]
        return dropped
