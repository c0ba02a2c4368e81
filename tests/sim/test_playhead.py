import threading

from koban.base import MINUTE, SECOND, Instant, ManualClock
from koban.sim.playhead import Playhead

START = Instant(1_795_000_000_000_000)


def test_it_runs_as_fast_as_it_was_told() -> None:
    clock = ManualClock(START)
    playhead = Playhead(clock, 12.0)
    clock.advance(5 * SECOND)
    assert playhead.position() == MINUTE
    assert playhead.due_at(2 * MINUTE) == START + 10 * SECOND


def test_a_pause_stops_the_story_and_moves_what_comes_by_its_length() -> None:
    clock = ManualClock(START)
    playhead = Playhead(clock, 12.0)
    clock.advance(5 * SECOND)
    playhead.pause()
    playhead.pause()
    clock.advance(100 * SECOND)
    assert playhead.is_paused
    assert playhead.position() == MINUTE
    playhead.resume()
    playhead.resume()
    clock.advance(5 * SECOND)
    assert playhead.position() == 2 * MINUTE
    assert playhead.due_at(2 * MINUTE) == clock.now()


def test_waiting_ends_when_it_is_reached_or_given_up() -> None:
    clock = ManualClock(START)
    playhead = Playhead(clock, 1.0)
    stop = threading.Event()
    assert playhead.wait(0, stop)
    stop.set()
    assert not playhead.wait(MINUTE, stop)
    clock.advance(MINUTE)
    assert not playhead.wait(MINUTE, stop)


def test_a_paused_story_reaches_nothing() -> None:
    clock = ManualClock(START)
    playhead = Playhead(clock, 1.0)
    clock.advance(MINUTE)
    playhead.pause()
    stop = threading.Event()
    threading.Timer(0.05, stop.set).start()
    assert not playhead.wait(SECOND, stop)
