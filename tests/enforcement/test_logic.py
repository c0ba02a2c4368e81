"""What sanctions follow from actions, and what state follows from sanctions."""

from collections.abc import Sequence

import msgspec
import pytest

from koban.base import DAY, HOUR, MINUTE, Instant
from koban.enforcement import (
    Applied,
    ImposeSanction,
    LiveSanctions,
    Occasion,
    Plan,
    SubjectRef,
    SubjectState,
    decode_change,
    derive_state,
    encode_change,
    entry_type,
    expire,
    plan_actions,
    statement_of,
)
from koban.enforcement.logic import is_at_most, lift, milder_of, plan_by_hand, withdraw
from koban.enforcement.types import (
    Measure,
    PolicyUnknown,
    Restriction,
    SanctionAmended,
    SanctionExtended,
    SanctionImposed,
    SanctionUnfit,
)
from koban.packs import (
    Action,
    Block,
    Challenge,
    FreezePayout,
    Hide,
    Hold,
    LadderStep,
    PolicyDef,
    Restrict,
    Review,
    Source,
    Strike,
    Suspend,
    Warn,
)

START = Instant(1_792_584_000_000_000)
SELLER = SubjectRef(kind="account", id="a1")
BUYER = SubjectRef(kind="account", id="a2")
MESSAGE = SubjectRef(kind="message", id="m1")
WHY = {"en": "asks to pay outside", "ja": "取引外での支払い"}


def policy(
    name: str = "fraud/off_platform_payment",
    ladder: Sequence[Action] = (
        Warn(target="author"),
        Restrict(scope="messaging", for_us=24 * HOUR),
        Suspend(for_us=None),
    ),
    within_us: int | None = 30 * 24 * HOUR,
) -> PolicyDef:
    steps = []
    for action in ladder:
        assert not hasattr(action, "queue")
        steps.append(LadderStep(action=action))  # type: ignore[arg-type]  # the tests give only what a ladder takes
    return PolicyDef(
        name=name,
        title={"en": "Off-platform payment", "ja": "取引外決済"},
        text={"en": "Pay on the marketplace only.", "ja": "決済は必ずサービス内で行ってください。"},
        severity="high",
        ladder=tuple(steps),
        strikes_within_us=within_us,
        source=Source(file="policies.yaml", line=1),
    )


POLICY = policy()
POLICIES = {POLICY.name: POLICY, "spam": policy("spam", ladder=(Suspend(for_us=HOUR),))}


def applied(*actions: Action, rule: str = "off_platform_pay", under: str = POLICY.name) -> Applied:
    return Applied(rule=rule, policy=under, because=WHY, actions=actions)


def occasion(
    *,
    acting: SubjectRef | None = SELLER,
    recipient: SubjectRef | None = BUYER,
    content: SubjectRef | None = MESSAGE,
    event_id: str = "e1",
) -> Occasion:
    return Occasion(
        event_id=event_id, event_type="message.sent", acting=acting, recipient=recipient, content=content, market="jp"
    )


def fire(live: LiveSanctions, *firings: Applied, at: int, seq: int, about: Occasion | None = None) -> Plan:
    """Plan and apply, as the decider does."""
    plan = plan_actions(firings, about or occasion(), POLICIES, live.of_subject, at=Instant(at), seq=seq)
    for change in plan.changes:
        live.apply(change)
    return plan


DAY_RESTRICTION = Restrict(scope="messaging", for_us=DAY)


@pytest.mark.parametrize(
    ("action", "subject", "expected"),
    [
        (Hide(), MESSAGE, SubjectState(hidden=True)),
        (Suspend(for_us=None), SELLER, SubjectState(suspended=True)),
        (Suspend(for_us=HOUR), SELLER, SubjectState(suspended=True, suspended_until=Instant(START + HOUR))),
        (
            FreezePayout(for_us=3 * DAY),
            SELLER,
            SubjectState(payout_frozen=True, payout_frozen_until=Instant(START + 3 * DAY)),
        ),
        (
            DAY_RESTRICTION,
            SELLER,
            SubjectState(restrictions=(Restriction(scope="messaging", until=Instant(START + DAY)),)),
        ),
        (Strike(), SELLER, SubjectState(strikes={POLICY.name: 1})),
        (Block(), SELLER, SubjectState()),
        (Hold(for_us=HOUR, becomes="block"), SELLER, SubjectState()),
        (Challenge(kind="passkey"), SELLER, SubjectState()),
        (Warn(target="author"), SELLER, SubjectState()),
        (Review(queue="scams"), SELLER, SubjectState()),
    ],
)
def test_each_action_gives_its_state(action: Action, subject: object, expected: SubjectState) -> None:
    live = LiveSanctions()
    fire(live, applied(action), at=START, seq=7)
    assert live.state(subject, START) == expected  # type: ignore[arg-type]  # one of the two subjects above


def test_a_sanction_names_policy_rule_entry_and_event() -> None:
    live = LiveSanctions()
    fire(live, applied(DAY_RESTRICTION), at=START, seq=7)
    (sanction,) = live.of_subject(SELLER)
    assert sanction.id == "sanction_000000000000000700"
    assert sanction.cause_seq == 7
    assert sanction.automated
    assert msgspec.json.decode(msgspec.json.encode(statement_of(sanction))) == {
        "sanction_id": "sanction_000000000000000700",
        "subject": {"kind": "account", "id": "a1"},
        "policy": "fraud/off_platform_payment",
        "title": {"en": "Off-platform payment", "ja": "取引外決済"},
        "text": {"en": "Pay on the marketplace only.", "ja": "決済は必ずサービス内で行ってください。"},
        "because": [WHY],
        "effect": "restrict",
        "scope": "messaging",
        "starts_at": "2026-10-21T12:00:00.000000Z",
        "ends_at": "2026-10-22T12:00:00.000000Z",
        "strike": 0,
        "automated_detection": True,
        "automated_decision": True,
        "about": {"kind": "message", "id": "m1"},
        "event_ids": ["e1"],
        "market": "jp",
        "ground": "policy",
        "source": "own_initiative",
        "automation": "fully",
        "redress": "appeal",
        "appeal_until": "2027-04-22T12:00:00.000000Z",
    }


def test_strikes_climb_the_ladder_and_stay_on_its_last_step() -> None:
    live = LiveSanctions()
    effects = []
    for index in range(4):
        fire(live, applied(Strike()), at=START + index * 2 * DAY, seq=index)
        effects.append((live.of_subject(SELLER)[-1].measure.effect, len(live.of_subject(SELLER)[-1].counted)))
        if index == 2:
            apply_lift(live)
    assert effects == [("warn", 0), ("restrict", 1), ("suspend", 2), ("suspend", 3)]


def apply_lift(live: LiveSanctions) -> None:
    """End the suspension, so that the next strike is not joined to it."""
    last = live.of_subject(SELLER)[-1]
    live.apply(lift(last, at=Instant(last.imposed_at + HOUR), by="staff_1", reason="served enough"))


def test_a_strike_whose_measure_stands_is_joined_not_followed_by_the_next_step() -> None:
    live = LiveSanctions()
    fire(live, applied(Strike()), applied(Strike(), rule="other"), at=START, seq=1)
    fire(live, applied(Strike()), at=START + MINUTE, seq=2)
    (only,) = live.of_subject(SELLER)
    assert only.measure.effect == "warn"
    assert [ground.rule for ground in only.grounds] == ["off_platform_pay", "other"]


def test_a_strike_outside_the_window_no_longer_counts() -> None:
    live = LiveSanctions()
    fire(live, applied(Strike()), at=START, seq=1)
    fire(live, applied(Strike()), at=START + 30 * DAY, seq=2)
    assert [each.measure.effect for each in live.of_subject(SELLER)] == ["warn", "warn"]
    assert live.state(SELLER, Instant(START + 30 * DAY)).strikes == {POLICY.name: 1}


def test_strikes_of_another_policy_are_not_counted() -> None:
    live = LiveSanctions()
    fire(live, applied(Strike()), applied(Strike(), under="spam"), at=START, seq=1)
    assert [(each.policy, each.counted) for each in live.of_subject(SELLER)] == [(POLICY.name, ()), ("spam", ())]


def test_a_strike_under_a_policy_without_ladder_is_kept_and_does_nothing() -> None:
    bare = policy("bare", ladder=())
    plan = plan_actions([applied(Strike(), under="bare")], occasion(), {"bare": bare}, lambda _: (), at=START, seq=1)
    (change,) = plan.changes
    assert isinstance(change, SanctionImposed)
    assert change.sanction.measure.effect == "none"
    assert derive_state([change.sanction], START) == SubjectState(strikes={"bare": 1})


def test_the_same_sanction_is_joined_and_prolonged_not_repeated() -> None:
    live = LiveSanctions()
    fire(live, applied(DAY_RESTRICTION), at=START, seq=1)
    again = fire(live, applied(DAY_RESTRICTION), at=START + 12 * HOUR, seq=2)
    assert [type(change) for change in again.changes] == [SanctionExtended]
    (only,) = live.of_subject(SELLER)
    assert only.ends_at == START + 36 * HOUR
    assert [ground.cause_seq for ground in only.grounds] == [1, 2]


def test_the_same_rule_within_minutes_adds_nothing() -> None:
    live = LiveSanctions()
    fire(live, applied(DAY_RESTRICTION), at=START, seq=1)
    assert fire(live, applied(DAY_RESTRICTION), at=START + MINUTE, seq=2).changes == ()


def test_another_rule_of_the_same_policy_is_remembered_as_a_ground() -> None:
    live = LiveSanctions()
    fire(live, applied(Hide()), applied(Hide(), rule="other"), at=START, seq=1)
    (only,) = live.of_subject(MESSAGE)
    assert [ground.rule for ground in only.grounds] == ["off_platform_pay", "other"]


@pytest.mark.parametrize(
    ("action", "under"),
    [
        (Restrict(scope="listing", for_us=DAY), POLICY.name),
        (DAY_RESTRICTION, "spam"),
        (FreezePayout(for_us=DAY), POLICY.name),
    ],
)
def test_another_scope_policy_or_kind_is_another_sanction(action: Action, under: str) -> None:
    live = LiveSanctions()
    fire(live, applied(DAY_RESTRICTION), at=START, seq=1)
    fire(live, applied(action, under=under), at=START + MINUTE, seq=2)
    assert len(live.in_force(SELLER, Instant(START + MINUTE))) == 2


def test_warnings_go_to_whom_they_are_meant_for_once() -> None:
    plan = fire(
        LiveSanctions(), applied(Warn(target="both")), applied(Warn(target="author"), rule="b"), at=START, seq=9
    )
    assert [(notice.id, notice.role, notice.to) for notice in plan.notices] == [
        ("notice_000000000000000900", "author", SELLER),
        ("notice_000000000000000901", "recipient", BUYER),
    ]
    assert plan.changes == ()


def test_reviews_are_about_the_content_else_about_who_acted() -> None:
    with_content = fire(LiveSanctions(), applied(Review(queue="scams")), at=START, seq=1)
    without = fire(LiveSanctions(), applied(Review(queue="scams")), at=START, seq=1, about=occasion(content=None))
    assert [review.subject for review in (*with_content.reviews, *without.reviews)] == [MESSAGE, SELLER]


def test_an_action_without_anybody_to_take_it_against_is_reported() -> None:
    nobody = occasion(acting=None, recipient=None, content=None)
    actions = (Hide(), Suspend(for_us=None), Strike(), Warn(target="both"), Review(queue="scams"))
    plan = fire(LiveSanctions(), applied(*actions), at=START, seq=1, about=nobody)
    assert plan.changes == ()
    assert [(each.action, each.why) for each in plan.unmet] == [
        ("hide", "no_content"),
        ("suspend", "no_acting_account"),
        ("strike", "no_acting_account"),
        ("warn", "no_acting_account"),
        ("warn", "no_recipient"),
        ("review", "no_subject"),
    ]


def test_a_sanction_stands_from_its_start_until_just_before_its_end() -> None:
    live = LiveSanctions()
    fire(live, applied(DAY_RESTRICTION), at=START, seq=1)
    (only,) = live.of_subject(SELLER)
    assert [only.stands_at(Instant(START + each)) for each in (-1, 0, DAY - 1, DAY)] == [False, True, True, False]


def test_expiry_happens_at_the_end_and_only_once() -> None:
    live = LiveSanctions()
    fire(live, applied(DAY_RESTRICTION), at=START, seq=1)
    (only,) = live.of_subject(SELLER)
    assert expire(only, Instant(START + DAY - 1)) is None
    ended = expire(only, Instant(START + DAY))
    assert ended is not None
    live.apply(ended)
    (only,) = live.of_subject(SELLER)
    assert (only.status, only.closing.how if only.closing else None) == ("ended", "expired")
    assert expire(only, Instant(START + DAY)) is None
    assert expire(None, START) is None


def test_overturning_a_strike_rederives_the_later_ones_from_their_ladder() -> None:
    live = LiveSanctions()
    for index in range(3):
        fire(live, applied(Strike()), at=START + index * 2 * DAY, seq=index)
    first, second, third = live.of_subject(SELLER)
    at = Instant(START + 4 * DAY + HOUR)
    assert live.state(SELLER, at).suspended
    for change in withdraw(
        live.of_subject(SELLER), lambda sanction, _: sanction.id == first.id, at=at, by="staff_1", reason="not theirs"
    ):
        live.apply(change)
    assert [(each.status, each.measure.effect, each.counted) for each in live.of_subject(SELLER)] == [
        ("overturned", "warn", ()),
        ("ended", "warn", ()),
        ("in_force", "restrict", (second.id,)),
    ]
    assert live.state(SELLER, at) == SubjectState(
        restrictions=(Restriction(scope="messaging", until=Instant(START + 5 * DAY)),), strikes={POLICY.name: 2}
    )
    assert third.imposed.effect == "suspend"


def test_a_sanction_that_also_stands_on_another_rule_survives_the_undoing_of_one() -> None:
    live = LiveSanctions()
    fire(live, applied(DAY_RESTRICTION), at=START, seq=1)
    fire(live, applied(DAY_RESTRICTION, rule="other"), at=START + HOUR, seq=2)
    fire(live, applied(DAY_RESTRICTION), at=START + 12 * HOUR, seq=3)
    at = Instant(START + 13 * HOUR)
    (change,) = withdraw(
        live.of_subject(SELLER),
        lambda _, ground: ground.rule == "off_platform_pay",
        at=at,
        by="staff_1",
        reason="bad rule",
    )
    assert isinstance(change, SanctionAmended)
    live.apply(change)
    assert live.state(SELLER, at).restrictions == (Restriction(scope="messaging", until=Instant(START + 25 * HOUR)),)
    (only,) = live.of_subject(SELLER)
    assert [ground.rule for ground in only.grounds] == ["other"]
    assert [ground.cause_seq for ground in only.withdrawn] == [1, 3]


def test_withdrawing_twice_brings_nothing() -> None:
    live = LiveSanctions()
    fire(live, applied(Hide()), at=START, seq=1)
    for _ in range(2):
        changes = withdraw(live.of_subject(MESSAGE), lambda *_: True, at=START, by="s", reason="r")
        for change in changes:
            live.apply(change)
    assert changes == ()
    assert live.state(MESSAGE, START) == SubjectState()


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (Measure(effect="suspend"), Measure(effect="suspend", for_us=DAY), Measure(effect="suspend", for_us=DAY)),
        (
            Measure(effect="suspend", for_us=HOUR),
            Measure(effect="restrict", scope="live", for_us=DAY),
            Measure(effect="restrict", scope="live", for_us=HOUR),
        ),
        (Measure(effect="suspend", for_us=HOUR), Measure(effect="freeze_payout"), Measure(effect="none", for_us=HOUR)),
        (
            Measure(effect="restrict", scope="live", for_us=HOUR),
            Measure(effect="restrict", scope="listing", for_us=HOUR),
            Measure(effect="none", for_us=HOUR),
        ),
        (Measure(effect="freeze_payout"), Measure(effect="warn", for_us=DAY), Measure(effect="warn", for_us=DAY)),
        (Measure(effect="none", for_us=DAY), Measure(effect="warn", for_us=DAY), Measure(effect="none", for_us=DAY)),
    ],
)
def test_the_milder_of_two_measures_is_what_both_take(one: Measure, other: Measure, expected: Measure) -> None:
    assert milder_of(one, other) == expected
    assert milder_of(other, one) == expected


@pytest.mark.parametrize(
    ("milder", "harsher", "expected"),
    [
        (SubjectState(), SubjectState(suspended=True), True),
        (SubjectState(suspended=True), SubjectState(suspended=True, suspended_until=START), False),
        (SubjectState(suspended=True, suspended_until=START), SubjectState(suspended=True), True),
        (SubjectState(restrictions=(Restriction(scope="live", until=START),)), SubjectState(suspended=True), True),
        (SubjectState(restrictions=(Restriction(scope="live", until=START),)), SubjectState(), False),
        (SubjectState(payout_frozen=True), SubjectState(suspended=True), False),
        (SubjectState(hidden=True), SubjectState(), False),
        (SubjectState(strikes={"a": 1}), SubjectState(strikes={"a": 2}), True),
        (SubjectState(strikes={"b": 1}), SubjectState(strikes={"a": 2}), False),
    ],
)
def test_states_are_compared_in_everything_they_take(
    milder: SubjectState, harsher: SubjectState, *, expected: bool
) -> None:
    assert is_at_most(milder, harsher) is expected


def test_changes_survive_being_written_to_the_log() -> None:
    live = LiveSanctions()
    fire(live, applied(Strike(), DAY_RESTRICTION), at=START, seq=1)
    fire(live, applied(DAY_RESTRICTION), at=START + 12 * HOUR, seq=2)
    replayed = LiveSanctions()
    again = LiveSanctions()
    for index, firing in enumerate([applied(Strike(), DAY_RESTRICTION), applied(DAY_RESTRICTION)]):
        for change in fire(again, firing, at=START + index * 12 * HOUR, seq=index + 1).changes:
            assert entry_type(change) in ("sanction.imposed", "sanction.extended")
            assert decode_change(encode_change(change)) == change
            replayed.apply(decode_change(encode_change(change)))
    assert replayed.of_subject(SELLER) == live.of_subject(SELLER)


def test_undoing_steps_in_reverse_restores_memory() -> None:
    live = LiveSanctions()
    fire(live, applied(Strike(), DAY_RESTRICTION), at=START, seq=1)
    before = live.of_subject(SELLER)
    plan = plan_actions(
        [applied(DAY_RESTRICTION, Hide(), rule="new")],
        occasion(),
        POLICIES,
        live.of_subject,
        at=Instant(START + DAY // 2),
        seq=2,
    )
    steps = [live.apply(change) for change in plan.changes]
    assert live.newest_of_rule("new", START) != ()
    for step in reversed(steps):
        live.undo(step)
    assert live.of_subject(SELLER) == before
    assert live.of_subject(MESSAGE) == ()
    assert live.newest_of_rule("new", START) == ()
    assert len(live) == 2


def test_memory_forgets_what_no_decision_reads() -> None:
    live = LiveSanctions()
    fire(live, applied(Hide(), DAY_RESTRICTION, Strike()), at=START, seq=1)
    at = Instant(START + 2 * DAY)
    for each in live.of_subject(SELLER):
        ended = expire(each, at)
        assert ended is not None
        live.apply(ended)
    live.forget(at)
    assert [each.kind for each in live.of_subject(SELLER)] == ["strike"]
    live.forget(Instant(START + 30 * DAY))
    assert live.of_subject(SELLER) == ()
    assert [each.kind for each in live.of_subject(MESSAGE)] == ["hide"]


def by_hand(**more: object) -> ImposeSanction:
    given = {"subject": SELLER, "kind": "suspend", "policy": POLICY.name, "by": "staff_1", "because": WHY, **more}
    return ImposeSanction(**given)  # type: ignore[arg-type]  # a table of cases, some of them wrong on purpose


def test_a_sanction_by_hand_names_who_imposed_it() -> None:
    plan = plan_by_hand(by_hand(for_us=DAY), POLICIES, lambda _: (), at=START, seq=3)
    (change,) = plan.changes
    assert isinstance(change, SanctionImposed)
    assert not change.sanction.automated
    assert change.sanction.grounds[0].actor == "staff_1"
    assert statement_of(change.sanction).automated_detection is False


@pytest.mark.parametrize(
    ("command", "refusal"),
    [
        (by_hand(policy="no/such"), PolicyUnknown),
        (by_hand(kind="hide"), SanctionUnfit),
        (by_hand(subject=MESSAGE), SanctionUnfit),
        (by_hand(kind="restrict"), SanctionUnfit),
        (by_hand(scope="live"), SanctionUnfit),
        (by_hand(for_us=0), SanctionUnfit),
        (by_hand(because={"en": " "}), SanctionUnfit),
    ],
)
def test_a_sanction_that_does_not_fit_is_refused(command: ImposeSanction, refusal: type[Exception]) -> None:
    with pytest.raises(refusal):
        plan_by_hand(command, POLICIES, lambda _: (), at=START, seq=3)


def test_a_sanction_lifted_early_stays_lifted_when_an_earlier_one_is_overturned() -> None:
    live = LiveSanctions()
    for index in range(2):
        fire(live, applied(Strike()), at=START + index * 2 * DAY, seq=index)
    first, second = live.of_subject(SELLER)
    at = Instant(START + 2 * DAY + HOUR)
    live.apply(lift(second, at=at, by="staff_1", reason="enough"))
    for change in withdraw(
        live.of_subject(SELLER), lambda each, _: each.id == first.id, at=at, by="staff_1", reason="not theirs"
    ):
        live.apply(change)
    second = live.of_subject(SELLER)[1]
    assert (second.status, second.ends_at, second.measure.effect) == ("ended", at, "warn")
    assert not second.stands_at(at)
