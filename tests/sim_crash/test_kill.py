"""Law 1 with a real process: it is killed again and again under load, and nothing that it answered is lost or changed.

KOBAN_LONG=1 kills often enough for a release; the short form runs with every change.
"""

import contextlib
import json
import os
import pathlib
import random
import time

import pytest
from tests.sim_crash.checking import Remains
from tests.sim_crash.marketplace import Marketplace, Receiver, wait_for
from tests.sim_crash.server import Line, Server

from koban.events import Entry

IS_LONG = os.environ.get("KOBAN_LONG") == "1"
KILLS = 30 if IS_LONG else 15  # of each database: the short form, too, kills thirty times
SEED = int(os.environ.get("KOBAN_SEED", "20261122"))
THREADS = 5
CHECKED_EVERY = 3  # kills: reading and replaying the whole log takes longer than everything else
START_KILLED = 0.2  # how often a process is killed while it starts


@pytest.mark.timeout(3_600 if IS_LONG else 1_800)
def test_nothing_answered_is_lost_however_often_the_process_is_killed(
    database_url: str, pack: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    chance = random.Random(SEED)
    data = tmp_path / "data"
    shop = Marketplace(chance)
    receiver = Receiver(random.Random(chance.getrandbits(64)))
    server = Server(data, pack, {"KOBAN_DATABASE_URL": database_url})
    try:
        server.start()
        _add_webhook(server, receiver)
        for number in range(KILLS):
            threads = shop.open(server, threads=THREADS)
            time.sleep(chance.uniform(0.1, 1.5))
            server.kill()
            for thread in threads:
                thread.join()
            if number % CHECKED_EVERY == 0:
                _check_what_remains(database_url, data, pack, shop)
            while chance.random() < START_KILLED:
                server.spawn()
                time.sleep(chance.uniform(0.0, 3.0))
                server.kill()
            server.start()
            with contextlib.closing(Line(server)) as line:
                shop.send_unanswered(line)
                shop.repeat(line, 30, chance)
            assert shop.faults == []
        receiver.honest.set()
        with contextlib.closing(Line(server)) as line:
            _wait_for_the_rest(line, shop)
            _compare_states(line, receiver)
    except BaseException:
        print(f"KOBAN_SEED={SEED}, {server.starts} starts\n{server.tail()}")
        raise
    finally:
        server.stop()
        receiver.close()
    assert shop.faults == []
    assert receiver.faults == []
    assert shop.unanswered() == []
    log = _check_what_remains(database_url, data, pack, shop)
    assert sum(entry.kind.value == "event" for entry in log) == len(shop.events)
    print(f"{server.starts} starts, {len(shop.events)} events, {len(log)} entries, {receiver.arrivals} deliveries")


def _add_webhook(server: Server, receiver: Receiver) -> None:
    with contextlib.closing(Line(server)) as line:
        status, raw = line.call("POST", "/v1/webhooks", {"url": receiver.url, "allow_private": True})
    assert status == 201, raw


def _check_what_remains(url: str, data: pathlib.Path, pack: pathlib.Path, shop: Marketplace) -> list[Entry]:
    remains = Remains(url, data, pack)
    try:
        log = remains.check_log()
        remains.check_answers(log, shop.answers, shop.accepted)
        remains.check_features(log)
        remains.check_index()
        entered = {(entry.seq, "lists") for entry in log if entry.type.startswith("list.")}
        assert {seq for _, seq in shop.changed} <= {seq for seq, _ in entered}, "an answered change is lost"
    finally:
        remains.close()
    return log


def _wait_for_the_rest(line: Line, shop: Marketplace) -> None:
    """Wait until the inbox is decided and every action delivered; a claim cut off by a kill lapses after 30 seconds."""

    def is_decided() -> bool:
        for event_id in [one for one in shop.accepted if one not in shop.answers]:
            shop.send(line, [shop.events[event_id]], batch=False)
            if event_id not in shop.answers:
                return False
        return True

    def is_delivered() -> bool:
        waiting = [line.call("GET", f"/v1/actions?limit=1&status={status}") for status in ("requested", "failed")]
        return all(status == 200 and not json.loads(raw)["items"] for status, raw in waiting)

    wait_for("deciding the inbox", is_decided, 60)
    wait_for("delivering every action", is_delivered, 150)


def _compare_states(line: Line, receiver: Receiver) -> None:
    """Compare what the receiver was told with what Koban says now, for everybody whom a sanction names."""
    subjects = set(receiver.state)
    cursor = ""
    while True:
        status, raw = line.call("GET", f"/v1/sanctions?limit=200{cursor}")
        assert status == 200
        page = json.loads(raw)
        subjects |= {(one["subject"]["kind"], one["subject"]["id"]) for one in page["items"]}
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert subjects, "nobody was sanctioned: the load proves nothing"
    for kind, subject_id in sorted(subjects):
        status, raw = line.call("GET", f"/v1/subjects/{kind}/{subject_id}/state")
        assert status == 200
        _, actions = line.call("GET", f"/v1/actions?subject_kind={kind}&subject_id={subject_id}")
        assert receiver.state.get((kind, subject_id)) == json.loads(raw)["state"], (kind, subject_id, actions)
