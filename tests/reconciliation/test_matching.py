"""The matcher: nothing invented on clean data, everything planted found with its type, each row in one place."""

import os
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reconciliation.world import DAY, PLANTED, TODAY, banked, change, clean, ledger, plant, reported

from koban.reconciliation import ExceptionType, Found, Match, Outcome, Row, Terms, match_rows
from koban.reconciliation.logic import days_after

SEEDS = range(int(os.environ.get("KOBAN_RECONCILIATION_SEEDS", "12")))
T = ExceptionType


def run(rows: list[Row], today: str = TODAY, terms: Terms | None = None) -> Outcome:
    return match_rows(rows, today, terms or Terms())


def places(rows: list[Row], found: Outcome) -> Counter[tuple[str, str]]:
    """Count in how many matches and exceptions each row is; a line of the bank has one leg whatever it is compared for."""
    bank = {row.id for row in rows if row.side == "bank"}
    return Counter((row, "bank" if row in bank else each.leg) for each in _told(found) for row in each.rows)


def _told(found: Outcome) -> tuple[Match | Found, ...]:
    return (*found.matches, *found.exceptions)


def told(found: Outcome) -> set[tuple[str, frozenset[str]]]:
    return {(each.type, frozenset(each.rows)) for each in found.exceptions}


@pytest.mark.parametrize("seed", SEEDS)
def test_clean_sides_match_without_an_exception(seed: int) -> None:
    rows = clean(seed)
    found = run(rows)
    unpaid = {row.source for row in rows if row.side == "provider"} - {
        row.source for row in rows if row.side == "ledger" and row.leg == "settlement"
    }
    assert [each for each in found.exceptions if each.source not in unpaid] == []
    assert set(places(rows, found).values()) == {1}


@pytest.mark.parametrize("what", PLANTED)
@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_planted_is_found_and_typed_and_nothing_else(seed: int, what: str) -> None:
    rows = clean(seed)
    before = told(run(rows))
    spoilt, wanted = plant(rows, what, random.Random(seed))
    after = run(spoilt)
    assert told(after) - before == wanted, what
    assert places(spoilt, after) == Counter({(row.id, row.leg): 1 for row in spoilt})


@pytest.mark.parametrize("seed", SEEDS)
def test_the_order_of_rows_does_not_matter(seed: int) -> None:
    rnd = random.Random(seed)
    rows, _ = plant(clean(seed), rnd.choice(PLANTED), rnd)
    first = run(rows)
    rnd.shuffle(rows)
    second = run(rows)
    assert sorted(first.matches, key=lambda each: each.rows) == sorted(second.matches, key=lambda each: each.rows)
    assert first.exceptions == second.exceptions


_KEYS = st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), min_size=1, max_size=3, unique=True).map(tuple)
_AMOUNT = st.sampled_from([-200, -100, 100, 100, 200, 300])
_DAYS = st.integers(0, 6).map(lambda days: days_after(DAY, days))


@st.composite
def _chaos(draw: st.DrawFn) -> list[Row]:
    rows: list[Row] = []
    for number in range(draw(st.integers(0, 14))):
        name, keys, amount, day = str(number), draw(_KEYS), draw(_AMOUNT), draw(_DAYS)
        match draw(st.integers(0, 4)):
            case 0:
                rows.append(ledger(name, "provider", keys, amount, day, source=draw(st.sampled_from(["gmo", "x"]))))
            case 1:
                rows.append(ledger(name, "bank", keys, amount, day, fee=draw(st.integers(0, 20))))
            case 2:
                rows.append(
                    ledger(name, "settlement", keys, abs(amount), day, source="gmo", fee=draw(st.integers(0, 9)))
                )
            case 3:
                rows.append(banked(name, keys, amount, day, named=draw(st.booleans())))
            case _:
                fee, payout = draw(st.integers(0, 9)), draw(st.sampled_from(["", "a"]))
                rows += reported(
                    name, keys, amount, fee, day, source=draw(st.sampled_from(["gmo", "x"])), payout=payout,
                    named=draw(st.booleans()),
                )  # fmt: skip
    currencies = draw(st.lists(st.sampled_from(["JPY", "JPY", "USD"]), min_size=len(rows), max_size=len(rows)))
    return [change(row, currency=each) for row, each in zip(rows, currencies, strict=True)]


@settings(max_examples=150, deadline=None)
@given(_chaos(), st.randoms(use_true_random=False), st.integers(0, 60))
def test_every_row_is_in_exactly_one_place_whatever_the_sides_say(
    rows: list[Row], rnd: random.Random, later: int
) -> None:
    today = days_after(DAY, later)
    found = run(rows, today)
    assert places(rows, found) == Counter({(row.id, row.leg): 1 for row in rows})
    assert len({each.key for each in found.exceptions}) == len(found.exceptions)
    rnd.shuffle(rows)
    assert run(rows, today).exceptions == found.exceptions


def test_what_may_still_come_is_late_and_then_missing() -> None:
    row = ledger("a", "bank", ("x",), 100, DAY)
    for days, wanted in ((0, T.LATE), (3, T.LATE), (4, T.MISSING_AT_BANK)):
        (found,) = run([row], days_after(DAY, days)).exceptions
        assert found.type is wanted
    (report, settling) = reported("a", ("ref",), 100, 3, DAY, source="gmo", payout="", named=True)
    assert {each.type for each in run([report, settling], days_after(DAY, 2)).exceptions} == {T.LATE}
    found_later = {each.leg: each.type for each in run([report, settling], days_after(DAY, 30)).exceptions}
    assert found_later == {"provider": T.UNKNOWN_REFERENCE, "settlement": T.LATE}
    assert run([settling], days_after(DAY, 41)).exceptions[0].type is T.MISSING_AT_BANK


def test_a_known_payment_that_is_not_booked_is_missing_and_not_unknown() -> None:
    (report, _) = reported("a", ("ref", "pay"), 100, 3, DAY, source="gmo", payout="", named=True)
    assert match_rows([report], TODAY, Terms(), known={"pay"}).exceptions[0].type is T.MISSING_IN_LEDGER


def test_a_row_like_one_that_is_matched_already_is_a_duplicate() -> None:
    line = banked("a", ("x",), 100, DAY)
    seen = {("bank", "bank", "x", 100, "JPY")}
    assert match_rows([line], DAY, Terms(), seen=seen).exceptions[0].type is T.DUPLICATED


def test_dates_decide_where_only_the_amount_speaks() -> None:
    rows = [
        ledger("far", "bank", ("f",), 500, days_after(DAY, 3)),
        ledger("near", "bank", ("n",), 500, days_after(DAY, 1)),
        ledger("gone", "bank", ("g",), 500, days_after(DAY, 9)),
        banked("one", ("one",), 500, DAY),
        banked("two", ("two",), 500, DAY),
    ]
    found = run(rows)
    assert {each.rows for each in found.matches} == {("b_one", "l_near"), ("b_two", "l_far")}
    assert {each.found_by for each in found.matches} == {"amount_and_date"}
    assert told(found) == {(T.MISSING_AT_BANK, frozenset({"l_gone"}))}


def test_an_adjustment_brings_both_sides_together() -> None:
    wrong = [ledger("a", "provider", ("p", "pay"), 300, DAY, source="gmo"), *reported(
        "a", ("ref", "pay"), 280, 9, DAY, source="gmo", payout="", named=True
    )[:1]]  # fmt: skip
    (found,) = run(wrong).exceptions
    assert (found.type, found.amount_minor) == (T.AMOUNT_DIFFERS, 20)
    mended = run([*wrong, ledger("b", "provider", ("adjust", "pay"), -20, TODAY, source="gmo")])
    assert mended.exceptions == ()
    assert [each.found_by for each in mended.matches] == ["reference_sum"]
