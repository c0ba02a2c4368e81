"""Backtests that a server starts: one that nobody waits for is stopped, and its place is free again."""

import pathlib
import random
import socket
import time
from collections.abc import Iterator

import pytest

from koban.app.runs import RUNNING_MAX, RunMissing, Runs, RunsFull
from koban.base import Instant
from koban.base.settings import read_settings
from koban.db import Database
from koban.packs import files_of

SMALL_PACK = pathlib.Path(__file__).parents[1] / "small_pack"
PATIENCE_S = 240.0  # an end for a test that would hang, and no measurement


@pytest.fixture
def mute_address() -> Iterator[str]:
    """The address of a database that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        yield f"postgresql://koban@127.0.0.1:{mute.getsockname()[1]}/koban"


def test_a_backtest_that_is_stopped_makes_room_and_stays_stopped(
    tmp_path: pathlib.Path, database: Database, mute_address: str
) -> None:
    # However slow the machine is, none of them ends before it is stopped.
    settings = read_settings({"KOBAN_DATA": str(tmp_path / "data"), "KOBAN_DATABASE_URL": mute_address})
    runs = Runs(settings, random.Random(3), database)
    files = files_of(SMALL_PACK)
    started = [runs.start(files, Instant(number), ()) for number in range(RUNNING_MAX)]
    with pytest.raises(RunsFull):
        runs.start(files, Instant(10), ())

    assert runs.stop(started[0].id).state == "stopped"
    third = runs.start(files, Instant(11), ())
    assert runs.stop(started[0].id).state == "stopped", "twice is once"
    for run in (started[1], third):
        runs.stop(run.id)
    with pytest.raises(RunMissing):
        runs.stop("run_nothing")

    ends = time.monotonic() + PATIENCE_S
    while runs.children:
        assert time.monotonic() < ends, "a child process was left"
        time.sleep(0.05)
    assert {runs.find(each.id).state for each in (*started, third)} == {"stopped"}
    assert runs.find_of("0" * 64) is None


def test_what_was_asked_for_is_told_with_how_it_ended(tmp_path: pathlib.Path, database: Database) -> None:
    runs = Runs(read_settings({"KOBAN_DATA": str(tmp_path / "data")}), random.Random(3), database)
    files = files_of(SMALL_PACK)
    begun = [runs.start(files, Instant(1), ()), runs.suggest(files, Instant(2), "message.sent", ())]
    assert [each.kind for each in begun] == ["backtest", "suggest"]
    ends = time.monotonic() + PATIENCE_S
    while any(runs.find(each.id).state == "running" for each in begun):
        assert time.monotonic() < ends, "there is no data to look at"
        time.sleep(0.05)
    found = [runs.find(each.id) for each in begun]
    assert [(each.kind, each.state) for each in found] == [("backtest", "failed"), ("suggest", "failed")]
    assert all("no database" in each.problem for each in found), found
