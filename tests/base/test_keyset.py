"""Cursors of lists: what was written is read, and what nobody wrote begins at the start."""

import pytest

from koban.base import keyset, keyset_of


@pytest.mark.parametrize(("number", "row_id"), [(0, ""), (17, "case_1"), (10**18 - 1, "a.b c"), (5, "注文")])
def test_a_cursor_is_read_as_it_was_written(number: int, row_id: str) -> None:
    assert keyset_of(keyset(number, row_id)) == (number, row_id)


@pytest.mark.parametrize("cursor", [None, "", ".", "x.y", "-1.a", "१.a", "²", "9" * 19 + ".a", "\0.a"])
def test_a_cursor_that_is_none_of_ours_begins_at_the_start(cursor: str | None) -> None:
    assert keyset_of(cursor) is None


def test_an_id_is_one_that_a_database_takes() -> None:
    assert keyset_of("7.a\0b") == (7, "ab")
