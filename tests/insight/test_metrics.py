"""Shares with honest intervals, and the split that keeps copies together."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from koban.insight import is_test, measure, wilson


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [
        # R. G. Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17 (1998), table I.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_intervals(hits: int, of: int, low: float, high: float) -> None:
    share = wilson(hits, of)
    assert share.value == hits / of
    assert share.low == pytest.approx(low, abs=5e-5)
    assert share.high == pytest.approx(high, abs=5e-5)


def test_nothing_to_divide_by_gives_no_share() -> None:
    share = wilson(0, 0)
    assert (share.value, share.low, share.high) == (None, None, None)


@given(st.integers(1, 5_000).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_a_share_lies_in_its_interval_and_the_interval_in_zero_to_one(pair: tuple[int, int]) -> None:
    share = wilson(*pair)
    assert share.low is not None
    assert share.value is not None
    assert share.high is not None
    assert 0 <= share.low <= share.value + 1e-12
    assert share.value - 1e-12 <= share.high <= 1


def test_measure_divides_by_what_each_share_is_of() -> None:
    measured = measure("lure", true=8, false=2, unknown=3, harmful=16, honest=40)
    assert measured.flagged == 13
    assert measured.precision.value == 0.8  # rows without a label say nothing about precision
    assert measured.recall.value == 0.5
    assert measured.false_alarms.value == 0.05


@given(st.text())
def test_copies_of_a_text_fall_on_one_side(text: str) -> None:
    assert is_test(text.upper().lower()) == is_test(text.upper())


@pytest.mark.parametrize("text", ["abc", "こんにちは", "b", "n", "123"])
def test_a_row_is_test_when_the_digest_begins_with_d_e_or_f(text: str) -> None:
    assert is_test(text) == (hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[0] in "def")


def test_full_width_copies_fall_where_their_plain_form_does() -> None:
    assert is_test("Ｂ") is True
    assert is_test("b") is True


def test_about_three_sixteenths_are_test() -> None:
    share = sum(is_test(f"text {number}") for number in range(4_000)) / 4_000
    assert 0.17 < share < 0.205
