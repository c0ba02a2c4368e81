"""Working on cases: what comes first and why, whose it is, what is skipped, handed over, sent up, paused and late."""

import pytest
from tests.casework.conftest import LURE, Bench

from koban.base import DAY, HOUR, MINUTE, Instant
from koban.cases import hand_over, release, skip, work_store
from koban.cases.priority import Stake, Weighed, probability_bp, weigh_in
from koban.cases.types import (
    CaseAlreadyThere,
    CaseNotPaused,
    CasePausedAlready,
    ClaimLost,
    MoveCase,
    PauseCase,
    QueueEmpty,
    QueueMissing,
    ResumeCase,
)
from koban.pipeline import casework


def test_harm_moves_a_case_forward_and_every_term_is_kept(bench: Bench) -> None:
    mild = bench.lure("e1")
    grave = bench.lure("e2", "grave words", sender="a2")
    assert grave.terms is not None
    assert mild.terms is not None
    assert (grave.terms.severity, grave.terms.severity_points) == ("severe", 5_000)
    assert (mild.terms.severity, mild.terms.severity_points, mild.terms.probability_bp) == ("medium", 1_000, 5_000)
    assert mild.terms.half_life_us == HOUR // 16
    for case in (mild, grave):
        assert case.terms is not None
        assert case.rank_at == case.due_at - case.terms.boost_us
        parts = case.terms.severity_points + case.terms.probability_points
        assert case.terms.points == parts + case.terms.stake_points + case.terms.report_points
        assert case.terms.boost_us == case.terms.points * case.terms.half_life_us // 1_000
    assert bench.next("scams", "grave").id == grave.id
    assert bench.next("scams", "grave").id == mild.id


def test_reports_signals_and_how_earlier_cases_ended_move_it_further(bench: Bench) -> None:
    case = bench.lure("e1")
    reported = bench.report("r1", "m-e1")
    assert reported.id == case.id
    assert reported.terms is not None
    assert (reported.terms.reports, reported.terms.report_points) == (1, 1_000)
    assert reported.rank_at < case.rank_at
    bench.decide(bench.claim(case.id), outcome="honest")
    later = bench.lure("e2", sender="a2")
    assert later.terms is not None
    assert later.terms.probability_bp == 4_000, "one of one was honest"
    assert later.rank_at - later.due_at > case.rank_at - case.due_at


@pytest.mark.parametrize(
    ("odds", "expected"),
    [({}, 5_000), ({"a": (0, 0)}, 5_000), ({"a": (0, 0), "b": (0, 0)}, 7_500), ({"a": (0, 10**6)}, 100)],
)
def test_rules_speak_independently(odds: dict[str, tuple[int, int]], expected: int) -> None:
    assert probability_bp(odds) == expected


def test_no_case_waits_for_ever() -> None:
    worst = weigh_in(Weighed(severity="low", odds={"a": (0, 10**9)}), HOUR)
    best = weigh_in(
        Weighed(severity="severe", stake=Stake(money_minor=10**12, people=10**9), signals=10**6, reports=10**6), HOUR
    )
    assert (worst.points, best.points) == (-3_000, 12_000)
    assert best.boost_us - worst.boost_us == 15 * HOUR


def test_a_skipped_case_goes_to_others_and_never_comes_back(bench: Bench) -> None:
    case = bench.lure("e1")
    held = bench.next("scams")
    with bench.database.write() as tx:
        skip(tx, bench.clock.now(), case.id, by="staff_1", fence=held.fence, reason="language", note="Chinese")
    with pytest.raises(QueueEmpty):
        bench.next("scams")
    bench.clock.advance(30 * DAY)
    with pytest.raises(QueueEmpty):
        bench.next("scams")
    assert bench.next("scams", by="staff_2").id == case.id
    with bench.database.read() as tx:
        (line, *_) = [one for one in work_store.read_timeline(tx, case.id, limit=10) if one.kind == "skipped"]
    assert line.detail == {"reason": "language", "note": "Chinese"}


def test_a_case_that_was_handed_over_comes_first_to_the_colleague_and_after_a_while_to_all(bench: Bench) -> None:
    case = bench.lure("e1")
    bench.lure("e2", "grave words", sender="a2")
    held = bench.claim(case.id)
    with bench.database.write() as tx:
        hand_over(tx, bench.clock.now(), case.id, by="staff_1", fence=held.fence, to="staff_2", note="you know him")
        with pytest.raises(ClaimLost):
            release(tx, bench.clock.now(), case.id, by="staff_1", fence=held.fence)
    assert bench.next("scams", "grave", by="staff_1").queue == "grave"
    with pytest.raises(QueueEmpty):
        bench.next("scams", by="staff_1")
    assert bench.next("grave", by="staff_2").id == case.id, "what was handed over comes first, from any queue"
    bench.clock.advance(9 * HOUR)
    assert bench.next("scams", by="staff_3").id == case.id


def test_escalation_has_one_owner_and_a_clock_of_its_own(bench: Bench) -> None:
    case = bench.lure("e1")
    held = bench.claim(case.id)
    bench.clock.advance(10 * MINUTE)
    command = MoveCase(
        case_id=case.id,
        queue="",
        reason="the press asks",
        by="staff_1",
        fence=held.fence,
        owner="lead_1",
        escalates=True,
    )
    bench.run(lambda memory, tx: casework.move(memory, tx, command))
    moved = bench.case(case.id)
    assert (moved.queue, moved.escalated, moved.assigned_to, moved.assigned_until) == ("lead", True, "lead_1", None)
    assert abs(moved.due_at - (bench.clock.now() + DAY)) < 10_000
    with pytest.raises(QueueEmpty):
        bench.next("lead", "scams", by="staff_2")
    assert bench.next("scams", by="lead_1").id == case.id
    assert bench.lure("e1b", LURE + "。", sender="a3").id != case.id, "a moved case no longer takes up its old queue's"
    again = MoveCase(case_id=case.id, queue="nowhere", reason="r", by="lead_1")
    with pytest.raises(QueueMissing):
        bench.run(lambda memory, tx: casework.move(memory, tx, again))


def test_a_case_does_not_move_onto_another_about_the_same(bench: Bench) -> None:
    first = bench.lure("e1", LURE + " a brand")
    with bench.database.read() as tx:
        ids = [row[0] for row in tx.rows("SELECT id FROM cases ORDER BY id")]
    (other,) = [each for each in ids if each != first.id]
    command = MoveCase(case_id=other, queue=first.queue, reason="r", by="lead_1")
    with pytest.raises(CaseAlreadyThere):
        bench.run(lambda memory, tx: casework.move(memory, tx, command))


def test_enough_harm_is_enough_for_a_day_and_an_opt_out_is_kept(bench: Bench) -> None:
    for index in range(3):
        bench.lure(f"e{index}", "grave words", sender=f"a{index}")
    held = bench.next("grave")
    bench.opened(held)
    bench.clock.advance(11 * MINUTE)
    bench.decide(held, outcome="honest")
    with pytest.raises(QueueEmpty):
        bench.next("grave")
    other = bench.next("grave", by="staff_2")
    with bench.database.write() as tx:
        release(tx, bench.clock.now(), other.id, by="staff_2", fence=other.fence)
        work_store.set_optouts(tx, "staff_2", ["violence"])
    with pytest.raises(QueueEmpty):
        bench.next("grave", by="staff_2")
    bench.clock.advance(DAY)
    assert bench.next("grave").queue == "grave"


def test_a_clock_stands_and_runs_again_later_by_the_time_it_stood(bench: Bench) -> None:
    case = bench.lure("e1")
    held = bench.claim(case.id)
    bench.clock.advance(10 * MINUTE)
    command = PauseCase(
        case_id=case.id, fence=held.fence, reason="person", note="asked for a photo", by="staff_1", for_us=6 * HOUR
    )
    bench.run(lambda memory, tx: casework.pause(memory, tx, command))
    with pytest.raises(QueueEmpty):
        bench.next("scams", by="staff_2")
    bench.clock.advance(2 * HOUR)
    with bench.database.read() as tx:
        assert work_store.late_cases(tx, bench.clock.now()) == frozenset()
    again = bench.claim(case.id)
    second = PauseCase(case_id=case.id, fence=again.fence, reason="legal", note="", by="staff_1", for_us=HOUR)
    with pytest.raises(CasePausedAlready):
        bench.run(lambda memory, tx: casework.pause(memory, tx, second))
    bench.run(lambda memory, tx: casework.resume(memory, tx, ResumeCase(case_id=case.id, by="staff_1")))
    resumed = bench.case(case.id)
    assert abs(resumed.due_at - (case.due_at + 2 * HOUR)) < 10_000
    assert resumed.rank_at == resumed.due_at - resumed.boost_us
    with pytest.raises(CaseNotPaused):
        bench.run(lambda memory, tx: casework.resume(memory, tx, ResumeCase(case_id=case.id, by="staff_1")))
    with bench.database.read() as tx:
        (row,) = work_store.read_pauses(tx, case.id)
    assert (row.reason, row.note, row.due_before, row.due_after) == (
        "person",
        "asked for a photo",
        case.due_at,
        resumed.due_at,
    )


def test_a_pause_ends_by_itself_and_a_breach_is_an_entry_of_the_log_once(bench: Bench) -> None:
    case = bench.lure("e1")
    held = bench.claim(case.id)
    command = PauseCase(case_id=case.id, fence=held.fence, reason="evidence", note="", by="staff_1", for_us=3 * HOUR)
    bench.run(lambda memory, tx: casework.pause(memory, tx, command))
    bench.clock.advance(2 * HOUR)
    bench.station.send(bench.station.event("x1"))
    assert bench.station.rows("SELECT count(*) FROM log_entries WHERE type = 'case.breached'") == [(0,)]
    bench.clock.advance(HOUR + MINUTE)
    bench.wait("case.resumed")
    resumed = bench.case(case.id)
    assert resumed.paused_at is None
    assert resumed.due_at > bench.clock.now()
    bench.clock.advance(2 * HOUR)
    bench.wait("case.breached")
    late = bench.case(case.id)
    assert late.breached_at is not None
    assert late.breached_at >= late.due_at
    with bench.database.read() as tx:
        assert work_store.late_cases(tx, bench.clock.now()) == {case.id}
        alerts = tx.rows("SELECT kind, object FROM alerts")
    assert [tuple(row) for row in alerts] == [("case.breached", "queue:scams")]
    bench.clock.advance(HOUR)
    bench.station.send(bench.station.event("x2"))
    assert bench.station.rows("SELECT count(*) FROM log_entries WHERE type = 'case.breached'") == [(1,)]


def test_a_due_time_is_counted_in_open_hours(bench: Bench) -> None:
    # 2026-10-21 is a Wednesday, 21:00 in Tokyo: four open hours end on Thursday at 14:00.
    case = bench.lure("e1", "a brand bag")
    assert case.queue == "brand"
    tomorrow = Instant(1_792_584_000_000_000 + 17 * HOUR)
    assert case.due_at == tomorrow


def test_a_queue_of_minutes_comes_before_a_queue_of_hours_and_harm_decides_within_one(bench: Bench) -> None:
    slow = bench.lure("e1", "a brand bag")
    quick = bench.lure("e2", sender="a2")
    assert bench.next("brand", "scams").id == quick.id
    assert slow.rank_at > slow.opened_at, "no case ranks before the moment at which it was opened"
