"""How people write an amount, and what is none: one function reads it for every form of money."""

import pytest

from koban.base import limits
from koban.console.filters import read_amount, read_number

MOST = limits.BOOK_LIMIT_MINOR_MAX


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1500", 1_500),
        ("1,500", 1_500),
        ("12,345,678", 12_345_678),
        ("１，５００", 1_500),
        ("１５００", 1_500),
        ("¥1,500", 1_500),
        ("￥1,500", 1_500),
        ("¥ 1,500", 1_500),
        ("1,500円", 1_500),
        ("　１，５００　円", 1_500),
        ("0", 0),
        ("007", 7),
        (f"{MOST}", MOST),
        (f"¥{MOST:,}", MOST),
        (f"{MOST + 1}", None),
        ("9" * 4_000, None),
        ("", None),
        ("¥", None),
        ("-1", None),
        ("−1", None),
        ("+1", None),
        ("1.5", None),
        ("1,50", None),
        ("1,5000", None),
        ("15,00,000", None),
        (",500", None),
        ("1,500,", None),
        ("1 500", None),
        ("1²", None),
        ("①", None),
        ("一五〇〇", None),
        ("٣", None),
        ("0x10", None),
        ("1_500", None),
        ("1e3", None),
        ("$15", None),
        ("¥¥1", None),
        ("1\0", None),
    ],
)
def test_a_number_is_read_as_it_is_written_or_not_at_all(text: str, number: int | None) -> None:
    assert read_number(text) == number
    assert read_amount(text) == (number or None)


@pytest.mark.parametrize(
    ("text", "number"), [("1,500", 1_500), ("１，５００", 1_500), ("¥1,500", None), ("1,500円", None)]
)
def test_the_sign_of_the_yen_is_no_sign_of_another_currency(text: str, number: int | None) -> None:
    assert read_number(text, "USD") == number
