"""Modes: tables and entries give the same view; what cannot be set is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from koban.base import Instant, limits
from koban.db import Database
from koban.packs import Mode, ModeName
from koban.rules import (
    BudgetTripped,
    LiveModes,
    ModeChange,
    ModeChanged,
    ModeInvalid,
    ReviewAllSwitched,
    RuleMissing,
    SnoozeSet,
    change_mode,
)

AT = Instant(1_768_446_000_000_000)
RULES = ("r1", "r2")
TENTH = Mode(name=ModeName.LIVE, basis_points=1_000)


def view(modes: LiveModes) -> tuple[object, ...]:
    return (modes.review_all, modes._set, modes._tripped, modes._snoozes)


def changed(mode: Mode | None, rule: str = "r1", reason: str = "because") -> ModeChanged:
    return ModeChanged(rule=rule, mode=mode, by="staff_1", reason=reason)


def snoozed(until: int | None, account: str = "acct_1", rule: str = "r1") -> SnoozeSet:
    end = None if until is None else Instant(until)
    return SnoozeSet(rule=rule, subject=account, until=end, by="staff_1", reason="because")


_rules = st.sampled_from(RULES)
_changes = st.one_of(
    st.builds(changed, st.none() | st.sampled_from([TENTH, Mode(name=ModeName.OFF)]), _rules),
    st.builds(lambda on: ReviewAllSwitched(on=on, by="staff_1", reason="because"), st.booleans()),
    st.builds(snoozed, st.none() | st.integers(AT + 1, AT + 9), st.sampled_from(["a", "b"]), _rules),
    st.builds(lambda rule: BudgetTripped(rule=rule, harmed=9, cause_seq=3), _rules),
)


@given(st.lists(_changes, max_size=12), st.integers(0, 12))
def test_undoing_in_reverse_order_gives_the_modes_before(changes: list[ModeChange], kept: int) -> None:
    whole, part = LiveModes(), LiveModes()
    undos = [whole.apply(seq, change) for seq, change in enumerate(changes)]
    for undo in reversed(undos[kept:]):
        undo()
    for seq, change in enumerate(changes[:kept]):
        part.apply(seq, change)
    assert view(whole) == view(part)


def test_the_tables_give_the_same_view_as_the_entries(database: Database) -> None:
    changes: list[ModeChange] = [
        changed(TENTH),
        BudgetTripped(rule="r1", harmed=9, cause_seq=1),
        BudgetTripped(rule="r2", harmed=9, cause_seq=1),
        changed(Mode(name=ModeName.OFF), "r2"),
        changed(None, "r2"),
        snoozed(AT + 50),
        snoozed(AT + 60),
        snoozed(AT + 50, "acct_2"),
        snoozed(None, "acct_2"),
        ReviewAllSwitched(on=True, by="staff_1", reason="because"),
    ]
    live, loaded = LiveModes(), LiveModes()
    for seq, change in enumerate(changes):
        with database.write() as tx:
            change_mode(tx, seq, AT, change, rules=RULES)
        live.apply(seq, change)
        with database.read() as tx:
            loaded.load(tx)
        assert view(loaded) == view(live)
    assert view(live) == (True, {"r1": TENTH}, {"r1": 1}, {("r1", "account", "acct_1"): AT + 60})


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (changed(TENTH, "r9"), RuleMissing),
        (changed(TENTH, reason=" "), ModeInvalid),
        (changed(Mode(name=ModeName.LIVE, basis_points=0)), ModeInvalid),
        (snoozed(AT), ModeInvalid),
        (snoozed(AT + limits.SNOOZE_MAX + 1), ModeInvalid),
        (changed(TENTH, reason="\u200b\u2060"), ModeInvalid),
        (snoozed(AT + 1, ""), ModeInvalid),
        (snoozed(AT + 1, "acct_1\u3000"), ModeInvalid),
        (ReviewAllSwitched(on=True, by="staff_1", reason=""), ModeInvalid),
    ],
)
def test_a_change_that_cannot_be_used_is_refused_and_changes_nothing(
    database: Database, change: ModeChange, refusal: type[Exception]
) -> None:
    with database.write() as tx, pytest.raises(refusal):
        change_mode(tx, 1, AT, change, rules=RULES)
    loaded = LiveModes()
    with database.read() as tx:
        loaded.load(tx)
    assert view(loaded) == view(LiveModes())
