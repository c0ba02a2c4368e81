"""Deliveries to a real receiver that fails, hangs, drops and doubles."""

import base64
import dataclasses
import datetime
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
import standardwebhooks

from koban.base import HOUR, MINUTE, SECOND, Instant, SystemClock
from koban.enforcement import SubjectState, state_body
from koban.webhooks import (
    HttpSender,
    Outgoing,
    Post,
    Sent,
    WebhookWorker,
    confirm,
    count_actions,
    deliver_due,
    endpoints,
    logic,
    search_actions,
    search_alerts,
    store,
    watch_unconfirmed,
)
from koban.webhooks import actions as verbs
from koban.webhooks.types import Action, ActionMissing, ActionNotDead

if TYPE_CHECKING:
    from tests.webhooks.conftest import Office, Receiver

SELLER = {"subject_kind": "account", "subject_id": "a1"}


def stored(office: "Office", action_id: str) -> Action:
    with office.database.read() as tx:
        found = store.read_action(tx, action_id)
    assert found is not None
    return found


def deliver_all(office: "Office", *, passes: int = 400) -> None:
    """Deliver until nothing waits, letting as much time pass as it takes."""
    for _ in range(passes):
        deliver_due(office.post, limit=100)
        with office.database.read() as tx:
            if store.next_due_at(tx) is None:
                return
        office.pass_time(20 * SECOND)
    raise AssertionError("actions are still waiting")


def test_a_delivery_carries_the_whole_state_and_a_signature_that_verifies(
    office: "Office", receiver: "Receiver"
) -> None:
    post = Post(
        database=office.database,
        clock=SystemClock(),
        send=office.sender,
        box=office.box,
        randomness=office.randomness,
    )
    action = office.request(suspended=True)
    assert deliver_due(post, limit=10) == 1
    ((webhook_id, body, headers),) = receiver.arrivals
    assert webhook_id == action.id == f"action_{office.seq:016x}00"
    verified = standardwebhooks.Webhook(logic.written_secret(office.secrets["endpoint_1"])).verify(body, headers)
    assert verified == {
        "type": "sanction.imposed",
        "timestamp": "2026-10-21T12:00:00.000000Z",
        "data": {
            "action": action.id,
            "subject": {"kind": "account", "id": "a1"},
            "state_version": office.seq,
            "state": {
                "hidden": False,
                "suspended": True,
                "suspended_until": None,
                "payout_frozen": False,
                "payout_frozen_until": None,
                "restrictions": [],
                "strikes": {},
            },
        },
    }
    assert (stored(office, action.id).status, stored(office, action.id).attempts) == ("delivered", 1)


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (500, "the receiver answered 500"),
        (404, "the receiver answered 404"),
        ("redirect", "the receiver answered 307"),
        ("hang", "no answer within 0.4 s"),
        ("drip", "no answer within 0.4 s"),
        ("drop", "RemoteProtocolError: Server disconnected without sending a response."),
    ],
)
def test_every_kind_of_failure_is_tried_again_with_the_same_id_and_bytes(
    office: "Office", receiver: "Receiver", behaviour: int | str, error: str
) -> None:
    receiver.behaviour = lambda _id, times: behaviour if times == 0 else 200
    action = office.request(hidden=True)
    # Only where time itself is what fails is there little of it: a busy machine must not look like a slow receiver.
    hurried = HttpSender(timeout_s=0.4 if error.startswith("no answer") else 20.0)
    try:
        deliver_due(dataclasses.replace(office.post, send=hurried), limit=10)
    finally:
        hurried.close()
    failed = stored(office, action.id)
    assert (failed.status, failed.attempts, failed.last_error) == ("failed", 1, error)
    assert 1.6 * SECOND <= failed.next_attempt_at - office.clock.now() <= 2.4 * SECOND
    assert deliver_due(office.post, limit=10) == 0
    office.pass_time(3 * SECOND)
    assert deliver_due(office.post, limit=10) == 1
    first, second = receiver.arrivals
    assert first[:2] == second[:2] == (action.id, action.body)
    assert (stored(office, action.id).status, stored(office, action.id).last_error) == ("delivered", "")


def test_a_receiver_that_answers_without_end_is_not_read(office: "Office", receiver: "Receiver") -> None:
    receiver.behaviour = lambda _id, _times: "flood"
    action = office.request()
    deliver_due(office.post, limit=1)
    assert stored(office, action.id).status == "delivered"
    assert receiver.flooded < 256 * 65_536


def test_a_receiver_that_says_when_is_left_alone_until_then(office: "Office", receiver: "Receiver") -> None:
    receiver.behaviour = lambda _id, _times: 503
    action = office.request()
    deliver_due(office.post, limit=1)
    assert stored(office, action.id).next_attempt_at == office.clock.now() + 120 * SECOND


def test_nobody_there_is_a_failure_like_any_other(office: "Office", receiver: "Receiver") -> None:
    receiver.close()
    try:
        action = office.request()
        deliver_due(office.post, limit=1)
        assert stored(office, action.id).last_error == "ConnectError: All connection attempts failed"
    finally:
        receiver.__init__()  # type: ignore[misc]  # so that the fixture can close it


@pytest.mark.parametrize("seed", range(4))
def test_a_receiver_that_fails_at_random_ends_with_exactly_the_derived_state_in_order(
    office: "Office", receiver: "Receiver", seed: int
) -> None:
    chance = random.Random(seed)
    answers: list[int | str] = [200, 200, 500, 500, "drop", 429]
    receiver.behaviour = lambda _id, _times: chance.choice(answers)
    expected = {}
    versions: dict[tuple[str, str], list[int]] = {}
    for _ in range(40):
        subject = f"a{chance.randrange(6)}"
        suspended, strikes = chance.random() < 0.5, {"spam": chance.randrange(9)}
        action = office.request(subject, suspended=suspended, strikes=strikes)
        expected["account", subject] = state_body(SubjectState(suspended=suspended, strikes=strikes))
        versions.setdefault(("account", subject), []).append(action.state_version)
        if chance.random() < 0.3:
            deliver_due(office.post, limit=5)
            office.pass_time(chance.randrange(5 * SECOND))
    deliver_all(office)
    assert receiver.order == versions
    assert receiver.state == {
        subject: {"restrictions": [], "hidden": False, "suspended": state.suspended, "suspended_until": None,
                  "payout_frozen": False, "payout_frozen_until": None, "strikes": state.strikes}
        for subject, state in expected.items()
    }  # fmt: skip
    by_id: dict[str, set[bytes]] = {}
    for webhook_id, body, _ in receiver.arrivals:
        by_id.setdefault(webhook_id, set()).add(body)
    assert len(receiver.arrivals) > len(by_id) == 40
    assert all(len(bodies) == 1 for bodies in by_id.values())


def test_the_worker_never_has_two_of_a_subject_under_way_and_keeps_their_order(
    office: "Office", receiver: "Receiver"
) -> None:
    chance = random.Random(11)
    answers: list[int | str] = [200, 200, 200, 500, "drop"]
    receiver.behaviour = lambda _id, _times: chance.choice(answers)
    worker = WebhookWorker(office.post)
    versions: dict[tuple[str, str], list[int]] = {}
    try:
        for index in range(60):
            subject = f"a{index % 12}"
            action = office.request(subject, strikes={"spam": index})
            versions.setdefault(("account", subject), []).append(action.state_version)
            worker.wake()
        until = time.monotonic() + 120
        while time.monotonic() < until:
            with office.database.read() as tx:
                if store.next_due_at(tx) is None:
                    break
            if not worker._in_flight.total():  # its claim must not lapse because the machine is slow
                office.pass_time(SECOND)
            worker.wake()
            time.sleep(0.02)
    finally:
        worker.close()
    assert receiver.order == versions
    assert receiver.overlapping == 0


def test_a_subject_whose_action_fails_waits_and_holds_up_no_other(office: "Office", receiver: "Receiver") -> None:
    slow, quick = office.request("slow"), office.request("quick")
    later = office.request("slow")
    receiver.behaviour = lambda webhook_id, _times: 500 if webhook_id == slow.id else 200
    deliver_due(office.post, limit=10)
    assert [stored(office, each.id).status for each in (slow, quick, later)] == ["failed", "delivered", "requested"]
    assert stored(office, later.id).next_attempt_at == stored(office, slow.id).next_attempt_at
    office.pass_time(2_400_000)
    receiver.behaviour = lambda _id, _times: 200
    assert deliver_due(office.post, limit=10) == 2
    assert [each[0] for each in receiver.arrivals if each[0] != quick.id] == [slow.id, slow.id, later.id]


def test_a_full_endpoint_is_left_out_of_a_search(office: "Office", receiver: "Receiver") -> None:
    office.add(receiver.url, (), "endpoint_2")
    office.request()
    claimed = verbs.claim(office.post, limit=5, skipping=("endpoint_1",))
    assert [each.endpoint.id for each in claimed] == ["endpoint_2"]


def test_a_dead_letter_is_skipped_alerted_and_can_be_sent_again(office: "Office", receiver: "Receiver") -> None:
    bad = office.request(suspended=True)
    good = office.request(suspended=False)
    receiver.behaviour = lambda webhook_id, _times: 500 if webhook_id == bad.id else 200
    attempts = 0
    while stored(office, bad.id).status != "dead":
        attempts += deliver_due(office.post, limit=1)
        office.pass_time(2 * HOUR)
    assert attempts == logic.ATTEMPTS_MAX
    deliver_due(office.post, limit=10)
    assert stored(office, good.id).status == "delivered"
    with office.database.read() as tx:
        (alert,) = search_alerts(tx, before=None, limit=10, is_open=True)
    assert (alert.kind, alert.object) == ("actions.dead", "endpoint_1")
    with pytest.raises(ActionNotDead), office.database.write() as tx:
        verbs.replay(tx, office.clock.now(), good.id, by="staff_1")
    receiver.behaviour = lambda _id, _times: 200
    with office.database.write() as tx:
        verbs.replay(tx, office.clock.now(), bad.id, by="staff_1")
    deliver_due(office.post, limit=10)
    assert stored(office, bad.id).status == "delivered"
    assert {each[1] for each in receiver.arrivals if each[0] == bad.id} == {bad.body}


def test_all_dead_letters_of_an_endpoint_are_sent_again_at_once(office: "Office", receiver: "Receiver") -> None:
    made = [office.request(f"a{index}") for index in range(3)]
    with office.database.write() as tx:
        store.bury(tx, "endpoint_1", "lost")
        assert verbs.replay_endpoint(tx, office.clock.now(), "endpoint_1", by="staff_1") == 3
    deliver_all(office)
    assert set(receiver.applied) == {each.id for each in made}


def test_confirming_is_idempotent_and_may_come_before_the_delivery(office: "Office", receiver: "Receiver") -> None:
    early, late = office.request("a1"), office.request("a2")
    at = office.clock.now()
    with office.database.write() as tx:
        assert confirm(tx, at, early.id, by="token_1").status == "confirmed"
    deliver_due(office.post, limit=10)
    assert [each[0] for each in receiver.arrivals] == [late.id]
    office.pass_time(SECOND)
    with office.database.write() as tx:
        first = confirm(tx, office.clock.now(), late.id, by="token_1")
    office.pass_time(SECOND)
    with office.database.write() as tx:
        assert confirm(tx, office.clock.now(), late.id, by="token_2") == first
        assert first.confirmed_at == at + SECOND
        with pytest.raises(ActionMissing):
            confirm(tx, office.clock.now(), "action_no", by="token_1")


def test_a_confirmation_during_the_attempt_is_not_taken_back(office: "Office") -> None:
    action = office.request()

    def send(outgoing: Outgoing) -> Sent:
        with office.database.write() as tx:
            confirm(tx, office.clock.now(), outgoing.headers["webhook-id"], by="token_1")
        return Sent()

    post = Post(database=office.database, clock=office.clock, send=send, box=office.box, randomness=office.randomness)
    deliver_due(post, limit=1)
    after = stored(office, action.id)
    assert (after.status, after.delivered_at) == ("confirmed", office.clock.now())


def test_what_stays_unconfirmed_raises_one_alert_until_somebody_takes_note(office: "Office") -> None:
    first = office.request("a1")
    deliver_due(office.post, limit=1)

    def watch() -> tuple[int, list[tuple[str, int, bool]]]:
        with office.database.write() as tx:
            new = watch_unconfirmed(tx, office.clock.now(), office.randomness, after_us=10 * MINUTE)
            found = search_alerts(tx, before=None, limit=10, is_open=None)
        return new, [(each.detail, each.times, each.acknowledged_at is None) for each in found]

    office.pass_time(10 * MINUTE - 1)
    assert watch() == (0, [])
    office.pass_time(1)
    one = "1 actions unconfirmed, the oldest requested at 2026-10-21T12:00:00.000000Z"
    assert watch() == (1, [(one, 1, True)])
    assert watch() == (0, [(one, 1, True)])
    office.request("a2")
    office.pass_time(HOUR)
    two = "2 actions unconfirmed, the oldest requested at 2026-10-21T12:00:00.000000Z"
    assert watch() == (1, [(two, 2, True)])
    with office.database.write() as tx:
        (alert,) = search_alerts(tx, before=None, limit=10, is_open=True)
        store.acknowledge_alert(tx, alert.id, office.clock.now(), "staff_1")
        confirm(tx, office.clock.now(), first.id, by="token_1")
        assert count_actions(tx) == {"confirmed": 1, "requested": 1, "overdue": 1}
    office.request("a3")
    office.pass_time(HOUR)
    assert watch()[0] == 1
    with office.database.read() as tx:
        assert len(search_alerts(tx, before=None, limit=10, is_open=True)) == 1
        assert len(search_alerts(tx, before=None, limit=10, is_open=False)) == 1


def test_an_action_is_claimed_once_until_the_claim_lapses(office: "Office") -> None:
    action = office.request()
    assert [each.action.id for each in verbs.claim(office.post, limit=5)] == [action.id]
    assert verbs.claim(office.post, limit=5) == []
    office.pass_time(verbs.CLAIM_FOR)
    assert [each.action.attempts for each in verbs.claim(office.post, limit=5)] == [2]


def test_a_late_failure_of_a_lapsed_attempt_changes_nothing(office: "Office") -> None:
    action = office.request()
    (old,) = verbs.claim(office.post, limit=1)
    office.pass_time(verbs.CLAIM_FOR)
    (new,) = verbs.claim(office.post, limit=1)
    with office.database.write() as tx:
        assert not store.mark_failed(tx, old.action, "late", again_at=None)
    assert stored(office, action.id).status == "requested"
    assert new.action.attempts == 2


def test_endpoints_get_the_kinds_they_chose_and_wait_while_switched_off(office: "Office", receiver: "Receiver") -> None:
    office.add(receiver.url, ("notice.requested", "hold."), "endpoint_2")
    office.request(kind="hold.lapsed")
    office.request(kind="sanction.imposed")
    with office.database.write() as tx:
        off = endpoints.change_endpoint(tx, office.clock.now(), "endpoint_1", enabled=False, kinds=None, by="staff_1")
        office.book.reload(tx)
    assert not off.enabled
    office.request(kind="notice.requested")
    deliver_due(office.post, limit=10)
    assert sorted(json.loads(each[1])["type"] for each in receiver.arrivals) == ["hold.lapsed", "notice.requested"]
    with office.database.write() as tx:
        endpoints.change_endpoint(tx, office.clock.now(), "endpoint_1", enabled=True, kinds=None, by="staff_1")
    deliver_due(office.post, limit=10)
    assert len(receiver.arrivals) == 5
    with office.database.read() as tx:
        to_second = search_actions(tx, before=None, limit=10, filters={"endpoint_id": "endpoint_2", **SELLER})
    assert {each.id for each in to_second} < set(receiver.applied)


def test_a_removed_endpoint_gets_nothing_any_more(office: "Office", receiver: "Receiver") -> None:
    action = office.request()
    with office.database.write() as tx:
        endpoints.remove_endpoint(tx, office.clock.now(), "endpoint_1", by="staff_1")
        office.book.reload(tx)
    assert office.book.current == ()
    assert deliver_due(office.post, limit=10) == 0
    assert (stored(office, action.id).status, receiver.arrivals) == ("dead", [])


def test_what_was_asked_in_the_moment_of_the_removal_is_given_up(office: "Office") -> None:
    with office.database.write() as tx:
        endpoints.remove_endpoint(tx, office.clock.now(), "endpoint_1", by="staff_1")
    late = office.request()  # the decider's book is a moment behind
    with office.database.write() as tx:
        watch_unconfirmed(tx, office.pass_time(HOUR), office.randomness, after_us=MINUTE)
    assert stored(office, late.id).status == "dead"


def test_for_a_day_after_a_rotation_both_secrets_sign(office: "Office", receiver: "Receiver") -> None:
    old = office.secrets["endpoint_1"]
    with office.database.write() as tx:
        _, new = endpoints.rotate_secret(tx, office.clock.now(), office.box, "endpoint_1", by="staff_1")
    office.request()
    deliver_due(office.post, limit=1)
    office.pass_time(25 * HOUR)
    office.request()
    deliver_due(office.post, limit=1)
    signers = []
    for webhook_id, body, headers in receiver.arrivals:
        at = datetime.datetime.fromtimestamp(int(headers["webhook-timestamp"]), tz=datetime.UTC)
        signatures = headers["webhook-signature"].split(" ")
        signers.append(
            [standardwebhooks.Webhook(each).sign(webhook_id, at, body.decode()) in signatures for each in (new, old)]
        )
    assert signers == [[True, True], [True, False]]


def test_secrets_are_not_readable_in_the_table_and_open_only_with_their_key(office: "Office") -> None:
    secret = office.secrets["endpoint_1"]
    with office.database.read() as tx:
        (endpoint,) = store.read_endpoints(tx)
    assert secret not in endpoint.secret
    assert base64.b64encode(secret) not in endpoint.secret
    assert office.box.open("endpoint_1", endpoint.secret) == secret
    assert office.box.open("endpoint_2", endpoint.secret) is None


def test_finished_actions_are_deleted_after_their_time_and_others_stay(office: "Office") -> None:
    old, open_one = office.request("a1"), office.request("a2")
    with office.database.write() as tx:
        confirm(tx, office.clock.now(), old.id, by="token_1")
    at = office.pass_time(HOUR)
    with office.database.write() as tx:
        assert store.delete_finished(tx, before=at, limit=10) == 1
        assert [each.id for each in search_actions(tx, before=None, limit=9, filters={})] == [open_one.id]


def test_pauses_double_up_to_an_hour_and_end() -> None:
    class Middle(random.Random):
        def randrange(self, *_: int) -> int:  # type: ignore[override]  # the middle of every range
            return 100

    at = Instant(0)
    pauses = [logic.next_attempt(attempts, at, 0, Middle()) for attempts in range(1, logic.ATTEMPTS_MAX + 1)]
    assert pauses[:4] == [2 * SECOND, 4 * SECOND, 8 * SECOND, 16 * SECOND]
    assert pauses[-2:] == [HOUR, None]


_CHILD = """
import random, sys
from koban.audit import SeededSecrets
from koban.base import ManualClock, Instant
from koban.db import Database
from koban.webhooks import HttpSender, Post, SecretBox, deliver_due
database = Database.open(sys.argv[1])
post = Post(database=database, clock=ManualClock(Instant(int(sys.argv[2]))), send=HttpSender(timeout_s=20.0),
            box=SecretBox(b"k" * 32, SeededSecrets(5)), randomness=random.Random(1))
deliver_due(post, limit=1)
"""


def test_a_worker_killed_between_sending_and_noting_sends_the_same_again(
    office: "Office", receiver: "Receiver"
) -> None:
    if office.database.path is None:
        _die_by_exception(office, receiver)
        return
    action = office.request(suspended=True)
    child: list[int] = []

    def kill_while_it_waits(_id: str, times: int) -> int:
        if times == 0:
            os.kill(child[0], signal.SIGKILL)
        return 200

    receiver.behaviour = kill_while_it_waits
    url = f"sqlite:///{pathlib.Path(office.database.path)}"
    with receiver.lock:  # the receiver answers nothing before we know whom to kill
        process = subprocess.Popen([sys.executable, "-c", _CHILD, url, str(office.clock.now())])
        child.append(process.pid)
    assert process.wait(timeout=60) == -signal.SIGKILL
    _sent_again(office, receiver, action)


def _die_by_exception(office: "Office", receiver: "Receiver") -> None:
    action = office.request(suspended=True)

    def send_and_die(outgoing: Outgoing) -> Sent:
        office.sender(outgoing)
        raise SystemExit

    post = Post(
        database=office.database, clock=office.clock, send=send_and_die, box=office.box, randomness=office.randomness
    )
    with pytest.raises(SystemExit):
        deliver_due(post, limit=1)
    _sent_again(office, receiver, action)


def _sent_again(office: "Office", receiver: "Receiver", action: Action) -> None:
    assert stored(office, action.id).status == "requested"
    assert deliver_due(office.post, limit=1) == 0
    office.pass_time(verbs.CLAIM_FOR)
    assert deliver_due(office.post, limit=1) == 1
    assert [(each[0], each[1]) for each in receiver.arrivals] == [(action.id, action.body)] * 2
    assert stored(office, action.id).status == "delivered"
    assert list(receiver.applied) == [action.id]
