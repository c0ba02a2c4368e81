"""Which changes the marketplace is told, and what the payload says."""

import json

import pytest

from koban.base import DAY, HOUR, Instant
from koban.enforcement import (
    Applied,
    LiveSanctions,
    Occasion,
    Plan,
    Recorded,
    SubjectRef,
    expire,
    plan_actions,
    state_body,
    timers_of,
)
from koban.packs import Action, Hide, LadderStep, PolicyDef, Restrict, Source, Strike, Warn
from koban.webhooks import WebhookEndpoint, actions_for, request_for, request_for_notice, request_for_withdrawal

START = Instant(1_792_584_000_000_000)
TEXT = {"en": "text", "ja": "文"}
SELLER = SubjectRef(kind="account", id="a1")
POLICIES = {
    "spam": PolicyDef(
        name="spam",
        title=TEXT,
        text=TEXT,
        severity="low",
        ladder=(LadderStep(action=Warn(target="author")),),
        strikes_within_us=None,
        source=Source(file="policies.yaml", line=1),
    )
}
ALL = WebhookEndpoint(
    id="endpoint_1",
    url="https://market.example/",
    kinds=(),
    enabled=True,
    allow_private=False,
    created_at=START,
    secret=b"",
)


def plan(live: LiveSanctions, *actions: Action, rule: str = "flood", at: int = START, seq: int = 1) -> Plan:
    occasion = Occasion(
        event_id=f"e{seq}",
        event_type="message.sent",
        acting=SELLER,
        recipient=SubjectRef(kind="account", id="a2"),
        content=SubjectRef(kind="message", id="m1"),
        market="jp",
    )
    one = Applied(rule=rule, policy="spam", because=TEXT, actions=actions)
    return plan_actions([one], occasion, POLICIES, live.of_subject, at=Instant(at), seq=seq)


def follow(live: LiveSanctions, made: Plan, *, at: int = START, seq: int = 2) -> list[Recorded]:
    recorded: list[Recorded] = []
    for change in made.changes:
        step = live.apply(change)
        state = live.state(step.after.subject, Instant(at))
        recorded.append(Recorded(step=step, seq=seq + len(recorded), at=Instant(at), state=state))
    return recorded


def kinds(recorded: list[Recorded]) -> list[str]:
    return [request.kind for each in recorded if (request := request_for(each)) is not None]


def test_a_sanction_is_told_and_so_is_a_later_end_but_not_a_mere_further_reason() -> None:
    live = LiveSanctions()
    day = Restrict(scope="messaging", for_us=DAY)
    assert kinds(follow(live, plan(live, day, Hide()))) == ["sanction.imposed", "sanction.imposed"]
    assert kinds(follow(live, plan(live, Hide(), rule="other", seq=5), seq=6)) == []
    later = plan(live, day, at=START + HOUR * 12, seq=9)
    prolonged = follow(live, later, at=START + HOUR * 12, seq=10)
    assert kinds(prolonged) == ["sanction.extended"]


def test_a_prolonged_sanction_gets_a_second_timer_and_the_first_finds_nothing_to_do() -> None:
    live = LiveSanctions()
    day = Restrict(scope="messaging", for_us=DAY)
    (first,) = follow(live, plan(live, day))
    (second,) = follow(live, plan(live, day, at=START + DAY // 2, seq=9), at=START + DAY // 2, seq=10)
    assert [each.due_at for each in timers_of(first.step, 2)] == [START + DAY]
    assert [each.due_at for each in timers_of(second.step, 10)] == [START + DAY + DAY // 2]
    (sanction,) = live.of_subject(SELLER)
    assert expire(sanction, Instant(START + DAY)) is None
    assert expire(sanction, Instant(START + DAY + DAY // 2)) is not None


def test_the_end_of_a_warning_is_not_told_and_the_end_of_a_restriction_is() -> None:
    live = LiveSanctions()
    follow(live, plan(live, Strike(), Restrict(scope="messaging", for_us=DAY)))
    at = Instant(START + DAY)
    ends = [end for each in live.of_subject(SELLER) if (end := expire(each, at)) is not None]
    assert len(ends) == 2
    recorded = follow(live, Plan(changes=tuple(ends)), at=at, seq=9)
    assert [(each.step.after.measure.effect, kinds([each])) for each in recorded] == [
        ("warn", []),
        ("restrict", ["sanction.ended"]),
    ]


def test_a_payload_says_what_why_and_up_to_where() -> None:
    live = LiveSanctions()
    (recorded,) = follow(live, plan(live, Hide()), seq=77)
    request = request_for(recorded)
    assert request is not None
    (action,) = actions_for([request], [ALL])
    body = json.loads(action.body)
    assert (body["type"], body["data"]["action"], body["data"]["state_version"]) == ("sanction.imposed", action.id, 77)
    assert body["data"]["state"]["hidden"] is True
    statement = body["data"]["sanction"]["statement"]
    assert (statement["policy"], statement["because"], statement["event_ids"]) == ("spam", [TEXT], ["e1"])
    assert (statement["automated_decision"], statement["market"]) == (True, "jp")


def test_a_notice_is_addressed_and_carries_the_state_too() -> None:
    live = LiveSanctions()
    made = plan(live, Warn(target="both"))
    state = state_body(live.state(SELLER, START))
    requests = [request_for_notice(notice, state, seq=1) for notice in made.notices]
    actions = actions_for(requests, [ALL])
    assert [each.id for each in actions] == ["action_000000000000000100", "action_000000000000000101"]
    bodies = [json.loads(each.body)["data"] for each in actions]
    assert [(body["subject"]["id"], body["notice"]["role"], body["notice"]["automated"]) for body in bodies] == [
        ("a1", "author", True),
        ("a2", "recipient", True),
    ]
    (sorry,) = actions_for([request_for_withdrawal(made.notices[0], state, seq=9, at=Instant(START + HOUR))], [ALL])
    told = json.loads(sorry.body)
    assert (told["type"], told["data"]["notice"], told["data"]["state_version"]) == (
        "notice.withdrawn",
        bodies[0]["notice"],
        9,
    )


@pytest.mark.parametrize(
    ("wanted", "kind", "expected"),
    [
        ((), "sanction.imposed", True),
        (("sanction.",), "sanction.imposed", True),
        (("sanction.",), "notice.requested", False),
        (("sanction.imposed",), "sanction.imposed", True),
        (("sanction",), "sanction.imposed", False),
        (("hold.lapsed", "notice."), "notice.requested", True),
    ],
)
def test_an_endpoint_takes_the_kinds_it_names(wanted: tuple[str, ...], kind: str, *, expected: bool) -> None:
    endpoint = WebhookEndpoint(
        id="endpoint_1",
        url="https://market.example/",
        kinds=wanted,
        enabled=True,
        allow_private=False,
        created_at=START,
        secret=b"",
    )
    assert endpoint.takes(kind) is expected
