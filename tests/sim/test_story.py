"""The story as a reader steers it: against a server that takes events and answers."""

import pathlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from koban.base import SystemClock
from koban.sim import Target
from koban.sim.report import report
from koban.sim.story import Connection, Story
from koban.sim.truth import read_truth


def until(done: Callable[[], bool]) -> None:
    for _ in range(6_000):
        if done():
            return
        time.sleep(0.02)
    raise AssertionError("it did not happen within two minutes")


def stands_still(koban_server: Any) -> int:
    """Wait until what was on its way is there and nothing follows; of an evening that goes on, something always does."""
    counts = [-1, len(koban_server.events)]
    for _ in range(100):
        if counts[-1] == counts[-2]:
            return counts[-1]
        time.sleep(0.7)
        counts.append(len(koban_server.events))
    raise AssertionError(counts)


class Told:
    """The chapters that began, with the accounts known then."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.accounts: Mapping[str, str] = {}

    def __call__(self, key: str, accounts: Mapping[str, str]) -> None:
        self.keys.append(key)
        self.accounts = accounts


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def open_story(koban_server: Any, tmp_path: pathlib.Path, told: Told) -> Iterator[Callable[..., Story]]:
    begun: list[Story] = []

    def make(**changes: Any) -> Story:
        connection = Connection(
            target=Target(base_url=koban_server.url, token="t0"), webhook_secret="whsec_" + "A" * 32, webhook_port=0
        )
        given: dict[str, Any] = {"seed": 1, "speed": 1_800.0, "on_chapter": told, **changes}
        begun.append(Story(connection, tmp_path / "truth", SystemClock(), **given))
        return begun[-1]

    yield make
    for each in begun:
        each.leave()


def test_it_plays_to_its_end_and_tells_every_chapter_once(open_story: Any, told: Told, tmp_path: pathlib.Path) -> None:
    story = open_story()
    assert story.now() is None
    story.begin()
    until(lambda: story.now().state == "over")
    now = story.now()
    assert (now.chapter, now.following, now.look, now.clock_s) == ("over", "", "/truth", (21 * 60 + 30) * 60)
    assert told.keys[:4] == ["opening", "lure", "outage", "takeover"]
    assert len(told.keys) == len(set(told.keys))
    assert {"takeover", "fan", "lure", "parcel"} <= told.accounts.keys()
    whole = report(read_truth(tmp_path / "truth" / now.run), [])
    assert whole.events == now.sent > 1_000


def test_a_pause_stops_it_and_it_goes_on_where_it_stood(open_story: Any, koban_server: Any) -> None:
    story = open_story(speed=60.0)
    story.begin()
    until(lambda: len(koban_server.events) > 10)
    story.pause()
    until(lambda: story.now().state == "paused")
    stood = story.now().clock_s
    sent = stands_still(koban_server)
    assert story.now().clock_s == stood
    story.resume()
    until(lambda: len(koban_server.events) > sent)
    assert story.now().state == "playing"


def test_restarting_begins_a_fresh_evening_and_leaving_ends_it(open_story: Any, koban_server: Any) -> None:
    before = set(threading.enumerate())
    story = open_story(speed=60.0)
    story.begin()
    until(lambda: len(koban_server.events) > 5)
    first = story.now()
    time.sleep(1.1)
    asked = time.monotonic()
    story.begin()
    second = story.now()
    assert (second.run == first.run, second.seed == first.seed) == (False, True)
    assert second.clock_s - (20 * 60 + 30) * 60 <= 60 * (time.monotonic() - asked)
    story.leave()
    sent = len(koban_server.events)
    assert story.now().state == "left"
    time.sleep(0.5)
    assert len(koban_server.events) == sent
    assert not [each for each in set(threading.enumerate()) - before if each.name == "koban-story"]


def test_a_server_that_refuses_is_told_and_ends_the_story(open_story: Any, koban_server: Any) -> None:
    errors: list[BaseException] = []
    koban_server.failures.append("401")
    story = open_story(on_failure=errors.append)
    story.begin()
    until(lambda: story.now().state == "failed")
    assert "401" in str(errors[0])
