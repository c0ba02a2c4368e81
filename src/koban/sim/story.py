"""The evening as something that plays by itself, stands still, begins anew and is left; the demo's console steers it."""

import pathlib
import threading
from collections.abc import Callable, Mapping
from typing import Final, Literal

import msgspec

from koban.base import MINUTE, Clock
from koban.sim import evening
from koban.sim.cashier import Cashier
from koban.sim.main import Marketplace, play
from koban.sim.market import Market
from koban.sim.plan import source_of
from koban.sim.playhead import Playhead
from koban.sim.runner import RunCounts, Target
from koban.sim.types import AccountTruth, EventTruth, Settings, TruthRow

State = Literal["playing", "paused", "over", "left", "failed"]

_STOP_WITHIN_S: Final = 10.0


class StoryNow(msgspec.Struct, frozen=True, kw_only=True):
    """Where the story is; `clock_s` counts seconds of the story's day, as its clock on the wall shows them."""

    state: State
    clock_s: int
    speed: float
    seed: int
    chapter: str
    look: str  # the page that shows the chapter
    following: str  # the next chapter; empty: none
    following_s: int  # when it begins, on the story's clock
    run: str  # the evening's name; its truth lies in a folder of this name
    source: str  # what its events carry
    sent: int


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """How a story reaches Koban, and Koban the marketplace of the story."""

    target: Target
    webhook_secret: str
    webhook_port: int


class Story:
    """One evening after the other, played in a thread of their own; every method may be called from any thread."""

    def __init__(
        self,
        connection: Connection,
        folder: pathlib.Path,
        clock: Clock,
        *,
        seed: int,
        speed: float = evening.SPEED,
        minutes: int = evening.LASTS_MINUTES,
        on_chapter: Callable[[str, Mapping[str, str]], None] = lambda _key, _accounts: None,
        on_failure: Callable[[BaseException], None] = lambda _error: None,
        hire: Callable[[Settings, threading.Event], Cashier | None] = lambda _settings, _stop: None,
    ) -> None:
        """Get ready; `on_chapter(key, accounts)` is called once as a chapter begins, on the story's thread.

        `hire(settings, stop)` gives an evening a cashier of its own.
        """
        self._hire = hire
        self._connection = connection
        self._folder = folder
        self._clock = clock
        self._seed = seed
        self._speed = speed
        self._minutes = minutes
        self._on_chapter = on_chapter
        self._on_failure = on_failure
        self._lock = threading.Lock()
        self._evening: _Evening | None = None

    def begin(self, settings: Settings | None = None) -> None:
        """Play an evening from its beginning, after the one that runs was stopped. `settings`: one that is planned."""
        with self._lock:
            self._end()
            planned = settings or evening.evening_of(
                self._seed, self._clock.now(), minutes=self._minutes, speed=self._speed
            )
            self._evening = _Evening(
                planned, Playhead(self._clock, self._speed), self._folder / planned.name, self._on_chapter
            )
            self._evening.thread = threading.Thread(
                target=self._play, args=(self._evening,), name="koban-story", daemon=True
            )
            self._evening.thread.start()

    def pause(self) -> None:
        """Let the story stand still; what is on its way to the marketplace still arrives."""
        if self._evening is not None:
            self._evening.playhead.pause()

    def resume(self) -> None:
        """Let it go on."""
        if self._evening is not None:
            self._evening.playhead.resume()

    def leave(self) -> None:
        """Stop the story for good; all that it brought about stays."""
        with self._lock:
            self._end()
            if self._evening is not None and self._evening.state != "over":
                self._evening.state = "left"

    def now(self) -> StoryNow | None:
        """Return where the story is; None before the first one began."""
        one = self._evening
        if one is None:
            return None
        position = min(one.playhead.position() if one.stood is None else one.stood, one.settings.duration)
        chapter, following = evening.chapter_at(position)
        if one.state == "over":
            chapter, following = evening.CHAPTERS[-1], None
        about = one.accounts.get(chapter.about, "")
        return StoryNow(
            state="paused" if one.state == "playing" and one.playhead.is_paused else one.state,
            clock_s=(evening.OPENS_AT + position) // 1_000_000,
            speed=self._speed,
            seed=self._seed,
            chapter=chapter.key,
            look=chapter.look.format(about) if about or not chapter.about else "",
            following=following.key if following is not None else "",
            following_s=(evening.OPENS_AT + following.minute * MINUTE) // 1_000_000 if following is not None else 0,
            run=one.settings.name,
            source=source_of(one.settings),
            sent=one.counts.sent,
        )

    def _end(self) -> None:
        one = self._evening
        if one is None:
            return
        if one.stood is None:
            one.stood = one.playhead.position()
        one.stop.set()
        if one.thread is not None and one.thread is not threading.current_thread():
            one.thread.join(timeout=_STOP_WITHIN_S)

    def _play(self, one: "_Evening") -> None:
        connection = self._connection
        cashier: Cashier | None = None
        try:
            cashier = self._hire(one.settings, one.stop)
            one.counts = play(
                connection.target,
                one.settings,
                one.folder,
                clock=self._clock,
                stop=one.stop,
                playhead=one.playhead,
                marketplace=Marketplace(
                    market=Market(self._clock, live_lag=evening.LIVE_LAG),
                    secret=connection.webhook_secret,
                    port=connection.webhook_port,
                    outage=one.outage,
                ),
                progress=one.follow,
                heard=one.hear,
                cashier=cashier,
            )
            if not one.stop.is_set():
                one.state, one.stood = "over", one.settings.duration
        except Exception as error:  # noqa: BLE001 - an edge: the server goes on without its marketplace
            one.stood = one.playhead.position()
            if not one.stop.is_set():
                one.state = "failed"
                self._on_failure(error)
        finally:
            if cashier is not None:
                cashier.close()


class _Evening:
    """One evening that is being played; its fields are only ever replaced, so readers need no lock."""

    def __init__(
        self,
        settings: Settings,
        playhead: Playhead,
        folder: pathlib.Path,
        on_chapter: Callable[[str, Mapping[str, str]], None],
    ) -> None:
        self.settings = settings
        self.playhead = playhead
        self.folder = folder
        self.stop = threading.Event()
        self.thread: threading.Thread | None = None
        self.state: State = "playing"
        self.stood: int | None = None  # where it stopped for good
        self.counts = RunCounts()
        self.accounts: dict[str, str] = {}  # chapter -> the account that it is about
        self._on_chapter = on_chapter
        self._told = 0

    def hear(self, row: TruthRow) -> None:
        """Learn from the truth whom a chapter is about."""
        if isinstance(row, AccountTruth):
            key, account = evening.chapter_of(None, row.persona), row.account
        else:
            assert isinstance(row, EventTruth)
            key, account = evening.chapter_of(row.incident), row.account
        if key and key not in self.accounts:
            self.accounts = {**self.accounts, key: account}

    def follow(self, counts: RunCounts) -> None:
        """Take note of the progress, and tell of every chapter that has begun since.

        Why by what was sent and not by the playhead: a busy server may lag behind, and what a chapter answers must
        have happened.
        """
        self.counts = counts
        while self._told < len(evening.CHAPTERS) and evening.CHAPTERS[self._told].minute * MINUTE <= counts.reached:
            self._on_chapter(evening.CHAPTERS[self._told].key, self.accounts)
            self._told += 1

    def outage(self) -> Literal["down", "silent"] | None:
        """Tell whether the marketplace is out at this minute of the story."""
        minute = self.playhead.position() / MINUTE
        for each in evening.OUTAGES:
            if each.minute <= minute < each.minute + each.lasts_minutes:
                return each.kind
        return None
