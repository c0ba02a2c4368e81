"""Proposals from labelled events: what was planted is found, and measured where it was not looked for."""

import random
import re

import pytest
from tests.archive.conftest import Station
from tests.lab.conftest import log_of

from koban.base import MINUTE
from koban.lab import NothingToTest, suggest_rules, suggest_threshold
from koban.labels import LabelSet, LabelSource
from koban.pipeline import commands


@pytest.fixture
def planted(station: Station) -> Station:
    """People of whom every fourth is a fraud, who writes of gifts and asks high prices; two in ten honest ones do one of both."""
    randomness = random.Random(8)
    for number in range(400):
        fraud = number % 4 == 0
        gift = fraud or randomness.random() < 0.2
        dear = fraud or randomness.random() < 0.2
        event = station.event(f"e{number}", "get your gift voucher today" if gift else "is it still there")
        event["data"]["sender"] = {"id": f"p{number}"}  # type: ignore[index]  # a mapping
        event["data"]["price_minor"] = randomness.randrange(900, 1_000) if dear else randomness.randrange(100)  # type: ignore[index]
        station.send(event)
        station.clock.advance(MINUTE)
        said = LabelSet(subject_kind="account", subject_id=f"p{number}", label="truth",
                        value="fraud" if fraud else "honest", source=LabelSource.PERSON, by="t")  # fmt: skip
        station.desk.command(lambda memory, tx, said=said: commands.label(memory, tx, said))  # type: ignore[misc]
    return station


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_planted_trick_is_proposed_and_holds_on_the_part_held_out(planted: Station) -> None:
    with log_of(planted) as log:
        found = suggest_rules(log, planted.pack, "message.sent", precision=0.65, most=2)
        usual = suggest_rules(log, planted.pack, "message.sent", precision=0.1, most=5)
        blind = suggest_rules(log, planted.pack, "message.sent", precision=0.65, without=("text", "price_minor"))
        with pytest.raises(NothingToTest, match="'colour' to leave out"):
            suggest_rules(log, planted.pack, "message.sent", without=("colour",))

    first = found.rules[0]
    assert re.fullmatch(
        r"matches\(text, '\\b(get|gift|today|voucher|your)\\b'\) AND price_minor >= \d{2,3}", first.when
    )
    assert first.train.precision.low is not None
    assert first.train.precision.low >= 0.65
    assert (first.test.recall.value or 0) >= 0.7
    assert (first.test.precision.value or 0) >= 0.6
    assert first.when.count(" AND ") <= 2
    assert f"- rule: {first.name}" in first.text
    assert "policy: fraud/lure # choose" in first.text  # as most rules on such events, not the first of the pack
    assert "mode: shadow" in first.text
    assert usual.rules
    assert all((rule.train.precision.low or 0) > 0.25 for rule in usual.rules)  # better than anybody taken blindly
    assert blind.rules == ()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_threshold_fits_the_precision_or_the_hours(planted: Station) -> None:
    with log_of(planted) as log:
        kept = suggest_threshold(log, planted.pack, "message.sent", "price_minor", precision=0.4)
        short = suggest_threshold(log, planted.pack, "message.sent", "price_minor", hours_per_day=0.0)
        with pytest.raises(NothingToTest):
            suggest_threshold(log, planted.pack, "no.such", "price_minor")

    assert kept.chosen is not None
    assert (kept.chosen.train.precision.low or 0) >= 0.4
    assert kept.chosen.train.true == max(
        step.train.true for step in kept.steps if (step.train.precision.low or 0) >= 0.4
    )
    assert short.chosen is None
