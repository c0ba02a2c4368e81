"""Law 2 for odd values: each function over what nobody means to send gives the same in Python, in the trace and in DuckDB.

Texts that do not fold, sort, split or convert as one expects; moments around daylight saving, leap days and the ends of
time; numbers at the edges of their types. KOBAN_LAW_EXAMPLES draws more rows.
"""

import datetime
import os
import random
from collections.abc import Sequence
from typing import Final, TypeVar

from tests.language.ground import ENV, NOON, all_python, checked, connect, in_duckdb

from koban.language import Value, compile_value

ROWS: Final = max(12, int(os.environ.get("KOBAN_LAW_EXAMPLES", "12")))
SECOND: Final = 1_000_000
V = TypeVar("V")


def at(written: str) -> int:
    return int(datetime.datetime.fromisoformat(written).timestamp()) * SECOND


TEXTS: Final = (
    # letters that change their number when folded, combine, or are drawn from right to left
    *("İ", "i\u0307", "ı", "ß", "ẞ", "ﬀ", "ǆ", "ς", "Σ", "ΑΣ", "é", "e\u0301", "\u1112\u1161\u11ab", "カﾞ", "ガ", "𝐀𝐛", "Ⅷ", "ﷺ"),
    *("👨\u200d👩\u200d👧", "🇯🇵", "👍🏽", "שלום abc", "abc\u202eDEF", "\u200bab", "\ufdfa", "\U0010ffff", "\ufffd"),
    # white space of every kind, and what patterns take for signs
    *("", " ", "\n", "a\nb", "ab\u2028c", "\x85x\x85", "\u3000x\u3000", "\x0bx\x0c", "\x1cx\x1f", "\ufeffx", "\u180ex"),
    *("a%b", "a_b", "100%", "[x]", "(a|b)*", "\\", "\\d", "'", '"', ",", ",,", "ab,cd,,e", "a" * 300, "Aa" * 30),
    # numbers and truth values, almost
    *("１２", "٣", "12 ", "+12", "--1", "1e3", "0x10", "1_000", "0012", "-0", "9223372036854775808", "-9223372036854775808"),
    *("1.", ".5", "1.0000005", "1.9999999", "999999999999.999999", "1000000000000", "-0.0000001", "NaN", "-Infinity"),
    *("TRUE", "t", "yes", "False", " true", "JPY", "usd"),
    # documents
    *('{"a": 1e400}', '{"a": NaN}', '{"a": 1, "a": 2}', '{"a": 9223372036854775808}', '{"a": 1.0}', '{"a": -0.0}'),
    *('{"a": 0.1234567}', '{"a": "\\ud83d"}', '{"a": "\\u0000"}', '{"a": [1, [2]]}', "[1,2", '{"a": null}', '"x"', "5"),
    *("[" * 50 + "]" * 50, '{"a": {"b": [10, 20]}}', '["\\udc00", "b"]', '{"a": 1}x', '{"a": 12345678901234567890.5}'),
)  # fmt: skip
MOMENTS: Final = (
    *(0, -1, 1, 2**63 - 1, -(2**63), -62_135_596_800 * SECOND, 253_402_300_800 * SECOND),
    *map(
        at,
        (
            "2026-03-08T06:59:59+00:00", "2026-03-08T07:00:00+00:00", "2026-11-01T05:30:00+00:00",
            "2026-11-01T06:30:00+00:00", "2026-04-04T15:15:00+00:00", "2026-10-03T15:35:00+00:00",
            "2024-02-29T12:00:00+00:00", "2024-02-29T15:00:00+00:00", "2000-02-29T00:00:00+00:00",
            "1900-02-28T12:00:00+00:00", "1948-05-01T15:00:00+00:00", "2011-12-30T10:00:00+00:00",
            "2024-12-31T15:00:00+00:00", "2400-02-29T01:00:00+00:00", "9999-12-31T23:59:59+00:00",
        ),
    ),
)  # fmt: skip
INTS: Final = (0, 1, -1, 2, -3, 7, 20, 21, 2**31, 2**53 + 1, 10**18, 2**63 - 1, -(2**63), -(2**63) + 1)
DECIMALS: Final = (
    *(0, 1, -1, 499_999, 500_000, -500_001, 1_500_000, -2_500_000, 35_689_487, 139_691_706, 90_000_000),
    *(-90_000_001, 180_000_001, 10**18 - 1, -(10**18 - 1)),
)
ZONES: Final = ("America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu", "Africa/Casablanca")
PATTERNS: Final = ("%", "_", "a%", "%a%b%", "a_b", "100%", "%[x]%", "%(%", ".", "%ß%", "%Σ%", "%ı%", "i%", "%İ%", "%?%")

EXPRESSIONS: Final = (
    *(f"{name}(s)" for name in ("lower", "upper", "trim", "normalised", "digits", "url_host", "url_domain", "email_domain")),
    *(f"{name}(s)" for name in ("length", "word_count", "longest_run", "hidden_characters", "upper_share", "mixes_scripts")),
    *(f"{name}(s)" for name in ("words", "urls", "hosts", "contacts", "url_signs", "has_contact")),
    *(f"CAST(s AS {kind})" for kind in ("int", "decimal", "bool")),
    *("s || t", "position(s, t)", "edit_distance(s, t)", "likeness(s, t)", "s = t", "s < t", "greatest(s, t)", "least(s, t)"),
    *("left(s, a)", "right(s, a)", "substring(s, a, b)", "split(s, ',')[a]", "array_distinct(split(s, ','))"),
    *("array_join(split(s, ','), '-')", "array_contains(split(s, ','), t)", "replace(s, 'a', 'bc')", "starts_with(s, 'a')"),
    *("regexp_extract(s, '(a+)|[0-9]+')", "regexp_count(s, '.')", "regexp_count(s, '^|$')", "matches(s, '^a.b$')"),
    *("to_minor(x, s)", "to_major(a, s)", "mentions(s, 'lures')"),
    *(f"s {word} '{pattern}'" for pattern in PATTERNS for word in ("LIKE", "ILIKE")),
    *(
        f"json_{kind}(s, '{path}')"
        for path in ("$", "$.a", "$.a[0]", "$.a.b[1]", "$[0]")
        for kind in ("text", "int", "decimal", "bool", "length", "texts")
    ),
    *(
        f"{name}(at1, '{zone}')"
        for zone in ZONES
        for name in ("minute_of_day", "day_of_week", "day_of_month", "year_of", "date_text", "start_of_day")
    ),
    *(f"within_hours(at1, '{zone}', {hours})" for zone in ZONES for hours in ("22, 6", "2, 3")),
    *(f"{name}(at1, at2)" for name in ("days_between", "hours_between", "minutes_between")),
    *("seconds_of(at1 - at2)", "at1 + INTERVAL '100000 days' > at2", "(at1 - at2) * a > INTERVAL '1 second'", "at1 - (at2 - at1)"),
    *("a + b", "a - b", "a * b", "a / b", "a // b", "a % b", "-a", "abs(a)", "a * b * c", "a / b * x", "CAST(a AS decimal)"),
    *("x + y", "x * y", "x / y", "x * y * x", "floor(x)", "ceil(x)", "round(x, 0)", "round(x, 5)", "CAST(x AS int)", "CAST(x AS text)"),
    *("distance_m(x, y, y, x)", "to_minor(x, 'BHD')", "a BETWEEN b AND c", "CASE a WHEN b THEN 1 WHEN c THEN 2 END"),
)  # fmt: skip


def drawn(chance: random.Random, values: Sequence[V]) -> V | None:
    return chance.choice(values) if chance.random() > 0.05 else None


def test_odd_values_give_the_same_everywhere() -> None:
    chance = random.Random(4)
    texts, moments = chance.sample(TEXTS, len(TEXTS)), chance.sample(MOMENTS, len(MOMENTS))
    rows: list[dict[str, Value]] = [
        {
            "s": texts[number % len(texts)],
            "t": drawn(chance, TEXTS),
            **{name: drawn(chance, INTS) for name in ("a", "b", "c")},
            **{name: drawn(chance, DECIMALS) for name in ("x", "y")},
            "at1": moments[number % len(moments)],
            "at2": drawn(chance, MOMENTS),
        }
        for number in range(ROWS)
    ]
    expressions = [checked(each) for each in EXPRESSIONS]
    found = in_duckdb(connect(), expressions, rows)
    for row, values in zip(rows, found, strict=True):
        for expression, value in zip(expressions, values, strict=True):
            assert all_python(expression, row) == value, (expression.text, row)


def test_every_odd_text_gives_the_same_in_duckdb() -> None:
    """DuckDB takes every text that a function can make, whatever an event said, and makes the same of it."""
    expressions = [checked(each) for each in EXPRESSIONS if "(s" in each]
    computed = [compile_value(each) for each in expressions]
    rows: list[dict[str, Value]] = [{"s": text, "t": "a", "a": 1, "b": 2} for text in TEXTS]
    found = in_duckdb(connect(), expressions, rows)
    for row, values in zip(rows, found, strict=True):
        for expression, compute, value in zip(expressions, computed, values, strict=True):
            assert compute(row, NOON, ENV) == value, (expression.text, row["s"])


def test_what_an_escape_of_json_hides_is_replaced() -> None:
    hidden: dict[str, Value] = {"s": '{"a": "\\ud83dx\\u0000\\ud83d\\ude00"}', "t": '["\\udc00", "b"]'}
    expressions = [checked("json_text(s, '$.a')"), checked("json_texts(t, '$')")]
    told = ["\ufffdx\ufffd😀", ("\ufffd", "b")]
    assert [compile_value(each)(hidden, NOON, ENV) for each in expressions] == told
    assert in_duckdb(connect(), expressions, [hidden]) == [told]
