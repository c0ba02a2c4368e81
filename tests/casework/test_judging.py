"""A judgement is one transaction: sanction, statement of reasons, label, notice; severe ones take two people."""

import pathlib
from typing import Any

import msgspec
import pytest
from tests.casework.conftest import LURE, Bench, open_bench

from koban.base import DAY, MINUTE, ManualClock
from koban.cases import store as case_store
from koban.cases import work_store
from koban.cases.types import (
    CaseAlreadyClosed,
    ClaimLost,
    DecideCase,
    DeclineProposal,
    JudgementUnfit,
    NotForYou,
    ProposalMissing,
    ReopenCase,
)
from koban.db import Database
from koban.enforcement import SubjectRef
from koban.enforcement import store as sanction_store
from koban.labels import labels_of
from koban.pipeline import casework, judgement

ACCOUNT = SubjectRef(kind="account", id="a1")
FACTS = {"en": "You asked the buyer to pay outside.", "ja": "購入者の方に、サイト外での支払いを求める内容でした。"}


def test_one_judgement_brings_sanction_statement_label_and_notice_in_one_commit(bench: Bench) -> None:
    case = bench.lure("e1")
    held = bench.claim(case.id)
    judged = bench.decide(held, hide=True, strike=True, facts=FACTS)
    (strike,) = bench.sanctions("account", "a1")
    assert strike.id in judged.imposed
    assert (strike.kind, strike.measure.effect, strike.measure.scope) == ("strike", "restrict", "messaging")
    ground = strike.grounds[0]
    assert (ground.actor, ground.case_id, ground.detected_by) == ("staff_1", case.id, ("lure",))
    assert (ground.because, ground.event_ids, strike.about) == (FACTS, ("e1",), SubjectRef(kind="message", id="m-e1"))
    with bench.database.read() as tx:
        found = sanction_store.read_statement(tx, strike.id)
        assert found is not None
        statement = found[1]
        (label,) = labels_of(tx, "message", "m-e1")
        assert label.value == "fraud"
        assert work_store.sanctions_of(tx, case.id, what="imposed") == sorted(judged.imposed)
    assert (statement.automated_detection, statement.automated_decision, statement.automation) == (
        True,
        False,
        "partially",
    )
    assert statement.because == (FACTS,)
    (notice,) = bench.notices(purpose="decision")
    assert notice["sanction_ids"] == list(judged.imposed)
    assert str(notice["appeal_url"]).startswith("https://koban.test/appeal/")
    assert notice["message"]["ja"] == (
        "いつもご利用いただきありがとうございます。\n"
        "自動検知をきっかけに担当者が内容を確認し、「外部への誘導」のルールに沿わないと判断しました。\n\n"
        "■ 確認した内容\n購入者の方に、サイト外での支払いを求める内容でした。\n\n"
        "■ 対応\n・対象のメッセージを非表示にしました。\n"
        "・2026年10月22日 21時00分まで、メッセージの送信をご利用いただけません。\n\n"
        "■ ルールについて\n取引はマーケットプレイス内で行ってください。\n\n"
        "■ ご納得いただけないとき\n2027年4月22日まで、専用ページから異議を申し立てていただけます。"
        "はじめの判断に関わっていない担当者が確認し直し、結果をお知らせします。"
    )
    assert "Sending messages is not available to you until 22 October 2026, 21:00." in notice["message"]["en"]
    closed = bench.case(case.id)
    assert (closed.status, closed.outcome, closed.closed_by) == ("closed", "upheld", "staff_1")
    assert closed.closed_seq is not None
    kinds = [row[0] for row in bench.station.rows(
        "SELECT type FROM log_entries WHERE seq >= ? ORDER BY seq", (closed.closed_seq,))]  # fmt: skip
    assert kinds == [
        "case.closed",
        "command.impose.sanction",
        "sanction.extended",
        "command.impose.sanction",
        "sanction.imposed",
        "label.set",
    ]


def test_the_preview_is_what_is_sent(bench: Bench) -> None:
    case = bench.lure("e1")
    held = bench.claim(case.id)
    pack = bench.station.desk.memory.compiled.pack
    command = msgspec.convert(
        {"case_id": case.id, "fence": held.fence, "by": "staff_1", "outcome": "upheld", "strike": True, "facts": FACTS},
        DecideCase,
    )
    with bench.database.read() as tx:
        preview = judgement.preview(tx, pack, command, bench.clock.now())
    assert (preview.second_person, preview.accounts, preview.labels, preview.hidden) == (False, 1, 1, 0)
    assert bench.notices(purpose="decision") == []
    bench.decide(held, strike=True, facts=FACTS)
    (notice,) = bench.notices(purpose="decision")
    assert [dict(told.message) for told in preview.told] == [notice["message"]]


def test_an_honest_person_gets_everything_back_and_the_warned_are_told(bench: Bench) -> None:
    case = bench.lure("e1")
    assert [one.status for one in bench.sanctions("message", "m-e1")] == ["in_force"]
    judged = bench.decide(bench.claim(case.id), outcome="honest")
    assert [one.status for one in bench.sanctions("message", "m-e1")] == ["overturned"]
    assert judged.taken_back == tuple(one.id for one in bench.sanctions("message", "m-e1"))
    (withdrawn,) = bench.notices("notice.withdrawn")
    assert (withdrawn["role"], withdrawn["purpose"]) == ("recipient", "correction")
    assert "誤りであることがわかりました" in withdrawn["message"]["ja"]
    (restored,) = bench.notices(purpose="decision")
    assert "申し訳ございません" in restored["message"]["ja"]


def test_whoever_reported_is_told_how_it_ended(bench: Bench) -> None:
    first = bench.report("e1", "m9")
    second = bench.report("e2", "m9", reporter="r2")
    assert (first.id, first.subject, first.acting) == (second.id, SubjectRef(kind="message", id="m9"), ACCOUNT)
    bench.decide(bench.claim(first.id), strike=True)
    told = {notice["role"]: notice for notice in bench.notices(purpose="decision")}
    assert sorted(told) == ["author", "reporter"]
    reporters = [
        n for n in bench.told() if n["type"] == "notice.requested" and n["data"]["notice"]["role"] == "reporter"
    ]
    assert sorted(each["data"]["subject"]["id"] for each in reporters) == ["r1", "r2"]
    (strike,) = bench.sanctions("account", "a1")
    with bench.database.read() as tx:
        found = sanction_store.read_statement(tx, strike.id)
    assert found is not None
    assert found[1].source == "notice"


def test_a_stale_judgement_is_refused_and_changes_nothing(bench: Bench) -> None:
    case = bench.lure("e1")
    mine = bench.claim(case.id)
    bench.clock.advance(30 * MINUTE)
    theirs = bench.claim(case.id, by="staff_2")
    before = bench.station.rows("SELECT count(*) FROM log_entries")
    with pytest.raises(ClaimLost):
        bench.decide(mine, strike=True)
    assert bench.station.rows("SELECT count(*) FROM log_entries") == before
    assert bench.case(case.id) == theirs
    bench.decide(theirs, by="staff_2", strike=True)
    with pytest.raises(CaseAlreadyClosed):
        bench.decide(theirs, by="staff_2", strike=True)


@pytest.mark.parametrize(
    "judgement",
    [
        {"outcome": "honest", "strike": True},
        {"outcome": "unclear", "hide": True},
        {"policy": "fraud/none"},
        {"subjects": [{"kind": "message", "id": "other"}]},
        {"subjects": []},
        {"facts": {"en": "only one", "ja": " "}},
    ],
)
def test_what_does_not_fit_is_refused(bench: Bench, judgement: dict[str, Any]) -> None:  # Any: fields of a judgement
    case = bench.lure("e1")
    held = bench.claim(case.id)
    with pytest.raises(JudgementUnfit):
        bench.decide(held, **judgement)
    assert bench.case(case.id) == held


def test_a_severe_measure_waits_for_a_second_person(bench: Bench) -> None:
    case = bench.lure("e1", "grave words")
    mine = bench.claim(case.id)
    judged = bench.decide(mine, strike=True, facts=FACTS, note="look at the amounts")
    assert judged.proposal is not None
    assert bench.sanctions("account", "a1") == []
    proposed = bench.case(case.id)
    assert (proposed.status, proposed.proposal, proposed.claimed_by) == ("open", judged.proposal, None)
    with pytest.raises(NotForYou):
        bench.claim(case.id)
    theirs = bench.claim(case.id, by="staff_2")
    with pytest.raises(ProposalMissing):
        bench.decide(theirs, by="staff_2", outcome="unclear", proposal="proposal_other")
    with pytest.raises(ProposalMissing):
        bench.decide(theirs, by="staff_2", strike=True)
    done = bench.decide(theirs, by="staff_2", outcome="unclear", proposal=judged.proposal)
    (strike,) = bench.sanctions("account", "a1")
    assert done.imposed == (strike.id,)
    assert (strike.grounds[0].actor, strike.grounds[0].proposed_by) == ("staff_2", "staff_1")
    assert strike.grounds[0].because == FACTS
    closed = bench.case(case.id)
    assert (closed.outcome, closed.note, closed.closed_by) == ("upheld", "look at the amounts", "staff_2")


def test_a_declined_proposal_leaves_the_case_with_whoever_declined(bench: Bench) -> None:
    case = bench.lure("e1", "a pair of words")
    judged = bench.decide(bench.claim(case.id), outcome="honest")
    assert judged.proposal is not None, "this queue wants two people for everything"
    theirs = bench.claim(case.id, by="staff_2")
    command = DeclineProposal(case_id=case.id, fence=theirs.fence, by="staff_2", reason="it is not")
    bench.run(lambda memory, tx: casework.decline(memory, tx, command))
    after = bench.case(case.id)
    assert (after.proposal, after.claimed_by, after.fence) == (None, "staff_2", theirs.fence)
    again = bench.decide(after, by="staff_2", outcome="upheld")
    assert again.proposal is not None
    assert bench.claim(case.id, by="staff_1").claimed_by == "staff_1", "who proposed first may approve the second"


def test_a_judgement_is_taken_back_with_its_sanctions_labels_and_notices(bench: Bench) -> None:
    case = bench.lure("e1")
    bench.decide(bench.claim(case.id), hide=True, strike=True, facts=FACTS)
    command = ReopenCase(case_id=case.id, by="staff_1", reason="wrong case")
    bench.run(lambda memory, tx: casework.reopen(memory, tx, command))
    assert [one.status for one in bench.sanctions("account", "a1")] == ["overturned"]
    assert [one.status for one in bench.sanctions("message", "m-e1")] == ["in_force"], "the rule's own ground stands"
    with bench.database.read() as tx:
        assert sorted(str(one.value) for one in labels_of(tx, "message", "m-e1")) == ["None", "fraud"]
        assert case_store.read_odds(tx) == {"lure": (0, 0)}
    again = bench.case(case.id)
    assert (again.status, again.outcome, again.due_at) == ("open", None, case.due_at)
    assert bench.lure("e2").id == case.id, "the same text joins the case that is open again"


def test_nearly_the_same_text_is_one_case_and_each_piece_can_be_left_out(bench: Bench) -> None:
    first = bench.lure("e1")
    second = bench.lure("e2", LURE + "！！", sender="a2")
    other = bench.lure("e3", "直取引をお願いできますでしょうか。銀行振込だと助かりますのでご検討ください", sender="a3")
    assert (second.id, second.members, second.signals) == (first.id, 2, 2)
    assert other.id != first.id
    judged = bench.decide(bench.claim(first.id), strike=True, subjects=[{"kind": "message", "id": "m-e2"}])
    assert [one.subject.id for one in bench.sanctions("account", "a2")] == ["a2"]
    assert bench.sanctions("account", "a1") == []
    assert len(judged.imposed) == 1
    with bench.database.read() as tx:
        assert [one.value for one in labels_of(tx, "message", "m-e2")] == ["fraud"]
        assert labels_of(tx, "message", "m-e1") == []


def test_memory_after_a_restart_equals_memory_before(
    database: Database, clock: ManualClock, tmp_path: pathlib.Path
) -> None:
    with open_bench(database, clock, tmp_path, first=True) as bench:
        bench.decide(bench.claim(bench.lure("e1").id), outcome="honest")
        bench.lure("e2")
        bench.lure("e3", LURE + "!!", sender="a2")
        bench.lure("e4", "a brand bag", sender="a4")
        live = bench.station.desk.memory.cases
        kept = (live._open, live._keys, live._doors, live._accounts, live._odds)
    with open_bench(database, clock, tmp_path, first=False) as bench:
        live = bench.station.desk.memory.cases
        assert (live._open, live._keys, live._doors, live._accounts, live._odds) == kept
        assert bench.lure("e5", "another brand bag", sender="a4").members == 2


def test_touch_time_is_apart_from_waiting(bench: Bench) -> None:
    case = bench.lure("e1")
    bench.clock.advance(5 * MINUTE)
    held = bench.claim(case.id)
    bench.clock.advance(MINUTE)
    bench.opened(held)
    bench.clock.advance(2 * MINUTE)
    bench.decide(held, outcome="honest")
    with bench.database.read() as tx:
        (touch,) = work_store.read_touches(tx, case.id)
    assert (touch.how, touch.person) == ("decided", "staff_1")
    assert abs(touch.touch_us - 2 * MINUTE) < 10_000
    assert touch.claimed_at - case.opened_at > 4 * MINUTE
    assert touch.touch_us < DAY
