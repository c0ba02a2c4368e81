import pytest
from tests.language.conformance import ROWS, Row
from tests.language.ground import CALLS_BACK, all_python, checked, connect, in_duckdb

from koban.language import FUNCTIONS, OPERATORS, Value, walk
from koban.language.catalogue import Function, Operator


def _calls_back(text: str) -> bool:
    return any(node.op in CALLS_BACK for node in walk(checked(text).root))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[1]} {row[2]}")
def test_python_gives_what_the_table_says(row: Row) -> None:
    _, text, given, value = row
    found = all_python(checked(text), given)
    assert found == value
    assert type(found) is type(value)


def _held_by_duckdb(rows: list[Row]) -> list[tuple[Row, Value]]:
    connection = connect()
    wrong: list[tuple[Row, Value]] = []
    for row in rows:
        _, text, given, value = row
        found = in_duckdb(connection, [checked(text)], [given])[0][0]
        if found != value or type(found) is not type(value):
            wrong.append((row, found))
    return wrong


def test_duckdb_gives_what_the_table_says() -> None:
    assert _held_by_duckdb([row for row in ROWS if not _calls_back(row[1])]) == []


def test_duckdb_gives_what_the_table_says_where_it_calls_back() -> None:
    assert _held_by_duckdb([row for row in ROWS if _calls_back(row[1])]) == []


@pytest.mark.parametrize("name", sorted({*FUNCTIONS, *OPERATORS}))
def test_every_operator_and_function_has_rows_with_and_without_null(name: str) -> None:
    values = [value for about, _, _, value in ROWS if about == name]
    assert any(value is not None for value in values)
    null_free = {"is_null", "is_not_null", "is_true", "is_false", "distinct", "not_distinct"}
    assert name in null_free or any(value is None for value in values)


def test_every_row_of_the_catalogue_is_described_in_both_languages() -> None:
    rows: list[Function | Operator] = [*FUNCTIONS.values(), *OPERATORS.values()]
    for each in rows:
        assert each.en.endswith(".")
        assert each.ja.endswith("。")
        assert each.signature


def test_the_table_names_only_what_exists() -> None:
    assert {about for about, *_ in ROWS} <= {*FUNCTIONS, *OPERATORS}
