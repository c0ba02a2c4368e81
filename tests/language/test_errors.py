"""Each refused expression renders as its golden file says; KOBAN_UPDATE_GOLDEN=1 rewrites them."""

import os
import pathlib
import re

import msgspec
import pytest
from tests.language.ground import SCOPE

from koban.language import LanguageErrors, Type, check, in_japanese
from koban.language.types import Position

GOLDEN = pathlib.Path(__file__).parent / "golden"
CASES: dict[str, str | tuple[str, ...]] = {
    "unknown_name": ("prce_minor > 100 AND sendr.id = 'x'", "id = 'x'", "length > 3", "日本語 = 'x'"),
    "unknown_function": ("mention(s, 'lures')", "now() > time", "count(a) > 3", "foo(a)"),
    "unknown_list": ("mentions(s, 'lurs')", "in_list(s, 'lures')", "mentions(s, 'trusted')", "has_label(s, 'spammer')"),
    "wrong_types": (
        "s = 5",
        "a > 'x'",
        "x > a",
        "p > q",
        "s AND p",
        "NOT a",
        "a + s > 1",
        "time - 5 > at1",
        "tags = tags",
        "mentions(a, 'lures')",
        "coalesce(a, 'x') = 1",
        "CASE WHEN p THEN 1 ELSE 'x' END = 1",
        "a || 'x' = 'y'",
        "CAST(tags AS int) = 1",
        "CAST(a AS money) = 1",
        "a LIKE 'x%'",
    ),
    "beginners": (
        "a > '5'",
        "p = 'true'",
        "p = 1",
        "a > 10.5",
        "at1 > '2026-01-01'",
        "at1 - at2 > 7",
        "s > 5",
        's = "hello"',
        "price > 100",
        "my_price_minor > 5",
        "a > 5 && a < 9",
        "a => 5",
        "a =< 5",
        "a > 1,000",
        "x > 10%",
        "a > １０",
        "（a > 5）",
        "s LIKE ’%x%’",
        "s CONTAINS 'x'",
        "NOT s IN_LIST 'trusted'",
        "s IN trusted",
        "s RLIKE 'x'",
        "count(*) > 5",
        "a is 5",
        "in_list('trusted', s)",
        "in_list(s, trusted)",
        "contains(s, lures)",
        "lures",
        "trusted = 'x'",
        "has_label(s, vip)",
        "within_hours(time, 'JST', 22, 6)",
        "within_hours(time, 'Tokyo', 22, 6)",
        "hour_of(time) > 22",
        "len(s) > 5",
        "seconds_between(at1, at2) > 5",
        "score('spam') > 0.5",
        "lower(s) = 'LINE'",
        "lower(s) LIKE '%LINE%'",
        "upper(s) IN ('line', 'kakao')",
        "a",
    ),
    "not_a_condition": ("a + 1", "s"),
    "null_comparison": ("a = NULL", "a <> NULL", "a IN (1, NULL)", "NULL IS NULL", "a > (NULL)"),
    "never_or_always": (
        "a > 5 AND a < 3",
        "s = 'a' AND s = 'b'",
        "p AND NOT p",
        "a > 5 OR a <= 5",
        "q OR (a IN (1, 2) AND a = 3)",
        "a IS NULL AND a > 3",
        "length(s) < 0",
        "hour_of_day(time, 'Asia/Tokyo') >= 24",
        "a = a",
        "NOT (a > 5 OR a <= 5)",
        "s <> 'a' OR s <> 'b'",
        "1 < 2",
    ),
    "units": ("weight_g > price_minor", "weight_g + price_minor > 5"),
    "units_of_constants": (
        "days_between(at1, time) > 604800",
        "seconds_of(time - at1) > weight_g",
        "hours_between(at1, time) > days_between(at1, at2)",
        "to_minor(CAST(price_minor AS decimal), 'JPY') > 5",
        "to_major(weight_g, 'JPY') > 5",
        "to_major(price_minor, 'JPN') > 5",
    ),
    "library": (
        "json_text(s, 'a.b') = 'x'",
        "tags['a'] = 'x'",
        "substr(s, 1, 2) = 'x'",
        "replace(s, '', 'x') = 'y'",
        "lookalike(s, 'lures') > 0.8",
        "lookalike(s, 'brands') > 1.5",
        "distance_m(a, b, x, y) > 5",
        "within_hours(time, 'Asia/Tokyo', 22, 25)",
        "regexp_extract(s, '(a') = 'x'",
        "at1 > DATE '2026-13-01'",
    ),
    "definitions": (
        "broken",
        "unknown_inside",
        "p AND\n  broken_below",
        "ring",
        "never OR p",
        "p OR (a > limit AND a < 3)",
        "writes_much > 5",
        "big_3",
        "writes_muhc",
    ),
    "scores": (
        "score('rsk') > 0.5",
        "score('risk') > 1.5",
        "score('risk') > 1",
        "score('risk', a) > 0.5",
        "score('device_risk') > 0.5",
        "score('risk') = 'high'",
        "score(s) > 0.5",
    ),
    "bounds": ("receivers_1h > 50", "receivers_1h = 51", "receivers_1h IN (1, 60)", "60 < receivers_1h"),
    "features": (
        "accounts_of_device > 1",
        "of(sent_1h, a) > 1",
        "of(sent, recipient.id) > 1",
        "of(accounts_of_device, recipient.id) > 1",
        "of(sent_1h) > 1",
        "of('sent_1h', recipient.id) > 1",
    ),
    "constants": (
        "matches(s, t)",
        "matches(s, '(a')",
        "matches(s, '(?=a)b')",
        "matches(s, '(a)\\1')",
        "s LIKE t",
        "a IN (b, 1)",
        "hour_of_day(time, 'Tokyo') > 1",
        "has_contact(s, 'phon')",
        "mentions(s, 'lures', 0)",
        "contains(s, '')",
        "time - INTERVAL '1 month' > at1",
        "at1 > TIMESTAMP '2026-02-30'",
        "a > 99999999999999999999",
        "x > 0.1234567",
        "a > 1e5",
    ),
    "syntax": (
        "",
        "a >",
        "a > 1 AND",
        "(a > 1",
        "a > 1)",
        "a > 1 b",
        "a < b < c",
        "a IS 5",
        "SELECT a FROM b",
        "a > 1; DROP TABLE x",
        "a > (SELECT 1)",
        "s = 'open",
        "CASE a END = 1",
        "a IN ()",
        "length(*) > 1",
        "a = 1 LIMIT 5",
        "a @ b",
        "a > ?",
    ),
    "several_at_once": ("sx = 1 AND\n  ty = 2\n  AND mentions(s, 'nolist')",),
    "japanese_before": ("s = '直取引' AND tt = 'あ'",),
    "too_much": (
        "(" * 60 + "a" + ")" * 60 + " > 1",
        "NOT " * 60 + "p",
        "a" + " + 1" * 60 + " > 1",
        "s = '" + "x" * 10_000 + "'",
    ),
}


def _rendered(texts: str | tuple[str, ...]) -> str:
    shown: list[str] = []
    for text in (texts,) if isinstance(texts, str) else texts:
        with pytest.raises(LanguageErrors) as refused:
            check(text, SCOPE, source=Position(file="rules/scams.yaml", line=12, column=9), expect=Type.BOOL)
        shown.append("\n".join(line[:160] for line in str(refused.value).split("\n")))
    return "\n\n".join(shown) + "\n"


@pytest.mark.parametrize("name", CASES)
def test_an_error_says_where_and_what(name: str) -> None:
    path = GOLDEN / f"{name}.txt"
    found = _rendered(CASES[name])
    if os.environ.get("KOBAN_UPDATE_GOLDEN") == "1":
        path.write_text(found, encoding="utf-8")
    assert found == path.read_text(encoding="utf-8")


def _in_japanese(texts: str | tuple[str, ...]) -> str:
    shown: list[str] = []
    for text in (texts,) if isinstance(texts, str) else texts:
        with pytest.raises(LanguageErrors) as refused:
            check(text, SCOPE, source=Position(file="rules/scams.yaml", line=12, column=9), expect=Type.BOOL)
        for error in refused.value.errors:
            assert re.search("[ぁ-んァ-ヶ一-龠]", in_japanese(error.detail)), error.detail
            assert not error.hint or re.search("[ぁ-んァ-ヶ一-龠]", in_japanese(error.hint)), error.hint
            said = msgspec.structs.replace(error, detail=in_japanese(error.detail), hint=in_japanese(error.hint))
            shown.append("\n".join(line[:160] for line in said.render().split("\n")))
    return "\n\n".join(shown) + "\n"


@pytest.mark.parametrize("name", CASES)
def test_an_error_says_the_same_in_japanese(name: str) -> None:
    path = GOLDEN / "ja" / f"{name}.txt"
    found = _in_japanese(CASES[name])
    if os.environ.get("KOBAN_UPDATE_GOLDEN") == "1":
        path.parent.mkdir(exist_ok=True)
        path.write_text(found, encoding="utf-8")
    assert found == path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("english", "japanese"),
    [
        ("rule a on x: the definition 'b' cannot be read: there is no list 'c'",
         "ルール a（x）：定義「b」を読めません：リスト「c」はありません"),
        ("convert it with CAST(… AS decimal)", "CAST(… AS decimal) で変換します"),
        ("there is no list 'there is no list 'x''", "リスト「there is no list 'x'」はありません"),
        ("something that nobody translated", "something that nobody translated"),
        ("", ""),
    ],
)  # fmt: skip
def test_names_are_taken_over_and_what_is_not_known_stays(english: str, japanese: str) -> None:
    assert in_japanese(english) == japanese


def test_there_is_no_golden_file_without_a_case() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(CASES)
    assert {path.stem for path in (GOLDEN / "ja").glob("*.txt")} == set(CASES)
