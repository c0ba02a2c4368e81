"""Emergency rules: previewed, live at once, capped, gone by themselves, known to explanations, and undone in any part."""

import contextlib
from collections.abc import Callable

import msgspec
import pytest
from tests.conftest import hire
from tests.console.scene import starter
from tests.pipeline.conftest import SMALL_PACK, Station

import koban.events.store as event_store
from koban.app.urgent import holidays_of
from koban.base import HOUR, MINUTE, SECOND, from_rfc3339, to_rfc3339
from koban.db import Tx
from koban.emergency import (
    Emergency,
    EmergencyInvalid,
    EmergencyNeedsSecond,
    EmergencyOver,
    EmergencyStarted,
    EndEmergency,
    ExtendEmergency,
    UndoFilter,
    list_undo,
    next_morning,
    undo_lines,
)
from koban.packs import FreezePayout, Hide, Hold, Restrict, files_of, parse_files
from koban.pipeline import commands, explain
from koban.pipeline.memory import Memory
from koban.pipeline.previewing import BUDGET, PAGE, preview
from koban.pipeline.urgent import end_emergency, extend_emergency, prepare_overlay, start_emergency
from koban.webhooks import WebhookEndpoint
from koban.webhooks import store as webhook_store

LINE = "LINEで話しましょう"


def rule(station: Station, **changes: object) -> EmergencyStarted:
    at = station.clock.now()
    started = EmergencyStarted(
        name="emergency.line",
        policy="fraud/lure",
        on=("message.sent",),
        when="text ILIKE '%line%'",
        then=(Hide(),),
        cap_per_hour=50,
        because={"en": "an incident", "ja": "問題の確認中"},
        lasts_us=HOUR,
        ends_at=at,
        review_due_at=next_morning(at, "Asia/Tokyo"),
        by="staff_mika",
        reason="a wave of lures",
    )
    return msgspec.structs.replace(started, **changes)


def start(station: Station, **changes: object) -> Emergency:
    started = rule(station, **changes)
    overlay = prepare_overlay(station.desk.memory, started)
    return station.desk.command(lambda memory, tx: start_emergency(memory, tx, started, overlay))


def listen(station: Station) -> None:
    """Let a marketplace take actions."""

    def run(memory: Memory, tx: Tx) -> None:
        endpoint = WebhookEndpoint(
            id="endpoint_shop", url="https://shop.example/koban", kinds=(), enabled=True, allow_private=False,
            created_at=station.clock.now(), secret=b"sealed",
        )  # fmt: skip
        webhook_store.insert_endpoint(tx, endpoint, by="koban")
        memory.book.reload(tx)

    station.run(run)


def test_it_decides_from_the_next_event_on_and_every_decision_names_its_version(station: Station) -> None:
    before = station.decide(station.event("e1", LINE))
    assert (before.verdict, before.emergency) == ("allow", ())
    one = start(station)
    record = station.decide(station.event("e2", LINE))
    assert record.verdict == "block"
    assert record.emergency == (one.seq,)
    assert [(each.rule, each.policy, each.actions, each.because["ja"]) for each in record.signals] == [
        ("emergency.line", "fraud/lure", ("hide",), "問題の確認中")
    ]
    assert station.rows("SELECT subject_id, policy, rule FROM sanctions") == [("m-e2", "fraud/lure", "emergency.line")]
    quiet = station.decide(station.event("e3", "こんにちは"))
    assert (quiet.verdict, quiet.emergency) == ("allow", (one.seq,))


def test_the_log_entry_alone_says_what_decided_and_an_explanation_shows_the_condition(station: Station) -> None:
    one = start(station)
    record = station.decide(station.event("e1", LINE))
    kept = station.rows("SELECT type FROM log_entries WHERE seq = ?", (one.seq,))
    assert kept == [("emergency.started",)]
    with station.database.read() as tx:
        entry = event_store.read_entry(tx, one.seq)
    assert entry is not None
    assert msgspec.json.decode(entry.data, type=EmergencyStarted) == one.started
    station.run(
        lambda memory, tx: end_emergency(memory, tx, EndEmergency(name=one.name, by="staff_mika", reason="over"))
    )
    explained = explain(station.database, station.desk.memory.vault, record.seq)
    mine = next(each for each in explained.rules if each.rule == "emergency.line")
    assert (mine.matched, mine.when) == (True, "text ILIKE '%line%'")


def test_it_is_gone_at_sixty_minutes_by_its_timer_and_its_review_waits_for_the_morning(station: Station) -> None:
    one = start(station)
    assert one.ends_at - one.started_at == HOUR - 1 or one.ends_at - one.started_at <= HOUR
    due = station.rows("SELECT subject_kind, subject_id, queue, due_at FROM cases WHERE id = ?", (one.case_id,))
    assert due == [("rule", "emergency.line", "scams", due[0][3])]
    # 2026-10-21 21:00 in Tokyo is a Wednesday; the next business morning is Thursday at 10:00.
    assert abs(int(str(due[0][3])) - int(one.started.review_due_at)) < SECOND
    assert to_rfc3339(one.started.review_due_at) == "2026-10-22T01:00:00.000000Z"
    station.clock.advance(one.ends_at - station.clock.now() - 2_000)
    assert station.decide(station.event("e1", LINE)).verdict == "block"
    station.clock.advance(2_000)
    late = station.decide(station.event("e2", LINE))
    assert (late.verdict, late.emergency) == ("allow", ())
    assert station.rows("SELECT ended_by, ended_how FROM emergency_rules") == [("koban", "expired")]
    assert station.rows("SELECT count(*) FROM log_entries WHERE type = 'emergency.ended'") == [(1,)]
    assert station.rows("SELECT kind, object FROM alerts WHERE kind = 'emergency.started'") == [
        ("emergency.started", "rule:emergency.line")
    ]


def test_a_restart_in_the_middle_keeps_it_and_its_end(
    station: Station, reopen: Callable[[], contextlib.AbstractContextManager[Station]]
) -> None:
    one = start(station, when="of(paid_out, sender.id) > 0 OR text ILIKE '%line%'")
    station.decide(station.event("e1", LINE))
    station.desk.decider.close()
    with reopen() as again:
        record = again.decide(again.event("e2", LINE))
        assert (record.verdict, record.emergency) == ("block", (one.seq,))
        again.clock.advance(2 * HOUR)
        assert again.decide(again.event("e3", LINE)).verdict == "allow"
        assert again.rows("SELECT ended_how FROM emergency_rules") == [("expired",)]


def test_a_second_person_extends_it_once(station: Station) -> None:
    one = start(station)
    station.clock.advance(40 * MINUTE)

    def extend(by: str) -> Emergency:
        command = ExtendEmergency(name=one.name, lasts_us=HOUR, by=by, reason="still going on")
        return station.desk.command(lambda memory, tx: extend_emergency(memory, tx, command))

    hire(station.database, "staff_mika")
    hire(station.database, "staff_lead")
    with pytest.raises(EmergencyNeedsSecond, match="somebody else"):
        extend("staff_mika")
    with pytest.raises(EmergencyNeedsSecond, match="member of the staff"):
        extend("owner")  # of the folder: a key that lies in a file is nobody's second
    longer = extend("staff_lead")
    assert longer.ends_at - one.ends_at in range(39 * MINUTE, 41 * MINUTE)
    with pytest.raises(EmergencyOver, match="once"):
        extend("staff_other")
    station.clock.advance(30 * MINUTE)  # the first timer fires and finds nothing to do
    assert station.decide(station.event("e1", LINE)).verdict == "block"
    station.clock.advance(31 * MINUTE)
    assert station.decide(station.event("e2", LINE)).verdict == "allow"


def test_ended_early_it_decides_nothing_more_and_cannot_be_ended_again(station: Station) -> None:
    one = start(station)
    over = EndEmergency(name=one.name, by="staff_mika", reason="seen enough")
    station.run(lambda memory, tx: end_emergency(memory, tx, over))
    assert station.decide(station.event("e1", LINE)).verdict == "allow"
    with pytest.raises(EmergencyOver):
        station.run(lambda memory, tx: end_emergency(memory, tx, over))
    with pytest.raises(EmergencyInvalid):
        start(station)  # its name stays its own


def test_past_its_cap_it_only_opens_cases(station: Station) -> None:
    start(station, cap_per_hour=3)
    verdicts = []
    for number in range(5):
        event = station.event(f"e{number}", LINE)
        event["data"] = {**dict(event["data"]), "message": {"id": "m"}}  # type: ignore[call-overload]  # JSON
        event["data"]["message"] = {"id": f"m{number}"}  # type: ignore[index]  # JSON
        event["data"]["sender"] = {"id": f"a{number}"}  # type: ignore[index]  # JSON
        verdicts.append(station.decide(event).verdict)
    assert verdicts == ["block", "block", "block", "allow", "allow"]
    assert station.rows("SELECT object FROM alerts WHERE kind = 'budget.tripped'") == [("rule:emergency.line",)]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"when": "text ILIKE"}, "condition:1"),
        ({"when": "txet ILIKE '%x%'"}, "condition:1:1"),
        ({"when": ""}, "/when"),
        ({"policy": "fraud/none"}, "/policy"),
        ({"on": ("message.snet",)}, "/on"),
        ({"then": ()}, "/then"),
        ({"then": (Hold(for_us=100 * HOUR, becomes="allow"),)}, "/then"),
        ({"then": (Restrict(scope="buying", for_us=HOUR),)}, "/then"),
        ({"then": (FreezePayout(for_us=HOUR),)}, "condition:1:1"),  # a phrase alone never sanctions an account
        ({"cap_per_hour": 10_000}, "/cap_per_hour"),
        ({"lasts_us": 2 * HOUR}, "/minutes"),
        ({"reason": " "}, "/reason"),
        ({"name": "emergency.Not So"}, "/name"),
    ],
)
def test_what_an_emergency_does_not_allow_is_refused_and_changes_nothing(
    station: Station, changes: dict[str, object], path: str
) -> None:
    with pytest.raises(EmergencyInvalid) as refused:
        start(station, **changes)
    assert refused.value.problems[0].path.startswith(path), refused.value.problems
    assert station.rows("SELECT count(*) FROM emergency_rules") == [(0,)]
    assert station.rows("SELECT count(*) FROM log_entries WHERE type = 'emergency.started'") == [(0,)]


def test_a_pack_that_no_longer_has_what_it_names_ends_it(station: Station) -> None:
    start(station, when="recipients_1h >= 1")
    files = dict(files_of(SMALL_PACK))
    files["features.yaml"] = files["features.yaml"].replace("recipients_1h", "receivers_1h")
    for name in [each for each in files if each.startswith("rules/")]:
        files[name] = files[name].replace("recipients_1h", "receivers_1h")
    compiled = station.desk.memory.compile(parse_files({k: v for k, v in files.items() if not k.startswith("cases")}))
    station.run(lambda memory, tx: commands.activate(memory, tx, compiled, by="staff", reason="new"), alone=True)
    assert station.decide(station.event("e1", LINE)).emergency == ()
    assert station.rows("SELECT ended_how FROM emergency_rules") == [("unfit",)]
    assert station.rows("SELECT object FROM alerts WHERE kind = 'emergency.unfit'") == [("rule:emergency.line",)]


def test_the_preview_counts_hits_and_people_and_touches_nothing(station: Station) -> None:
    for number in range(6):
        event = station.event(f"e{number}", LINE if number % 2 else "こんにちは")
        event["data"]["sender"] = {"id": f"a{number}"}  # type: ignore[index]  # JSON
        station.send(event)
    station.clock.advance(10 * MINUTE)
    station.send(station.event("lure", "直取引で LINE へ"))
    seq = station.desk.memory.last_seq
    made = preview(
        station.database, station.desk.memory.vault, station.clock, station.desk.memory.compiled, rule(station)
    )
    assert (made.events, made.hits, made.people, made.whole) == (7, 4, 3, True)
    assert (made.clean, made.unknown, made.honest, made.fraud) == (2, 1, 0, 0)
    assert made.already_caught == 1
    assert [sample.event_id for sample in made.samples] == ["lure", "e5", "e3", "e1"]
    assert made.samples[0].rules == ("lure",)
    assert sum(made.per_minute) == 4
    assert len(made.per_minute) == 120
    assert station.desk.memory.last_seq == seq


def test_a_preview_that_has_no_time_left_says_how_far_back_it_came(station: Station) -> None:
    """The answer comes within ten seconds whatever the log holds: after each page of events it asks the clock."""
    assert BUDGET < 10 * SECOND
    for number in range(PAGE + 20):
        station.send(station.event(f"e{number}", LINE if number % 2 else "こんにちは"))
    with station.database.read() as tx:
        oldest = event_store.read_back(tx, ("message.sent",), before_seq=None, limit=PAGE)[-1].log_at
    cut = preview(
        station.database,
        station.desk.memory.vault,
        station.clock,
        station.desk.memory.compiled,
        rule(station),
        budget=-1,
    )
    assert (cut.events, cut.hits, cut.whole, cut.since) == (PAGE, PAGE // 2, False, to_rfc3339(oldest))
    whole = preview(
        station.database, station.desk.memory.vault, station.clock, station.desk.memory.compiled, rule(station)
    )
    assert (whole.events, whole.hits, whole.whole) == (PAGE + 20, PAGE // 2 + 10, True)


def test_everything_it_did_is_listed_and_any_part_is_undone(station: Station) -> None:
    listen(station)
    one = start(station, then=(Hide(), Hold(for_us=HOUR, becomes="allow")))
    for number in range(3):
        event = station.event(f"e{number}", LINE)
        event["data"]["sender"] = {"id": f"a{number}"}  # type: ignore[index]  # JSON
        station.send(event)
    everything = UndoFilter(since_at=0, until_at=station.clock.now() + HOUR)
    with station.database.read() as tx:
        lines, more = list_undo(tx, but(everything, rule=one.name))
        of_one, _ = list_undo(tx, but(everything, account="a1"))
    assert not more
    assert [(line.kind, line.what, line.account, line.state, line.did) for line in of_one] == [
        ("sanction", "hide", "a1", "stands", "requested"),
        ("verdict", "block", "a1", "stands", ""),
    ]
    assert len(lines) == 6
    done = undo_lines(
        lambda command: station.desk.command(lambda memory, tx: commands.sanction(memory, tx, command)),
        of_one,
        by="staff_lead",
        reason="honest",
    )
    assert (done.lines, done.sanctions, done.verdicts, done.accounts) == (2, 1, 1, 1)
    with station.database.read() as tx:
        after, _ = list_undo(tx, but(everything, rule=one.name))
    assert sorted((line.account, line.state, line.undid) for line in after) == [
        ("a0", "stands", ""),
        ("a0", "stands", ""),
        ("a1", "undone", "requested"),
        ("a1", "undone", "requested"),
        ("a2", "stands", ""),
        ("a2", "stands", ""),
    ]
    assert station.rows("SELECT kind FROM actions WHERE kind = 'decision.withdrawn'") == [("decision.withdrawn",)]


def test_a_hold_that_is_undone_lifts_at_once_and_does_not_lapse_later(station: Station) -> None:
    listen(station)
    start(station, then=(Hold(for_us=HOUR, becomes="allow"),))
    record = station.decide(station.event("e1", LINE))
    assert record.verdict == "hold"
    with station.database.read() as tx:
        lines, _ = list_undo(tx, UndoFilter(since_at=0, until_at=station.clock.now() + HOUR))
    undo_lines(
        lambda command: station.desk.command(lambda memory, tx: commands.sanction(memory, tx, command)),
        lines,
        by="staff_lead",
        reason="wrong",
    )
    station.clock.advance(3 * HOUR)
    station.send(station.event("e2"))
    assert station.rows("SELECT kind FROM actions ORDER BY state_version, ordinal") == [("decision.withdrawn",)]


def test_a_verdict_that_another_rule_stands_behind_is_not_withdrawn(station: Station) -> None:
    listen(station)
    start(station)
    record = station.decide(station.event("e1", "直取引は LINE で"))
    assert [signal.rule for signal in record.signals] == ["lure", "emergency.line"]
    with station.database.read() as tx:
        lines, _ = list_undo(tx, UndoFilter(rule="emergency.line", since_at=0, until_at=station.clock.now() + HOUR))
    undo_lines(
        lambda command: station.desk.command(lambda memory, tx: commands.sanction(memory, tx, command)),
        lines,
        by="staff_lead",
        reason="wrong",
    )
    assert station.rows("SELECT status FROM sanctions") == [("in_force",)]
    assert station.rows("SELECT count(*) FROM actions WHERE kind = 'decision.withdrawn'") == [(0,)]


@pytest.mark.parametrize(
    ("at", "zone", "due"),
    [
        ("2026-10-21T12:00:00Z", "Asia/Tokyo", "2026-10-22T01:00:00.000000Z"),  # Wednesday 21:00
        ("2026-10-21T00:59:59Z", "Asia/Tokyo", "2026-10-21T01:00:00.000000Z"),  # Wednesday 9:59
        ("2026-10-21T01:00:00Z", "Asia/Tokyo", "2026-10-22T01:00:00.000000Z"),  # at ten sharp: the next one
        ("2026-10-23T12:00:00Z", "Asia/Tokyo", "2026-10-26T01:00:00.000000Z"),  # Friday evening: Monday
        ("2026-10-23T20:00:00Z", "Europe/Berlin", "2026-10-26T09:00:00.000000Z"),  # over the end of summer time
        ("2026-03-27T20:00:00Z", "Europe/Berlin", "2026-03-30T08:00:00.000000Z"),  # and over its beginning
    ],
)
def test_the_review_is_due_on_the_next_business_morning(at: str, zone: str, due: str) -> None:
    moment = from_rfc3339(at)
    assert moment is not None
    assert to_rfc3339(next_morning(moment, zone)) == due


def test_nobody_reviews_on_a_holiday_of_the_pack_s_calendars() -> None:
    holidays = holidays_of(starter(), "Asia/Tokyo")
    assert holidays_of(starter(), "Europe/Paris") == frozenset()
    for evening, due in (
        ("2026-11-02T12:00:00Z", "2026-11-04T01:00:00.000000Z"),  # Monday; Tuesday is the Day of Culture
        ("2026-12-30T12:00:00Z", "2027-01-04T01:00:00.000000Z"),  # over the days around the new year
    ):
        moment = from_rfc3339(evening)
        assert moment is not None
        assert to_rfc3339(next_morning(moment, "Asia/Tokyo", holidays)) == due


def but(wanted: UndoFilter, **changes: str) -> UndoFilter:
    return msgspec.structs.replace(wanted, **changes)
