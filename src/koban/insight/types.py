"""What insight speaks of when somebody brings data of their own."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from koban.base import Instant, Problem, Refusal, Share
from koban.insight.columns import Chosen, Looked
from koban.insight.evaluate import Evaluation
from koban.insight.reading import Unreadable


class FileRefused(Refusal):
    """An uploaded file that is not taken; the problem's path says why: ending, empty, content, unreadable."""

    code = "file_refused"
    status = 422
    title = "This file is not taken."


class LogMissing(Refusal):
    """No such named log."""

    code = "log_missing"
    status = 404
    title = "There is no such named log."


class LogBusy(Refusal):
    """A log at another stage than the request needs."""

    code = "log_busy"
    status = 409
    title = "This log is at another stage."


class LogTooMany(Refusal):
    """As many logs as an installation holds."""

    code = "log_too_many"
    status = 409
    title = "There are as many logs as there may be."


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a file: rows, what could not be read, and what the pack made of the rest."""

    rows: int
    imported: int
    unreadable: int
    examples: tuple[Unreadable, ...]
    harmful: int  # as the file says
    honest: int
    decided: int
    verdicts: Mapping[str, int]
    rules: Mapping[str, int]
    pack: str


class OwnLog(msgspec.Struct, frozen=True, kw_only=True):
    """A named log and how far it is: uploaded, judging, judged, failed; imported where the command line made it."""

    name: str
    title: str
    state: str
    created_at: Instant
    by: str
    size: int
    looked: Looked | None = None
    chosen: Chosen | None = None
    detail: str = ""
    problems: tuple[Problem, ...] = ()
    judged: Judged | None = None
    progress: tuple[str, int, int] | None = None  # what is done, how many, of how many


class PreviewRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a file as the event that it would become, or what stands in the way."""

    place: str
    at: Instant | None
    harmful: bool | None
    fields: tuple[tuple[str, str], ...]
    problems: tuple[Problem, ...]


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """A row that a rule flagged, with what somebody wrote in it."""

    seq: int
    event_id: str
    verdict: str
    rules: tuple[str, ...]
    texts: tuple[str, ...]
    said: bool | None  # what the file says of it: harmful, honest, or nothing
    mark: int | None  # 1 right, 0 wrong, 2 not to be told


class MarkedLine(msgspec.Struct, frozen=True, kw_only=True):
    """Marks on the hits of one verdict or rule. Precision counts those that were told right or wrong."""

    name: str
    flagged: int
    right: int
    wrong: int
    unsure: int
    precision: Share


class Marked(msgspec.Struct, frozen=True, kw_only=True):
    """The first figures of one's own: all hits together, by verdict, by rule."""

    all: MarkedLine
    verdicts: tuple[MarkedLine, ...]
    rules: tuple[MarkedLine, ...]


class LogDesk(Protocol):
    """Own data and named logs; `koban.app.own_data` makes it. Refusals are those of this file."""

    def names(self) -> Sequence[OwnLog]:
        """Return every named log, newest first."""
        ...

    def read(self, name: str) -> OwnLog:
        """Return one log."""
        ...

    def upload(self, file_name: str, content: bytes, *, by: str) -> str:
        """Keep a file as a log that waits to be mapped; return its name."""
        ...

    def choose(self, name: str, chosen: Chosen, *, by: str) -> None:
        """Keep what somebody says about the columns."""
        ...

    def preview(self, name: str) -> tuple[Sequence[PreviewRow], Sequence[Problem]]:
        """Return the first events that result from the choice, and what is wrong with it."""
        ...

    def judge(self, name: str, *, by: str) -> None:
        """Begin to import and judge."""
        ...

    def delete(self, name: str, *, by: str) -> None:
        """Delete a log with everything in it."""
        ...

    def evaluation(self, name: str) -> Evaluation:
        """Hold the run against what the file says of its rows."""
        ...

    def hits(self, name: str, *, offset: int, limit: int, by: str) -> tuple[Sequence[Hit], int]:
        """Return flagged rows with what people wrote in them, and how many there are in all."""
        ...

    def mark(self, name: str, event_id: str, mark: int | None, *, by: str) -> bool:
        """Say whether a hit is right (1), wrong (0) or not to be told (2); None takes it back. False: no such hit."""
        ...

    def marked(self, name: str) -> Marked:
        """Count marks: all together, by verdict and by rule."""
        ...

    def labels(self, name: str) -> Sequence[tuple[str, int, str, str, str, int]]:
        """Return every mark: event id, mark, verdict, rules, who, when."""
        ...
