"""Appeals: somebody else looks again; overturning restores everything and tells everybody who was told."""

import pytest
from tests.casework.conftest import KEY, Bench

from koban.base import DAY, Instant
from koban.cases import Case
from koban.cases.types import ClaimLost, JudgementUnfit, NotForYou
from koban.enforcement import OverturnSanctions, SubjectRef, appeal_store, appeals
from koban.enforcement.appeals import (
    Appeal,
    AppealDecidedAlready,
    AppealLinkInvalid,
    AppealMissing,
    AppealOpenAlready,
    AppealTooLate,
    DecideAppeal,
    FileAppeal,
    NothingToAppeal,
    TooManyAppeals,
)
from koban.labels import labels_of
from koban.pipeline import appealing, commands

ANSWER = {"en": "It was an honest offer.", "ja": "問題のない内容でした。"}


def file(bench: Bench, sanction_id: str, text: str = "身に覚えがありません") -> Appeal:
    command = FileAppeal(sanction_id=sanction_id, text=text, channel="link", language="ja", by="account:a1")
    filed = bench.run(lambda memory, tx: appealing.file_appeal(memory, tx, command))
    assert isinstance(filed, Appeal)
    return filed


def answer(bench: Bench, case: Case, verb: str, by: str) -> Appeal:
    command = DecideAppeal(case_id=case.id, fence=case.fence, verb=verb, answer=ANSWER, note="", by=by)  # type: ignore[arg-type]
    decided = bench.run(lambda memory, tx: appealing.decide_appeal(memory, tx, command))
    assert isinstance(decided, Appeal)
    return decided


def judged(bench: Bench) -> str:
    case = bench.lure("e1")
    done = bench.decide(bench.claim(case.id), hide=True, strike=True)
    return next(each for each in done.imposed if bench.sanctions("account", "a1")[0].id == each)


def test_an_appeal_opens_a_case_for_somebody_who_had_no_part_in_it(bench: Bench) -> None:
    appeal = file(bench, judged(bench))
    case = bench.case(appeal.case_id)
    assert (case.queue, case.appeal, case.acting) == ("appeals", appeal.id, SubjectRef(kind="account", id="a1"))
    assert (case.due_at - case.opened_at, case.status) == (DAY, "open")
    with pytest.raises(NotForYou):
        bench.claim(case.id, by="staff_1")
    assert bench.next("appeals", by="staff_2").id == case.id
    (received,) = bench.notices(purpose="appeal")
    assert "はじめの判断に関わっていない担当者が" in received["message"]["ja"]
    with bench.database.read() as tx:
        sealed = appeal_store.read_sealed(tx, appeal.id)
        assert sealed is not None
        assert "身に覚え".encode() not in sealed
        vault = bench.station.desk.memory.vault
        assert vault.open(tx, "a1", appeal.id, sealed) == {"text": "身に覚えがありません"}
    with pytest.raises(JudgementUnfit):
        bench.decide(bench.case(case.id), by="staff_2", outcome="honest")


def test_overturning_restores_everything_and_tells_everybody_who_was_told(bench: Bench) -> None:
    bench.report("rep", "m-e1", reporter="r1")
    case = bench.lure("e1")
    assert case.members == 1, "the report and the rule speak of one message"
    done = bench.decide(bench.claim(case.id), hide=True, strike=True)
    (strike,) = bench.sanctions("account", "a1")
    appeal = file(bench, strike.id)
    mine = bench.claim(appeal.case_id, by="staff_2")
    decided = answer(bench, mine, "overturn", "staff_2")
    assert (decided.status, decided.decided_by) == ("overturned", "staff_2")
    assert {one.status for one in (*bench.sanctions("account", "a1"), *bench.sanctions("message", "m-e1"))} == {
        "overturned"
    }
    assert len(done.imposed) == 2
    state = bench.station.desk.memory.sanctions.state(SubjectRef(kind="account", id="a1"), bench.clock.now())
    assert (state.restrictions, state.strikes, state.hidden) == ((), {}, False)
    withdrawn = {notice["role"]: notice for notice in bench.notices("notice.withdrawn")}
    assert sorted(withdrawn) == ["recipient", "reporter"]
    assert "当初の判断を見直しました" in withdrawn["reporter"]["message"]["ja"]
    last = bench.notices(purpose="appeal")[-1]
    assert last["message"]["ja"].endswith("確認の結果\n問題のない内容でした。")
    with bench.database.read() as tx:
        assert sorted(str(one.value) for one in labels_of(tx, "message", "m-e1")) == ["fraud", "honest"]
    assert bench.station.desk.memory.labels.value("message", "m-e1", "truth", bench.clock.now()) == "honest"
    types = [
        row[0]
        for row in bench.station.rows("SELECT type FROM log_entries WHERE type LIKE ? ORDER BY seq", ("appeal.%",))
    ]
    assert types == ["appeal.opened", "appeal.decided"]


def test_upholding_leaves_everything_and_was_the_last_look(bench: Bench) -> None:
    sanction_id = judged(bench)
    appeal = file(bench, sanction_id)
    answer(bench, bench.claim(appeal.case_id, by="staff_2"), "uphold", "staff_2")
    assert bench.sanctions("account", "a1")[0].status == "in_force"
    assert bench.notices("notice.withdrawn") == []
    assert "当初の判断を維持する" in bench.notices(purpose="appeal")[-1]["message"]["ja"]
    with pytest.raises(AppealDecidedAlready):
        file(bench, sanction_id)


def test_nobody_answers_an_appeal_against_their_own_judgement_even_with_a_claim(bench: Bench) -> None:
    appeal = file(bench, judged(bench))
    held = bench.claim(appeal.case_id, by="staff_2")
    with bench.database.write() as tx:
        tx.change("UPDATE cases SET claimed_by = 'staff_1' WHERE id = ?", (held.id,))
    with pytest.raises(NotForYou):
        answer(bench, held, "uphold", "staff_1")
    with pytest.raises(ClaimLost):
        answer(bench, held, "uphold", "staff_2")
    assert bench.case(held.id).status == "open"


def test_the_one_who_proposed_and_the_one_who_approved_are_both_kept_from_the_appeal(bench: Bench) -> None:
    case = bench.lure("e1", "grave words")
    proposed = bench.decide(bench.claim(case.id), strike=True)
    theirs = bench.claim(case.id, by="staff_2")
    bench.decide(theirs, by="staff_2", outcome="unclear", proposal=proposed.proposal)
    (suspension,) = bench.sanctions("account", "a1")
    appeal = file(bench, suspension.id)
    for person in ("staff_1", "staff_2"):
        with pytest.raises(NotForYou):
            bench.claim(appeal.case_id, by=person)
    assert bench.next("appeals", by="staff_3").id == appeal.case_id


def test_one_open_appeal_and_nothing_against_what_was_taken_back(bench: Bench) -> None:
    sanction_id = judged(bench)
    file(bench, sanction_id)
    with pytest.raises(AppealOpenAlready):
        file(bench, sanction_id)
    bench.lure("e2", sender="a2")
    (hidden,) = bench.sanctions("message", "m-e2")
    command = OverturnSanctions(sanction_ids=(hidden.id,), by="staff_1", reason="wrong")
    bench.run(lambda memory, tx: commands.sanction(memory, tx, command))
    before = bench.station.rows("SELECT count(*) FROM log_entries")
    with pytest.raises(NothingToAppeal):
        file(bench, hidden.id)
    assert bench.station.rows("SELECT count(*) FROM log_entries") == before
    with pytest.raises(AppealMissing):
        answer(bench, bench.claim(bench.lure("e3", sender="a3").id, by="staff_2"), "uphold", "staff_2")


def test_an_automatic_sanction_is_appealed_in_time_and_not_in_a_flood(bench: Bench) -> None:
    for index in range(appeals.PER_SUBJECT + 1):
        bench.lure(f"e{index}", f"直取引しませんか {index * 7919} でいかがでしょう", sender="a1")
    for index in range(appeals.PER_SUBJECT):
        file(bench, bench.sanctions("message", f"m-e{index}")[0].id)
    with pytest.raises(TooManyAppeals):
        file(bench, bench.sanctions("message", f"m-e{appeals.PER_SUBJECT}")[0].id)
    bench.clock.advance(200 * DAY)
    with pytest.raises(AppealTooLate):
        file(bench, bench.sanctions("message", f"m-e{appeals.PER_SUBJECT}")[0].id)


@pytest.mark.parametrize("damage", ["", "x", ".", "cut", "other", "late", "long"])
def test_a_link_is_for_one_sanction_and_one_time(damage: str) -> None:
    at = Instant(1_792_584_000_000_000)
    token = appeals.link_token(KEY, "sanction_000000000000000700", Instant(at + DAY))
    assert appeals.read_token(KEY, token, at) == "sanction_000000000000000700"
    broken = {
        "": "",
        "x": token[:-1] + ("0" if token[-1] != "0" else "1"),
        ".": "..",
        "cut": token[:-2],
        "other": token.replace("0700", "0800", 1),
        "late": token,
        "long": token * 9,
    }[damage]
    with pytest.raises(AppealLinkInvalid):
        appeals.read_token(KEY, broken, Instant(at + 2 * DAY) if damage == "late" else at)
    with pytest.raises(AppealLinkInvalid):
        appeals.read_token(b"another key", token, at)
