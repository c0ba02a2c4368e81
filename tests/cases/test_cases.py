"""Cases: opened, joined, claimed, closed, on both databases."""

import pytest

from koban.audit import list_entries
from koban.base import HOUR, MINUTE, Instant, ManualClock
from koban.cases import (
    Case,
    CaseMissing,
    CaseStep,
    CloseCase,
    LiveCases,
    claim,
    claim_next,
    close_case,
    count_open,
    read_case,
    read_signals,
    release,
    search_cases,
    write,
)
from koban.cases.actions import CLAIM_FOR
from koban.cases.live import SIGNALS_KEPT_MAX
from koban.cases.types import CaseAlreadyClosed, CaseClaimed, CaseOpened, ClaimLost, QueueEmpty
from koban.db import Database
from koban.enforcement import ReviewRequest, SubjectRef
from koban.labels import LabelSet, LabelSource
from koban.packs import QueueDef, Source

START = Instant(1_792_584_000_000_000)
TEXT = {"en": "text", "ja": "文"}


def queue(name: str = "scams", due_in_s: int = 3_600) -> QueueDef:
    return QueueDef(name=name, title=TEXT, due_in_s=due_in_s, source=Source(file="queues.yaml", line=1))


def request(subject: str = "m1", rule: str = "off_platform_pay", queue: str = "scams") -> ReviewRequest:
    return ReviewRequest(
        queue=queue,
        subject=SubjectRef(kind="message", id=subject),
        acting=SubjectRef(kind="account", id="a1"),
        rule=rule,
        policy="fraud/off_platform_payment",
        because=TEXT,
        event_id=f"e_{subject}",
        event_type="message.sent",
        market="jp",
    )


class Desk:
    """The decider's part in this."""

    def __init__(self, database: Database, clock: ManualClock) -> None:
        self.database = database
        self.clock = clock
        self.live = LiveCases()
        self.seq = 0

    @property
    def at(self) -> Instant:
        return self.clock.now()

    def signal(self, *requests: ReviewRequest, due_in_s: int = 3_600) -> list[CaseStep]:
        self.seq += 1
        steps = [self.live.open(each, queue(each.queue, due_in_s), at=self.at, seq=self.seq)[0] for each in requests]
        with self.database.write() as tx:
            write(tx, steps)
        return steps

    def read(self, case_id: str) -> Case:
        with self.database.read() as tx:
            found = read_case(tx, case_id)
        assert found is not None
        return found

    def claim(self, case_id: str, by: str = "staff_1") -> Case:
        with self.database.write() as tx:
            return claim(tx, self.at, case_id, by=by)

    def close(self, command: CloseCase) -> tuple[LabelSet, ...]:
        with self.database.write() as tx:
            closed = close_case(tx, self.at, command)
        self.live.apply(closed.change)
        return closed.labels


@pytest.fixture
def desk(database: Database, clock: ManualClock) -> Desk:
    return Desk(database, clock)


def test_a_case_has_its_due_time_from_the_queue_and_its_signal(desk: Desk) -> None:
    (step,) = desk.signal(request())
    case = desk.read(step.case_id)
    assert case.id == "case_000000000000000100"
    assert (case.status, case.signals, case.due_at - case.opened_at) == ("open", 1, HOUR)
    assert (case.subject, case.acting) == (
        SubjectRef(kind="message", id="m1"),
        SubjectRef(kind="account", id="a1"),
    )
    with desk.database.read() as tx:
        (signal,) = read_signals(tx, case.id, limit=10)
    assert (signal.seq, signal.rule, signal.because, signal.event_id) == (1, "off_platform_pay", TEXT, "e_m1")


def test_further_signals_join_the_open_case_and_leave_its_due_time(desk: Desk) -> None:
    (first,) = desk.signal(request())
    desk.clock.advance(MINUTE)
    joined = desk.signal(request(rule="other"), request(rule="third"))
    assert {each.case_id for each in joined} == {first.case_id}
    case = desk.read(first.case_id)
    assert (case.signals, case.last_signal_at, case.due_at) == (3, START + MINUTE, START + HOUR)
    with desk.database.read() as tx:
        assert [each.rule for each in read_signals(tx, case.id, limit=10)] == ["other", "third", "off_platform_pay"]


def test_another_queue_or_subject_is_another_case_of_the_same_entry(desk: Desk) -> None:
    steps = desk.signal(request("m1"), request("m1", queue="money"), request("m2"))
    assert [each.case_id for each in steps] == [
        "case_000000000000000100",
        "case_000000000000000101",
        "case_000000000000000102",
    ]


def test_taking_a_signal_back_leaves_memory_as_it_was(desk: Desk) -> None:
    (first,) = desk.signal(request("m1"))
    subject = SubjectRef(kind="message", id="m2")
    step, undo_open = desk.live.open(request("m2"), queue(), at=desk.at, seq=9)
    assert isinstance(step.change, CaseOpened)
    _, undo_join = desk.live.open(request("m2"), queue(), at=desk.at, seq=9)
    undo_join()
    undo_open()
    assert desk.live.get("scams", subject) is None
    assert desk.live.get("scams", SubjectRef(kind="message", id="m1")) == first.case_id
    again, _ = desk.live.open(request("m2"), queue(), at=desk.at, seq=9)
    assert again.case_id == step.case_id


def test_a_flood_of_signals_is_counted_and_kept_only_in_part(desk: Desk) -> None:
    steps = desk.signal(*(request(rule=f"r{index}") for index in range(SIGNALS_KEPT_MAX + 20)))
    assert desk.read(steps[0].case_id).signals == SIGNALS_KEPT_MAX + 20
    with desk.database.read() as tx:
        assert len(read_signals(tx, steps[0].case_id, limit=9_999)) == SIGNALS_KEPT_MAX


def test_the_next_process_knows_the_open_cases(desk: Desk) -> None:
    first, second = desk.signal(request("m1"), request("m2"))
    held = desk.claim(second.case_id)
    desk.close(CloseCase(case_id=second.case_id, outcome="unclear", by="staff_1", fence=held.fence))
    again = LiveCases()
    with desk.database.read() as tx:
        again.load(tx)
    assert len(again) == len(desk.live) == 1
    assert again.get("scams", SubjectRef(kind="message", id="m1")) == first.case_id


def test_lists_go_by_due_time_and_continue_where_they_ended(desk: Desk) -> None:
    desk.signal(request("m1"), due_in_s=300)
    desk.signal(request("m2"), due_in_s=100)
    desk.signal(request("m3"), due_in_s=200)
    desk.signal(request("m4", queue="money"), due_in_s=1)
    with desk.database.read() as tx:
        first = search_cases(tx, status="open", limit=2, filters={"queue": "scams"})
        rest = search_cases(
            tx, status="open", limit=2, after=(first[-1].due_at, first[-1].id), filters={"queue": "scams"}
        )
        counts = count_open(tx, Instant(START + 150_000_000))
    assert [each.subject.id for each in (*first, *rest)] == ["m2", "m3", "m1"]
    assert counts == {"money": (1, 1, START + 1_000_000), "scams": (3, 1, START + 100_000_000)}


def test_a_claim_keeps_others_away_until_it_lapses(desk: Desk) -> None:
    (step,) = desk.signal(request())
    mine = desk.claim(step.case_id)
    assert (mine.claimed_by, mine.claimed_until, mine.fence) == ("staff_1", START + CLAIM_FOR, 1)
    with pytest.raises(CaseClaimed):
        desk.claim(step.case_id, by="staff_2")
    assert desk.read(step.case_id) == mine
    assert desk.claim(step.case_id).fence == 2
    desk.clock.advance(CLAIM_FOR)
    assert desk.claim(step.case_id, by="staff_2").fence == 3


def test_the_next_case_is_the_one_due_first_that_nobody_holds(desk: Desk) -> None:
    desk.signal(request("m1"), due_in_s=300)
    desk.signal(request("m2"), due_in_s=100)
    with desk.database.write() as tx:
        taken = [claim_next(tx, desk.at, ("scams",), by=f"staff_{index}").subject.id for index in range(2)]
        with pytest.raises(QueueEmpty):
            claim_next(tx, desk.at, ("scams",), by="staff_3")
    assert taken == ["m2", "m1"]


def test_a_released_case_is_free_and_its_old_claim_is_worth_nothing(desk: Desk) -> None:
    (step,) = desk.signal(request())
    mine = desk.claim(step.case_id)
    with desk.database.write() as tx:
        release(tx, desk.at, step.case_id, by="staff_1", fence=mine.fence)
        with pytest.raises(ClaimLost):
            release(tx, desk.at, step.case_id, by="staff_1", fence=mine.fence)
        assert claim_next(tx, desk.at, ("scams",), by="staff_2").id == step.case_id


@pytest.mark.parametrize(("outcome", "truth"), [("upheld", "fraud"), ("honest", "honest"), ("unclear", None)])
def test_closing_sets_the_outcome_and_asks_for_its_label(desk: Desk, outcome: str, truth: str | None) -> None:
    (step,) = desk.signal(request())
    held = desk.claim(step.case_id)
    command = CloseCase(
        case_id=step.case_id,
        outcome=outcome,  # type: ignore[arg-type]  # the three words of the table above
        by="staff_1",
        fence=held.fence,
        note="seen",
    )
    labels = desk.close(command)
    expected = LabelSet(
        subject_kind="message",
        subject_id="m1",
        label="truth",
        value=truth,
        source=LabelSource.PERSON,
        by="staff_1",
        note=step.case_id,
    )
    assert labels == (() if truth is None else (expected,))
    case = desk.read(step.case_id)
    assert (case.status, case.outcome, case.closed_by, case.note) == ("closed", outcome, "staff_1", "seen")
    with pytest.raises(CaseAlreadyClosed):
        desk.close(command)
    with pytest.raises(CaseAlreadyClosed):
        desk.claim(step.case_id)
    with desk.database.read() as tx:
        entries = list_entries(tx, before_id=None, limit=10, actor="staff_1", action=None, object_id=step.case_id)
    assert [each.action for each in entries] == ["case.close", "case.claim"]


def test_a_signal_after_the_closing_opens_a_new_case(desk: Desk) -> None:
    (first,) = desk.signal(request())
    held = desk.claim(first.case_id)
    desk.close(CloseCase(case_id=first.case_id, outcome="honest", by="staff_1", fence=held.fence))
    (second,) = desk.signal(request())
    assert second.case_id != first.case_id
    assert desk.read(second.case_id).status == "open"


def test_only_the_claim_in_force_closes_and_a_refusal_changes_nothing(desk: Desk) -> None:
    (step,) = desk.signal(request())
    mine = desk.claim(step.case_id)
    desk.clock.advance(CLAIM_FOR)
    theirs = desk.claim(step.case_id, by="staff_2")
    for by, fence in (("staff_1", mine.fence), ("staff_1", theirs.fence), ("staff_2", mine.fence)):
        with pytest.raises(ClaimLost):
            desk.close(CloseCase(case_id=step.case_id, outcome="upheld", by=by, fence=fence))
    assert desk.read(step.case_id) == theirs
    with pytest.raises(CaseMissing):
        desk.close(CloseCase(case_id="case_no", outcome="upheld", by="staff_1", fence=1))


def test_a_claim_that_lapsed_still_closes_while_nobody_else_took_the_case(desk: Desk) -> None:
    (step,) = desk.signal(request())
    mine = desk.claim(step.case_id)
    desk.clock.advance(2 * CLAIM_FOR)
    desk.close(CloseCase(case_id=step.case_id, outcome="upheld", by="staff_1", fence=mine.fence))
    assert desk.read(step.case_id).outcome == "upheld"
