"""What is held ends by a person's judgement, once: it goes on for the honest, is blocked otherwise, and all are told."""

import functools
from typing import Any

import pytest
from tests.casework.conftest import Bench

import koban.decisions.store as decision_store
from koban import cases, enforcement
from koban.base import HOUR, Instant
from koban.cases import Case
from koban.cases.types import DecideCase, JudgementUnfit, Preview, ReopenCase
from koban.enforcement.appeals import DecideAppeal, FileAppeal
from koban.pipeline import appealing, casework, commands, judgement

SAID = ("event_id", "decision", "was", "now", "becomes", "case_id", "policy", "because")
BOTH = {"en": "It was fine.", "ja": "問題ありませんでした。"}


def payout(bench: Bench, event_id: str, amount: int) -> tuple[int, list[Case]]:
    """Ask for a payout; return the decision's place and the cases it opened."""
    event = bench.station.event(
        event_id, type="payout.requested", data={"account": {"id": "a1"}, "amount_minor": amount}
    )
    record = bench.station.decide(event)
    return record.seq, [bench.case(each) for each in record.cases]


def end_of(bench: Bench, seq: int) -> tuple[str, str] | None:
    """Return why a hold ended, and what its event became; None while it waits."""
    with bench.database.read() as tx:
        end = decision_store.read_hold_ends(tx, [seq]).get(seq)
    return None if end is None else (end.why, end.verdict)


def told(bench: Bench, *kinds: str) -> list[tuple[str, dict[str, Any]]]:  # Any: JSON
    wanted = kinds or ("decision.withdrawn", "hold.judged", "hold.lapsed")
    return [
        (each["type"], {key: value for key, value in each["data"].items() if key in SAID})
        for each in bench.told()
        if each["type"] in wanted
    ]


def timers(bench: Bench) -> int:
    return len(bench.station.rows("SELECT id FROM timers WHERE kind = 'hold.lapse'"))


def preview(bench: Bench, case: Case, **judged: Any) -> Preview:  # Any: fields of DecideCase
    command = DecideCase(case_id=case.id, fence=case.fence, by="staff_1", **judged)
    with bench.database.read() as tx:
        return judgement.preview(tx, bench.station.desk.memory.compiled.pack, command, bench.clock.now())


def reopen(bench: Bench, case: Case) -> None:
    command = ReopenCase(case_id=case.id, by="staff_2", reason="looked again")
    bench.run(lambda memory, tx: casework.reopen(memory, tx, command))


def test_what_was_held_goes_on_for_whoever_is_honest(bench: Bench) -> None:
    seq, [case] = payout(bench, "p1", 60_000)
    assert timers(bench) == 1
    seen = preview(bench, case, outcome="honest")
    assert (seen.released, seen.withdrawn, seen.blocked) == (1, 0, 0)
    bench.decide(bench.claim(case.id), outcome="honest")
    assert told(bench) == [("decision.withdrawn", {"event_id": "p1", "decision": seq, "was": "hold", "now": "allow"})]
    assert end_of(bench, seq) == ("judged", "allow")
    assert timers(bench) == 0
    bench.clock.advance(80 * HOUR)
    bench.station.send(bench.station.event("later"))
    assert told(bench, "hold.lapsed") == []


def test_what_was_held_is_blocked_at_once_where_the_policy_was_broken(bench: Bench) -> None:
    seq, [case] = payout(bench, "p1", 60_000)
    assert preview(bench, case, outcome="upheld").blocked == 1
    bench.decide(bench.claim(case.id), outcome="upheld", facts={"en": "Sold fakes.", "ja": "偽物の販売がありました。"})
    [(kind, detail)] = told(bench)
    assert (kind, detail) == (
        "hold.judged",
        {
            "event_id": "p1", "decision": seq, "becomes": "block", "case_id": case.id, "policy": "fraud/lure",
            "because": {"en": "Sold fakes.", "ja": "偽物の販売がありました。"},
        },
    )  # fmt: skip
    assert end_of(bench, seq) == ("judged", "block")
    assert timers(bench) == 0


def test_unclear_leaves_a_hold_to_its_time(bench: Bench) -> None:
    seq, [case] = payout(bench, "p1", 60_000)
    bench.decide(bench.claim(case.id), outcome="unclear")
    assert (end_of(bench, seq), timers(bench), told(bench)) == (None, 1, [])
    bench.clock.advance(73 * HOUR)
    bench.wait("timer.fired")
    assert told(bench) == [("hold.lapsed", {"event_id": "p1", "becomes": "block"})]
    assert end_of(bench, seq) == ("lapsed", "block")


def test_a_case_speaks_for_its_own_rules_and_the_event_waits_for_the_others(bench: Bench) -> None:
    seq, found = payout(bench, "p1", 61_001)
    large, odd = sorted(found, key=lambda case: case.queue)
    assert (large.queue, odd.queue) == ("general", "scams")
    assert preview(bench, large, outcome="honest").released == 0
    bench.decide(bench.claim(large.id), outcome="honest")
    assert (end_of(bench, seq), timers(bench), told(bench)) == (None, 1, [])
    bench.decide(bench.claim(odd.id), outcome="honest")
    assert told(bench) == [("decision.withdrawn", {"event_id": "p1", "decision": seq, "was": "hold", "now": "allow"})]


def test_one_judgement_against_the_person_is_enough_and_the_other_changes_nothing(bench: Bench) -> None:
    seq, found = payout(bench, "p1", 61_001)
    large, odd = sorted(found, key=lambda case: case.queue)
    bench.decide(bench.claim(odd.id), outcome="upheld")
    bench.decide(bench.claim(large.id), outcome="honest")
    assert [kind for kind, _ in told(bench)] == ["hold.judged"]
    assert end_of(bench, seq) == ("judged", "block")


def test_blocking_under_a_severe_policy_waits_for_a_second_person(bench: Bench) -> None:
    _, found = payout(bench, "p1", 66_600)
    [grave] = [case for case in found if case.queue == "grave"]
    held = bench.claim(grave.id)
    plain = cases.CloseCase(case_id=grave.id, outcome="upheld", by="staff_1", fence=held.fence)
    with pytest.raises(JudgementUnfit, match="two people"):
        bench.run(lambda memory, tx: casework.close(memory, tx, plain))
    assert bench.case(grave.id).status == "open"
    proposal = bench.decide(held, outcome="upheld").proposal
    assert proposal is not None
    assert told(bench) == []
    bench.decide(bench.claim(grave.id, "staff_2"), "staff_2", outcome="upheld", proposal=proposal)
    assert [kind for kind, _ in told(bench)] == ["hold.judged"]


def test_closing_without_measures_ends_holds_too(bench: Bench) -> None:
    seq, [case] = payout(bench, "p1", 60_000)
    held = bench.claim(case.id)
    plain = cases.CloseCase(case_id=case.id, outcome="honest", by="staff_1", fence=held.fence)
    bench.run(lambda memory, tx: casework.close(memory, tx, plain))
    assert told(bench) == [("decision.withdrawn", {"event_id": "p1", "decision": seq, "was": "hold", "now": "allow"})]


@pytest.mark.parametrize("take_back", [1, 0])
def test_a_block_is_told_to_have_been_a_mistake_where_the_judgement_takes_back(bench: Bench, take_back: int) -> None:
    seq, [case] = payout(bench, "p1", 50)
    assert preview(bench, case, outcome="honest", take_back=bool(take_back)).withdrawn == take_back
    bench.decide(bench.claim(case.id), outcome="honest", take_back=bool(take_back))
    detail = {"event_id": "p1", "decision": seq, "was": "block", "now": "allow"}
    assert told(bench) == ([("decision.withdrawn", detail)] if take_back else [])


def test_a_judgement_that_is_taken_back_lets_the_hold_go_on(bench: Bench) -> None:
    seq, [case] = payout(bench, "p1", 60_000)
    bench.decide(bench.claim(case.id), outcome="upheld")
    bench.clock.advance(HOUR)
    reopen(bench, case)
    assert told(bench)[1:] == [
        ("decision.withdrawn", {"event_id": "p1", "decision": seq, "was": "block", "now": "hold"})
    ]
    assert (end_of(bench, seq), timers(bench)) == (None, 1)
    bench.decide(bench.claim(case.id, "staff_2"), "staff_2", outcome="honest")
    assert [detail["now"] for kind, detail in told(bench, "decision.withdrawn")] == ["hold", "allow"]
    assert timers(bench) == 0


@pytest.mark.parametrize(("amount", "queue", "becomes"), [(60_000, "general", "block"), (1_001, "scams", "allow")])
def test_after_its_time_it_becomes_what_its_hold_had_said(bench: Bench, amount: int, queue: str, becomes: str) -> None:
    seq, [case] = payout(bench, "p1", amount)
    assert case.queue == queue
    bench.decide(bench.claim(case.id), outcome="upheld")
    bench.clock.advance(100 * HOUR)
    reopen(bench, case)
    assert end_of(bench, seq) == ("lapsed", becomes)
    assert [detail["now"] for _, detail in told(bench, "decision.withdrawn")] == (
        [] if becomes == "block" else ["allow"]
    )
    assert timers(bench) == 0


def test_taking_a_rule_back_does_not_undo_a_persons_judgement(bench: Bench) -> None:
    judged, [case] = payout(bench, "p1", 60_000)
    bench.decide(bench.claim(case.id), outcome="upheld")
    waits, _ = payout(bench, "p2", 70_000)
    after: str | None = ""
    while after is not None:
        undo = enforcement.UndoRule(rule="large_payout", since_at=Instant(0), by="staff_1", reason="wrong", after=after)
        after = bench.run(functools.partial(commands.sanction, command=undo)).next_after
    assert [detail["decision"] for _, detail in told(bench, "decision.withdrawn")] == [waits]
    assert (end_of(bench, judged), end_of(bench, waits)) == (("judged", "block"), ("withdrawn", "allow"))


def test_an_appeal_that_was_right_sets_free_what_the_judgement_blocked(bench: Bench) -> None:
    seq, [case] = payout(bench, "p1", 60_000)
    judged = bench.decide(bench.claim(case.id), outcome="upheld", strike=True)
    [sanction] = judged.imposed
    filed = FileAppeal(sanction_id=sanction, channel="api", text="それは私の商品です。", language="ja", by="a1")
    appeal = bench.run(lambda memory, tx: appealing.file_appeal(memory, tx, filed))
    held = bench.claim(appeal.case_id, "staff_2")
    answer = DecideAppeal(case_id=held.id, fence=held.fence, by="staff_2", verb="overturn", answer=BOTH, note="")
    bench.run(lambda memory, tx: appealing.decide_appeal(memory, tx, answer))
    assert [(kind, detail.get("now", "")) for kind, detail in told(bench)] == [
        ("hold.judged", ""), ("decision.withdrawn", "allow"),
    ]  # fmt: skip
    assert end_of(bench, seq) == ("judged", "allow")
