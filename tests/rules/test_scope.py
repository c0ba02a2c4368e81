"""Checking rules against what each event type offers: faults with their place in the file."""

import pathlib

import pytest

from koban.packs import files_of, load_pack, parse_files, render_fault
from koban.rules import check_rules

SMALL = pathlib.Path(__file__).parents[1] / "packs" / "small"
FILES = files_of(SMALL)
FIRST = "mentions(text, 'lures') AND messages_1h > 3"


def faults_of(when: str, *, old: str = FIRST, then: str | None = None) -> list[str]:
    rules = FILES["rules/scams.yaml"].replace(old, when)
    if then is not None:
        start = rules.index("then: ") + len("then: ")
        rules = rules[:start] + then + rules[rules.index("\n", start) :]
    pack = parse_files({**FILES, "rules/scams.yaml": rules})
    return [render_fault(fault, pack.files) for fault in check_rules(pack)]


def test_a_pack_without_faults_has_none() -> None:
    assert check_rules(load_pack(SMALL)) == ()


def test_a_misspelt_feature_is_told_with_a_caret_and_the_nearest_name() -> None:
    (fault,) = faults_of("mentions(text, 'lures') AND mesages_1h > 3")
    assert fault == (
        "rules/scams.yaml:4:37: rule off_platform on message.sent: there is no field or feature 'mesages_1h' here\n"
        "  4 |   when: mentions(text, 'lures') AND mesages_1h > 3\n"
        "    |                                     ^\n"
        "  hint: did you mean 'messages_1h'?"
    )


def test_the_caret_follows_a_folded_condition_over_its_lines() -> None:
    faults = faults_of("in_list(sender.id, 'trsted')", old="in_list(sender.id, 'trusted')")
    assert [fault.splitlines()[:3] for fault in faults] == [
        [
            "rules/scams.yaml:14:32: rule many_recipients on message.sent: there is no list 'trsted'",
            "  14 |     AND NOT in_list(sender.id, 'trsted')",
            "     |                                ^",
        ]
    ]


@pytest.mark.parametrize(
    ("when", "place", "words"),
    [
        ("text = 'a' AND score", "4:24", "condition"),
        ("length(text)", "4:9", "a condition is needed here"),
        ("recipients_1d > 20", "4:", "recipients_1d"),
        ("of(reports, device.id) > 1", "4:21", "belongs to account subjects"),
        ("reports > 1 AND", "4:23", ""),
        ("mentions(text, 'trusted')", "4:24", "trusted"),
    ],
)
def test_each_fault_names_its_place(when: str, place: str, words: str) -> None:
    faults = faults_of(when)
    assert faults
    assert faults[0].startswith(f"rules/scams.yaml:{place}"), faults[0]
    assert words in faults[0]


def test_a_feature_of_a_kind_that_the_event_names_twice_has_no_bare_name_unless_the_event_feeds_it() -> None:
    assert faults_of("reports > 1 AND messages_1h > 3") != []
    assert faults_of("of(reports, recipient.id) > 1 AND messages_1h > 3") == []


@pytest.mark.parametrize(
    ("when", "then", "refused"),
    [
        ("mentions(text, 'lures')", "[strike]", True),
        ("mentions(text, 'lures') AND length(text) < 20", "[{suspend: 7 days}]", True),
        ("mentions(text, 'lures')", "[hide, {warn: recipient}, {review: scams}]", False),
        ("mentions(text, 'lures') AND messages_1h > 3", "[strike]", False),
        ("mentions(text, 'lures') AND days_between(sender.created_at, time) < 7", "[strike]", False),
    ],
)
def test_a_phrase_alone_never_sanctions_an_account(when: str, then: str, refused: bool) -> None:  # noqa: FBT001
    told = [fault.splitlines()[0] for fault in faults_of(when, then=then)]
    expected = "rules/scams.yaml:4:9: rule off_platform on message.sent: a phrase alone never sanctions an account"
    assert told == ([expected] if refused else [])


@pytest.mark.parametrize(
    ("when", "place"),
    [
        ("has_label(sender.id, 'fraud')", None),
        ("messages_1h > 3 AND has_label(message.id, 'fraud')", "4:39"),
        ("has_label(text, 'fraud') AND messages_1h > 3", "4:19"),
    ],
)
def test_labels_are_asked_of_accounts_alone(when: str, place: str | None) -> None:
    faults = faults_of(when)
    assert [fault.split(": ")[0] for fault in faults] == ([] if place is None else [f"rules/scams.yaml:{place}"])


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ("true", "4:9: rule off_platform on message.sent: TRUE alone is no condition"),
        ("messages_1h > 3 OR TRUE", "4:28: rule off_platform on message.sent: TRUE alone is no condition"),
        ("messages_1h > 3 AND NOT FALSE", "4:33: rule off_platform on message.sent: FALSE alone is no condition"),
        ("messages_1h >= 0", "4:9: rule off_platform on message.sent: this is true for every value"),
        ("recipients_1d > -1", "4:9: rule off_platform on message.sent: this is true for every value"),
        ("of(report_rate, sender.id) < 0", "4:9: rule off_platform on message.sent: this can never be true"),
        (
            "price_minor / 0 > 5",
            "4:23: rule off_platform on message.sent: dividing by zero is NULL, whatever is divided",
        ),
        (
            "messages_1h > 3 AND NOT in_list(device.id, 'trusted')",
            "4:41: rule off_platform on message.sent: 'trusted' is a list of kind account, and this is of kind device: it is never on it",
        ),
    ],
)
def test_a_condition_that_means_everybody_and_an_exception_that_spares_nobody_are_refused(when: str, said: str) -> None:
    (fault,) = faults_of(when, then="[{review: scams}]")
    assert fault.splitlines()[0] == f"rules/scams.yaml:{said}"


@pytest.mark.parametrize(
    "when", ["messages_1h >= 1", "in_list(recipient.id, 'trusted')", "in_list(text, 'trusted') AND score > 1"]
)
def test_what_may_be_true_of_some_stands(when: str) -> None:
    assert faults_of(when) == []


@pytest.mark.parametrize(
    ("text", "before"), [("👩‍👩‍👧", 6), ("か\u3099", 2), ("ｶﾞ", 2), ("❤\ufe0f", 1), ("a\u200bb", 2), ("直取引", 6)]
)
def test_the_caret_counts_no_column_for_what_stands_on_the_character_before(text: str, before: int) -> None:
    (fault,) = faults_of(f"text = '{text}' AND bogus = 1")
    line, caret = fault.splitlines()[1:3]
    plain = line.partition(text)
    assert caret.index("^") == len(plain[0]) + before + plain[2].index("bogus")


def test_an_expression_typed_on_a_japanese_keyboard_is_told_how_it_is_written() -> None:
    (fault,) = faults_of("mentions（text、'lures'）")
    assert fault.splitlines()[-1] == "  hint: these are full-width characters: write mentions(text,"
