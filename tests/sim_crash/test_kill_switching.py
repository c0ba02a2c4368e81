"""The process is killed while versions of the pack are switched under load: each event was decided by one version, whole."""

import contextlib
import functools
import json
import os
import pathlib
import random
import threading
import time

import pytest
from tests.sim_crash.checking import Remains
from tests.sim_crash.marketplace import DIED, Marketplace
from tests.sim_crash.server import Line, Server

from koban.packs import files_of

IS_LONG = os.environ.get("KOBAN_LONG") == "1"
KILLS = 20 if IS_LONG else 5  # of each database
SEED = int(os.environ.get("KOBAN_SEED", "20261129"))
THREADS = 3

_MORE_FEATURES = """
- feature: devices_1d
  about: {en: Devices a day, ja: 1日の端末数}
  on: message.sent
  by: sender.id
  value: count(distinct device.id)
  bound: 10
  within: 24 hours
"""
_MORE_RULES = """
- rule: many_devices
  policy: fraud/lure
  on: [message.sent]
  when: devices_1d >= 3
  then: [{review: scams}]
  mode: shadow
  because: {en: many devices, ja: 多数の端末を使っています}
"""


def versions_of(pack: pathlib.Path) -> tuple[dict[str, str], dict[str, str]]:
    """Return the pack, and one with a longer window and a feature that the first has not: it is filled from the log."""
    first = dict(files_of(pack))
    second = dict(first)
    second["features.yaml"] = first["features.yaml"].replace("within: 1 hour", "within: 2 hours", 1) + _MORE_FEATURES
    second["rules/rules.yaml"] = first["rules/rules.yaml"] + _MORE_RULES
    return first, second


def _switch(
    server: Server, versions: tuple[dict[str, str], dict[str, str]], shop: Marketplace, done: list[int]
) -> None:
    """Switch back and forth until the server dies; remember the place of each switch that was answered."""
    try:
        with contextlib.closing(Line(server)) as line:
            while True:
                for files in reversed(versions):
                    status, raw = line.call("POST", "/v1/packs", {"files": files, "reason": "kill test"})
                    if status not in {200, 201}:
                        shop.faults.append(f"a switch was answered {status}: {raw[:300]!r}")
                        return
                    done.append(int(json.loads(raw)["seq"]))
    except DIED:
        return


@pytest.mark.timeout(1_800)
def test_killed_while_it_switches_every_event_was_decided_by_one_whole_version(
    database_url: str, pack: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    chance = random.Random(SEED)
    data = tmp_path / "data"
    shop, done = Marketplace(chance), list[int]()
    versions = versions_of(pack)
    server = Server(data, pack, {"KOBAN_DATABASE_URL": database_url})
    try:
        server.start()
        for _ in range(KILLS):
            threads = shop.open(server, threads=THREADS)
            switcher = threading.Thread(target=functools.partial(_switch, server, versions, shop, done))
            switcher.start()
            time.sleep(chance.uniform(0.5, 3.0))
            server.kill()
            for thread in (*threads, switcher):
                thread.join()
            server.start()
            with contextlib.closing(Line(server)) as line:
                shop.send_unanswered(line)
                shop.repeat(line, 20, chance)
            assert shop.faults == []
    except BaseException:
        print(f"KOBAN_SEED={SEED}, {server.starts} starts\n{server.tail()}")
        raise
    finally:
        server.stop()
    assert shop.unanswered() == []
    assert len(set(done)) >= KILLS, "hardly a switch was answered: the load proves nothing"
    remains = Remains(database_url, data, pack)
    try:
        log = remains.check_log()
        remains.check_answers(log, shop.answers, shop.accepted)
        switched = {entry.seq for entry in log if entry.type == "pack.activated"}
        assert set(done) <= switched, "an answered switch is lost"
        decided = remains.check_features_of_versions(log)
        assert len(decided) == 2
        assert all(count > 50 for count in decided.values()), decided
        print(f"{server.starts} starts, {len(switched)} switches, {decided}")
    finally:
        remains.close()
