"""The verb of scores. The caller has made the log entry `seq` and applies the change to its `LiveScores` afterwards."""

from collections.abc import Mapping

from koban.base import Instant, Problem
from koban.db import Tx
from koban.packs import ScoreDef, nearest
from koban.scores import store
from koban.scores.types import MILLION, SUBJECT_CHARS_MAX, VERSION_CHARS_MAX, ScoreInvalid, ScoreRecorded


def record_score(tx: Tx, seq: int, at: Instant, change: ScoreRecorded, *, declared: Mapping[str, ScoreDef]) -> None:
    """Write down what a model says of a subject.

    Refuses: ScoreInvalid.
    """
    problems = []
    score = declared.get(change.name)
    if score is None:
        detail = f"The active pack declares no score '{change.name[:80]}'."
        problems.append(Problem(path="/name", detail=detail, hint=nearest(change.name, declared)))
    elif score.kind != change.subject_kind:
        problems.append(Problem(path="/subject_kind", detail=f"The score belongs to {score.kind} subjects."))
    if not 0 < len(change.subject_id) <= SUBJECT_CHARS_MAX or not change.subject_id.isprintable():
        problems.append(Problem(path="/subject_id", detail=f"Between 1 and {SUBJECT_CHARS_MAX} printable characters."))
    if not 0 <= change.score <= MILLION:
        problems.append(Problem(path="/score", detail="A score lies between 0 and 1."))
    if len(change.model) > VERSION_CHARS_MAX or not change.model.isprintable():
        problems.append(Problem(path="/model", detail=f"At most {VERSION_CHARS_MAX} printable characters."))
    if change.expires_at is not None and change.expires_at <= at:
        problems.append(Problem(path="/expires_at", detail="The expiry must lie in the future."))
    if problems:
        raise ScoreInvalid("The score was not recorded.", problems=tuple(problems))
    store.insert(tx, seq, at, change)
