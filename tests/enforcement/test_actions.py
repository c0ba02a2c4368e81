"""Commands inside the decider, and what is stored of sanctions, on both databases."""

import pytest

from koban.base import DAY, HOUR, Instant
from koban.db import Database, Timer
from koban.enforcement import (
    Applied,
    Command,
    ImposeSanction,
    LiftSanction,
    LiveSanctions,
    Occasion,
    Outcome,
    OverturnSanctions,
    Plan,
    Recorded,
    SanctionMissing,
    SubjectRef,
    SubjectState,
    UndoRule,
    carry_out,
    expire,
    load,
    plan_actions,
    store,
    timers_of,
    undo_rule,
    write,
    write_notices,
)
from koban.enforcement.actions import UNDO_CHUNK
from koban.enforcement.types import SanctionNotInForce
from koban.packs import Hide, LadderStep, PolicyDef, Restrict, Source, Strike, Suspend, Warn

START = Instant(1_792_584_000_000_000)
TEXT = {"en": "text", "ja": "文"}
POLICIES = {
    "spam": PolicyDef(
        name="spam",
        title=TEXT,
        text=TEXT,
        severity="low",
        ladder=(LadderStep(action=Restrict(scope="messaging", for_us=DAY)), LadderStep(action=Suspend(for_us=None))),
        strikes_within_us=None,
        source=Source(file="policies.yaml", line=1),
    )
}


def account(name: str) -> SubjectRef:
    return SubjectRef(kind="account", id=name)


class Desk:
    """The decider's part in this: entries get numbers, changes are applied and stored in one transaction."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.live = LiveSanctions()
        self.seq = 0
        self.at = START
        self.timers: list[Timer] = []

    def fire(self, who: str, *actions: Strike | Hide | Suspend, rule: str = "flood", content: str = "m1") -> None:
        self.seq += 1
        occasion = Occasion(
            event_id=f"e{self.seq}",
            event_type="message.sent",
            acting=account(who),
            recipient=None,
            content=SubjectRef(kind="message", id=content),
        )
        one = Applied(rule=rule, policy="spam", because=TEXT, actions=actions)
        self.enter(plan_actions([one], occasion, POLICIES, self.live.of_subject, at=self.at, seq=self.seq))

    def submit(self, command: Command) -> Outcome:
        self.seq += 1
        with self.database.write() as tx:
            outcome = carry_out(self.live, tx, command, POLICIES, at=self.at, seq=self.seq)
        self.enter(outcome.plan)
        return outcome

    def enter(self, plan: Plan) -> None:
        recorded = []
        for change in plan.changes:
            self.seq += 1
            step = self.live.apply(change)
            state = self.live.state(step.after.subject, self.at)
            recorded.append(Recorded(step=step, seq=self.seq, at=self.at, state=state))
            self.timers.extend(timers_of(step, self.seq))
        with self.database.write() as tx:
            write(tx, recorded)


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


def test_what_is_stored_starts_the_next_process(desk: Desk) -> None:
    desk.fire("a", Strike(), Hide())
    desk.fire("b", Suspend(for_us=DAY))
    with desk.database.read() as tx:
        again = LiveSanctions(load(tx, desk.at))
    for subject in (account("a"), account("b"), SubjectRef(kind="message", id="m1")):
        assert again.of_subject(subject) == desk.live.of_subject(subject)
        assert again.of_subject(subject) != ()


def test_a_next_process_knows_ended_strikes_that_still_count_and_no_other_ended_sanction(desk: Desk) -> None:
    desk.fire("a", Strike(), Suspend(for_us=DAY))
    desk.at = Instant(START + DAY)
    ends = [end for each in desk.live.of_subject(account("a")) if (end := expire(each, desk.at)) is not None]
    desk.enter(Plan(changes=tuple(ends)))
    with desk.database.read() as tx:
        again = LiveSanctions(load(tx, desk.at))
    assert [(each.kind, each.status) for each in again.of_subject(account("a"))] == [("strike", "ended")]


def test_every_end_has_one_timer_that_names_the_sanction(desk: Desk) -> None:
    desk.fire("a", Strike(), Hide())
    (strike,) = desk.live.of_subject(account("a"))
    assert desk.timers == [
        Timer(id="timer_000000000000000200", due_at=Instant(START + DAY), kind="sanction.end", about=strike.id)
    ]


def test_overturning_an_ended_strike_that_memory_forgot_still_softens_the_later_one(desk: Desk) -> None:
    desk.fire("a", Strike())
    first = desk.live.of_subject(account("a"))[0].id
    desk.at = Instant(START + 2 * DAY)
    ended = expire(desk.live.get(first), desk.at)
    assert ended is not None
    desk.enter(Plan(changes=(ended,)))
    desk.fire("a", Strike())
    assert desk.live.state(account("a"), desk.at).suspended
    with desk.database.read() as tx:
        desk.live = LiveSanctions(each for each in load(tx, desk.at) if each.id != first)
    outcome = desk.submit(OverturnSanctions(sanction_ids=(first,), by="staff_1", reason="not theirs"))
    assert len(outcome.sanction_ids) == 2
    assert not desk.live.state(account("a"), desk.at).suspended
    assert [each.until for each in desk.live.state(account("a"), desk.at).restrictions] == [START + 3 * DAY]
    with desk.database.read() as tx:
        stored = store.read_of_subject(tx, account("a"))
        history = [store.entry_type(change) for _, _, change in store.read_changes(tx, first)]
        version = store.read_state(tx, account("a"))
    assert [(each.status, each.measure.effect) for each in stored] == [
        ("overturned", "restrict"),
        ("in_force", "restrict"),
    ]
    assert history == ["sanction.imposed", "sanction.ended", "sanction.overturned"]
    assert version == (desk.seq, desk.at)


def test_overturning_again_changes_nothing(desk: Desk) -> None:
    desk.fire("a", Suspend(for_us=None))
    command = OverturnSanctions(
        sanction_ids=(desk.live.of_subject(account("a"))[0].id,), by="staff_1", reason="not theirs"
    )
    assert len(desk.submit(command).sanction_ids) == 1
    assert desk.submit(command).sanction_ids == ()


def test_a_sanction_that_does_not_exist_is_refused_and_nothing_changes(desk: Desk) -> None:
    desk.fire("a", Suspend(for_us=None))
    known = desk.live.of_subject(account("a"))[0].id
    with pytest.raises(SanctionMissing):
        desk.submit(OverturnSanctions(sanction_ids=(known, "sanction_no"), by="staff_1", reason="?"))
    assert desk.live.state(account("a"), desk.at).suspended


def test_lifting_ends_now_and_only_once(desk: Desk) -> None:
    desk.fire("a", Strike())
    command = LiftSanction(sanction_id=desk.live.of_subject(account("a"))[0].id, by="staff_1", reason="enough")
    desk.submit(command)
    assert desk.live.state(account("a"), desk.at) == SubjectState(strikes={"spam": 1})
    with pytest.raises(SanctionNotInForce):
        desk.submit(command)


def test_imposing_by_hand_joins_what_a_rule_imposed(desk: Desk) -> None:
    desk.fire("a", Suspend(for_us=None))
    outcome = desk.submit(
        ImposeSanction(subject=account("a"), kind="suspend", policy="spam", by="staff_1", because=TEXT)
    )
    (only,) = desk.live.of_subject(account("a"))
    assert outcome.sanction_ids == (only.id,)
    assert not only.automated


def test_one_call_undoes_everything_a_rule_did_and_nothing_else(desk: Desk) -> None:
    desk.fire("early", Suspend(for_us=None))
    desk.at = Instant(START + HOUR)
    people = [f"a{index:03}" for index in range(UNDO_CHUNK + 20)]
    for index, name in enumerate(people):
        desk.fire(name, Suspend(for_us=None), Hide(), content=f"m{index}")
    desk.fire("other", Suspend(for_us=None), rule="careful")
    desk.fire(people[0], Suspend(for_us=None), rule="careful")
    with desk.database.read() as tx:
        # A process that restarted knows the sanctions from the table alone.
        desk.live = LiveSanctions(load(tx, desk.at))
    done = undo_rule(desk.submit, UndoRule(rule="flood", since_at=desk.at, by="staff_1", reason="bad rule"))
    assert len(done) == 2 * len(people)
    assert [desk.live.state(account(name), desk.at).suspended for name in people] == [True] + [False] * (
        len(people) - 1
    )
    assert desk.live.state(account("early"), desk.at).suspended
    assert desk.live.state(account("other"), desk.at).suspended
    assert undo_rule(desk.submit, UndoRule(rule="flood", since_at=desk.at, by="staff_1", reason="bad rule")) == ()
    with desk.database.read() as tx:
        assert store.count_in_force(tx) == {"suspend": 3}


def test_an_undo_takes_notices_back_once_and_only_those_of_the_rule_since_then(desk: Desk) -> None:
    def warn(count: int, rule: str = "flood") -> None:
        one = Applied(rule=rule, policy="spam", because=TEXT, actions=(Warn(target="author"),))
        for _ in range(count):
            desk.seq += 1
            occasion = Occasion(
                event_id=f"e{desk.seq}", event_type="message.sent", acting=account("a"), recipient=None, content=None
            )
            plan = plan_actions([one], occasion, POLICIES, desk.live.of_subject, at=desk.at, seq=desk.seq)
            with desk.database.write() as tx:
                write_notices(tx, plan.notices)

    warn(1)
    desk.at = Instant(START + HOUR)
    warn(2 * UNDO_CHUNK + 1)
    warn(1, rule="careful")
    desk.fire("b", Suspend(for_us=None))
    withdrawn: list[str] = []

    def submit(command: Command) -> Outcome:
        outcome = desk.submit(command)
        withdrawn.extend(notice.id for notice in outcome.plan.withdrawn)
        return outcome

    command = UndoRule(rule="flood", since_at=desk.at, by="staff_1", reason="bad rule")
    assert len(undo_rule(submit, command)) == 1
    assert len(withdrawn) == len(set(withdrawn)) == 2 * UNDO_CHUNK + 1
    assert undo_rule(submit, command) == ()
    assert len(withdrawn) == 2 * UNDO_CHUNK + 1


def test_an_undo_in_the_same_batch_reaches_what_is_not_stored_yet(desk: Desk) -> None:
    occasion = Occasion(event_id="e1", event_type="message.sent", acting=account("a"), recipient=None, content=None)
    one = Applied(rule="flood", policy="spam", because=TEXT, actions=(Suspend(for_us=None),))
    for change in plan_actions([one], occasion, POLICIES, desk.live.of_subject, at=desk.at, seq=1).changes:
        desk.live.apply(change)
    done = undo_rule(desk.submit, UndoRule(rule="flood", since_at=desk.at, by="staff_1", reason="bad rule"))
    assert done == ("sanction_000000000000000100",)
    assert not desk.live.state(account("a"), desk.at).suspended


def test_a_page_of_sanctions_meets_its_filters(desk: Desk) -> None:
    for name in ("a", "b", "c"):
        desk.fire(name, Strike(), Suspend(for_us=None))
    with desk.database.read() as tx:
        newest = store.search_sanctions(tx, before=None, limit=2, filters={"kind": "strike"})
        rest = store.search_sanctions(tx, before=newest[-1].id, limit=2, filters={"kind": "strike"})
        of_b = store.search_sanctions(tx, before=None, limit=9, filters={"subject_kind": "account", "subject_id": "b"})
    assert [each.subject.id for each in (*newest, *rest)] == ["c", "b", "a"]
    assert [each.kind for each in of_b] == ["suspend", "strike"]
