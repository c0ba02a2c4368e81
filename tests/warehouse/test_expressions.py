"""Every dialect gives what the conformance table says, on a real engine where there is one, or refuses by name."""

import os

import pytest
import sqlglot
from hypothesis import HealthCheck, given, settings
from tests.language.conformance import ROWS
from tests.language.ground import FEATURES, NAMES, NOON, SCORE_KEYS, all_python, checked
from tests.language.test_same_everywhere import EXPRESSIONS
from tests.language.test_same_everywhere import ROWS as GIVEN
from tests.warehouse.engines import run, shown
from tests.warehouse.tables import filled

from koban.language import (
    DIALECTS,
    FUNCTIONS,
    OPERATORS,
    Dialect,
    LanguageErrors,
    NotInDialect,
    Type,
    Value,
    in_quotes,
    to_dialect,
)

COLUMNS = {**NAMES, **{name: info.type for name, info in FEATURES.items()}, "sent_1h@recipient.id": Type.INT}
COLUMNS |= dict.fromkeys(SCORE_KEYS, Type.DECIMAL)
EVERYWHERE = {
    *OPERATORS, "of", "score", "abs", "ceil", "coalesce", "days_between", "ends_with", "floor", "greatest", "hours_between",
    "least", "left", "length", "minute_of_day", "minutes_between", "minutes_of", "nullif", "position", "replace", "right",
    "round", "seconds_of", "sign", "starts_with", "substring", "hour_of_day", "day_of_week", "within_hours",
}  # fmt: skip
EVERYWHERE.discard("ilike")
SOMEWHERE = {"array_contains", "array_length"}  # where an array may be NULL


def _columns(dialect: Dialect) -> dict[str, str]:
    return {name: in_quotes(dialect, name) for name in (*COLUMNS, "time")}


def _sayable(dialect: Dialect) -> list[tuple[int, str]]:
    found = []
    for place, (_, text, _, _) in enumerate(ROWS):
        try:
            found.append((place, to_dialect(checked(text), _columns(dialect), dialect)))
        except NotInDialect:
            continue
    return found


def _answer(value: object, kind: Type) -> object:
    if isinstance(value, str) and value.startswith("error: "):
        return value
    return bool(value) if kind is Type.BOOL and value in (0, 1) else shown(value)


def test_engines_give_what_the_table_says(engine: str, postgres_url: str) -> None:
    dialect = DIALECTS[engine]
    said = _sayable(dialect)
    rows = [{"place": place, "time": NOON, **row} for place, (_, _, row, _) in enumerate(ROWS)]
    setup = filled(dialect, "given", {"place": Type.INT, "time": Type.TIMESTAMP, **COLUMNS}, rows)
    answers = run(
        engine, postgres_url, setup, [f"SELECT {sql} FROM given WHERE place = {place}" for place, sql in said]
    )
    found = {
        place: _answer(rows[0][0], checked(ROWS[place][1]).type) for (place, _), rows in zip(said, answers, strict=True)
    }
    assert {place: value for place, value in found.items() if value != ROWS[place][3]} == {}
    assert len(said) > 280


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_what_a_dialect_says_is_known_by_name(name: str) -> None:
    said = {ROWS[place][0] for place, _ in _sayable(DIALECTS[name])}
    assert said - SOMEWHERE == EVERYWHERE
    assert (said & SOMEWHERE == SOMEWHERE) is DIALECTS[name].arrays


@pytest.mark.parametrize("name", ["bigquery", "snowflake"])
def test_what_no_engine_here_runs_reads_as_that_dialect(name: str) -> None:
    for _, sql in _sayable(DIALECTS[name]):
        sqlglot.parse_one(f"SELECT {sql} FROM given", read=name)


@pytest.mark.parametrize("name", sorted(DIALECTS))
@pytest.mark.parametrize("function", sorted({*FUNCTIONS, *OPERATORS} - EVERYWHERE - SOMEWHERE))
def test_what_cannot_be_said_is_refused_by_name(name: str, function: str) -> None:
    texts = [text for about, text, _, _ in ROWS if about == function]
    assert texts, "the table of expressions has no row about it"
    for text in texts:
        with pytest.raises(NotInDialect) as refused:
            to_dialect(checked(text), _columns(DIALECTS[name]), DIALECTS[name])
        assert str(refused.value).startswith(f"{name} cannot say ")


def test_all_that_cannot_be_said_is_told_at_once() -> None:
    text = "mentions(s, 'lures') AND hour_of_day(time, 'America/New_York') = 3 AND a > 5"
    with pytest.raises(NotInDialect) as refused:
        to_dialect(checked(text), _columns(DIALECTS["spark"]), DIALECTS["spark"])
    assert str(refused.value) == (
        "spark cannot say mentions: it reads the text as Koban normalises it; hour_of_day(…, 'America/New_York'): "
        "its clocks change every year, and the engines have other tables."
    )


def test_arithmetic_that_would_grow_without_end_is_refused() -> None:
    text = "a" + " // b" * 35 + " > 0"
    with pytest.raises(NotInDialect, match="the text of the query would"):
        to_dialect(checked(text), _columns(DIALECTS["spark"]), DIALECTS["spark"])


def test_generated_expressions_give_the_same(engine: str, postgres_url: str) -> None:
    dialect = DIALECTS[engine]
    gathered: list[tuple[str, dict[str, Value], Value, str]] = []

    @settings(
        max_examples=int(os.environ.get("KOBAN_LAW_EXAMPLES", "150")),
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
        database=None,
    )
    @given(text=EXPRESSIONS, row=GIVEN)
    def gather(text: str, row: dict[str, Value]) -> None:
        try:
            expression = checked(text)
            sql = to_dialect(expression, _columns(dialect), dialect)
        except (LanguageErrors, NotInDialect):
            return
        gathered.append((text, row, all_python(expression, row), sql))

    gather()
    rows = [{"place": place, "time": NOON, **row} for place, (_, row, _, _) in enumerate(gathered)]
    setup = filled(dialect, "given", {"place": Type.INT, "time": Type.TIMESTAMP, **COLUMNS}, rows)
    asked = [f"SELECT {sql} FROM given WHERE place = {place}" for place, (*_, sql) in enumerate(gathered)]
    answers = run(engine, postgres_url, setup, asked)
    wrong = [
        (text, row, value, answer)
        for (text, row, value, _), rows_ in zip(gathered, answers, strict=True)
        if (answer := _answer(rows_[0][0], checked(text).type)) != value
    ]
    assert wrong == []
    assert len(gathered) > 20
