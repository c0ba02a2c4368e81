"""The marketplace's webhook side: signatures, duplicates, states, confirmation, outages."""

import datetime
import json
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

import httpx
import pytest
import standardwebhooks

from koban.base import MINUTE, Instant, ManualClock
from koban.sim import Market, Outage, Receiver
from koban.sim.main import outage_clock
from koban.sim.market import Restriction, State
from koban.sim.receiver import confirmer, read_notice

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


class Switch:
    """An outage turned on and off by hand."""

    def __init__(self) -> None:
        self.kind: Literal["down", "silent"] | None = None

    def __call__(self) -> Literal["down", "silent"] | None:
        return self.kind


@pytest.fixture
def outage() -> Switch:
    return Switch()


@pytest.fixture
def market() -> Market:
    return Market()


@pytest.fixture
def receiver(koban_server: Any, market: Market, outage: Switch) -> Iterator[Receiver]:
    with httpx.Client(base_url=koban_server.url, trust_env=False) as client:
        running = Receiver(market, secret=SECRET, confirm=confirmer(client), outage=outage)
        try:
            yield running
        finally:
            running.close()


def body(action: str = "action_1", account: str = "u1", version: int = 5, **state: object) -> bytes:
    return json.dumps(
        {
            "type": "sanction.imposed",
            "timestamp": "2026-10-21T12:00:00Z",
            "data": {
                "action": action,
                "subject": {"kind": "account", "id": account},
                "state_version": version,
                "state": {"hidden": False, "suspended": False, "strikes": {}, "restrictions": []} | state,
            },
        }
    ).encode()


def deliver(receiver: Receiver, payload: bytes, *, delivery: str = "action_1", secret: str = SECRET) -> int:
    now = datetime.datetime.now(datetime.UTC)
    signature = standardwebhooks.Webhook(secret).sign(delivery, now, payload.decode())
    headers = {
        "webhook-id": delivery,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signature,
        "content-type": "application/json",
    }
    return httpx.post(receiver.url, content=payload, headers=headers, trust_env=False).status_code


def until(happens: Callable[[], bool]) -> None:
    for _ in range(3_000):
        if happens():
            return
        time.sleep(0.02)
    raise AssertionError("it did not happen within a minute")


def test_a_signed_action_is_applied_and_confirmed(receiver: Receiver, market: Market, koban_server: Any) -> None:
    restrictions = [{"scope": "messaging", "until": None}]
    assert deliver(receiver, body(suspended=True, restrictions=restrictions)) == 204
    assert market.known() == {
        ("account", "u1"): State(suspended=True, restrictions=(Restriction(scope="messaging"),)),
    }
    until(lambda: koban_server.confirmed == ["action_1"])
    until(lambda: receiver.counts.confirmed == 1)


def test_a_forged_action_is_refused(receiver: Receiver, market: Market) -> None:
    assert deliver(receiver, body(suspended=True), secret=OTHER) == 401
    assert httpx.post(receiver.url, content=body(), trust_env=False).status_code == 401
    assert market.known() == {}
    assert receiver.counts.forged == 2


def test_a_repeated_delivery_is_applied_once(receiver: Receiver, koban_server: Any) -> None:
    payload = body(suspended=True)
    assert [deliver(receiver, payload) for _ in range(3)] == [204, 204, 204]
    assert (receiver.counts.received, receiver.counts.duplicates, receiver.counts.applied) == (3, 2, 1)
    until(lambda: len(koban_server.confirmed) == 3)


def test_an_older_state_does_not_undo_a_newer_one(receiver: Receiver, market: Market) -> None:
    assert deliver(receiver, body("a2", version=9), delivery="a2") == 204
    assert deliver(receiver, body("a1", version=4, suspended=True), delivery="a1") == 204
    assert market.known() == {("account", "u1"): State()}


def test_during_an_outage_webhooks_are_refused(receiver: Receiver, outage: Switch, market: Market) -> None:
    outage.kind = "down"
    assert deliver(receiver, body(suspended=True)) == 503
    assert market.known() == {}
    outage.kind = None
    assert deliver(receiver, body(suspended=True)) == 204
    assert market.known() == {("account", "u1"): State(suspended=True)}


def test_a_silent_outage_takes_actions_and_confirms_them_afterwards(
    receiver: Receiver, outage: Switch, koban_server: Any
) -> None:
    outage.kind = "silent"
    assert deliver(receiver, body(suspended=True)) == 204
    time.sleep(0.3)
    assert koban_server.confirmed == []
    outage.kind = None
    until(lambda: koban_server.confirmed == ["action_1"])


def test_an_outage_follows_the_plans_minutes_at_any_speed() -> None:
    clock = ManualClock(Instant(0))
    now = outage_clock(Outage(minute=12, lasts_minutes=6, kind="silent"), clock, 12.0)
    heard = []
    for _ in range(5):
        heard.append(now())
        clock.advance(MINUTE // 2)
    assert heard == [None, None, "silent", None, None]
    assert outage_clock(None, clock, 1.0)() is None


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        "text",
        {},
        {"data": []},
        {"data": {"subject": 3}},
        {"data": {"subject": {"kind": "account"}, "state": 1}},
    ],
)
def test_a_payload_that_is_not_understood_asks_for_nothing(payload: object) -> None:
    notice = read_notice(payload)
    assert notice.action_id is None
    assert notice.state is None
