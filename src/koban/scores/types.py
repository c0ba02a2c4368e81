"""What records scores, and what is refused."""

from typing import ClassVar, Final

import msgspec

from koban.base import Instant, Refusal

SCORE_RECORDED: Final = "score.recorded"
SUBJECT_CHARS_MAX: Final = 256
VERSION_CHARS_MAX: Final = 80
MILLION: Final = 1_000_000


class ScoreRecorded(msgspec.Struct, frozen=True, kw_only=True):
    """Payload of `score.recorded`: what a model says of a subject from now on. `score` is in millionths, 0 to 1,000,000."""

    name: str
    subject_kind: str
    subject_id: str
    score: int
    model: str  # the model's own version
    by: str
    expires_at: Instant | None = None


class ScoreRow(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded score."""

    seq: int
    at: Instant
    name: str
    subject_kind: str
    subject_id: str
    score: int
    model: str
    recorded_by: str
    expires_at: Instant | None


class ScoreInvalid(Refusal):
    """A score that cannot be recorded."""

    code: ClassVar[str] = "score_invalid"
    status: ClassVar[int] = 422
    title: ClassVar[str] = "The score cannot be used."
