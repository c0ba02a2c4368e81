"""Scores from outside: what a model said of a subject, recorded as log entries so that replays read the same.

Owns: the table `scores`, the live view, the payload of `score.recorded`.
Guarantees: a decision reads only what was recorded before it; no model runs inside a decision; corrections are new rows.
"""

from koban.scores.actions import record_score
from koban.scores.live import LiveScores
from koban.scores.store import all_scores, scores_of
from koban.scores.types import SCORE_RECORDED, ScoreInvalid, ScoreRecorded, ScoreRow

__all__ = [
    "SCORE_RECORDED",
    "LiveScores",
    "ScoreInvalid",
    "ScoreRecorded",
    "ScoreRow",
    "all_scores",
    "record_score",
    "scores_of",
]
