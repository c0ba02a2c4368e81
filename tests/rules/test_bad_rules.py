"""Bad rules cannot harm: each is refused with its reason and place, or harmless."""

import json
import time

import pytest
from tests.rules.test_advice import ABOUT, FILES, pack, rule

from koban.base import Instant
from koban.labels import LiveLabels
from koban.language import LanguageErrors, Scope, Type, Value, check, compile_value
from koban.lists import LiveLists
from koban.packs import PackInvalid, parse_files
from koban.packs.load import MAX_FILE_BYTES
from koban.rules import check_pack, compile_rules
from koban.text import normalise
from koban.text.measure import Finder

AT = Instant(1_768_446_000_000_000)
SCOPE = Scope(
    names={"a": Type.INT, "b": Type.INT, "x": Type.DECIMAL, "s": Type.TEXT, "at": Type.TIMESTAMP, "tags": Type.TEXTS}
)
ENDS = 2**63 - 1


def value(text: str, row: dict[str, Value]) -> Value:
    return compile_value(check(text, SCOPE))(row, AT)


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$",
        "(a|aa)*b",
        "(.*)*(.*)*(.*)*x",
        "^(([a-z])+.)+[A-Z]([a-z])+$",
        "(?i)(ﬁ|fi)+" * 3,
    ],
)
def test_a_pattern_that_hangs_other_engines_answers_at_once(pattern: str) -> None:
    text = normalise("a" * 20_000 + "!")
    before = time.process_time()
    Finder(pattern).first(text.plain)
    Finder(pattern).count(text.plain[:2_000])
    value(f"matches(s, '{pattern}')", {"s": "a" * 20_000 + "!"})
    assert (
        time.process_time() - before < 20
    )  # the point is that it ends: backtracking would take longer than the universe


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("matches(s, 'a{1001}')", "RE2 does not take this pattern"),
        ("matches(s, '" + "(a{0,100}){0,100}" * 50 + "')", "RE2 does not take this pattern"),
        ("matches(s, '(?P<n>a)(?P=n)')", "RE2 does not take this pattern"),
        ("matches(s, '(?<=a)b')", "RE2 does not take this pattern"),
        ("matches(s, '" + "a" * 1_001 + "')", "longer than 1000 characters"),
        ("(" * 41 + "a" + ")" * 41 + " > 1", "nests deeper than 40"),
        (" AND ".join(["a > 1"] * 700), "more than 2,000 parts"),
        ("a IN (" + ", ".join(str(each) for each in range(1_001)) + ")", "IN takes at most 1,000 constants"),
        ("s = '" + "x" * 10_001 + "'", "longer than 10,000 characters"),
        ("at > TIMESTAMP '2026-02-30 00:00:00'", "this is no timestamp"),
        ("at > TIMESTAMP '2026-01-01 25:00:00'", "this is no timestamp"),
        ("at - INTERVAL '1 year' > at", "this is no interval"),
        ("x > NaN", "there is no field or feature 'NaN'"),
        ("x > 1e400", "this is no number"),
        ("a > 9223372036854775808", "does not fit into 64 bits"),
        ("x > 1000000000000", "does not fit into decimal(18,6)"),
        ("json_int(s, '$" + ".a" * 300 + "') > 1", "this is no path into JSON"),
    ],
)
def test_what_could_harm_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(LanguageErrors) as refused:
        check(text, SCOPE, expect=Type.BOOL)
    assert why in str(refused.value)


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("a / b", {"a": 1, "b": 0}),
        ("a // b", {"a": 1, "b": 0}),
        ("a % b", {"a": 1, "b": 0}),
        ("x / 0", {"x": 1}),
        ("a + b", {"a": ENDS, "b": 1}),
        ("a * a * a", {"a": 2**40}),
        ("-a", {"a": -ENDS - 1}),
        ("abs(a)", {"a": -ENDS - 1}),
        ("CAST(s AS decimal)", {"s": "NaN"}),
        ("CAST(s AS decimal)", {"s": "Infinity"}),
        ("CAST(s AS int)", {"s": "1" * 10_000}),
        ("json_decimal(s, '$')", {"s": "NaN"}),
        ("json_int(s, '$')", {"s": "9" * 5_000}),
        ("json_text(s, '$[0]')", {"s": "[" * 10_000 + "]" * 10_000}),
        ("replace(replace(replace(s, 'a', 'aaaaaaaaaa'), 'a', 'aaaaaaaaaa'), 'a', 'aaaaaaaaaa')", {"s": "a" * 1_000}),
        ("hour_of_day(at, 'Asia/Tokyo')", {"at": ENDS}),
        ("start_of_day(at, 'Asia/Tokyo')", {"at": -ENDS}),
        ("at + INTERVAL '1 day'", {"at": ENDS}),
        ("tags[a]", {"tags": (), "a": ENDS}),
        ("to_minor(x, 'JPY')", {}),
    ],
)
def test_what_has_no_value_is_null_and_never_an_error(text: str, row: dict[str, Value]) -> None:
    assert value(text, row) is None


def test_a_file_of_ten_megabytes_is_refused_before_it_is_read() -> None:
    rules = "".join(rule(f"r{number}", "messages_1h > 3") for number in range(90_000))
    assert len(rules) > 10_000_000 > MAX_FILE_BYTES
    with pytest.raises(PackInvalid) as refused:
        parse_files({**FILES, "rules/scams.yaml": rules})
    assert len(refused.value.faults) == 1
    assert f"more than {MAX_FILE_BYTES} bytes" in refused.value.faults[0].detail


@pytest.mark.parametrize(
    "text",
    [
        "- rule: &a [*a, *a]\n",
        "- rule: !!python/object/apply:os.system [ls]\n",
        "[" * 5_000 + "]" * 5_000,
        "- {rule: x, when: {a: {b: {c: {d: {e: {f: {g: {h: {i: {j: {k: {l: 1}}}}}}}}}}}}}\n",
        "\x00\x01",
    ],
)
def test_a_document_that_would_explode_is_refused(text: str) -> None:
    with pytest.raises(PackInvalid) as refused:
        parse_files({**FILES, "rules/scams.yaml": text})
    assert "rules/scams.yaml" in {fault.source.file for fault in refused.value.faults}


def test_lists_of_ten_thousand_entries_cost_an_event_nothing_more() -> None:
    entries = json.dumps([f"brand{number:05d}.com" for number in range(10_000)])
    words = json.dumps([f"語句{number:05d}" for number in range(10_000)], ensure_ascii=False)
    lists = f"- {{list: brands, kind: values, of: account, {ABOUT}, entries: {entries}}}\n"
    lists += f"- {{list: words, kind: phrases, {ABOUT}, entries: {words}}}\n"
    when = "messages_1h > 1 AND (in_list(sender.id, 'brands') OR mentions(text, 'words') OR lookalike(text, 'brands') > 0.8)"
    found = pack(rule("many", when), lists=lists)
    live = LiveLists()
    live.set_pack({name: declared.entries for name, declared in found.lists.items()})
    compiled = compile_rules(found, live, LiveLabels())["message.sent"]
    texts = {"語句09999 です": True, "https://brand00077-login.shop/": True, "https://example.org/ 語句": False}
    for text, expected in texts.items():
        assert bool(compiled.run({"sender.id": "a1", "text": text}, {"messages_1h": 2}, AT)) is expected
    # What is asked again and again is a look-up: the entries are not walked.
    before = time.process_time()
    for _ in range(200):
        compiled.run({"sender.id": "a1", "text": "https://brand00077-login.shop/"}, {"messages_1h": 2}, AT)
    assert time.process_time() - before < 5


def test_definitions_that_grow_without_end_are_refused() -> None:
    lines = [f"- {{define: d0, as: messages_1h = 1 OR messages_1h = 2, {ABOUT}}}\n"]
    lines += [f"- {{define: d{n}, as: d{n - 1} OR d{n - 1}, {ABOUT}}}\n" for n in range(1, 60)]
    kept = {name: text for name, text in FILES.items() if not name.startswith(("rules", "cases"))}
    found = parse_files({**kept, "definitions.yaml": "".join(lines)})
    faults = check_pack(found)
    assert faults
    assert "more than 2,000 parts" in faults[0].detail
