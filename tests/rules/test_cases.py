"""Running a pack's own cases: what passes, what fails and why, and what is missing."""

import pathlib

import pytest

from koban.packs import files_of, load_pack, parse_files, place
from koban.rules import CasesReport, describe_failure, run_cases

SMALL = pathlib.Path(__file__).parents[1] / "packs" / "small"
FILES = files_of(SMALL)
CASES = FILES["cases/scams.yaml"].replace(', "of(reports,recipient.id)": 2, report_rate: 0.25', "")
SECOND = """\
- rule: many_recipients
  matches: false
  event: message.sent
  data: {sender.id: a1}
"""


def report(cases: str) -> CasesReport:
    return run_cases(parse_files({**FILES, "cases/scams.yaml": cases}))


def test_a_pack_whose_cases_go_as_they_must_passes() -> None:
    found = report(CASES + SECOND)
    assert found.passed
    assert [(result.rule, result.must_match, result.must_not_match) for result in found.rules] == [
        ("off_platform", 2, 1),
        ("many_recipients", 1, 1),
    ]


def test_a_case_that_goes_the_other_way_fails_with_its_trace() -> None:
    pack = parse_files({**FILES, "cases/scams.yaml": CASES.replace("直取引しましょう", "こんにちは") + SECOND})
    found = run_cases(pack)
    (failure,) = found.rules[0].failed
    assert not found.passed
    assert describe_failure(pack, failure) == (
        "cases/scams.yaml:7: rule off_platform must match, and does not\n"
        "  sender.id = 'a1'\n"
        "  sender.created_at = 1768186800000000\n"
        "  sender.verified = False\n"
        "  text = 'こんにちは'\n"
        "  mentions(text, 'lures') AND messages_1h > 3 -> false\n"
        "    mentions(text, 'lures') -> false\n"
        "      text -> 'こんにちは'\n"
        "    messages_1h > 3 -> true (decided without it)\n"
        "      messages_1h -> 5 (decided without it)"
    )


def test_a_rule_without_both_kinds_of_case_is_a_fault() -> None:
    found = report(CASES)
    assert [(place(fault.source), fault.detail) for fault in found.faults] == [
        ("rules/scams.yaml:9:3", "rule many_recipients has no case that must not match")
    ]
    assert not found.passed


@pytest.mark.parametrize(
    ("old", "new", "detail"),
    [
        ("{recipients_1d: 12}", "{messages_1h: 12}", "rule many_recipients does not read the feature messages_1h"),
        (
            "{recipients_1d: 12}",
            '{"of(recipients_1d, recipient.id)": 12}',
            "rule many_recipients does not read the feature of(recipients_1d, recipient.id)",
        ),
        ("{recipients_1d: 12}", "{recipients_1d: many}", "the feature recipients_1d is of type int, and many is not"),
        ("{recipients_1d: 12}", "{recipients_1d: 1.5}", "the feature recipients_1d is of type int, and 1.5 is not"),
        ("{recipients_1d: 12}", "{recipients_1d: true}", "the feature recipients_1d is of type int, and True is not"),
    ],
)
def test_a_case_that_gives_what_its_rule_does_not_read_is_a_fault(old: str, new: str, detail: str) -> None:
    assert detail in [fault.detail for fault in report(CASES.replace(old, new) + SECOND).faults]


def test_lists_of_one_case_do_not_reach_the_next() -> None:
    trusted = CASES.replace("lists: {trusted: [a2]}", "lists: {trusted: [a1]}").replace(
        "matches: true", "matches: false"
    )
    again = SECOND.replace("matches: false", "matches: true").replace(
        "{sender.id: a1}", "{sender.id: a1}\n  features: {recipients_1d: 12}"
    )
    assert report(trusted + again).passed


def test_a_subject_without_history_has_counted_nothing() -> None:
    rules = FILES["rules/scams.yaml"].replace("messages_1h > 3", "messages_1h = 0 AND report_rate IS NULL")
    cases = CASES.replace("  features: {messages_1h: 5}\n", "") + SECOND
    assert run_cases(parse_files({**FILES, "rules/scams.yaml": rules, "cases/scams.yaml": cases})).passed


def test_the_small_pack_tells_features_that_its_rule_does_not_read() -> None:
    details = {fault.detail for fault in run_cases(load_pack(SMALL)).faults}
    assert "rule off_platform does not read the feature report_rate" in details
