"""What a report says of a small log, in exact figures."""

import functools
import json
import os
import pathlib
import re
import subprocess
import sys

import msgspec
import pytest
from tests.archive.conftest import Station
from tests.lab.conftest import log_of, switch

from koban.app.lab import with_values
from koban.base import DAY, HOUR, Instant
from koban.lab import EngineUnfit, NothingToTest, Question, Report, backtest, render_report
from koban.labels import LabelSet, LabelSource
from koban.lists import EntriesAdded
from koban.packs import PackDef, PackInvalid, load_pack, parse_files
from koban.pipeline import commands
from koban.pipeline.commands import activate

KOBAN = str(pathlib.Path(sys.executable).with_name("koban"))


def run(station: Station, **asked: object) -> Report:
    with log_of(station) as log:
        return backtest(log, Question(**{"pack": station.pack, **asked}))  # type: ignore[arg-type]  # fields by name


def edited(pack: PackDef, **changes: tuple[str, str]) -> PackDef:
    """Return the pack with texts replaced in the files named (dots stand for / and end in yaml)."""
    files = {name: text for name, text in pack.files.items() if not name.startswith("cases")}
    for name, (old, new) in changes.items():
        path = name.replace("__", "/") + ".yaml"
        assert old in files[path], f"{old} stands in {path}"
        files[path] = files[path].replace(old, new)
    return parse_files(files)


def rule_file(pack: PackDef) -> str:
    return next(name for name in pack.files if name.startswith("rules")).removesuffix(".yaml").replace("/", "__")


@pytest.fixture
def told(station: Station) -> Station:
    """Five messages of two people, one of whom is a fraud and one honest, and a loss that the fraud caused."""
    for number, (who, text) in enumerate(
        [
            ("fraud", "直取引しませんか"),
            ("fraud", "こんにちは"),
            ("honest", "please pay outside"),
            ("honest", "こんにちは"),
            ("unknown", "直取引しませんか"),
        ]
    ):
        event = station.event(f"e{number}", text)
        event["data"]["sender"] = {"id": who}  # type: ignore[index]  # a mapping
        station.send(event)
        station.clock.advance(DAY)
    for who in ("fraud", "honest"):
        said = LabelSet(
            subject_kind="account", subject_id=who, label="truth", value=who, source=LabelSource.PERSON, by="t"
        )
        station.desk.command(functools.partial(commands.label, change=said))
    return station


def test_a_report_counts_what_was_harmful_and_who_was_touched(told: Station) -> None:
    found = run(told, rules=["lure"])

    assert (found.events, found.harmful, found.honest) == (5, 2, 2)
    total = found.total
    assert (total.hits, total.people, total.honest_people) == (3, 3, 1)
    assert (total.measured.true, total.measured.false, total.measured.unknown) == (1, 1, 1)
    assert total.measured.precision.value == 0.5
    assert total.measured.recall.value == 0.5
    assert (total.harmful_people.hits, total.harmful_people.of) == (1, 1)
    assert [hits for _, hits, _ in found.per_day] == [1, 0, 1, 0, 1]
    assert found.engines == {"sql": "1 rules"}
    assert found.harm_from == "nothing"
    assert not found.bounded


def test_samples_are_newly_caught_and_newly_freed(told: Station) -> None:
    # 'pay outside' leaves the list and 'こんにちは' comes: two are caught, one is freed.
    new = edited(told.pack, lists=("直取引, pay outside", "直取引, こんにちは"))

    found = run(told, pack=new, against=told.pack, rules=["lure"])

    assert [each.event_id for each in found.caught_samples] == ["e1", "e3"]
    assert [(each.event_id, each.truth, each.rules) for each in found.freed_samples] == [("e2", "honest", ("lure",))]
    assert all(each.fields["text"] == "(sealed)" for each in found.caught_samples)
    line = found.rules[0]
    assert (line.changed, line.before, line.measured.flagged) == ("changed", 3, 4)
    assert found.before is not None
    assert found.before.hits == 3


TWO_MORE = """
- rule: greeting
  policy: fraud/lure
  on: [message.sent]
  when: text ILIKE '%こんにちは%'
  then: [{review: scams}]
  mode: live
  because: {en: greets, ja: 挨拶です}
- rule: outside
  policy: fraud/lure
  on: [message.sent]
  when: text ILIKE '%直取引%'
  then: [{review: scams}]
  mode: live
  because: {en: outside, ja: 取引外です}
"""


def test_one_rule_tried_is_compared_with_its_own_other_version_and_the_rest_goes_on(told: Station) -> None:
    path = rule_file(told.pack).replace("__", "/") + ".yaml"
    rules = told.pack.files[path]
    files = {name: text for name, text in told.pack.files.items() if not name.startswith("cases")}
    old = parse_files({**files, path: rules + TWO_MORE})
    wider = TWO_MORE.replace("'%こんにちは%'", "'%こんにちは%' OR text ILIKE '%直取引%'")
    narrower = TWO_MORE.replace("'%こんにちは%'", "'%nothing%'")

    def tried(changed: str) -> Report:
        return run(told, pack=parse_files({**files, path: rules + changed}), against=old, rules=["greeting"])

    more = tried(wider)  # e0 and e4 besides e1 and e3, but 'outside' caught those before
    assert more.before is not None
    assert (more.total.hits, more.before.hits) == (4, 2)
    assert (more.caught_samples, more.freed_samples) == ((), ())
    assert [(each.queue, each.cases, each.more_cases) for each in more.work] == [("scams", 4, 0)]
    assert [before for _, _, before in more.per_day] == [0, 1, 0, 1, 0]

    less = tried(narrower)
    assert less.before is not None
    assert (less.total.hits, less.before.hits) == (0, 2)
    assert [(each.event_id, each.rules) for each in less.freed_samples] == [
        ("e1", ("greeting",)),
        ("e3", ("greeting",)),
    ]
    assert [(each.queue, each.cases, each.more_cases) for each in less.work] == [("scams", 2, -2)]

    gone = run(told, pack=parse_files({**files, path: rules}), against=old, rules=["lure"])
    assert gone.removed == ("greeting", "outside")
    assert {each.event_id for each in gone.freed_samples} == {"e1", "e3"}  # 'lure' goes on with the others


def test_rules_that_say_the_same_are_found_once_and_overlap_is_named(told: Station) -> None:
    path = rule_file(told.pack)
    new = edited(told.pack, **{path: ("- rule: lure\n", "- rule: lure_too\n")})

    found = run(told, pack=new, against=told.pack)

    lines = {each.rule: each for each in found.rules}
    assert lines["lure_too"].changed == "added"
    assert lines["lure_too"].overlaps == (("lure", 3),)
    assert lines["lure_too"].also_old == 3
    assert lines["big_payout"].changed == "same"
    assert found.removed == ("lure",)
    assert not found.caught_samples


def test_work_is_what_the_queue_gets_more_of(told: Station) -> None:
    path = rule_file(told.pack)
    new = edited(told.pack, **{path: ("then: [hide, {warn: recipient}]", "then: [hide, {review: scams}]")})

    found = run(told, pack=new, against=told.pack, touch_s={"scams": 600})

    work = {each.queue: each for each in found.work}
    assert (work["scams"].more_cases, work["scams"].more_hours, work["scams"].measured) == (3, 0.5, True)
    assert run(told, pack=new, against=told.pack).work[0].touch_s == 180


def test_losses_are_caught_by_all_hits_and_prevented_after_the_first(station: Station) -> None:
    hold = "  fallback: hold\n  retention: 365 days\n"
    pack = edited(station.pack, events=(hold, f"{hold}  loss: {{amount: amount_minor, by: account.id}}\n"))
    for number, (amount, text) in enumerate([(500, "こんにちは"), (70, "直取引しませんか"), (9, "こんにちは")]):
        event = station.event(f"e{number}", text)
        event["data"]["sender"] = {"id": "thief"}  # type: ignore[index]  # a mapping
        station.send(event, station.payout(f"p{number}", amount, account="thief"))

    found = run(station, pack=pack, rules=["lure"])

    assert found.harm_from == "losses"
    caught = found.total.caught[0]
    assert (caught.of_minor, caught.all_hits_minor, caught.first_hit_minor) == (579, 579, 79)


@pytest.mark.parametrize("loss", [True, False])
def test_amounts_that_nobody_can_mean_end_no_backtest(told: Station, loss: bool) -> None:  # noqa: FBT001 - a case
    hold = "  fallback: hold\n  retention: 365 days\n"
    told_of = "  loss: {amount: amount_minor, by: account.id}\n" if loss else ""
    pack = edited(told.pack, events=(hold, f"{hold}{told_of}"))
    for number in range(3):
        told.send(told.payout(f"p{number}", 2**63 - 1, account="fraud"))

    found = run(told, pack=pack, rules=["lure", "big_payout"])

    assert found.harm_from == ("losses" if loss else "amounts")
    assert (found.total.caught[0].of_minor, found.total.caught[0].all_hits_minor) == (2**63 - 1, 2**63 - 1)


def test_what_people_wrote_cannot_steer_the_terminal_that_a_report_is_read_on(told: Station) -> None:
    found = run(told)
    wrote = {"text": "\x1b]0;owned\x07直取引\r\n    e9  fake\u202e"}
    sample = msgspec.structs.replace(found.caught_samples[0], event_id="e\x1b[2J0", fields=wrote)
    text = render_report(msgspec.structs.replace(found, caught_samples=(sample,)))
    assert "      e·[2J0  text=·]0;owned·直取引··    e9  fake·\n" in text


def test_list_entries_count_from_when_they_were_added_and_new_ones_from_the_start(told: Station) -> None:
    added = EntriesAdded(
        list="lures", values=("こんにちは",), note="n", by="t", expires_at=Instant(told.clock.now() + HOUR)
    )
    told.desk.command(lambda memory, tx: commands.change_list(memory, tx, added))
    told.send(told.event("late", "こんにちは"))
    told.clock.advance(2 * HOUR)
    told.send(told.event("later", "こんにちは"))

    assert run(told, rules=["lure"]).total.hits == 4
    new = edited(told.pack, lists=("直取引, pay outside", "直取引, pay outside, こんにちは"))
    assert run(told, pack=new, rules=["lure"]).total.hits == 7


@pytest.mark.parametrize("engine", ["auto", "live"])
def test_a_value_that_a_trial_leaves_out_counts_at_no_moment_whoever_put_it_on(told: Station, engine: str) -> None:
    added = EntriesAdded(list="lures", values=("こんにちは", "やあ"), note="n", by="t", expires_at=None)
    told.desk.command(lambda memory, tx: commands.change_list(memory, tx, added))
    told.send(told.event("by-a-person", "こんにちは"), told.event("other", "やあ"))
    whole = run(told, rules=["lure"], engine=engine).total.hits

    def without(*values: str) -> PackDef:
        return with_values(told.pack, [], told.desk.memory.vault, without=[f"lures={value}" for value in values])

    assert run(told, pack=without("こんにちは"), rules=["lure"], engine=engine).total.hits == whole - 1
    found = run(told, pack=without("こんにちは", "直取引"), against=told.pack, rules=["lure"], engine=engine)
    by_pack = whole - run(told, pack=without("直取引"), rules=["lure"], engine=engine).total.hits
    assert by_pack > 0
    assert (found.total.hits, len(found.freed_samples)) == (whole - 1 - by_pack, 1 + by_pack)


def test_an_entry_that_a_version_brought_counts_from_that_version_on(told: Station) -> None:
    switch(told)  # 090 comes, 'pay outside' goes
    told.send(told.event("phone", "call 090-1234-5678"))
    compiled = told.desk.memory.compiled.pack
    back = told.desk.memory.compile(told.pack)

    assert run(told, pack=compiled, rules=["lure"]).total.hits == 3  # two 直取引 and the phone

    told.desk.command(lambda memory, tx: activate(memory, tx, back, by="t", reason="back"), alone=True)
    # Now 090 is new again, and 'pay outside' counts but for the time in which it was gone.
    assert run(told, pack=compiled, rules=["lure"]).total.hits == 3
    assert run(told, rules=["lure"]).total.hits == 3


def test_since_and_newest_bound_what_is_judged(told: Station) -> None:
    assert run(told, rules=["lure"], since_at=Instant(told.clock.now() - 3 * DAY - HOUR)).events == 3
    bounded = run(told, rules=["lure"], newest=2)
    assert (bounded.events, bounded.bounded, bounded.total.hits) == (2, True, 1)


@pytest.mark.parametrize("mode", ["off", "retired"])
def test_a_rule_that_is_off_is_tried_when_it_is_asked_for_by_name(told: Station, mode: str) -> None:
    off = edited(
        told.pack, **{rule_file(told.pack): ("  mode: live\n  cap: 5 per hour", f"  mode: {mode}\n  cap: 5 per hour")}
    )
    assert off.rules["lure"].mode.name.value == mode
    alone = run(told, pack=off, against=off, rules=["lure"])
    figures = {each.rule: each for each in alone.rules}["lure"]
    assert (figures.measured.flagged, figures.mode, figures.changed, figures.before) == (3, mode, "changed", None)
    assert "lure" not in {each.rule for each in run(told, pack=off).rules}, "of the whole pack it is no part"


def test_what_cannot_be_run_is_refused(told: Station) -> None:
    with pytest.raises(NothingToTest):
        run(told, rules=["no_such_rule"])
    with pytest.raises(NothingToTest):
        run(told, since_at=Instant(told.clock.now() + DAY))
    bad = edited(told.pack, **{rule_file(told.pack): ("recipients_1h >= 5", "recipients_1h >= nothing")})
    with pytest.raises(PackInvalid):
        run(told, pack=bad)


def test_what_sql_cannot_say_is_run_live_and_named(told: Station) -> None:
    # The list is asked for a text that is a feature's value: no span can be joined to that.
    path = rule_file(told.pack)
    features = told.pack.files["features.yaml"] + (
        "- feature: last_text\n  about: {en: e, ja: j}\n  on: message.sent\n  by: sender.id\n  value: last(text)\n"
        "  within: 24 hours\n"
    )
    new = parse_files(
        {
            **edited(told.pack, **{path: ("mentions(text, 'lures') AND messages_1h >= 3",
                                          "mentions(last_text, 'lures')")}).files,
            "features.yaml": features,
        }
    )  # fmt: skip

    found = run(told, pack=new, rules=["lure", "lure_again"])

    assert found.engines["sql"] == "1 rules"
    assert found.engines["live"].startswith("1 rules: mentions")
    assert {each.rule: each.engine for each in found.rules} == {"lure": "sql", "lure_again": "live"}
    assert {each.rule: each.measured.flagged for each in found.rules} == {"lure": 3, "lure_again": 3}
    with pytest.raises(EngineUnfit, match="lure_again: mentions"):
        run(told, pack=new, engine="sql")


SANCTIONED = """- feature: sanctioned_recipients
  about: {en: e, ja: j}
  on: message.sent
  by: sender.id
  value: linked_sanctioned(recipient.id)
  bound: 5
  within: 24 hours
- feature: messages_of_sanctioned
  about: {en: e, ja: j}
  value: ratio(messages_1h, sanctioned_recipients)
"""


@pytest.mark.parametrize("condition", ["sanctioned_recipients >= 1", "messages_of_sanctioned >= 2"])
def test_a_rule_that_asks_for_sanctions_is_left_out_by_name_and_the_others_are_run(
    told: Station, condition: str
) -> None:
    path = rule_file(told.pack)
    changed = edited(told.pack, **{path: ("mentions(text, 'lures') AND messages_1h >= 3", condition)}).files
    new = parse_files({**changed, "features.yaml": told.pack.files["features.yaml"] + SANCTIONED})
    why = "the feature 'sanctioned_recipients' asks which sanctions stood, and a backtest imposes none"
    for engine in ("auto", "live", "sql"):
        found = run(told, pack=new, against=told.pack, engine=engine)
        assert found.left_out == {"lure_again": why}
        without = run(told, against=told.pack, engine=engine)
        others = [each for each in without.rules if each.rule != "lure_again"]
        assert [(each.rule, each.measured.flagged) for each in found.rules] == [
            (each.rule, each.measured.flagged) for each in others
        ]
        assert without.left_out == {}
    assert f"left out: lure_again: {why}" in render_report(found)
    assert run(told, against=new).left_out == {"lure_again": why}
    with pytest.raises(NothingToTest, match=r"would have hit\. lure_again: the feature"):
        run(told, pack=new, rules=["lure_again"])


def test_a_report_is_readable(told: Station) -> None:
    text = render_report(run(told, against=told.pack))
    assert "precision 50.0 %" in text
    assert "harm: no losses and no amounts are known" in text
    assert "█·█·█" in text
    assert "What people would have done after a block is not known" in text
    assert re.search(r"lure +3 +3 +50\.0 % \(9\.5–90\.5\) +3 +1  sql", text)
    long = msgspec.structs.replace(
        run(told, against=told.pack), per_day=tuple((f"day {day}", day, 8 * day) for day in range(150))
    )
    (hits,) = [line for line in render_report(long).splitlines() if line.startswith("hits per day  ")]
    (before,) = [line for line in render_report(long).splitlines() if line.startswith("the other     ")]
    assert hits.endswith("  day 0 … day 149, at most 149; each block the highest of 3 days")
    assert hits[14:64] == "▁" * 50
    assert (before[14], before[63], len(before)) == ("▁", "█", 64)


def test_the_command_says_the_same_by_sql_and_live_on_a_named_log(tmp_path: pathlib.Path) -> None:
    rows = "".join(
        f"{number},{'直取引しませんか' if number % 3 == 0 else 'こんにちは'},{number % 2}\n" for number in range(60)
    )
    (tmp_path / "talk.csv").write_text("n,text,spam\n" + rows, encoding="utf-8")
    (tmp_path / "map.yaml").write_text(
        "about: t\nsource: t\nevent: message.sent\nid: n\n"
        "time: \"TIMESTAMP '2018-01-01' + to_days(CAST(n AS INTEGER))\"\ndata: {sender.id: \"'s' || n\", recipient.id: \"'r'\", text: text}\n"
        "truth: {what: spam, harmful: spam = '1'}\n",
        encoding="utf-8",
    )
    environment = {**os.environ, "KOBAN_DATA": str(tmp_path / "data"), "KOBAN_PACK": "tests/small_pack"}

    def koban(*arguments: str) -> str:
        done = subprocess.run([KOBAN, *arguments], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    koban("import", str(tmp_path / "talk.csv"), "--map", str(tmp_path / "map.yaml"), "--log", "talk")
    found = {
        engine: json.loads(
            koban("backtest", "--pack", "tests/small_pack", "--log", "talk", "--engine", engine, "--json")
        )
        for engine in ("sql", "live")
    }
    assert found["sql"]["total"] == found["live"]["total"]
    assert found["sql"]["total"]["hits"] == 20
    assert found["sql"]["total"]["measured"]["true"] == 10
    assert load_pack(pathlib.Path("tests/small_pack")).digest == found["sql"]["pack"]
    # A set of 2018 has its last ten days as well: they are counted back from its end.
    late = json.loads(koban("backtest", "--pack", "tests/small_pack", "--log", "talk", "--since", "10d", "--json"))
    assert (late["since"], late["events"], late["total"]["hits"]) == ("2018-02-19T00:00:00.000000Z", 11, 3)
