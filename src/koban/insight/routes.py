"""The HTTP addresses of named logs: from a file to a first precision of one's own, as the console does it."""

import csv
import io
from typing import Annotated, Final, Literal

import msgspec

from koban.access import Answer, Call, Endpoint, endpoint
from koban.base import Instant, Problem, Refusal, to_rfc3339
from koban.insight.columns import Chosen
from koban.insight.evaluate import Evaluation, NotReplayed
from koban.insight.types import (
    FileRefused,
    Hit,
    LogBusy,
    LogDesk,
    LogMissing,
    LogTooMany,
    Marked,
    OwnLog,
    PreviewRow,
)

UPLOAD_BYTES_MAX: Final = 32 * 1024 * 1024
HITS_PAGE: Final = 25
MARKS: Final = {"right": 1, "wrong": 0, "unsure": 2}
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would run

FileName = Annotated[str, msgspec.Meta(min_length=1, max_length=200, description="Its ending says how it is read.")]


class HitMissing(Refusal):
    """A mark for an event that the log does not hold."""

    code = "hit_missing"
    status = 404
    title = "The log holds no such event."


class UploadQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What the file is called."""

    file_name: FileName


class HitsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which hits."""

    offset: Annotated[int, msgspec.Meta(ge=0, le=10_000_000)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = HITS_PAGE


class LogsBody(msgspec.Struct, frozen=True, kw_only=True):
    """Every named log."""

    items: list[OwnLog]


class MapBody(msgspec.Struct, frozen=True, kw_only=True):
    """What a choice would make of the first rows, and what is wrong with it."""

    log: OwnLog
    rows: list[PreviewRow]
    problems: list[Problem]


class HitsBody(msgspec.Struct, frozen=True, kw_only=True):
    """Flagged rows, the strictest first, and the figures so far."""

    items: list[Hit]
    total: int
    marked: Marked


class MarkBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What somebody says of a hit; null takes it back."""

    event_id: Annotated[str, msgspec.Meta(max_length=256)]
    mark: Literal["right", "wrong", "unsure"] | None


def endpoints(desk: LogDesk) -> tuple[Endpoint, ...]:
    """Describe the routes."""

    def choose(call: Call) -> MapBody:
        name = call.path["name"]
        desk.choose(name, call.body_as(Chosen), by=call.principal.id)
        rows, problems = desk.preview(name)
        return MapBody(log=desk.read(name), rows=list(rows), problems=list(problems))

    def judge(call: Call) -> OwnLog:
        desk.judge(call.path["name"], by=call.principal.id)
        return desk.read(call.path["name"])

    def upload(call: Call) -> OwnLog:
        name = desk.upload(call.params_as(UploadQuery).file_name, call.raw, by=call.principal.id)
        return desk.read(name)

    def hits(call: Call) -> HitsBody:
        asked, name = call.params_as(HitsQuery), call.path["name"]
        found, total = desk.hits(name, offset=asked.offset, limit=asked.limit, by=call.principal.id)
        return HitsBody(items=list(found), total=total, marked=desk.marked(name))

    def mark(call: Call) -> Marked:
        asked, name = call.body_as(MarkBody), call.path["name"]
        number = MARKS[asked.mark] if asked.mark is not None else None
        if not desk.mark(name, asked.event_id, number, by=call.principal.id):
            raise HitMissing(f"there is no event {asked.event_id[:80]!r} in it")
        return desk.marked(name)

    def delete(call: Call) -> Answer:
        desk.delete(call.path["name"], by=call.principal.id)
        return Answer(status=204)

    return (
        endpoint("GET", "/v1/logs", "logs.read", lambda _call: LogsBody(items=list(desk.names())),
                 summary="List named logs", returns=LogsBody),
        endpoint("POST", "/v1/logs", "logs.import", upload, summary="Upload a file as a log of its own", body=bytes,
                 query=UploadQuery, returns=OwnLog, status=201, max_bytes=UPLOAD_BYTES_MAX,
                 raises=(FileRefused, LogTooMany), media_types=("application/octet-stream",)),
        endpoint("GET", "/v1/logs/{name}", "logs.read", lambda call: desk.read(call.path["name"]),
                 summary="A named log and how far it is", returns=OwnLog, raises=(LogMissing,)),
        endpoint("PUT", "/v1/logs/{name}/map", "logs.import", choose, summary="Say what its columns mean", body=Chosen,
                 returns=MapBody, raises=(LogMissing, LogBusy, FileRefused)),
        endpoint("POST", "/v1/logs/{name}/judge", "logs.import", judge, summary="Import and judge it", returns=OwnLog,
                 status=202, raises=(LogMissing, LogBusy)),
        endpoint("GET", "/v1/logs/{name}/evaluation", "evaluation.read",
                 lambda call: desk.evaluation(call.path["name"]), summary="Its run against its labels",
                 returns=Evaluation, raises=(LogMissing, NotReplayed)),
        endpoint("GET", "/v1/logs/{name}/hits", "logs.import", hits, summary="Flagged rows, with what was written",
                 query=HitsQuery, returns=HitsBody, raises=(LogMissing,)),
        endpoint("POST", "/v1/logs/{name}/marks", "logs.import", mark, summary="Mark a hit right or wrong",
                 body=MarkBody, returns=Marked, raises=(LogMissing, HitMissing)),
        endpoint("GET", "/v1/logs/{name}/labels", "logs.import",
                 lambda call: labels_file(desk, call.path["name"]), summary="The marks as a CSV file", returns=bytes,
                 raises=(LogMissing,), media_types=("text/csv",)),
        endpoint("DELETE", "/v1/logs/{name}", "logs.import", delete, summary="Delete a log with everything in it",
                 status=204, raises=(LogMissing,)),
    )  # fmt: skip


def labels_file(desk: LogDesk, name: str) -> Answer:
    """Return every mark of a log as a CSV file that a spreadsheet can open without running anything."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(("event_id", "mark", "verdict", "rules", "marked_by", "marked_at"))
    names = {number: mark for mark, number in MARKS.items()}
    for event_id, mark, verdict, rules, by, at in desk.labels(name):
        safe = f"'{event_id}" if event_id.startswith(_FORMULA) else event_id
        writer.writerow((safe, names[mark], verdict, rules, by, to_rfc3339(Instant(at))))
    return Answer(
        body=out.getvalue().encode(),
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": f'attachment; filename="{name}-labels.csv"'},
    )
