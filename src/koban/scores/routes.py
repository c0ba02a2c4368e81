"""The border for scores: record what a model said of a subject, and see what was said."""

import decimal
from collections.abc import Callable
from typing import Annotated

import msgspec

from koban.access import Call, Endpoint, endpoint
from koban.base import Problem, from_rfc3339, to_rfc3339
from koban.db import Database
from koban.scores import store
from koban.scores.types import MILLION, SUBJECT_CHARS_MAX, VERSION_CHARS_MAX, ScoreInvalid, ScoreRecorded

Record = Callable[[ScoreRecorded], object]
Word = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]


class ScoreBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A score to be recorded."""

    name: Word
    subject_kind: Word
    subject_id: Annotated[str, msgspec.Meta(min_length=1, max_length=SUBJECT_CHARS_MAX)]
    score: Annotated[float, msgspec.Meta(ge=0, le=1)]
    model: Annotated[str, msgspec.Meta(max_length=VERSION_CHARS_MAX)] = ""
    expires_at: str | None = None


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """Where in the log the score stands."""

    seq: int


class ScoreView(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded score of a subject."""

    name: str
    score: float
    model: str
    recorded_by: str
    at: str
    expires_at: str | None


def endpoints(database: Database, record: Record) -> list[Endpoint]:
    """Describe the routes; `record` has the decider enter the score."""

    def record_one(call: Call) -> object:
        body = call.body_as(ScoreBody)
        expires_at = None if body.expires_at is None else from_rfc3339(body.expires_at)
        if body.expires_at is not None and expires_at is None:
            problem = Problem(path="/expires_at", detail="Write an RFC 3339 time with an offset.")
            raise ScoreInvalid("The score was not recorded.", problems=(problem,))
        return record(
            ScoreRecorded(
                name=body.name,
                subject_kind=body.subject_kind,
                subject_id=body.subject_id,
                score=int((decimal.Decimal(repr(body.score)) * MILLION).to_integral_value()),
                model=body.model,
                by=call.principal.actor,
                expires_at=expires_at,
            )
        )

    def of_subject(call: Call) -> list[ScoreView]:
        with database.read() as tx:
            rows = store.scores_of(tx, call.path["kind"], call.path["id"])
        return [
            ScoreView(
                name=row.name,
                score=row.score / MILLION,
                model=row.model,
                recorded_by=row.recorded_by,
                at=to_rfc3339(row.at),
                expires_at=None if row.expires_at is None else to_rfc3339(row.expires_at),
            )
            for row in rows
        ]

    return [
        endpoint(
            "POST",
            "/v1/scores",
            "scores.write",
            record_one,
            summary="Record what a model says of a subject",
            body=ScoreBody,
            returns=Recorded,
            status=201,
            raises=(ScoreInvalid,),
        ),
        endpoint(
            "GET",
            "/v1/subjects/{kind}/{id}/scores",
            "scores.read",
            of_subject,
            summary="See what models said of a subject",
            returns=list[ScoreView],
        ),
    ]
