"""Compiled rules: they match, follow live lists and labels, and explain what they did."""

import pathlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from koban.base import HOUR, Instant
from koban.labels import LabelSet, LabelSource, LiveLabels
from koban.language import Value, of_key
from koban.lists import EntriesAdded, EntryRemoved, LiveLists
from koban.packs import PackInvalid, files_of, load_pack, parse_files
from koban.rules import CompiledRules, RuleMissing, compile_rules, render_trace

SMALL = pathlib.Path(__file__).parents[1] / "packs" / "small"
FILES = files_of(SMALL)
PACK = load_pack(SMALL)
AT = Instant(1_768_446_000_000_000)
LURE: dict[str, Value] = {"sender.id": "a1", "text": "LINE交換しませんか"}


def compiled(when: str | None = None) -> tuple[CompiledRules, LiveLists, LiveLabels]:
    rules = FILES["rules/scams.yaml"]
    if when is not None:
        rules = rules.replace("mentions(text, 'lures') AND messages_1h > 3", when)
    pack = parse_files({**FILES, "rules/scams.yaml": rules})
    lists, labels = LiveLists(), LiveLabels()
    lists.set_pack({name: declared.entries for name, declared in pack.lists.items()})
    return compile_rules(pack, lists, labels)["message.sent"], lists, labels


def matched(rules: CompiledRules, row: dict[str, Value], values: dict[str, Value], at: int = AT) -> list[str]:
    return [rules.rules[index].name for index in rules.run(row, values, at)]


def added(name: str, value: str, expires_at: int | None = None) -> EntriesAdded:
    expiry = None if expires_at is None else Instant(expires_at)
    return EntriesAdded(list=name, values=(value,), note="", by="staff_1", expires_at=expiry)


@pytest.mark.parametrize(
    ("row", "values", "expected"),
    [
        (LURE, {"messages_1h": 4, "recipients_1d": 9}, ["off_platform"]),
        (LURE, {"messages_1h": 3, "recipients_1d": 9}, []),
        (LURE, {"messages_1h": 4, "recipients_1d": 10}, ["off_platform", "many_recipients"]),
        (LURE, {}, []),
        ({**LURE, "sender.id": "acct_1"}, {"messages_1h": 4, "recipients_1d": 10}, ["off_platform"]),
        ({"sender.id": "a1", "text": "直取引はお断りします"}, {"messages_1h": 4}, []),
        ({"sender.id": "a1"}, {"messages_1h": 4}, []),
        ({}, {"recipients_1d": 10}, []),
    ],
)
def test_rules_match_as_they_say(row: dict[str, Value], values: dict[str, Value], expected: list[str]) -> None:
    assert matched(compiled()[0], row, values) == expected


def test_reads_name_the_features_that_must_be_computed() -> None:
    rules, _, _ = compiled("of(reports, recipient.id) > 2 AND messages_1h > 3")
    assert rules.reads == {of_key("reports", "recipient.id"), "messages_1h", "recipients_1d"}
    assert rules.reads_of("off_platform") == {of_key("reports", "recipient.id"), "messages_1h"}


def test_an_event_type_without_rules_has_an_empty_program() -> None:
    rules = compile_rules(PACK, LiveLists(), LiveLabels())["report.filed"]
    assert (rules.rules, rules.reads, rules.run({}, {}, AT)) == ((), frozenset(), ())


def test_a_phrase_counts_from_its_entry_until_its_expiry_or_undo() -> None:
    rules, lists, _ = compiled("mentions(text, 'lures') AND recipient.id IS NULL")
    row: dict[str, Value] = {"sender.id": "a1", "text": "アマギフで払います"}
    assert matched(rules, row, {}) == []
    undo = lists.apply(added("lures", "アマギフ", AT + HOUR))
    assert matched(rules, row, {}, AT + 1) == ["off_platform"]
    assert matched(rules, row, {}, AT + HOUR - 1) == ["off_platform"]
    assert matched(rules, row, {}, AT + HOUR) == []
    assert matched(rules, row, {}, AT + HOUR - 1) == ["off_platform"]
    lists.apply(added("trusted", "a7"))
    assert matched(rules, row, {}, AT + HOUR + 1) == []
    undo()
    lists.apply(added("lures", "アマギフ"))
    assert matched(rules, row, {}, AT + HOUR + 2) == ["off_platform"]
    lists.apply(EntryRemoved(list="lures", value="アマギフ", note="", by="staff_1"))
    assert matched(rules, row, {}, AT + HOUR + 3) == []


def test_a_changed_value_list_does_not_renew_the_phrases() -> None:
    rules, lists, _ = compiled("mentions(text, 'lures') AND recipient.id IS NULL")
    before = rules.phrases.environment(AT).phrases
    lists.apply(added("trusted", "a7"))
    assert rules.phrases.environment(AT + 1).phrases is before
    lists.apply(added("lures", "アマギフ"))
    assert rules.phrases.environment(AT + 2).phrases is not before


def test_values_and_labels_count_from_their_entry() -> None:
    rules, lists, labels = compiled("has_label(sender.id, 'fraud') OR in_list(sender.id, 'trusted')")
    row: dict[str, Value] = {"sender.id": "a1"}
    assert matched(rules, row, {}) == []
    undo = lists.apply(added("trusted", "a1", AT + HOUR))
    assert matched(rules, row, {}, AT + HOUR - 1) == ["off_platform"]
    assert matched(rules, row, {}, AT + HOUR) == []
    undo()
    label = LabelSet(
        subject_kind="account", subject_id="a1", label="truth", value="fraud", source=LabelSource.PERSON, by="staff_1"
    )
    labels.apply(label, AT)
    assert matched(rules, row, {}) == ["off_platform"]


def test_a_pack_with_a_faulty_condition_is_refused_with_its_place() -> None:
    with pytest.raises(PackInvalid) as caught:
        compiled("mesages_1h > 3")
    assert [(fault.source.line, fault.source.column) for fault in caught.value.faults] == [(4, 9)]


def test_an_explanation_gives_every_part_its_value_and_says_what_did_not_matter() -> None:
    rules, _, _ = compiled()
    trace = rules.explain("off_platform", LURE, {"messages_1h": 2}, AT)
    assert render_trace(trace) == (
        "mentions(text, 'lures') AND messages_1h > 3 -> false\n"
        "  mentions(text, 'lures') -> true (decided without it)\n"
        "    text -> 'LINE交換しませんか' (decided without it)\n"
        "  messages_1h > 3 -> false\n"
        "    messages_1h -> 2"
    )


def test_explaining_a_rule_that_does_not_read_the_event_is_refused() -> None:
    with pytest.raises(RuleMissing):
        compiled()[0].explain("nothing", {}, {}, AT)


_phrases = st.sampled_from(["line交換", "アマギフ", "送金"])
_steps = st.lists(
    st.one_of(
        st.builds(
            lambda value, expiry: added("lures", value, expiry), _phrases, st.none() | st.integers(AT + 1, AT + 9)
        ),
        st.builds(lambda value: EntryRemoved(list="lures", value=value, note="", by="staff_1"), _phrases),
        st.builds(lambda value: added("trusted", value), st.sampled_from(["a1", "a2"])),
        st.just("undo"),
        st.integers(AT, AT + 10),
    ),
    max_size=14,
)
_LURES = compiled("mentions(text, 'lures') AND recipient.id IS NULL")


@given(_steps)
def test_phrases_are_those_that_count_whatever_came_before(steps: list[object]) -> None:
    rules, lists, _ = _LURES
    undos: list[Callable[[], None]] = []
    for step in steps:
        if isinstance(step, int):
            found = rules.phrases.environment(step).phrases.lists["lures"].phrases
            assert found == tuple(lists.members("lures", step))
        elif step == "undo":
            if undos:
                undos.pop()()
        elif isinstance(step, EntriesAdded | EntryRemoved):
            undos.append(lists.apply(step))
    for undo in reversed(undos):
        undo()


_rows = st.fixed_dictionaries(
    {},
    optional={
        "sender.id": st.sampled_from(["a1", "acct_1"]),
        "text": st.sampled_from(["直取引", "直取引はお断り", "こんにちは", ""]),
        "sender.verified": st.booleans(),
        "score": st.integers(-(10**7), 10**7),
        "price_minor": st.integers(-5, 5),
    },
)
_values = st.fixed_dictionaries(
    {}, optional={"messages_1h": st.none() | st.integers(0, 6), "recipients_1d": st.none() | st.integers(0, 20)}
)
_MIXED = compiled(
    "(mentions(text, 'lures') OR sender.verified) AND NOT (messages_1h > 3 AND score < 1.5) OR price_minor / 2 > 1"
)[0]


@given(_rows, _values)
def test_running_and_explaining_agree(row: dict[str, Value], values: dict[str, Value]) -> None:
    explained = [rule.name for rule in _MIXED.rules if _MIXED.explain(rule.name, row, values, AT).value is True]
    assert matched(_MIXED, row, values) == explained
