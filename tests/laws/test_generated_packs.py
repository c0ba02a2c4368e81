"""Law 2 for whole packs: drawn features, rules and logs decide the same live, replayed, and in DuckDB over the archive.

The logs hold NULLs, entries at one moment, late and repeated events, steps to just before and after a window's edge, and
rules whose mode changes in mid-stream; part of the log may have left the database for the archive.
"""

import functools
import os
import pathlib
import random
import textwrap
from collections.abc import Sequence

import msgspec
import pytest
import sqlalchemy
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests.archive.conftest import Station, open_station
from tests.archive.test_same_in_duckdb import compare
from tests.laws.town import COMMON, message, payout, replay

from koban.base import DAY, HOUR, MINUTE, SECOND, Instant, ManualClock
from koban.db import Database, metadata
from koban.decisions import DecisionRecord, Inputs
from koban.packs import Mode, ModeName, PackDef, PackInvalid, parse_files
from koban.pipeline import commands
from koban.rules import ModeChanged, check_pack

START = Instant(1_792_584_000_000_000)
RULES = 4

WHOLE = ("count(*)", "count(flag)", "count(distinct recipient.id)", "count(distinct device.id)", "age_days()")
PARTS = ("sum(price)", "avg(price)", "min(price)", "max(price)", "first(price)", "last(price)")
WITHIN = ("1 minute", "1 hour", "1 day", "ever")


@st.composite
def features(draw: st.DrawFn) -> list[tuple[str, bool, str]]:
    """Draw features over messages: name, whether it counts whole numbers, and its YAML."""
    found = []
    for number in range(draw(st.integers(1, 4))):
        is_whole = draw(st.booleans())
        value = draw(st.sampled_from(WHOLE if is_whole else PARTS))
        lines = [
            f"- feature: f{number}",
            "  about: {en: drawn, ja: 生成}",
            "  on: message.sent",
            f"  by: {draw(st.sampled_from(('sender.id', 'recipient.id', 'device.id')))}",
            f"  value: {value}",
            f"  within: {'ever' if value == 'age_days()' else draw(st.sampled_from(WITHIN))}",
        ]
        where = draw(st.sampled_from((None, "flag", "NOT flag", "price > 1.5")))
        lines += [f"  where: {where}"] if where is not None else []
        lines += ["  excluding: current"] if draw(st.booleans()) else []
        lines += ["  bound: 3"] if "distinct" in value else []
        found.append((f"f{number}", is_whole, "\n".join(lines)))
    return found


def conditions(drawn: Sequence[tuple[str, bool, str]]) -> st.SearchStrategy[str]:
    """Draw conditions over the features and fields, with three-valued logic in them."""
    compared = st.sampled_from(("=", "<>", "<", "<=", ">", ">="))
    whole = st.sampled_from([name for name, is_whole, _ in drawn if is_whole] or ["length(sender.id)"])
    parts = st.sampled_from(["price", *(name for name, is_whole, _ in drawn if not is_whole)])
    atoms = st.one_of(
        st.builds("{} {} 2".format, whole, compared),
        st.builds("{} {} {}".format, parts, compared, st.sampled_from(("1.5", "0.000001", "3.0"))),
        st.builds("{} IS {}NULL".format, parts, st.sampled_from(("", "NOT "))),
        st.sampled_from(("flag", "sender.id = recipient.id", "mentions(text, 'lures')", "device.id IS NULL")),
    )
    return st.recursive(
        atoms,
        lambda below: st.one_of(
            st.builds("({} {} {})".format, below, st.sampled_from(("AND", "OR")), below),
            st.builds("(NOT {})".format, below),
        ),
        max_leaves=3,
    )


@st.composite
def packs(draw: st.DrawFn) -> PackDef:
    """Draw a pack; one whose rules are refused (always true, never true) is drawn again."""
    drawn = draw(features())
    rules = []
    for number in range(RULES):
        then = draw(st.sampled_from(("[hide]", "[{review: scams}]", "[{warn: recipient}, {review: scams}]", "[block]")))
        mode = draw(st.sampled_from(("live", "shadow", "{live: 50%}")))
        rules.append(
            textwrap.dedent(f"""\
                - rule: r{number}
                  policy: fraud/lure
                  on: [message.sent]
                  when: {draw(conditions(drawn))}
                  then: {then}
                  mode: {mode}
                  because: {{en: drawn, ja: 生成}}
                """)
        )
    rules.append(
        "- rule: big\n  policy: fraud/money\n  on: [payout.requested]\n  when: amount_minor >= 1000\n"
        "  then: [{hold: 2 hours, becomes: block}]\n  mode: live\n  because: {en: large, ja: 高額}\n"
    )
    files = {**COMMON, "features.yaml": "\n".join(text for *_, text in drawn), "rules/rules.yaml": "".join(rules)}
    try:
        pack = parse_files(files)
    except PackInvalid:
        assume(False)
    assume(not check_pack(pack))
    return pack


steps = st.sampled_from((0, 0, 1, SECOND, 59 * SECOND, MINUTE, 61 * SECOND, HOUR - 1, HOUR, DAY, 20 * DAY))


@pytest.mark.timeout(1_800)
@settings(
    max_examples=150 if os.environ.get("KOBAN_LONG") == "1" else 6,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(pack=packs(), chance=st.randoms(use_true_random=False), waits=st.lists(steps, min_size=4, max_size=30))
def test_a_drawn_pack_decides_the_same_live_replayed_and_in_duckdb(
    database: Database, tmp_path: pathlib.Path, pack: PackDef, chance: random.Random, waits: list[int]
) -> None:
    with database.write() as tx:
        for table in reversed(metadata.sorted_tables):
            tx.execute(sqlalchemy.delete(table))
    (tmp_path / "vault.key").unlink(missing_ok=True)
    folder = tmp_path / f"archive-{len(list(tmp_path.iterdir()))}"
    folder.mkdir()
    with open_station(database, ManualClock(START), folder, first=True, pack=pack) as station:
        switched = _live(station, chance, waits)
        _check_replay(station)
        station.days_pass(chance.choice((0, 12, 31)))
        station.run_archive()
        compare(station, functools.partial(_off_at, switched))


def _live(station: Station, chance: random.Random, waits: list[int]) -> list[tuple[int, str, bool]]:
    """Let the log come about; return at which entries which rules were switched off, or on again."""
    switched: list[tuple[int, str, bool]] = []
    sent: list[dict[str, object]] = []
    for number, wait in enumerate(waits):
        station.clock.advance(wait)
        if chance.random() < 0.2:
            rule = f"r{chance.randrange(RULES)}"
            name = chance.choice((ModeName.OFF, ModeName.LIVE, ModeName.SHADOW))
            change = ModeChanged(rule=rule, mode=Mode(name=name), by="staff_1", reason="law")
            entered = station.desk.command(functools.partial(commands.set_mode, change=change))
            switched.append((entered.seq, rule, name is ModeName.OFF))
        event = _event(number, Instant(station.clock.now() - chance.choice((0, 0, 0, 11 * MINUTE))), chance)
        sent.append(event)
        station.send(event, *([chance.choice(sent)] if chance.random() < 0.3 else []))
    return switched


def _off_at(switched: list[tuple[int, str, bool]], seq: int) -> frozenset[str]:
    last = {rule: is_off for at, rule, is_off in switched if at < seq}
    return frozenset(rule for rule, is_off in last.items() if is_off)


def _event(number: int, at: Instant, chance: random.Random) -> dict[str, object]:
    if number % 6 == 5:
        return payout(
            f"e{number}", at, account__id=chance.choice(("a1", None)), amount_minor=chance.choice((10, 1_000))
        )
    return message(
        f"e{number}",
        at,
        sender__id=chance.choice(("a1", "a1", "a2", None)),
        recipient__id=chance.choice(("a1", "b1", "b2", None)),
        message__id=f"m{number}",
        device__id=chance.choice(("d1", "d2", None)),
        text=chance.choice(("直取引しませんか", "直取引はお断りします", "こんにちは", None)),
        price=chance.choice((1.5, 1.499999, 0, -3, 12345678901.000001, None)),
        flag=chance.choice((True, False, None)),
    )


def _check_replay(station: Station) -> None:
    """Hold a replay of the log alone against what was decided live."""
    replayed, _ = replay(station.database, station.vault)
    assert replayed
    for seq, body, inputs in station.rows("SELECT seq, body, inputs FROM decisions"):
        again = replayed[int(str(seq))]
        record = msgspec.json.decode(str(body), type=DecisionRecord)
        assert again.features == msgspec.json.decode(str(inputs), type=Inputs).features
        assert (again.record.verdict, again.record.late) == (record.verdict, record.late)
        told = [[(one.rule, one.applied, one.withheld) for one in each.signals] for each in (again.record, record)]
        assert told[0] == told[1]
