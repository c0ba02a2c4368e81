"""The saga's planner under every order of answers: it ends, takes all or nothing, and never takes or gives back twice."""

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from koban.payments.logic import apply_answer, is_refused, must_undo, plan, status_of
from koban.payments.types import (
    Answer,
    Approved,
    Declined,
    Part,
    Payment,
    PaymentStatus,
    Step,
    ThreeDS,
    Waiting,
)


def evidence(flow: str, status: str) -> ThreeDS:
    return msgspec.convert(
        {
            "flow": flow, "trans_status": status, "version": "2.2.0", "eci": "05", "authentication_value": "AAAB",
            "ds_trans_id": "d", "acs_trans_id": "a", "server_trans_id": "s",
        },
        ThreeDS,
    )  # fmt: skip


def answer_to(step: Step, dice: random.Random) -> Answer:
    roll = dice.random()
    if step.kind == "authorise" and roll < 0.2:
        return Waiting(reference="r", why="challenge")
    if step.kind in {"authorise", "capture", "payout"} and roll < 0.4:
        return Declined(code="do_not_honour")
    if step.kind == "void" and roll < 0.2:
        return Declined(code="authorisation_expired")
    amount = step.amount_minor
    if step.kind == "capture" and roll < 0.5:
        amount = max(1, amount // 2)
    return Approved(reference="r", amount_minor=amount)


@given(
    seed=st.integers(0, 2**32),
    amounts=st.lists(st.integers(1, 100_000), min_size=1, max_size=4),
    goal=st.sampled_from(["authorise", "capture"]),
)
def test_every_payment_ends_with_all_or_nothing(seed: int, amounts: list[int], goal: str) -> None:
    dice = random.Random(seed)
    payment = msgspec.convert({"id": "p", "kind": "order", "goal": goal}, Payment)
    parts = [Part(no=no, method="card", provider="sim", amount_minor=each) for no, each in enumerate(amounts)]
    steps: list[Step] = []
    for _ in range(400):
        reason = must_undo(payment, parts)
        if reason:
            payment = msgspec.structs.replace(payment, goal="undo", ended_because=reason)
        for each in plan(payment, parts, steps):
            if parts[each.part].state == "waiting":  # the buyer is no longer waited for
                steps = [
                    msgspec.structs.replace(one, status="closed")
                    if one.part == each.part and one.status == "open"
                    else one
                    for one in steps
                ]
            assert all(one.part != each.part or one.status in {"done", "closed"} for one in steps), (
                "two unfinished steps of a part"
            )
            steps.append(Step(id=f"s{len(steps)}", part=each.part, kind=each.kind, amount_minor=each.amount_minor))
        waiting = [index for index, each in enumerate(steps) if each.status == "open"]
        if not waiting:
            break
        index = dice.choice(waiting)
        step = steps[index]
        answer = answer_to(step, dice)
        assert not is_refused(step, answer)
        parts[step.part] = apply_answer(parts[step.part], step, answer, demanded="frictionless")
        if not isinstance(answer, Waiting):
            steps[index] = msgspec.structs.replace(step, status="done")
    status = status_of(payment, parts, steps)
    assert status in {PaymentStatus.AUTHORISED, PaymentStatus.CAPTURED, PaymentStatus.FAILED}
    left = sum(each.returnable_minor for each in parts)
    assert left == (sum(amounts) if status is PaymentStatus.CAPTURED else 0)
    if status is PaymentStatus.FAILED:
        assert all(each.state != "authorised" for each in parts), "nothing stays reserved at the provider"
    assert all(0 <= each.refunded_minor <= each.captured_minor <= each.amount_minor for each in parts)


@pytest.mark.parametrize(
    ("proof", "decline"),
    [
        (None, "challenge_skipped"),
        (evidence("frictionless", "Y"), "challenge_skipped"),
        (evidence("challenge", "A"), "authentication_failed"),
        (evidence("challenge", "N"), "authentication_failed"),
        (evidence("challenge", "Y"), ""),
    ],
)
def test_a_demanded_challenge_is_passed_only_by_an_authenticated_challenge(proof: ThreeDS | None, decline: str) -> None:
    part = Part(no=0, method="card", provider="sim", amount_minor=5)
    step = Step(id="s", part=0, kind="authorise", amount_minor=5)
    after = apply_answer(part, step, Approved(reference="r", amount_minor=5, evidence=proof), demanded="challenge")
    assert after.decline == decline


def test_a_held_payment_is_authorised_and_not_captured() -> None:
    payment = Payment(id="p", kind="order", goal="capture", held=True)
    part = Part(no=0, method="card", provider="sim", amount_minor=5, state="authorised", authorised_minor=5)
    assert plan(payment, [part], []) == []
    assert status_of(payment, [part], []) is PaymentStatus.HELD


def test_a_refused_refund_needs_a_person_and_nothing_is_planned_over_it() -> None:
    payment = Payment(id="p", kind="order", goal="undo", ended_because="do_not_honour")
    part = Part(no=0, method="card", provider="sim", amount_minor=5, state="captured", captured_minor=5)
    step = Step(id="s", part=0, kind="refund", amount_minor=5, status="refused")
    assert is_refused(step, Declined(code="too_late"))
    assert plan(payment, [part], [step]) == []
    assert status_of(payment, [part], [step]) is PaymentStatus.STUCK
