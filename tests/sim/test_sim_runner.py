"""The runner and the marketplace's memory, against a server on a free port."""

import json
import pathlib
import threading
from typing import Any

import msgspec
import pytest

from koban.base import MINUTE, SECOND, Instant, ManualClock, SystemClock, from_rfc3339
from koban.sim import Market, Rejected, RunOptions, Settings, Size, Target, main_report, main_run, plan, run
from koban.sim.market import Restriction, State
from koban.sim.truth import TruthFolder, read_kept_back, read_truth
from koban.sim.types import AccountTruth, EventTruth

# `koban_server` is conftest's FakeKoban, whose module has no name to import here: Any.
START = Instant(1_795_000_000_000_000)
SMALL = Size(people=120, events_per_minute=300, streams=1)


def settings(seconds: int = 60) -> Settings:
    return Settings(seed=5, start_at=START, duration=seconds * SECOND, size=SMALL)


def test_all_events_are_sent_once_in_order(koban_server: Any) -> None:
    counts = run(
        Target(base_url=koban_server.url, token="t0"),
        settings(),
        clock=ManualClock(START),
        stop=threading.Event(),
        speed=None,
    )
    expected = [event.id for event in plan(settings())]
    assert [event["id"] for body in koban_server.bodies for event in json.loads(body)] == expected
    assert counts.sent == len(expected)
    assert counts.verdicts == {"allow": len(expected)}
    assert koban_server.tokens == {"Bearer t0"}


def test_a_batch_is_sent_again_with_the_same_bytes(koban_server: Any) -> None:
    koban_server.failures = ["503", "drop", "429"]
    counts = run(
        Target(base_url=koban_server.url, token="t0"),
        settings(20),
        clock=ManualClock(START),
        stop=threading.Event(),
        speed=None,
    )
    assert counts.retries == 3
    assert len(set(koban_server.bodies[:4])) == 1
    assert set(koban_server.events) == {event.id for event in plan(settings(20))}


def test_a_wrong_token_ends_the_run(koban_server: Any) -> None:
    koban_server.failures = ["401"]
    with pytest.raises(Rejected):
        run(
            Target(base_url=koban_server.url, token="bad"),
            settings(20),
            clock=ManualClock(START),
            stop=threading.Event(),
            speed=None,
        )
    assert not koban_server.events


def test_stop_ends_the_run(koban_server: Any) -> None:
    stop = threading.Event()
    stop.set()
    target = Target(base_url=koban_server.url, token="t0")
    assert run(target, settings(), clock=ManualClock(START), stop=stop, speed=1.0).sent == 0


def test_a_sped_up_run_takes_its_share_of_time_and_stamps_the_wall_clock(koban_server: Any) -> None:
    clock = SystemClock()
    began = clock.now()
    run(
        Target(base_url=koban_server.url, token="t0"),
        settings(60),
        clock=clock,
        stop=threading.Event(),
        speed=40.0,
    )
    ended = clock.now()
    assert 1.2 * SECOND < ended - began < 20 * SECOND
    moments = [from_rfc3339(str(event["time"])) or 0 for event in koban_server.events.values()]
    assert moments == sorted(moments)
    assert began <= moments[0]
    assert moments[-1] <= began + 2 * SECOND
    assert len(koban_server.bodies) > 4


def test_suspended_accounts_stop_and_the_truth_says_so(koban_server: Any, tmp_path: pathlib.Path) -> None:
    events = list(plan(settings()))
    victim = events[3].actor
    market = Market()
    market.learn("account", victim, 9, State(suspended=True))
    truth = TruthFolder(tmp_path, settings())
    counts = run(
        Target(base_url=koban_server.url, token="t0"),
        settings(),
        clock=ManualClock(START),
        stop=threading.Event(),
        speed=None,
        truth=truth,
        market=market,
    )
    truth.close()
    prevented = {row.event_id for row in read_kept_back(tmp_path)}
    own = {event.id for event in events if event.actor == victim and event.type != "parcel.scanned"}
    assert own
    assert prevented == own
    assert counts.kept_back == {"suspended": len(own)}
    assert set(koban_server.events) == {event.id for event in events} - own
    rows = list(read_truth(tmp_path))
    assert {row.event_id for row in rows if isinstance(row, EventTruth)} == {event.id for event in events}
    assert sum(isinstance(row, AccountTruth) for row in rows) >= 120


@pytest.mark.parametrize(
    ("kind", "state", "event_type", "reason"),
    [
        ("account", State(suspended=True), "comment.posted", "suspended"),
        ("account", State(payout_frozen=True), "payout.requested", "payout_frozen"),
        ("account", State(payout_frozen=True), "comment.posted", None),
        ("account", State(restrictions=(Restriction(scope="messaging"),)), "message.sent", "restricted_messaging"),
        ("account", State(restrictions=(Restriction(scope="messaging"),)), "listing.created", None),
        ("account", State(restrictions=(Restriction(scope="listing"),)), "listing.created", "restricted_listing"),
        ("account", State(restrictions=(Restriction(scope="unheard_of"),)), "listing.created", None),
        ("account", State(suspended=True), "parcel.scanned", None),
        ("listing", State(hidden=True), "comment.posted", "listing_hidden"),
        ("listing", State(hidden=True), "listing.updated", None),
        ("stream", State(hidden=True), "stream.chat", "stream_hidden"),
    ],
)
def test_what_a_state_takes_away(kind: str, state: State, event_type: str, reason: str | None) -> None:
    whole = msgspec.structs.replace(settings(), duration=20 * MINUTE, size=Size(people=200))
    event = next(event for event in plan(whole) if event.type == event_type)
    market = Market()
    named = event.data.get(kind)
    subject = event.actor if kind == "account" else str(named["id"]) if isinstance(named, dict) else ""
    market.learn(kind, subject, 3, state)
    assert market.in_the_way(event) == reason
    assert not market.learn(kind, subject, 2, State())
    assert market.in_the_way(event) == reason, "an older state changes nothing"
    assert market.learn(kind, subject, 4, State())
    assert market.in_the_way(event) is None


def test_a_blocked_purchase_goes_no_further(koban_server: Any) -> None:
    koban_server.judge = lambda event: "block" if event["type"] == "order.created" else "allow"
    run(
        Target(base_url=koban_server.url, token="t0"),
        settings(120),
        clock=ManualClock(START),
        stop=threading.Event(),
        speed=None,
        market=Market(),
    )
    sent = list(koban_server.events.values())
    ordered = {event["data"]["order"]["id"] for event in sent if event["type"] == "order.created"}
    last_order = max(body_index(koban_server, event["id"]) for event in sent if event["type"] == "order.created")
    paid_later = [
        event
        for event in sent
        if event["type"] == "payment.attempted"
        and event["data"]["order"]["id"] in ordered
        and body_index(koban_server, event["id"]) > last_order
    ]
    assert ordered
    assert not paid_later


def body_index(koban_server: Any, event_id: str) -> int:
    return next(number for number, body in enumerate(koban_server.bodies) if f'"{event_id}"'.encode() in body)


def test_a_whole_run_and_its_report(koban_server: Any, tmp_path: pathlib.Path) -> None:
    koban_server.judge = lambda event: "hold" if event["type"] == "payout.requested" else "allow"
    said: list[str] = []
    addresses: list[str] = []
    options = RunOptions(
        base_url=koban_server.url,
        token="t0",
        folder=tmp_path / "truth",
        seed=5,
        minutes=1,
        speed=None,
        size=SMALL,
        tricks=("account_takeover", "self_dealing"),
        webhook_secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    )
    counts = main_run(
        options, clock=ManualClock(START), stop=threading.Event(), say=said.append, on_listening=addresses.append
    )
    result = main_report(Target(base_url=koban_server.url, token="t0"), tmp_path / "truth")
    assert result.decided == counts.sent == len(koban_server.events)
    assert result.verdicts.get("hold", 0) == counts.verdicts.get("hold", 0)
    assert {line.trick for line in result.tricks} <= {"account_takeover", "self_dealing"}
    assert addresses
    assert addresses[0].startswith("http://127.0.0.1:")
    assert len(said) == 3
