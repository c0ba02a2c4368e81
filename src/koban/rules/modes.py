"""The modes in force, folded from log entries, in memory; and the verb that changes them."""

from collections.abc import Callable, Collection
from typing import Final, TypeAlias, TypeVar

from koban.base import DAY, Instant, Problem, limits
from koban.base.characters import says_something
from koban.db import Tx
from koban.packs import Mode, ModeName, RuleDef
from koban.rules import store
from koban.rules.logic import EVERYONE
from koban.rules.types import (
    ACCOUNT,
    BudgetTripped,
    ModeChange,
    ModeChanged,
    ModeInvalid,
    ReviewAllSwitched,
    RuleMissing,
    SnoozeSet,
)

Undo: TypeAlias = Callable[[], None]
K = TypeVar("K")
V = TypeVar("V")

REASON_CHARS_MAX: Final = 1_000
SUBJECT_CHARS_MAX: Final = 256


class LiveModes:
    """Which rules people set otherwise than the pack, which are mute for whom, whose budget is used up.

    What was set stays when another pack version is activated, until somebody sets it anew.
    Invariant: equal to folding `apply` over the log in order; the tables hold the same.
    """

    __slots__ = ("_set", "_snoozes", "_tripped", "review_all", "version")

    def __init__(self) -> None:
        """Start with every rule as its pack says."""
        self.review_all = False
        self.version = 0  # rises with each change of a rule's mode, and when one is taken back
        self._set: dict[str, Mode] = {}
        self._tripped: dict[str, int] = {}
        self._snoozes: dict[tuple[str, str, str], int] = {}

    def load(self, tx: Tx) -> None:
        """Read what holds from the tables."""
        rows = store.modes(tx)
        self.review_all = any(row.rule == store.ALL and row.mode == ModeName.REVIEW for row in rows)
        self._set = {
            row.rule: Mode(name=ModeName(row.mode), basis_points=row.basis_points)
            for row in rows
            if row.mode is not None and row.rule != store.ALL
        }
        self._tripped = {row.rule: row.tripped_seq for row in rows if row.tripped_seq is not None}
        self._snoozes = {(row.rule, row.kind, row.subject): int(row.until_at) for row in store.snoozes(tx)}

    def apply(self, seq: int, change: ModeChange) -> Undo:
        """Follow one log entry and return what takes it back; undo in reverse order."""
        match change:
            case ModeChanged():
                undo_set = _put(self._set, change.rule, change.mode)
                undo_trip = _put(self._tripped, change.rule, None)
                self.version += 1

                def undo_both() -> None:
                    undo_trip()
                    undo_set()
                    self.version += 1

                return undo_both
            case BudgetTripped():
                return _put(self._tripped, change.rule, seq)
            case SnoozeSet():
                until = None if change.until is None else int(change.until)
                return _put(self._snoozes, (change.rule, change.kind, change.subject), until)
            case ReviewAllSwitched():
                before = self.review_all
                self.review_all = change.on

                def undo_switch() -> None:
                    self.review_all = before

                return undo_switch

    def mode(self, rule: RuleDef) -> Mode:
        """Return the mode that a person set, or else the pack's."""
        return self._set.get(rule.name, rule.mode)

    def is_set(self, rule: str) -> bool:
        """Tell whether a person set the rule's mode, so that the pack's does not count."""
        return rule in self._set

    def tripped(self, rule: str) -> bool:
        """Tell whether the rule's budget is used up and nobody has decided yet."""
        return rule in self._tripped

    def has_snoozes(self) -> bool:
        """Tell whether any rule is, or was, mute for anything."""
        return bool(self._snoozes)

    def snoozed(self, rule: str, subject: str, at: int, kind: str = ACCOUNT) -> bool:
        """Tell whether the rule is mute for the subject."""
        return self._snoozes.get((rule, kind, subject), 0) > at


def _put(held: dict[K, V], key: K, value: V | None) -> Undo:
    before = held.pop(key, None)
    if value is not None:
        held[key] = value

    def undo() -> None:
        held.pop(key, None)
        if before is not None:
            held[key] = before

    return undo


def change_mode(
    tx: Tx, seq: int, at: Instant, change: ModeChange, *, rules: Collection[str], anew: bool = True
) -> None:
    """Write down a change of mode; `rules` are those of the active pack. The caller applies it to its `LiveModes`.

    `anew`: with a mode, the rule's budget begins anew.

    Refuses: RuleMissing, ModeInvalid.
    """
    if not isinstance(change, ReviewAllSwitched) and change.rule not in rules:
        raise RuleMissing(f"The active pack has no rule '{change.rule[:80]}'.")
    problems = tuple(_problems(at, change))
    if problems:
        raise ModeInvalid("Nothing was changed.", problems=problems)
    match change:
        case ModeChanged():
            mode = change.mode
            row = store.ModeRow(
                rule=change.rule,
                mode=None if mode is None else mode.name.value,
                basis_points=EVERYONE if mode is None else mode.basis_points,
                tripped_seq=None,
                changed_seq=seq,
                changed_at=at,
                changed_by=change.by,
                reason=change.reason,
                counts_from=at if anew else None,
            )
            store.save_mode(tx, row)
        case ReviewAllSwitched():
            row = store.ModeRow(
                rule=store.ALL,
                mode=ModeName.REVIEW.value if change.on else None,
                basis_points=EVERYONE,
                tripped_seq=None,
                changed_seq=seq,
                changed_at=at,
                changed_by=change.by,
                reason=change.reason,
            )
            store.save_mode(tx, row)
        case BudgetTripped():
            store.save_trip(tx, seq, at, change)
        case SnoozeSet():
            if change.until is None:
                store.delete_snooze(tx, change.rule, change.kind, change.subject)
                return
            snooze = store.SnoozeRow(
                rule=change.rule,
                kind=change.kind,
                subject=change.subject,
                until_at=change.until,
                set_seq=seq,
                set_by=change.by,
                reason=change.reason,
            )
            store.save_snooze(tx, snooze)


def _problems(at: Instant, change: ModeChange) -> list[Problem]:
    problems = []
    if not isinstance(change, BudgetTripped):
        if len(change.reason) > REASON_CHARS_MAX:
            problems.append(Problem(path="/reason", detail=f"At most {REASON_CHARS_MAX} characters."))
        if not says_something(change.reason):
            problems.append(Problem(path="/reason", detail="Say why, for whoever looks at it next."))
    if isinstance(change, ModeChanged) and change.mode is not None and not 0 < change.mode.basis_points <= EVERYONE:
        problems.append(Problem(path="/mode", detail="The share must be more than 0 % and at most 100 %."))
    if isinstance(change, SnoozeSet):
        if not 0 < len(change.subject) <= SUBJECT_CHARS_MAX:
            problems.append(Problem(path="/subject", detail=f"Between 1 and {SUBJECT_CHARS_MAX} characters."))
        elif change.until is not None and change.subject != change.subject.strip():  # pasted: it would spare nobody
            problems.append(
                Problem(path="/subject", detail="A value must not be empty, nor begin or end with a space.")
            )
        if change.until is not None and change.until <= at:
            problems.append(Problem(path="/until", detail="The end must lie in the future."))
        if change.until is not None and change.until > at + limits.SNOOZE_MAX:
            days = limits.SNOOZE_MAX // DAY
            problems.append(
                Problem(
                    path="/until",
                    detail=f"The end must lie at most {days} days ahead.",
                    hint="Put whom a rule never concerns into a list that it reads.",
                )
            )
    return problems
