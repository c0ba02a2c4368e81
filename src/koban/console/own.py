"""Own data: upload a file, say what its columns mean, see it judged, mark the hits, get a first precision of one's own."""

from collections.abc import Callable
from typing import Final

from koban.access import Answer, Call, Endpoint, endpoint, redirect
from koban.access.types import Upload
from koban.base import wilson
from koban.console.kit import ConsoleKit
from koban.console.pages import done, page
from koban.console.refused import refusal_said
from koban.insight import NotReplayed
from koban.insight.columns import OWN_MEANINGS, Chosen
from koban.insight.routes import HITS_PAGE, MARKS, UPLOAD_BYTES_MAX, labels_file
from koban.insight.types import FileRefused, LogBusy, LogDesk, LogMissing, LogTooMany, OwnLog
from koban.packs import EventType

EVENTS: Final = ("message.sent", "comment.posted", "stream.chat", "listing.created", "payment.attempted")  # shown first
ENCODINGS: Final = ("utf-8", "cp932", "shift_jis", "euc_jp", "utf-16", "latin-1")


def endpoints(kit: ConsoleKit) -> tuple[Endpoint, ...]:
    """Return the pages of this part."""
    desk = kit.logs
    if desk is None:
        return ()
    told = _told(kit, desk)
    return (
        endpoint("GET", "/logs", "logs.read", lambda call: _list(kit, desk, call), summary="Own data and named logs",
                 page=True),
        endpoint("POST", "/logs", "logs.import", lambda call: _upload(kit, desk, call), summary="Upload a file",
                 accepts="upload", page=True, max_bytes=UPLOAD_BYTES_MAX, raises=(FileRefused, LogTooMany)),
        endpoint("GET", "/logs/{name}", "logs.read", told, summary="A named log: its map, its run, its figures",
                 page=True, raises=(LogMissing,)),
        endpoint("POST", "/logs/{name}", "logs.import", lambda call: _work(desk, call), summary="Map, judge or delete a log",
                 accepts="form", page=True, raises=(LogMissing, LogBusy)),
        endpoint("POST", "/logs/{name}/marks", "logs.import", lambda call: _mark(desk, call), summary="Mark a hit",
                 accepts="form", page=True, raises=(LogMissing,)),
        endpoint("GET", "/logs/{name}/labels.csv", "logs.import", lambda call: labels_file(desk, call.path["name"]),
                 summary="The marks as a file", page=True, raises=(LogMissing,)),
    )  # fmt: skip


def _list(kit: ConsoleKit, desk: LogDesk, call: Call, *, problem: str = "", detail: str = "") -> Answer:
    return page(
        kit,
        call,
        "own_logs.html",
        status=422 if problem else 200,
        logs=desk.names(),
        problem=problem,
        detail=detail,
        most_mb=UPLOAD_BYTES_MAX >> 20,
    )


def _upload(kit: ConsoleKit, desk: LogDesk, call: Call) -> Answer:
    file = call.body
    if not isinstance(file, Upload):
        return _list(kit, desk, call, problem="own.refused_none")
    try:
        name = desk.upload(file.name, file.content, by=call.principal.id)
    except FileRefused as refusal:
        return _list(
            kit,
            desk,
            call,
            problem=f"own.refused_{refusal.problems[0].path}",
            detail=refusal_said(call.language, refusal),
        )
    except LogTooMany:
        return _list(kit, desk, call, problem="own.refused_many")
    return redirect(f"/logs/{name}")


def _told(kit: ConsoleKit, desk: LogDesk) -> Callable[[Call], Answer]:
    def tell(call: Call) -> Answer:
        log = desk.read(call.path["name"])
        if log.state in {"uploaded", "failed"} and log.looked is not None:
            return _map_page(kit, desk, call, log)
        if log.state == "judging":
            return page(kit, call, "own_progress.html", log=log)
        return _judged_page(kit, desk, call, log)

    return tell


def _map_page(kit: ConsoleKit, desk: LogDesk, call: Call, log: OwnLog) -> Answer:
    rows, problems = desk.preview(log.name) if "logs.import" in call.principal.grants else ((), ())
    pack = kit.pack()
    assert log.looked is not None
    assert log.chosen is not None
    event_type = pack.events[log.chosen.event]
    truth = next((each for each in log.looked.columns if log.chosen.columns.get(each.name) == "truth"), None)
    return page(
        kit,
        call,
        "own_map.html",
        log=log,
        looked=log.looked,
        chosen=log.chosen,
        truth=truth,
        rows=rows,
        problems=problems,
        own_meanings=OWN_MEANINGS,
        fields=event_type.fields,
        main_fields=[path for path in event_type.fields if path in _main(event_type)],
        events=[name for name in EVENTS if name in pack.events]
        + [name for name in sorted(pack.events) if name not in EVENTS],
        encodings=dict.fromkeys((log.looked.encoding, *ENCODINGS)),
        pack=pack,
    )


def _main(event_type: EventType) -> frozenset[str]:
    named = {event_type.acting, event_type.recipient, event_type.content, *event_type.texts}
    return frozenset(each for each in named if each is not None)


def _judged_page(kit: ConsoleKit, desk: LogDesk, call: Call, log: OwnLog) -> Answer:
    offset = (
        int(call.query["offset"]) if call.query.get("offset", "").isdecimal() and len(call.query["offset"]) < 8 else 0
    )
    may_open = "logs.import" in call.principal.grants
    try:
        evaluation = desk.evaluation(log.name)
    except NotReplayed:
        return page(kit, call, "own_progress.html", log=log)
    hits, total = desk.hits(log.name, offset=offset, limit=HITS_PAGE, by=call.principal.id) if may_open else ((), 0)
    return page(
        kit,
        call,
        "own_judged.html",
        log=log,
        evaluation=evaluation,
        marked=desk.marked(log.name),
        hits=hits,
        total=total,
        offset=offset,
        hits_page=HITS_PAGE,
        may_open=may_open,
        share=wilson,
        pack=kit.pack(),
    )


def _work(desk: LogDesk, call: Call) -> Answer:
    name, by, form = call.path["name"], call.principal.id, call.form
    if form.get("do") == "delete":
        desk.delete(name, by=by)
        return done(call, "/logs", "log_deleted")
    log = desk.read(name)
    if log.looked is None:
        raise LogBusy("There is nothing to map.")
    number = {f"column-{place}": each.name for place, each in enumerate(log.looked.columns)}
    truth = next((name for field, name in number.items() if form.get(field) == "truth"), "")
    values = next((each.values for each in log.looked.columns if each.name == truth), ())
    desk.choose(
        name,
        Chosen(
            event=form.get("event", log.looked.event),
            encoding=form.get("encoding", log.looked.encoding),
            columns={column: form.get(field, "") for field, column in number.items()},
            harmful=tuple(value for place, value in enumerate(values) if form.get(f"harmful-{place}")),
        ),
        by=by,
    )
    if form.get("do") == "judge":
        _, problems = desk.preview(name)
        if not problems:
            desk.judge(name, by=by)
    return redirect(f"/logs/{name}")


def _mark(desk: LogDesk, call: Call) -> Answer:
    mark = MARKS.get(call.form.get("mark", ""))
    desk.mark(call.path["name"], call.form.get("event_id", ""), mark, by=call.principal.id)
    offset = call.form.get("offset", "0")
    place = call.form.get("place", "")
    there = f"#hit-{place}" if place.isdecimal() else ""
    return redirect(f"/logs/{call.path['name']}?offset={offset if offset.isdecimal() else 0}{there}")
