"""Events that are decided together are decided as one by one: the same answers, rows and state, byte for byte."""

import functools
import json
import pathlib
import random
import re
from collections.abc import Sequence
from typing import Any

import pytest
from tests.laws.town import START, Town, message, open_town, own_picture, payout, picture

from koban.base import MINUTE, Instant
from koban.db import Database
from koban.events import Row, decode
from koban.events.routes import Decided, Result
from koban.labels import LabelSet, LabelSource
from koban.packs import Mode, ModeName
from koban.pipeline import commands
from koban.rules import CompiledRules, LiveModes, ModeChanged
from koban.rules.awake import AwakeRules

LURE = "直取引しませんか"
TABLES = {
    "log_entries": "seq, log_at, kind, type, event_id, source, event_at, subject, data, digest, flags, cause_seq",
    "decisions": "*", "signals": "*", "sanctions": "*", "sanction_changes": "*", "notices": "*", "cases": "*",
    "case_signals": "*", "case_members": "*", "timers": "*", "rule_harm": "*", "actions": "*", "hold_ends": "*",
}  # fmt: skip


def _stream(seed: int) -> list[dict[str, object]]:
    """Draw a quarter of an hour: honest talk, and waves of what brings sanctions, cases, holds and tripped budgets."""
    chance = random.Random(seed)
    events: list[dict[str, object]] = []
    wave = 0
    while len(events) < 180:
        number = len(events)
        wave = wave - 1 if wave else chance.choice((0,) * 25 + (3, 12))
        at = Instant(START + number * MINUTE // 12)
        if chance.random() < 0.1:
            amount = chance.choice((10, 20, 1_500)) if wave else 10
            events.append(payout(f"e{number}", at, account__id=chance.choice(("a1", "a4")), amount_minor=amount))
            continue
        events.append(
            message(
                f"e{number}" if chance.random() < 0.97 or not number else f"e{chance.randrange(number)}",
                at,
                sender__id=chance.choice(("a1", "a2", "a3", "a9")),
                sender__email=chance.choice(("x@example.com", None)),
                recipient__id=chance.choice(("a2", "b1", None)),
                message__id=f"m{number % 50}",
                text=LURE if wave else chance.choice(("こんにちは", f"こんにちは {number}", None)),
                device__id=chance.choice(("d1", "d2", None)),
                price=chance.choice((1.5, 0, None)),
                flag=chance.choice((True, False, None)) if wave else False,
            )
        )
    return events


def _send(town: Town, events: Sequence[dict[str, object]]) -> list[Result]:
    items = decode(json.dumps(list(events)).encode(), "application/json")
    return town.desk.submit(items, town.clock.now(), False).result(timeout=60)


def _prepare(town: Town) -> None:
    for rule, name in (("repeats", ModeName.LIVE), ("bad_device", ModeName.OFF)):
        change = ModeChanged(rule=rule, mode=Mode(name=name), by="staff_1", reason="law")
        town.command(functools.partial(commands.set_mode, change=change))
    label = LabelSet(
        subject_kind="account",
        subject_id="a3",
        label="truth",
        value="fraud",
        source=LabelSource.PERSON,
        by="staff_1",
    )
    town.command(functools.partial(commands.label, change=label))


def _life(town: Town, events: Sequence[dict[str, object]], sizes: Sequence[int]) -> tuple[list[bytes], object]:
    _prepare(town)
    answers: list[bytes] = []
    place = turn = 0
    while place < len(events):
        results = _send(town, events[place : place + sizes[turn % len(sizes)]])
        answers += [bytes(one.body) if isinstance(one, Decided) else repr(one).encode() for one in results]
        place += len(results)
        turn += 1
    rows = {name: sorted(town.rows(f"SELECT {columns} FROM {name}"), key=repr) for name, columns in TABLES.items()}
    at = town.desk.memory.log_time.peek()
    return answers, (rows, picture(town.desk.memory, at), own_picture(town.desk.memory, at))


@pytest.mark.parametrize("seed", range(6))
def test_a_batch_is_decided_as_its_events_one_by_one(database: Database, tmp_path: pathlib.Path, seed: int) -> None:
    events = _stream(seed)
    lives = []
    for sizes in ((1,), (180,), (7, 40, 1, 2)):
        with open_town(database, tmp_path) as town:
            lives.append(_life(town, events, sizes))
    (alone, stood), *others = lives
    rows = stood[0]  # type: ignore[index]  # the pair that `_life` made
    assert len(rows["sanctions"]) > 3, "the stream brings what disturbs those behind it"
    for answers, kept in others:
        assert answers == alone
        assert kept == stood


def test_one_event_that_fails_is_set_aside_and_those_around_it_are_decided(
    database: Database, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = _stream(1)
    broken = message("broken", START, sender__id="a1", recipient__id="b1", message__id="m-broken", text=LURE)
    ask = AwakeRules.matched

    def matched(awake: AwakeRules, rules: CompiledRules, modes: LiveModes, row: Row, *given: Any, **named: Any) -> Any:
        if row.get("message.id") == "m-broken":
            raise ZeroDivisionError  # as a fault of ours would
        return ask(awake, rules, modes, row, *given, **named)

    monkeypatch.setattr(AwakeRules, "matched", matched)
    lives = []
    for sizes in ((1,), (300,)):
        with open_town(database, tmp_path) as town:
            answers, _ = _life(town, [*events[:20], broken, *events[20:]], sizes)
            assert town.rows("SELECT event_id, status FROM quarantine") == [("broken", "waiting")]
            assert answers[20].startswith(b"Kept")
            # Log time that the failing event had used up stays used up, so moments differ by as much.
            lives.append([re.sub(rb'"20[^"]*Z"', b"", answer) for answer in answers if not answer.startswith(b"Kept")])
    assert lives[0] == lives[1]
    assert len(lives[0]) == len(events)
