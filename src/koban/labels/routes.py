"""The border for labels: say what a subject finally was, and see what was said."""

from collections.abc import Callable
from typing import Annotated

import msgspec

from koban.access import Call, Endpoint, endpoint
from koban.base import to_rfc3339
from koban.db import Database
from koban.labels import store
from koban.labels.types import SUBJECT_CHARS_MAX, WORD_CHARS_MAX, LabelInvalid, LabelSet, LabelSource

Change = Callable[[LabelSet], object]
Word = Annotated[str, msgspec.Meta(min_length=1, max_length=WORD_CHARS_MAX)]


class LabelBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A label to be set; `value` null takes one's word back."""

    subject_kind: Word
    subject_id: Annotated[str, msgspec.Meta(min_length=1, max_length=SUBJECT_CHARS_MAX)]
    label: Word
    value: Word | None
    note: Annotated[str, msgspec.Meta(max_length=1_000)] = ""


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """Where in the log the change stands."""

    seq: int


class LabelView(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a subject's labels."""

    label: str
    value: str | None
    source: str
    set_by: str
    at: str
    note: str


def endpoints(database: Database, change: Change) -> list[Endpoint]:
    """Describe the routes; `change` has the decider enter the label."""

    def set_one(call: Call) -> object:
        body = call.body_as(LabelBody)
        return change(
            LabelSet(
                subject_kind=body.subject_kind,
                subject_id=body.subject_id,
                label=body.label,
                value=body.value,
                source=LabelSource.PERSON if call.principal.kind == "staff" else LabelSource.IMPORT,
                by=call.principal.actor,
                note=body.note,
            )
        )

    def of_subject(call: Call) -> list[LabelView]:
        with database.read() as tx:
            rows = store.labels_of(tx, call.path["kind"], call.path["id"])
        return [
            LabelView(
                label=row.label,
                value=row.value,
                source=row.source.value,
                set_by=row.set_by,
                at=to_rfc3339(row.at),
                note=row.note,
            )
            for row in rows
        ]

    return [
        endpoint(
            "POST",
            "/v1/labels",
            "labels.write",
            set_one,
            summary="Say what a subject finally was",
            body=LabelBody,
            returns=Changed,
            status=201,
            raises=(LabelInvalid,),
        ),
        endpoint(
            "GET",
            "/v1/subjects/{kind}/{id}/labels",
            "labels.read",
            of_subject,
            summary="See what was said about a subject",
            returns=list[LabelView],
        ),
    ]
