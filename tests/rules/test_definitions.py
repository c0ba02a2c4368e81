"""Definitions and scores in a pack: checked where they stand and where they are used, and shown when explained."""

import pathlib

import pytest

from koban.base import Instant
from koban.labels import LiveLabels
from koban.lists import LiveLists
from koban.packs import PackDef, PackInvalid, files_of, parse_files
from koban.rules import check_pack, compile_rules, render_trace, run_cases

FILES = files_of(pathlib.Path(__file__).parents[1] / "packs" / "small")
AT = Instant(1_768_446_000_000_000)
ABOUT = "about: {en: a, ja: b}"


def pack(when: str, definitions: str, scores: str = "") -> PackDef:
    rules = FILES["rules/scams.yaml"].replace("mentions(text, 'lures') AND messages_1h > 3", when)
    return parse_files({**FILES, "rules/scams.yaml": rules, "definitions.yaml": definitions, "scores.yaml": scores})


LURES = f"- define: lures_much\n  as: mentions(text, 'lures') AND messages_1h > few\n  {ABOUT}\n- {{define: few, as: '3', {ABOUT}}}\n"
RISK = f"- {{score: risk, of: account, {ABOUT}}}\n"


def test_a_definition_stands_for_its_expression_and_is_shown_with_its_parts() -> None:
    rules = compile_rules(pack("lures_much OR score('risk') > 0.9", LURES, RISK), LiveLists(), LiveLabels())
    compiled = rules["message.sent"]
    row = {"sender.id": "a1", "text": "x"}
    values = {"messages_1h": 4, "score:risk@sender.id": 950_000}
    assert "off_platform" in [compiled.rules[place].name for place in compiled.run(row, values, AT)]
    assert ("score:risk@sender.id", "risk", "sender.id") in compiled.scores
    shown = render_trace(compiled.explain("off_platform", row, values, AT))
    assert shown.splitlines() == [
        "lures_much OR score('risk') > 0.9 -> true",
        "  lures_much -> false (decided without it)",
        "    mentions(text, 'lures') AND messages_1h > few -> false (decided without it)",
        "      mentions(text, 'lures') -> false (decided without it)",
        "        text -> 'x' (decided without it)",
        "      messages_1h > few -> true (decided without it)",
        "        messages_1h -> 4 (decided without it)",
        "  score('risk') > 0.9 -> true",
        "    score('risk') -> 0.95",
    ]


def test_cases_give_scores_by_name() -> None:
    found = pack("score('risk') > 0.9", LURES, RISK)
    case = "- rule: off_platform\n  matches: {}\n  event: message.sent\n  data: {{sender: {{id: a1}}}}\n  features: {{score(risk): {}}}\n"
    cases = case.format("true", "0.95") + case.format("false", "0.9")
    files = {name: text for name, text in found.files.items() if not name.startswith("cases")} | {"cases.yaml": cases}
    report = run_cases(parse_files(files))
    assert not next(result for result in report.rules if result.rule == "off_platform").failed


@pytest.mark.parametrize(
    ("definitions", "place", "detail"),
    [
        (
            f"- {{define: few, as: 'txt = 1', {ABOUT}}}\n",
            "definitions.yaml:1:22",
            "there is no field or feature 'txt' here",
        ),
        (f"- define: few\n  as: |\n    text = 'a'\n    AND nothing\n  {ABOUT}\n", "definitions.yaml:4:9", "'nothing'"),
        (f"- {{define: few, as: few, {ABOUT}}}\n", "definitions.yaml:1:21", "'few' is defined by itself: few -> few"),
    ],
)
def test_a_broken_definition_is_told_where_it_stands(definitions: str, place: str, detail: str) -> None:
    faults = check_pack(pack("messages_1h > 3", definitions))
    assert len(faults) == 1
    at = faults[0].source
    assert f"{at.file}:{at.line}:{at.column}" == place
    assert detail in faults[0].detail


@pytest.mark.parametrize(
    ("name", "why"), [("time", "the log time"), ("messages_1h", "a feature"), ("text", "a field of")]
)
def test_a_definition_is_not_called_like_anything_else(name: str, why: str) -> None:
    with pytest.raises(PackInvalid, match=f"'{name}' is already {why}"):
        pack("text = 'x'", f"- {{define: {name}, as: '3', {ABOUT}}}\n")


def test_a_score_belongs_to_a_kind_of_subject_that_there_is() -> None:
    with pytest.raises(PackInvalid, match="there is no kind of subject 'acount'"):
        pack("text = 'x'", "", f"- {{score: risk, of: acount, {ABOUT}}}\n")
