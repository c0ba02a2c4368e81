"""Scores: what a model said of a subject, as log entries."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from koban.base import HOUR, Instant
from koban.db import Database
from koban.packs import ScoreDef, Source
from koban.scores import LiveScores, ScoreInvalid, ScoreRecorded, all_scores, record_score, scores_of

AT = Instant(1_768_446_000_000_000)
DECLARED = {
    "risk": ScoreDef(name="risk", kind="account", about={}, source=Source(file="scores.yaml", line=1)),
}


def said(score: int, *, subject: str = "a1", expires_at: int | None = None) -> ScoreRecorded:
    return ScoreRecorded(
        name="risk",
        subject_kind="account",
        subject_id=subject,
        score=score,
        model="m1",
        by="model",
        expires_at=None if expires_at is None else Instant(expires_at),
    )


def test_the_newest_score_counts_until_it_expires() -> None:
    live = LiveScores()
    assert live.value("risk", "a1", AT) is None
    live.apply(said(5))
    live.apply(said(7, expires_at=AT + HOUR))
    assert live.value("risk", "a1", AT) == 7
    assert live.value("risk", "a1", AT + HOUR) is None
    assert live.value("risk", "a2", AT) is None
    assert live.value("risk", None, AT) is None


@given(st.lists(st.builds(said, st.integers(0, 9), subject=st.sampled_from(("a1", "a2")))), st.integers(0, 9))
def test_undoing_in_reverse_order_gives_the_state_before(changes: list[ScoreRecorded], kept: int) -> None:
    live, expected = LiveScores(), LiveScores()
    for change in changes[:kept]:
        live.apply(change)
        expected.apply(change)
    undos = [live.apply(change) for change in changes[kept:]]
    for undo in reversed(undos):
        undo()
    assert [live.value("risk", each, AT) for each in ("a1", "a2")] == [
        expected.value("risk", each, AT) for each in ("a1", "a2")
    ]


def test_what_was_recorded_is_loaded_again(database: Database) -> None:
    with database.write() as tx:
        record_score(tx, 1, AT, said(5), declared=DECLARED)
        record_score(tx, 2, AT, said(6), declared=DECLARED)
        live = LiveScores()
        live.load(tx)
        assert live.value("risk", "a1", AT) == 6
        assert [row.score for row in scores_of(tx, "account", "a1")] == [6, 5]
        assert len(list(all_scores(tx))) == 2


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (msgspec.structs.replace(said(5), name="rsk"), "/name"),
        (msgspec.structs.replace(said(5), subject_kind="device"), "/subject_kind"),
        (msgspec.structs.replace(said(5), subject_id=""), "/subject_id"),
        (msgspec.structs.replace(said(5), subject_id="a\n"), "/subject_id"),
        (said(1_000_001), "/score"),
        (said(-1), "/score"),
        (msgspec.structs.replace(said(5), model="x" * 81), "/model"),
        (said(5, expires_at=AT), "/expires_at"),
    ],
)
def test_what_cannot_be_a_score_is_refused(database: Database, change: ScoreRecorded, path: str) -> None:
    with database.write() as tx:
        with pytest.raises(ScoreInvalid) as refused:
            record_score(tx, 1, AT, change, declared=DECLARED)
        assert [problem.path for problem in refused.value.problems] == [path]
        assert list(all_scores(tx)) == []
