"""What the desk promises: answered means durable, once; a failing unit leaves no trace; memory equals the database."""

import asyncio
import contextlib
from collections.abc import Callable

import msgspec
import pytest
from tests.pipeline.conftest import SMALL_PACK, Station

from koban import enforcement
from koban.base import DAY, HOUR, MINUTE, SECOND, Instant, Refusal, Unavailable, to_rfc3339
from koban.db import Tx
from koban.events import Fenced
from koban.events.routes import Conflicting, Decided, Kept, Taken
from koban.labels import LabelSet, LabelSource
from koban.lists import EntriesAdded, EntryRemoved, ListMissing
from koban.packs import Mode, ModeName, files_of, parse_files
from koban.pipeline import commands
from koban.pipeline.memory import Memory
from koban.rules import ModeChanged, ReviewAllSwitched

LURE = "直取引しませんか"


def verdict(result: object) -> str:
    assert isinstance(result, Decided)
    return str(msgspec.json.decode(bytes(result.body))["verdict"])


def test_an_event_is_decided_with_reasons_and_its_consequences_in_one_transaction(station: Station) -> None:
    record = station.decide(station.event("e1", LURE))
    assert record.verdict == "block"
    assert [(one.rule, one.policy, one.applied, one.actions) for one in record.signals] == [
        ("lure", "fraud/lure", True, ("hide", "warn:recipient"))
    ]
    assert record.signals[0].because == {"en": "asks to pay outside", "ja": "取引外での支払いを求めています"}
    assert record.warn == ("recipient",)
    assert station.rows("SELECT subject_kind, subject_id, kind, status FROM sanctions") == [
        ("message", "m-e1", "hide", "in_force")
    ]
    assert station.rows("SELECT kind, type, cause_seq FROM log_entries WHERE seq > ? ORDER BY seq", (record.seq,)) == [
        ("change", "sanction.imposed", record.seq)
    ]
    assert [row[0] for row in station.rows("SELECT rule FROM signals")] == ["lure"]


def test_the_same_event_again_gets_the_first_answer_byte_for_byte(station: Station) -> None:
    event = station.event("e1", LURE)
    first = station.send(event)[0]
    again = station.send(event, event)
    assert [first, first] == again
    assert station.rows("SELECT count(*) FROM log_entries WHERE kind = 'event'") == [(1,)]


def test_the_order_of_members_makes_no_other_event(station: Station) -> None:
    event = station.event("e1", LURE)
    data = event["data"]
    assert isinstance(data, dict)
    first = station.send(event)[0]
    turned = {name: event[name] for name in reversed(event)} | {"data": {name: data[name] for name in reversed(data)}}
    assert station.send(turned) == [first]


def test_a_repetition_within_one_batch_is_decided_once(station: Station) -> None:
    event = station.event("e1")
    first, second = station.send(event, event)
    assert first == second
    assert station.rows("SELECT count(*) FROM decisions") == [(1,)]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"type": "payout.requested", "data": {"account": {"id": "a1"}}}, "type"),
        ({"subject": "other"}, "subject"),
        ({"time": "2026-10-21T11:59:00Z"}, "time"),
        ({"data": {"sender": {"id": "a1"}, "text": "another text"}}, "data"),
    ],
)
def test_the_same_id_with_another_content_is_refused_naming_the_field(
    station: Station, changes: dict[str, object], field: str
) -> None:
    event = station.event("e1")
    station.send(event)
    assert station.send({**event, **changes}) == [Conflicting(id="e1", source="shop", field=field)]
    assert station.rows("SELECT count(*) FROM decisions") == [(1,)]


def test_a_mixed_batch_answers_per_item(station: Station) -> None:
    results = station.send(
        station.event("e1"),
        {"id": "e2"},
        station.event("e3", type="message.snet"),
        station.event("e4", data={"price_minor": "much"}),
        station.event("e5", LURE),
    )
    assert [type(result) for result in results] == [Decided, Kept, Kept, Kept, Decided]
    misspelt = results[2]
    assert isinstance(misspelt, Kept)
    assert misspelt.problems[0].hint == "Did you mean 'message.sent'?"
    assert station.rows("SELECT count(*), min(status) FROM quarantine") == [(3, "waiting")]


def test_a_quarantined_event_is_decided_when_it_is_sent_again_after_the_mend(station: Station) -> None:
    kept = station.send(station.event("e1", type="message.snet"))[0]
    assert isinstance(kept, Kept)
    with pytest.raises(Refusal, match="cannot be read"):
        station.desk.replay_quarantined(kept.quarantine_id, "staff")
    assert station.rows("SELECT status FROM quarantine") == [("waiting",)]


def test_an_asynchronous_event_is_durable_first_and_decided_in_its_turn(station: Station) -> None:
    event = station.event("e1", LURE)
    assert station.send(event, asynchronous=True) == [Taken(id="e1", source="shop")]
    decided = station.send(station.event("e2"))
    assert verdict(decided[0]) == "allow"
    for _ in range(200):
        if station.rows("SELECT count(*) FROM inbox") == [(0,)]:
            break
        station.send(station.event("probe"))
    assert station.rows(
        "SELECT verdict FROM decisions d JOIN log_entries e ON e.seq = d.seq WHERE e.event_id = 'e1'"
    ) == [("block",)]
    assert verdict(station.send(event)[0]) == "block"


def test_what_a_failing_unit_did_is_undone_and_the_event_kept(station: Station) -> None:
    station.send(station.event("e1"), station.event("e2"))
    memory = station.desk.memory
    before = (memory.last_seq, len(memory.sanctions), len(memory.timers))
    working = memory.tell_states

    def broken(recorded: object) -> None:
        if recorded:
            raise RuntimeError("a bug of ours")

    memory.tell_states = broken  # type: ignore[method-assign]  # the named fault point of this test
    results = station.send(station.event("e3", LURE), station.event("e4"))
    memory.tell_states = working  # type: ignore[method-assign]  # mended
    assert isinstance(results[0], Kept)
    assert verdict(results[1]) == "allow"
    assert station.rows("SELECT count(*) FROM sanctions") == [(0,)]
    assert (memory.last_seq, len(memory.sanctions), len(memory.timers)) == (before[0] + 1, before[1], before[2])
    # The counters went back too: four messages were decided, the failed one not among them.
    assert station.decide(station.event("e5")).verdict == "allow"
    inputs = station.rows("SELECT inputs FROM decisions ORDER BY seq DESC LIMIT 1")[0][0]
    assert msgspec.json.decode(str(inputs))["features"]["messages_1h"] == 4
    replayed = station.desk.replay_quarantined(results[0].quarantine_id, "staff")
    assert verdict(replayed) == "block"
    assert station.rows("SELECT status FROM quarantine") == [("replayed",)]
    assert station.rows("SELECT actor, action FROM audit_entries ORDER BY id DESC LIMIT 1") == [
        ("staff", "quarantine.replayed")
    ]


def test_after_a_failed_commit_nothing_is_answered_and_memory_is_made_again(station: Station) -> None:
    station.send(station.event("e1", LURE))

    def fail(_memory: Memory, tx: Tx) -> None:
        tx.many("INSERT INTO log_entries (seq) VALUES (?)", [("not a number at all",), (None,)])

    with pytest.raises(Exception, match=r"."):
        station.run(fail)

    working = station.desk.memory.vault.save

    def broken(_tx: Tx) -> None:
        raise OSError(28, "No space left on device")

    station.desk.memory.vault.save = broken  # type: ignore[assignment,method-assign]  # the disk is full for one batch
    with pytest.raises(Unavailable, match="could not be stored"):
        station.send(station.event("e2", LURE))
    station.desk.memory.vault.save = working  # type: ignore[method-assign]  # space again
    assert station.rows("SELECT count(*) FROM decisions") == [(1,)]
    assert verdict(station.send(station.event("e2", LURE))[0]) == "block"
    inputs = station.rows("SELECT inputs FROM decisions ORDER BY seq DESC LIMIT 1")[0][0]
    assert msgspec.json.decode(str(inputs))["features"]["messages_1h"] == 2


def test_a_failure_tells_no_caller_what_another_one_sent(station: Station) -> None:
    working = station.desk.memory.vault.save

    def broken(tx: Tx) -> None:
        tx.rows("INSERT INTO audit_head (name, position) VALUES (?, ?)", ("of-another-caller", None))

    station.desk.memory.vault.save = broken  # type: ignore[method-assign]  # a row that the database refuses
    with pytest.raises(Unavailable, match="could not be stored") as failed:
        station.send(station.event("e1", LURE))
    station.desk.memory.vault.save = working  # type: ignore[method-assign]
    said = str(failed.value)
    assert "of-another-caller" not in said
    assert "INSERT" not in said
    assert said.endswith(("IntegrityError", "NotNullViolation"))


def test_who_waits_for_a_batch_after_which_the_decider_dies_is_told(station: Station) -> None:
    def broken(_decisions: object) -> None:
        raise ZeroDivisionError

    station.desk.memory.figures.decided = broken  # type: ignore[assignment,method-assign]  # a bug behind the commit
    with pytest.raises(Unavailable):
        station.send(station.event("e1"))
    assert isinstance(station.desk.decider.failed, ZeroDivisionError)
    assert station.rows("SELECT count(*) FROM decisions") == [(1,)]


def test_a_process_that_lost_its_lease_cannot_commit(station: Station) -> None:
    with station.database.write() as tx:
        tx.many("UPDATE leases SET token = token + ?", [(1,)])
    with pytest.raises(Unavailable):
        station.send(station.event("e1"))
    assert isinstance(station.desk.decider.failed, Fenced)
    assert station.rows("SELECT count(*) FROM decisions") == [(0,)]
    with pytest.raises(Unavailable):
        station.send(station.event("e2"))


def test_a_restart_goes_on_where_the_log_ended(
    station: Station, reopen: Callable[[], contextlib.AbstractContextManager[Station]]
) -> None:
    station.send(*[station.event(f"e{i}", LURE) for i in range(2)])
    last = station.desk.memory.last_seq
    station.desk.decider.close()
    with reopen() as again:
        assert again.desk.memory.last_seq == last
        record = again.decide(again.event("e9", LURE))
        assert record.seq == last + 1
        assert [one.rule for one in record.signals] == ["lure", "lure_again"]
        assert again.rows("SELECT effect, scope, status FROM sanctions WHERE subject_kind = 'account'") == [
            ("restrict", "messaging", "in_force")
        ]


def test_a_late_event_turns_action_on_a_person_into_review(station: Station) -> None:
    for i in range(3):
        station.send(station.event(f"e{i}"))
    old = "2026-10-21T11:30:00Z"
    record = station.decide(station.event("late", LURE, time=old))
    assert record.late
    assert record.verdict == "block"
    again = next(one for one in record.signals if one.rule == "lure_again")
    assert (again.applied, again.withheld, again.actions) == (True, "late", ("review:scams",))
    assert station.rows("SELECT count(*) FROM sanctions WHERE subject_kind = 'account'") == [(0,)]


def test_an_event_ahead_of_its_arrival_is_decided_as_usual_and_told(station: Station) -> None:
    limit = 10 * MINUTE
    soon, later = (to_rfc3339(Instant(station.clock.now() + limit + by)) for by in (0, 60 * SECOND))
    assert not station.decide(station.event("soon", LURE, time=soon)).ahead
    record = station.decide(station.event("later", LURE, time=later))
    assert (record.ahead, record.late, record.verdict) == (True, False, "block")
    assert [signal.applied for signal in record.signals] == [True]


def test_an_answer_that_comes_too_late_is_the_fallback_and_opens_a_case(station: Station) -> None:
    from koban.events import decode

    items = decode(msgspec.json.encode(station.payout("p1", 500_000)), "application/json")
    arrived = station.clock.now()
    station.clock.advance(300_000)
    result = station.desk.submit(items, Instant(arrived), False).result(timeout=60)[0]
    assert isinstance(result, Decided)
    body = msgspec.json.decode(bytes(result.body))
    assert (body["verdict"], body["fallback"]) == ("hold", True)
    assert body["signals"][0]["withheld"] == "overdue"
    assert station.rows("SELECT count(*) FROM sanctions") == [(0,)]
    assert station.rows("SELECT queue, status FROM cases") == [("scams", "open")]


def test_the_events_of_a_batch_take_what_they_take(station: Station) -> None:
    from koban.events import decode

    items = decode(msgspec.json.encode([station.payout(f"p{n}", 500_000) for n in range(2)]), "application/json")
    arrived = station.clock.now()
    station.clock.advance(300_000)
    for result in station.desk.submit(items, Instant(arrived), False, False).result(timeout=60):
        assert isinstance(result, Decided)
        assert "fallback" not in msgspec.json.decode(bytes(result.body))


def test_a_timer_ends_a_sanction_once_and_the_hold_lapses(station: Station) -> None:
    record = station.decide(station.payout("p1", 200_000))
    assert record.verdict == "hold"
    assert record.hold is not None
    assert record.hold.becomes == "block"
    account = enforcement.SubjectRef(kind="account", id="a1")
    memory = station.desk.memory
    assert memory.sanctions.state(account, station.clock.now()).payout_frozen
    station.clock.advance(72 * HOUR + MINUTE)
    station.send(station.event("wake"))
    fired = station.rows("SELECT count(*) FROM log_entries WHERE type = 'timer.fired'")
    assert fired == [(2,)]
    assert not memory.sanctions.state(account, station.clock.now()).payout_frozen
    assert station.rows("SELECT status FROM sanctions") == [("ended",)]
    assert station.rows("SELECT count(*) FROM timers") == [(0,)]
    station.clock.advance(HOUR)
    station.send(station.event("wake2"))
    assert station.rows("SELECT count(*) FROM log_entries WHERE type = 'timer.fired'") == fired


def test_a_rule_that_harms_too_many_drops_to_review_and_can_be_undone_at_once(station: Station) -> None:
    records = [
        station.decide(
            station.event(f"e{i}", data={"sender": {"id": f"s{i}"}, "message": {"id": f"m{i}"}, "text": LURE})
        )
        for i in range(7)
    ]
    assert [record.verdict for record in records] == ["block"] * 5 + ["allow"] * 2
    assert records[5].signals[0].withheld == "budget_tripped"
    assert records[5].cases != ()
    assert station.rows("SELECT kind, object FROM alerts") == [("budget.tripped", "rule:lure")]
    undo = enforcement.UndoRule(rule="lure", since_at=Instant(0), by="lead", reason="hit honest people")
    outcome = station.desk.command(lambda memory, tx: commands.sanction(memory, tx, undo))
    assert len(outcome.sanction_ids) == 5
    assert station.rows("SELECT DISTINCT status FROM sanctions") == [("overturned",)]
    live = ModeChanged(rule="lure", mode=Mode(name=ModeName.LIVE), by="lead", reason="mended")
    station.desk.command(lambda memory, tx: commands.set_mode(memory, tx, live))
    station.clock.advance(2 * HOUR)
    assert station.decide(station.event("e9", LURE)).verdict == "block"


def test_a_version_that_lets_a_rule_harm_fewer_stops_one_that_harmed_as_many(station: Station) -> None:
    def lured(first: int, last: int) -> list[str]:
        events = [
            station.event(f"e{i}", data={"sender": {"id": f"s{i}"}, "message": {"id": f"m{i}"}, "text": LURE})
            for i in range(first, last)
        ]
        return [station.decide(event).verdict for event in events]

    def let(people: int, mode: str = "live") -> None:
        files = dict(files_of(SMALL_PACK))
        mild = files["rules/rules.yaml"].replace("mode: live", f"mode: {mode}", 1)
        files["rules/rules.yaml"] = mild.replace("cap: 5 per hour", f"cap: {people} per hour", 1)
        compiled = station.desk.memory.compile(parse_files(files))
        station.desk.command(
            lambda memory, tx: commands.activate(memory, tx, compiled, by="lead", reason="fewer"), alone=True
        )

    assert lured(0, 3) == ["block"] * 3
    let(4)
    let(2, "shadow")
    assert station.rows("SELECT count(*) FROM alerts") == [(0,)], "what hurts nobody need not be stopped"
    let(2)
    assert lured(3, 5) == ["allow"] * 2
    (said,) = station.rows("SELECT object, detail FROM alerts WHERE kind = 'budget.tripped'")
    assert said[0] == "rule:lure"
    assert "harmed 3 people" in str(said[1])


def test_one_switch_puts_every_rule_to_review(station: Station) -> None:
    on = ReviewAllSwitched(on=True, by="lead", reason="something is wrong")
    station.desk.command(lambda memory, tx: commands.set_mode(memory, tx, on))
    record = station.decide(station.event("e1", LURE))
    assert (record.verdict, record.signals[0].withheld) == ("allow", "review_all")


def test_a_list_entry_counts_from_its_own_place_in_the_log(station: Station) -> None:
    assert station.decide(station.event("e1", LURE)).verdict == "block"
    added = EntriesAdded(list="trusted", values=("a1",), note="known", by="lead")
    station.desk.command(lambda memory, tx: commands.change_list(memory, tx, added))
    assert station.decide(station.event("e2", LURE)).verdict == "allow"
    removed = EntryRemoved(list="trusted", value="a1", note="", by="lead")
    station.desk.command(lambda memory, tx: commands.change_list(memory, tx, removed))
    assert station.decide(station.event("e3", LURE)).verdict == "block"


def test_a_refused_command_changes_nothing(station: Station) -> None:
    before = station.desk.memory.last_seq
    added = EntriesAdded(list="nowhere", values=("a1",), note="", by="lead")
    with pytest.raises(ListMissing):
        station.desk.command(lambda memory, tx: commands.change_list(memory, tx, added))
    assert station.desk.memory.last_seq == before
    assert station.rows("SELECT count(*) FROM list_entries") == [(0,)]


def test_a_label_is_an_entry_of_the_log(station: Station) -> None:
    change = LabelSet(
        subject_kind="account", subject_id="a1", label="truth", value="fraud", source=LabelSource.PERSON, by="lead"
    )
    entered = station.desk.command(lambda memory, tx: commands.label(memory, tx, change))
    assert station.rows("SELECT type, subject FROM log_entries WHERE seq = ?", (entered.seq,)) == [
        ("label.set", "account:a1")
    ]


def test_log_time_rises_and_does_not_follow_a_stepped_clock(station: Station) -> None:
    first = station.decide(station.event("e1"))
    station.clock.step(-2 * DAY)
    second = station.decide(station.event("e2"))
    assert first.decided_at < second.decided_at
    assert station.rows("SELECT kind FROM alerts") == [("clock.stepped",)]


def test_an_action_that_found_nothing_to_act_on_says_so(station: Station) -> None:
    record = station.decide(station.event("e1", data={"sender": {"id": "a1"}, "text": LURE}))
    assert record.verdict == "block"
    assert record.signals[0].unmet == ("hide: no_content", "warn: no_recipient")
    assert record.sanctions == ()


def test_a_caller_who_stops_waiting_does_not_stop_the_decider(station: Station) -> None:
    from koban.events import decode

    items = decode(msgspec.json.encode(station.event("e1")), "application/json")
    given_up = station.desk.submit(items, station.clock.now(), False)
    assert not given_up.cancel()

    async def leave() -> None:
        waiting = asyncio.ensure_future(station.desk.decider.relay.result(given_up))
        await asyncio.sleep(0)
        waiting.cancel()

    asyncio.run(leave())
    assert isinstance(given_up.result(timeout=60)[0], Decided)
    assert station.decide(station.event("e2")).verdict == "allow"
