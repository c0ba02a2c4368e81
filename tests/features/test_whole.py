"""Features beyond counts: deviations, most frequent values, rates, peers, pairs, sequences, linked accounts."""

from collections.abc import Mapping
from typing import Any

import pytest
from tests.features.test_check import EVENTS, HEAD

from koban.base import DAY, HOUR, MINUTE, SECOND
from koban.db import Database
from koban.features import FeatureStore, check_features, compile_features, features_in_scope
from koban.packs import PackDef, PackInvalid, parse_files, place

NOON = 1_768_964_400_000_000
ORDER = "order.made"


def pack(features: str) -> PackDef:
    return parse_files({"pack.yaml": HEAD, "events.yaml": EVENTS, "features.yaml": features})


def feature(name: str, value: str, by: str = "buyer.id", on: str = ORDER, more: str = "within: 1 hour") -> str:
    lines = more.replace("\n", "\n  ")
    on = f"on: {on}\n  by: {by}" if not by.startswith("{") else f"by: {by}"
    return f"- feature: {name}\n  about: {{en: a, ja: b}}\n  {on}\n  value: {value}\n  {lines}\n"


def play(
    features: str, reads: Mapping[str, set[str]], log: list[tuple[str, int, dict[str, Any]]]
) -> list[dict[str, Any]]:
    found = pack(features)
    assert check_features(found) == ()
    store = FeatureStore(compile_features(found, reads))
    store.standing = lambda kind, subject, at: (kind, subject) == ("account", "bad") and at > NOON
    answers = []
    for seq, (event, at, row) in enumerate(log, start=1):
        answers.append(dict(store.apply(None, seq, event, row, NOON + at)))
        store.forget()
    return answers


def order(at: int, buyer: str = "a1", **row: Any) -> tuple[str, int, dict[str, Any]]:
    return ORDER, at, {"buyer.id": buyer, **row}


def values(answers: list[dict[str, Any]], name: str) -> list[Any]:
    return [answer.get(name) for answer in answers]


def test_a_deviation_is_that_of_the_sample_in_the_window() -> None:
    log = [
        order(0, amount=2),
        order(SECOND, amount=4),
        order(2 * SECOND),
        order(3 * SECOND, amount=9),
        order(2 * HOUR, amount=1),
    ]
    answers = play(feature("f", "stddev(amount)"), {ORDER: {"f"}}, log)
    assert values(answers, "f") == [None, 1_414_213, 1_414_213, 3_605_551, None]


def test_the_most_frequent_is_of_those_seen_last_and_the_newest_of_several() -> None:
    log = [order(place, amount=amount) for place, amount in enumerate((5, 5, 7, 7, 8, 9))]
    answers = play(feature("f", "most_frequent(amount)", more="within: 1 hour\nbound: 3"), {ORDER: {"f"}}, log)
    assert values(answers, "f") == [5, 5, 5, 7, 7, 9]


def test_a_rate_compares_with_the_own_past() -> None:
    parts = feature("short", "count(*)") + feature("long", "count(*)", more="within: 60 hours")
    composed = "- {feature: f, value: 'rate(short, long)', about: {en: a, ja: b}}\n"
    log = [order(0), order(10 * HOUR), order(20 * HOUR), order(20 * HOUR + 1)]
    answers = play(parts + composed, {ORDER: {"f"}}, log)
    assert values(answers, "f") == [60_000_000, 30_000_000, 20_000_000, 30_000_000]


def test_peers_are_compared_by_the_average_of_those_who_share_a_subject() -> None:
    parts = feature("own", "count(*)", more="within: ever")
    parts += feature("total", "count(*)", by="everyone", more="within: ever")
    parts += feature("members", "count(distinct buyer.id)", by="everyone", more="within: ever\nbound: 100")
    composed = "- {feature: f, value: 'peers(own, total, members)', about: {en: a, ja: b}}\n"
    log = [order(0, "a1"), order(1, "a2"), order(2, "a1"), order(3, "a1")]
    answers = play(parts + composed, {ORDER: {"f", "total"}}, log)
    assert values(answers, "f") == [1_000_000, 1_000_000, 1_333_333, 1_500_000]
    assert values(answers, "total") == [1, 2, 3, 4]


def test_a_pair_is_a_subject_of_its_own() -> None:
    log = [
        order(0, "a1", **{"seller.id": "b1"}),
        order(1, "a1", **{"seller.id": "b2"}),
        order(2, "a1", **{"seller.id": "b1"}),
        order(3, "b1", **{"seller.id": "a1"}),
        order(4, "a1"),
    ]
    answers = play(feature("f", "count(*)", by="[buyer.id, seller.id]"), {ORDER: {"f"}}, log)
    assert values(answers, "f") == [1, 1, 2, 1, None]


def test_a_sequence_counts_its_ends_when_each_step_is_near_enough() -> None:
    by = "{order.made: buyer.id, login.done: account.id}"
    text = feature("f", "sequence(login.done THEN order.made WITHIN 10 minutes)", by=by)
    login = ("login.done", 0, {"account.id": "a1"})
    log = [order(-1), login, order(MINUTE), order(10 * MINUTE), order(10 * MINUTE + 1), order(2 * MINUTE * 60)]
    answers = play(text, {ORDER: {"f"}}, [log[0], *log[1:]])
    assert values(answers, "f") == [0, None, 1, 2, 2, 0]


def test_linked_accounts_are_asked_for_sanctions_and_ages() -> None:
    text = feature("age", "age_days()", more="within: ever")
    for name in ("linked_sanctioned(buyer.id)", "linked_youngest(buyer.id, age)", "linked_oldest(buyer.id, age)"):
        text += feature(name.split("(")[0], name, by="device.id", more="within: 30 days\nbound: 2")
    log = [
        order(-9 * DAY, "a1", **{"device.id": "d1"}),
        order(-DAY, "bad", **{"device.id": "d1"}),
        order(1, "a1", **{"device.id": "d1"}),
        order(2, "new", **{"device.id": "d1"}),
        order(3, "a1"),
    ]
    keys = {"linked_sanctioned", "linked_youngest", "linked_oldest"}
    answers = play(text, {ORDER: keys}, log)
    assert values(answers, "linked_sanctioned") == [0, 0, 1, 0, None]
    assert values(answers, "linked_youngest") == [0, 0, 1, 0, None]
    assert values(answers, "linked_oldest") == [0, 8, 9, 9, None]


def test_sanctions_of_linked_subjects_are_asked_where_nothing_is_kept_about_them() -> None:
    text = feature("f", "linked_sanctioned(buyer.id)", by="device.id", more="within: 30 days\nbound: 2")
    log = [order(1, "bad", **{"device.id": "d1"}), order(2, "a1", **{"device.id": "d1"})]
    assert values(play(text, {ORDER: {"f"}}, log), "f") == [1, 1]


def test_erasing_a_person_forgets_the_pairs_with_others(database: Database) -> None:
    program = compile_features(pack(feature("f", "count(*)", by="[buyer.id, seller.id]")), {ORDER: {"f"}})
    rows = [
        {"buyer.id": "a1", "seller.id": "b1"},
        {"buyer.id": "b1", "seller.id": "a1"},
        {"buyer.id": "xa1", "seller.id": "b1"},
    ]
    with database.write() as tx:
        store = FeatureStore.open(tx, program)
        for seq, row in enumerate(rows, start=1):
            store.apply(tx, seq, ORDER, row, NOON + seq)
        store.write_slice(tx, 3, 100)
        store.forget()
        store.erase(tx, "account", "a1")
        found = [store.apply(tx, 4 + place, ORDER, row, NOON + 4 + place)["f"] for place, row in enumerate(rows)]
    assert found == [1, 1, 2]


def test_a_feature_brings_the_unit_of_what_it_adds_up() -> None:
    events = EVENTS.replace("    amount: int\n", "    amount: {type: int, unit: minor}\n")
    text = feature("f", "sum(amount)") + feature("g", "age_days()", more="within: ever")
    found = features_in_scope(parse_files({"pack.yaml": HEAD, "events.yaml": events, "features.yaml": text}), ORDER)
    assert {name: info.unit for name, info in found.items()} == {"f": "minor", "g": "days"}


@pytest.mark.parametrize(
    ("text", "place_", "detail"),
    [
        (feature("f", "stddev(note)"), "features.yaml:5:17", "stddev(x) measures numbers, and 'note' is text"),
        (
            feature("f", "most_frequent(note)", more="within: 1 hour\nbound: 3"),
            "features.yaml:5:24",
            "would keep 'note'",
        ),
        (
            feature("f", "sequence(order.made THEN login.don WITHIN 1 hour)"),
            "features.yaml:5:10",
            "no event type 'login.don'",
        ),
        (
            feature("f", "sequence(order.made THEN login.done WITHIN 1 hour)"),
            "features.yaml:1:3",
            "'by' does not say which",
        ),
        (
            feature("f", "linked_sanctioned(note)", more="within: 1 hour\nbound: 3"),
            "features.yaml:5:10",
            "'note' names no subject",
        ),
        (
            feature("f", "linked_youngest(seller.id, f)", by="device.id", more="within: 1 hour\nbound: 3"),
            "features.yaml:5:10",
            "'f' is no feature of the form age_days()",
        ),
        (
            feature("a", "count(*)", more="within: ever")
            + "- {feature: f, value: 'rate(a, a)', about: {en: a, ja: b}}\n",
            "features.yaml:7:23",
            "'a' has no window",
        ),
        (
            feature("a", "count(*)") + "- {feature: f, value: 'peers(a, a, a)', about: {en: a, ja: b}}\n",
            "features.yaml:7:23",
            "compares one account with the average of another subject's members",
        ),
    ],
)
def test_what_cannot_be_is_refused_at_its_place(text: str, place_: str, detail: str) -> None:
    faults = check_features(pack(text))
    assert faults
    assert place(faults[0].source) == place_
    assert detail in faults[0].detail


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        (feature("f", "most_frequent(amount)"), "needs a 'bound'"),
        (feature("f", "sum(amount)", more="within: 1 hour\nbound: 3"), "'bound' is only for"),
        (feature("f", "count(*)", by="[buyer.id, seller.id, device.id]"), "a pair of two"),
        (feature("f", "count(*)", by="[buyer.id, amount]"), "is not a subject of order.made"),
        ("- {feature: f, value: 'rate(a)', about: {en: a, ja: b}}\n", "rate(a, b) takes the names of two features"),
        ("- {feature: f, value: 'peers(a, b)', about: {en: a, ja: b}}\n", "takes the names of three features"),
        (feature("f", "median(amount)"), "'value' must be one aggregate"),
    ],
)
def test_a_value_that_is_none_of_the_forms_is_refused(text: str, detail: str) -> None:
    with pytest.raises(PackInvalid) as refused:
        pack(text)
    assert detail in str(refused.value)
