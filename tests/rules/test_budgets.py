"""Budgets: exact against counting by hand, undone exactly, and loaded as they were."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from koban.base import HOUR, Instant
from koban.db import Database
from koban.rules import Budgets, BudgetTripped, ModeChanged, change_mode, forget_harm, save_harm

START = 1_768_446_000_000_000

_steps = st.lists(
    st.tuples(st.integers(1, HOUR), st.sampled_from(["r1", "r2"]), st.sampled_from(["a", "b", "c", "d"])), max_size=25
)


def harms_of(steps: list[tuple[int, str, str]]) -> list[tuple[str, str, int]]:
    at, out = START, []
    for by, rule, account in steps:
        at += by
        out.append((rule, account, at))
    return out


def by_hand(harms: list[tuple[str, str, int]], rule: str, at: int) -> int:
    return len({account for who, account, time in harms if who == rule and at - HOUR < time <= at})


@given(_steps, st.integers(0, HOUR))
def test_a_budget_counts_different_people_in_the_last_hour(steps: list[tuple[int, str, str]], later: int) -> None:
    budgets, harms = Budgets(), harms_of(steps)
    for index, (rule, account, at) in enumerate(harms):
        budgets.spend(rule, account, at)
        assert budgets.harmed(rule, at) == by_hand(harms[: index + 1], rule, at)
    end = (harms[-1][2] if harms else START) + later
    for rule in ("r1", "r2"):
        assert budgets.harmed(rule, end) == by_hand(harms, rule, end)


@given(_steps, st.integers(0, 25))
def test_undoing_in_reverse_order_gives_the_budget_before(steps: list[tuple[int, str, str]], kept: int) -> None:
    harms = harms_of(steps)
    whole, part = Budgets(), Budgets()
    undos = [whole.spend(*harm) for harm in harms]
    for undo in reversed(undos[kept:]):
        undo()
    for harm in harms[:kept]:
        part.spend(*harm)
    end = harms[kept - 1][2] if 0 < kept <= len(harms) else START
    for at in (end, end + HOUR // 2, end + HOUR):
        for rule in ("r1", "r2"):
            assert whole.harmed(rule, at) == part.harmed(rule, at)


@pytest.mark.parametrize("after", [0, HOUR // 2, HOUR])
def test_a_budget_is_loaded_as_it_was(database: Database, after: int) -> None:
    harms = harms_of([(HOUR // 4, "r1", account) for account in "abcacd"])
    budgets = Budgets()
    for harm in harms:
        budgets.spend(*harm)
    with database.write() as tx:
        save_harm(tx, [(seq, *harm) for seq, harm in enumerate(harms)])
    at = harms[-1][2] + after
    loaded = Budgets()
    with database.read() as tx:
        loaded.load(tx, at)
    assert loaded.harmed("r1", at) == budgets.harmed("r1", at) == by_hand(harms, "r1", at)


def test_a_budget_begins_anew_when_a_person_sets_the_mode_and_stays_so_after_a_restart(database: Database) -> None:
    harms = harms_of([(HOUR // 20, "r1", account) for account in "abcd"])
    budgets = Budgets()
    with database.write() as tx:
        for seq, (rule, account, at) in enumerate(harms):
            if seq == 2:
                tripped = BudgetTripped(rule="r1", harmed=2, cause_seq=1)
                change_mode(tx, 10, Instant(at - 2), tripped, rules=["r1"])
                live = ModeChanged(rule="r1", mode=None, by="staff_1", reason="seen")
                change_mode(tx, 11, Instant(at - 1), live, rules=["r1"])
                undo = budgets.restart("r1")
                undo()
                assert budgets.harmed("r1", at) == 2
                budgets.restart("r1")
            budgets.spend(rule, account, at)
            save_harm(tx, [(seq, rule, account, at)])
    loaded = Budgets()
    with database.read() as tx:
        loaded.load(tx, harms[3][2])
    assert loaded.harmed("r1", harms[3][2]) == budgets.harmed("r1", harms[3][2]) == 2


def test_a_trip_alone_forgets_nobody(database: Database) -> None:
    with database.write() as tx:
        save_harm(tx, [(1, "r1", "a", START)])
        change_mode(tx, 2, Instant(START + 1), BudgetTripped(rule="r1", harmed=1, cause_seq=1), rules=["r1"])
    loaded = Budgets()
    with database.read() as tx:
        loaded.load(tx, START + 2)
    assert loaded.harmed("r1", START + 2) == 1


def test_forgotten_rows_are_those_that_no_window_reaches(database: Database) -> None:
    harms = harms_of([(HOUR // 2, "r1", account) for account in "abcd"])
    with database.write() as tx:
        save_harm(tx, [(seq, *harm) for seq, harm in enumerate(harms)])
        forget_harm(tx, harms[1][2])
    loaded = Budgets()
    with database.read() as tx:
        loaded.load(tx, harms[3][2])
    assert loaded.harmed("r1", harms[3][2]) == 2
