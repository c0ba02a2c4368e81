"""What is worth knowing of a pack before it runs: nothing reads it, it adds nothing, what it costs."""

import os
import pathlib

import pytest

from koban.cli.packs import check
from koban.packs import PackDef, files_of, load_pack, parse_files, render_fault
from koban.packs import faults as pack_faults
from koban.rules import advise, check_pack, costs_of

FILES = files_of(pathlib.Path(__file__).parents[1] / "packs" / "small")
STARTER = pathlib.Path(__file__).parents[2] / "packs" / "starter"
GOLDEN = pathlib.Path(__file__).parent / "golden" / "advice.txt"
ABOUT = "about: {en: a, ja: b}"


def rule(name: str, when: str, then: str = "[hide]") -> str:
    return (
        f"- rule: {name}\n  policy: fraud\n  on: [message.sent]\n  when: {when}\n  then: {then}\n"
        "  because: {en: a, ja: b}\n"
    )


def pack(*rules: str, **files: str) -> PackDef:
    policies = "- {policy: fraud, title: {en: a, ja: b}, text: {en: a, ja: b}, severity: high}\n"
    kept = {
        name: text
        for name, text in FILES.items()
        if name in {"events.yaml", "pack.yaml", "features.yaml", "queues.yaml"}
    }
    kept |= {name: text for name, text in FILES.items() if name.startswith("lists")}
    named = {f"{name}.yaml": text for name, text in files.items()}
    found = parse_files({**kept, "policies.yaml": policies, "rules.yaml": "".join(rules), **named})
    assert check_pack(found) == ()
    return found


def shadows(*rules: str) -> list[tuple[str, str]]:
    told = [fault.detail.split() for fault in advise(pack(*rules)) if "adds nothing" in fault.detail]
    return [(words[1], words[8]) for words in told]


WIDE = rule("wide", "messages_1h > 3")


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("messages_1h > 5", True),
        ("messages_1h > 3 AND contains(text, 'x')", True),
        ("messages_1h >= 4", True),
        ("messages_1h > 3 OR messages_1h > 9", True),
        ("(messages_1h > 3 AND sender.id = 'a') OR messages_1h = 7", True),
        ("messages_1h BETWEEN 5 AND 9", True),
        ("messages_1h IN (4, 5)", True),
        ("NOT messages_1h <= 4", True),
        ("messages_1h > 2", False),
        ("messages_1h >= 3", False),
        ("messages_1h > 3 OR contains(text, 'x')", False),
        ("messages_1h IN (3, 5)", False),
        ("messages_1h IS NULL", False),
        ("recipients_1d > 3", False),
    ],
)
def test_a_rule_that_implies_another_adds_nothing(when: str, expected: bool) -> None:  # noqa: FBT001  # a column
    told = shadows(WIDE, rule("narrow", when))
    assert len(told) == 1 if expected else ("narrow", "wide") not in told


@pytest.mark.parametrize(
    ("when", "told"),
    [
        ("text ILIKE 'x'", ["rules.yaml:4:20"]),
        ("messages_1h > 3 AND (text NOT LIKE 'LINE' OR text ILIKE '%x%')", ["rules.yaml:4:44"]),
        ("text LIKE 'a' OR text LIKE 'b'", ["rules.yaml:4:19", "rules.yaml:4:36"]),
        ("text LIKE '_'", []),
        ("text LIKE '%'", []),
        ("text = 'like'", []),
    ],
)
def test_a_pattern_without_a_wildcard_is_worth_a_look(when: str, told: list[str]) -> None:
    found = [each for each in advise(pack(rule("one", when))) if "compares the whole text" in each.detail]
    assert [f"{each.source.file}:{each.source.line}:{each.source.column}" for each in found] == told


def test_a_pattern_without_a_wildcard_is_found_in_definitions_and_features_in_both_languages() -> None:
    definition = "- {define: line, as: text LIKE 'LINE', about: {en: a, ja: b}}\n"
    feature = (
        "- feature: likes\n  on: message.sent\n  by: sender.id\n  value: count(*)\n  where: text ILIKE 'x'\n"
        f"  within: 1 hour\n  {ABOUT}\n"
    )
    found = [
        each
        for each in advise(
            pack(rule("one", "line"), definitions=definition, features=f"{FILES['features.yaml']}{feature}")
        )
        if "compares the whole text" in each.detail
    ]
    assert [each.detail for each in found] == [
        "the definition 'line' says LIKE without % or _: it compares the whole text",
        "the feature 'likes' says LIKE without % or _: it compares the whole text",
    ]
    assert [each.hint for each in pack_faults.said_in("ja", found)] == [
        "一部を探すなら '%LINE%'、全体と比べるなら = と書いてください",
        "一部を探すなら '%x%'、全体と比べるなら = と書いてください",
    ]
    assert [each.detail for each in pack_faults.said_in("ja", found)] == [
        "定義「line」の LIKE に % も _ もないため、文章全体と比べます",
        "特徴量「likes」の LIKE に % も _ もないため、文章全体と比べます",
    ]


def test_a_rule_that_does_more_is_no_shadow() -> None:
    more = rule("narrow", "messages_1h > 5", "[hide, {warn: recipient}]")
    assert shadows(WIDE, more) == []


def test_of_two_rules_that_say_the_same_one_is_told() -> None:
    assert shadows(rule("one", "messages_1h > 3"), rule("two", "messages_1h > 3")) == [("two", "one")]


@pytest.mark.parametrize("language", ["en", "ja"])
def test_advice_is_said_in_both_languages(language: str) -> None:
    found = pack(
        WIDE,
        rule("narrow", "messages_1h > 5 AND busy"),
        definitions=f"- {{define: busy, as: messages_1h > 1, {ABOUT}}}\n- {{define: idle, as: messages_1h = 0, {ABOUT}}}\n",
        scores=f"- {{score: risk, of: account, {ABOUT}}}\n",
    )
    shown = "\n".join(render_fault(fault, found.files) for fault in pack_faults.said_in(language, advise(found))) + "\n"
    golden = GOLDEN if language == "en" else GOLDEN.with_name("advice.ja.txt")
    if os.environ.get("KOBAN_UPDATE_GOLDEN") == "1":
        golden.write_text(shown, encoding="utf-8")
    assert shown == golden.read_text(encoding="utf-8")


def test_costs_count_common_parts_once() -> None:
    costs = costs_of(pack(rule("one", "contains(text, 'x')"), rule("two", "contains(text, 'x') AND messages_1h > 3")))
    by_rule = {each.rule: each for each in costs.rules}
    assert by_rule["two"].cost_ns > by_rule["one"].cost_ns > 0
    assert by_rule["one"].own_ns == 0
    assert costs.events["message.sent"] == by_rule["two"].cost_ns


def test_the_golden_file_holds_the_cost_estimate(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = pack(
        rule("counts", "messages_1h > 3"),
        rule("words", "contains(text, 'x') AND messages_1h > 3"),
        rule("patterns", "matches(text, 'a+b') OR mentions(text, 'lures')"),
        rule("listed", "in_list(sender.id, 'trusted') IS NOT TRUE AND of(messages_1h, sender.id) BETWEEN 2 AND 9"),
    )
    for name, text in found.files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    check(tmp_path, costs=True, language="en")
    shown = capsys.readouterr().out.replace(str(tmp_path), "PACK")
    golden = GOLDEN.with_name("costs.txt")
    if os.environ.get("KOBAN_UPDATE_GOLDEN") == "1":
        golden.write_text(shown, encoding="utf-8")
    assert shown == golden.read_text(encoding="utf-8")


def test_the_starter_pack_has_no_rule_that_adds_nothing() -> None:
    assert [fault.detail for fault in advise(load_pack(STARTER)) if "adds nothing" in fault.detail] == []
