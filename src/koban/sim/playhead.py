"""How far a run is: a clock of the story that runs faster than life, can be stopped, and goes on where it stood."""

import threading
from typing import Final

from koban.base import SECOND, Clock, Instant

_LOOK_EVERY_S: Final = 0.5


class Playhead:
    """The story's own clock, in microseconds since its beginning; safe to use from several threads."""

    def __init__(self, clock: Clock, speed: float) -> None:
        """Begin at once, `speed` times faster than life."""
        assert speed > 0, "a run that does not wait has no playhead"
        self.speed = speed
        self._clock = clock
        self._lock = threading.Lock()
        self._began_at = clock.now()  # moves on by every pause, so that a moment of the story keeps its distance
        self._ticking = clock.monotonic()
        self._stood_at: int | None = None  # the monotonic moment of the pause

    @property
    def is_paused(self) -> bool:
        """Whether the story stands still."""
        return self._stood_at is not None

    def position(self) -> int:
        """Return how much of the story has been played."""
        with self._lock:
            return self._position()

    def due_at(self, position: int) -> Instant:
        """Return the moment of the wall clock at which a place in the story is played, if nobody pauses again."""
        with self._lock:
            return Instant(self._began_at + int(position / self.speed))

    def pause(self) -> None:
        """Let the story stand still. Twice is once."""
        with self._lock:
            if self._stood_at is None:
                self._stood_at = self._clock.monotonic()

    def resume(self) -> None:
        """Let the story go on where it stood."""
        with self._lock:
            if self._stood_at is not None:
                stood = self._clock.monotonic() - self._stood_at
                self._ticking = Instant(self._ticking + stood)
                self._began_at = Instant(self._began_at + stood)
                self._stood_at = None

    def wait(self, position: int, stop: threading.Event) -> bool:
        """Wait until a place in the story is reached; False when `stop` was set before."""
        while (left := position - self.position()) > 0 or self.is_paused:
            pause_s = _LOOK_EVERY_S if self.is_paused else min(left / self.speed / SECOND, _LOOK_EVERY_S)
            if stop.wait(pause_s):
                return False
        return not stop.is_set()

    def _position(self) -> int:
        now = self._clock.monotonic() if self._stood_at is None else self._stood_at
        return int((now - self._ticking) * self.speed)
