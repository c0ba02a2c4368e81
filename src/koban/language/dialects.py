"""What each SQL dialect calls the few things that Koban SQL is made of; `warehouse` writes whole expressions with them.

A row holds only what an engine does exactly as Koban does, or a refusal. `duckdb`, `postgres`, `clickhouse` and `spark` are
run against the conformance table; `bigquery` and `snowflake` are written after their manuals.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Final

from koban.language.types import DECIMAL_MAX, INT_MAX, INT_MIN, Type

Write = Callable[[str], str]
Write2 = Callable[[str, str], str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dialect:
    """One dialect. `fit_int` and `fit_decimal` narrow a wide number to its type, NULL where it does not fit."""

    name: str
    quote: str
    types: Mapping[Type, str]
    text: str  # the type that a number is cast to, to become text
    wide: str  # a whole-number type of 38 digits or more
    fit_int: Write
    fit_decimal: Write
    divide: Write2  # whole quotient of wide numbers towards zero; NULL for a NULL divisor
    remainder: Write2  # with the sign of the dividend
    matches: Write2  # text, pattern without its anchors
    to_wide: Write  # a text of digits as a wide number, NULL where it is too long
    to_decimal: Write  # a text of digits with a point as a scaled number
    starts: Write2
    ends: Write2
    length: str
    cut: str  # text, place from 1, length
    replace: str
    position: Write2  # text, part
    first_of: Write2  # aggregates: value, order
    last_of: Write2
    least: str = "least"
    greatest: str = "greatest"
    skips_null: bool = True  # least and greatest do
    collate: str = ""  # what makes text compare by code point
    backslash: bool = False  # a backslash in a constant must be doubled
    like_escapes: bool = False  # a backslash in a LIKE pattern must be doubled
    dots: str = "."  # what stands for a dot in the name of a column
    arrays: bool = True  # an array may be NULL
    array_contains: Write2 = lambda items, item: f"array_contains({items}, {item})"
    array_length: Write = lambda items: f"size({items})"
    ending: str = ""  # of a whole query


def _between(sql: str, low: int, high: int) -> str:
    return f"CASE WHEN {sql} BETWEEN {low} AND {high} THEN CAST({sql} AS BIGINT) END"


def _call(name: str) -> Write2:
    return lambda one, two: f"{name}({one}, {two})"


def _types(names: str) -> Mapping[Type, str]:
    boolean, whole, text, texts = names.split("; ")
    numbers = dict.fromkeys((Type.INT, Type.DECIMAL, Type.TIMESTAMP, Type.INTERVAL), whole)
    return {Type.BOOL: boolean, Type.TEXT: text, Type.TEXTS: texts, **numbers}


def _exact(narrow: Write) -> Write2:
    """Divide what a remainder was taken from, so that no digit is rounded.

    The dividend is narrowed first, for the engines divide with digits to spare; what does not fit gives no value that fits.
    """
    return lambda one, two: f"({narrow(f'({one} - {one} % nullif({two}, 0))')} / nullif({two}, 0))"


_POSTGRES_RANGE = "(SELECT CAST(v AS BIGINT) FROM (SELECT {sql} AS v) AS f WHERE v BETWEEN {low} AND {high})"
_CLICKHOUSE_RANGE = "accurateCastOrNull(arrayFirstOrNull(v -> v BETWEEN {low} AND {high}, [{sql}]), 'Int64')"
_BIGQUERY_RANGE = "(SELECT IF(v BETWEEN {low} AND {high}, CAST(v AS INT64), NULL) FROM UNNEST([{sql}]) AS v)"


def _in_range(template: str, low: int, high: int) -> Write:
    return lambda sql: template.format(sql=sql, low=low, high=high)


DUCKDB: Final = Dialect(
    name="duckdb",
    quote='"',
    types=_types("BOOLEAN; BIGINT; VARCHAR; VARCHAR[]"),
    text="VARCHAR",
    wide="HUGEINT",
    fit_int=lambda sql: f"TRY_CAST({sql} AS BIGINT)",
    fit_decimal=lambda sql: f"CAST(TRY_CAST({sql} AS DECIMAL(18, 0)) AS BIGINT)",
    divide=lambda one, two: f"({one} // nullif({two}, 0))",
    remainder=lambda one, two: f"({one} % nullif({two}, 0))",
    matches=lambda text, pattern: f"regexp_full_match({text}, '{pattern}')",
    to_wide=lambda text: f"TRY_CAST({text} AS HUGEINT)",
    to_decimal=lambda text: f"CAST(CAST(TRY_CAST({text} AS DECIMAL(18, 6)) AS DECIMAL(38, 6)) * 1000000 AS BIGINT)",
    starts=_call("starts_with"),
    ends=_call("ends_with"),
    length="length",
    cut="substring",
    replace="replace",
    position=_call("strpos"),
    first_of=_call("arg_min"),
    last_of=_call("arg_max"),
    array_contains=_call("list_contains"),
    array_length=lambda items: f"len({items})",
)
POSTGRES: Final = Dialect(
    name="postgres",
    quote='"',
    types=_types("BOOLEAN; BIGINT; TEXT; TEXT[]"),
    text="TEXT",
    wide="NUMERIC",
    fit_int=_in_range(_POSTGRES_RANGE, INT_MIN, INT_MAX),
    fit_decimal=_in_range(_POSTGRES_RANGE, -DECIMAL_MAX, DECIMAL_MAX),
    divide=lambda one, two: f"div({one}, nullif({two}, 0))",
    remainder=lambda one, two: f"({one} % nullif({two}, 0))",
    matches=lambda text, pattern: f"({text} ~ '^({pattern})$')",
    to_wide=lambda text: f"CAST({text} AS NUMERIC)",
    to_decimal=lambda text: f"CAST(CAST({text} AS NUMERIC) * 1000000 AS BIGINT)",
    starts=_call("starts_with"),
    ends=lambda text, part: f"(right({text}, length({part})) = {part})",
    length="length",
    cut="substring",
    replace="replace",
    position=_call("strpos"),
    first_of=lambda value, order: f"(array_agg({value} ORDER BY {order}))[1]",
    last_of=lambda value, order: f"(array_agg({value} ORDER BY {order} DESC))[1]",
    collate=' COLLATE "C"',
    like_escapes=True,
    array_contains=lambda items, item: f"(array_position({items}, {item}) IS NOT NULL)",
    array_length=lambda items: f"cardinality({items})",
)
CLICKHOUSE: Final = Dialect(
    name="clickhouse",
    quote="`",
    types=_types("Nullable(Bool); Nullable(Int64); Nullable(String); Array(String)"),
    text="Nullable(String)",
    wide="Nullable(Int256)",
    fit_int=lambda sql: f"accurateCastOrNull({sql}, 'Int64')",
    fit_decimal=_in_range(_CLICKHOUSE_RANGE, -DECIMAL_MAX, DECIMAL_MAX),
    divide=lambda one, two: f"intDivOrZero({one}, nullIf({two}, 0))",
    remainder=lambda one, two: f"moduloOrZero({one}, nullIf({two}, 0))",
    matches=lambda text, pattern: f"match({text}, '^({pattern})$')",
    to_wide=lambda text: f"toInt256OrNull({text})",
    to_decimal=lambda text: f"toInt64(toDecimal128OrNull({text}, 6) * 1000000)",
    starts=_call("startsWith"),
    ends=_call("endsWith"),
    length="lengthUTF8",
    cut="substringUTF8",
    replace="replaceAll",
    position=_call("positionUTF8"),
    first_of=_call("argMin"),
    last_of=_call("argMax"),
    skips_null=False,
    backslash=True,
    like_escapes=True,
    arrays=False,
    ending="\nSETTINGS join_use_nulls = 1",
)
SPARK: Final = Dialect(
    name="spark",
    quote="`",
    types=_types("BOOLEAN; BIGINT; STRING; ARRAY<STRING>"),
    text="STRING",
    wide="DECIMAL(38, 0)",
    fit_int=lambda sql: f"try_cast({sql} AS BIGINT)",
    fit_decimal=lambda sql: f"CAST(try_cast({sql} AS DECIMAL(18, 0)) AS BIGINT)",
    divide=_exact(lambda sql: f"try_cast({sql} AS DECIMAL(32, 0))"),
    remainder=lambda one, two: f"({one} % nullif({two}, 0))",
    matches=lambda text, pattern: f"({text} RLIKE '^({pattern})\\\\z')",
    to_wide=lambda text: f"try_cast({text} AS DECIMAL(38, 0))",
    to_decimal=lambda text: f"CAST(CAST(try_cast({text} AS DECIMAL(18, 6)) AS DECIMAL(38, 6)) * 1000000 AS BIGINT)",
    starts=_call("startswith"),
    ends=_call("endswith"),
    length="char_length",
    cut="substring",
    replace="replace",
    position=_call("instr"),
    first_of=_call("min_by"),
    last_of=_call("max_by"),
    backslash=True,
    like_escapes=True,
)
BIGQUERY: Final = Dialect(
    name="bigquery",
    quote="`",
    types=_types("BOOL; INT64; STRING; ARRAY<STRING>"),
    text="STRING",
    wide="BIGNUMERIC",
    fit_int=lambda sql: f"SAFE_CAST({sql} AS INT64)",
    fit_decimal=_in_range(_BIGQUERY_RANGE, -DECIMAL_MAX, DECIMAL_MAX),
    divide=lambda one, two: f"DIV({one}, NULLIF({two}, 0))",
    remainder=lambda one, two: f"MOD({one}, NULLIF({two}, 0))",
    matches=lambda text, pattern: f"REGEXP_CONTAINS({text}, r'^({pattern})$')",
    to_wide=lambda text: f"SAFE_CAST(LTRIM({text}, '+') AS BIGNUMERIC)",
    to_decimal=lambda text: f"CAST(SAFE_CAST(LTRIM({text}, '+') AS NUMERIC) * 1000000 AS INT64)",
    starts=_call("STARTS_WITH"),
    ends=_call("ENDS_WITH"),
    length="CHAR_LENGTH",
    cut="SUBSTR",
    replace="REPLACE",
    position=_call("STRPOS"),
    first_of=lambda value, order: f"ARRAY_AGG({value} ORDER BY {order} LIMIT 1)[OFFSET(0)]",
    last_of=lambda value, order: f"ARRAY_AGG({value} ORDER BY {order} DESC LIMIT 1)[OFFSET(0)]",
    skips_null=False,
    backslash=True,
    like_escapes=True,
    dots="__",
    arrays=False,
)
SNOWFLAKE: Final = Dialect(
    name="snowflake",
    quote='"',
    types=_types("BOOLEAN; NUMBER(19, 0); VARCHAR; ARRAY"),
    text="VARCHAR",
    wide="NUMBER(38, 0)",
    fit_int=lambda sql: f"CASE WHEN {sql} BETWEEN {INT_MIN} AND {INT_MAX} THEN {sql} END",
    fit_decimal=lambda sql: f"CASE WHEN {sql} BETWEEN {-DECIMAL_MAX} AND {DECIMAL_MAX} THEN {sql} END",
    divide=_exact(lambda sql: f"TRY_TO_NUMBER(TO_VARCHAR({sql}), 32, 0)"),
    remainder=lambda one, two: f"({one} % nullif({two}, 0))",
    matches=lambda text, pattern: f"REGEXP_LIKE({text}, '{pattern}')",
    to_wide=lambda text: f"TRY_TO_NUMBER({text}, 38, 0)",
    to_decimal=lambda text: f"TRY_TO_NUMBER({text}, 18, 6) * 1000000",
    starts=_call("STARTSWITH"),
    ends=_call("ENDSWITH"),
    length="LENGTH",
    cut="SUBSTR",
    replace="REPLACE",
    position=lambda text, part: f"POSITION({part}, {text})",
    first_of=_call("MIN_BY"),
    last_of=_call("MAX_BY"),
    least="LEAST_IGNORE_NULLS",
    greatest="GREATEST_IGNORE_NULLS",
    backslash=True,
    array_contains=lambda items, item: f"ARRAY_CONTAINS(CAST({item} AS VARIANT), {items})",
    array_length=lambda items: f"ARRAY_SIZE({items})",
)
DIALECTS: Final = {each.name: each for each in (BIGQUERY, CLICKHOUSE, DUCKDB, POSTGRES, SNOWFLAKE, SPARK)}
