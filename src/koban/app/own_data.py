"""Own data: a file that somebody uploads becomes a named log, is judged there without consequences, and goes again.

A log's folder holds `own.json` beside its database: what it is, what its columns mean, and how far it is. The file
itself is deleted once it is a log: there its personal fields are sealed, in the file they are not.
"""

import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import structlog

import koban.events.store as event_store
import koban.insight.store as insight_store
from koban.app.own_worker import Job
from koban.app.running import Koban
from koban.audit import record
from koban.base import DAY, Instant, Problem, child_command, wilson
from koban.events import Entry, decode_document, make_preparer, read_row
from koban.insight import Evaluation, evaluate
from koban.insight.columns import Chosen, Looked
from koban.insight.types import (
    FileRefused,
    Hit,
    Judged,
    LogBusy,
    LogMissing,
    LogTooMany,
    Marked,
    MarkedLine,
    OwnLog,
    PreviewRow,
)
from koban.pipeline.logs import ImportReport, NamedLog, ReplayReport, drop_log, log_names, open_log
from koban.pipeline.sealing import open_entries

FILE_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")
ENDINGS: Final = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".csv.gz", ".jsonl.gz")
LOGS_MAX: Final = 50
UNFINISHED_FOR: Final = DAY  # after which an upload that was never judged is deleted
CHILD_S_MAX: Final = 120
JUDGE_S_MAX: Final = 1_800
OPEN_MAX: Final = 4  # named logs that stay open between requests

_log = structlog.get_logger("koban.own_data")


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What `own.json` holds."""

    title: str
    file: str
    size: int
    created_at: Instant
    by: str
    looked: Looked | None = None
    chosen: Chosen | None = None
    state: str = "uploaded"  # uploaded, judging, judged, failed
    detail: str = ""
    problems: tuple[Problem, ...] = ()
    judged: Judged | None = None


class OwnData:
    """The own data of one installation; every method may be called from any thread."""

    def __init__(self, koban: Koban) -> None:
        """Work in the data folder of a Koban."""
        self._koban = koban
        self._lock = threading.RLock()
        self._running: dict[str, tuple[subprocess.Popen[bytes], tuple[str, int, int]]] = {}
        self._open: dict[str, tuple[contextlib.ExitStack, NamedLog]] = {}

    def close(self) -> None:
        """Stop what runs and close what is open."""
        with self._lock:
            for process, _ in self._running.values():
                process.kill()
            for stack, _ in self._open.values():
                stack.close()
            self._open.clear()

    # What there is.

    def names(self) -> Sequence[OwnLog]:
        """Return every named log, newest first; uploads that were never judged go after a day."""
        found = []
        for name in log_names(self._koban.settings.data):
            kept = self._kept(name)
            if kept is not None and kept.state == "uploaded" and self._now() - kept.created_at > UNFINISHED_FOR:
                self.delete(name, by="koban")
                continue
            found.append(self._shown(name, kept))
        return sorted(found, key=lambda one: (-one.created_at, one.name))

    def read(self, name: str) -> OwnLog:
        """Return one log.

        Refuses: LogMissing.
        """
        if name not in log_names(self._koban.settings.data):
            raise LogMissing(f"There is no log {name[:60]!r}.")
        return self._shown(name, self._kept(name))

    # From a file to a judged log.

    def upload(self, file_name: str, content: bytes, *, by: str) -> str:
        """Keep a file as a log that waits to be mapped; return its name.

        Refuses: FileRefused, LogTooMany, FileUnreadable.
        """
        safe = FILE_NAME.sub("_", pathlib.PurePath(file_name.replace("\\", "/")).name)[-80:].lstrip(".")
        if not safe.lower().endswith(ENDINGS):
            raise _refused("ending", f"A file that ends on one of: {', '.join(ENDINGS)}.")
        if not content.strip():
            raise _refused("empty", "The file is empty.")
        if safe.lower().endswith(".parquet") != content.startswith(b"PAR1"):
            raise _refused("content", "What is in the file is not what its name says.")
        known = log_names(self._koban.settings.data)
        if len(known) >= LOGS_MAX:
            raise LogTooMany(f"{LOGS_MAX} logs are the most; delete one first.")
        name = self._new_name(safe, known)
        folder = self._folder(name)
        folder.mkdir(parents=True, mode=0o700)
        path = folder / "upload" / safe
        try:
            path.parent.mkdir(mode=0o700)
            path.touch(mode=0o600)
            path.write_bytes(content)
            self._keep(name, Kept(title=file_name[-120:], file=safe, size=len(content), created_at=self._now(), by=by))
            looked = self._look(name, event="", encoding="")
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._change(name, looked=looked, chosen=_first_choice(looked))
        with self._koban.database.write() as tx:
            record(tx, self._now(), by, "log.uploaded", name)
        return name

    def choose(self, name: str, chosen: Chosen, *, by: str) -> None:
        """Keep what somebody says about the columns; another event type or encoding is looked at anew.

        Refuses: LogMissing, LogBusy, FileUnreadable.
        """
        del by
        kept = self._waiting(name)
        looked = kept.looked
        if looked is None or chosen.event != looked.event or chosen.encoding != looked.encoding:
            looked = self._look(name, event=chosen.event, encoding=chosen.encoding)
            columns = {each.name for each in looked.columns}
            if columns != set(chosen.columns) or kept.chosen is None or chosen.event != kept.chosen.event:
                chosen = _first_choice(looked)
        self._change(name, looked=looked, chosen=chosen)

    def preview(self, name: str) -> tuple[Sequence[PreviewRow], Sequence[Problem]]:
        """Return the first events that result from the choice, and what is wrong with it.

        Refuses: LogMissing, LogBusy.
        """
        kept = self._waiting(name)
        try:
            found = self._ask(name, kept, "preview")
        except _ChildRefused as refused:
            return (), refused.problems or (Problem(path="", detail=refused.detail),)
        return msgspec.convert(found, tuple[PreviewRow, ...]), ()

    def judge(self, name: str, *, by: str) -> None:
        """Begin to import and judge; `read` tells how far it is.

        Refuses: LogMissing, LogBusy.
        """
        kept = self._waiting(name)
        with self._lock:
            if name in self._running:
                raise LogBusy("It is being judged.")
            process = self._child()
            self._running[name] = (process, ("importing", 0, 0))
        self._change(name, state="judging", detail="", problems=())
        with self._koban.database.write() as tx:
            record(tx, self._now(), by, "log.judged", name)
        threading.Thread(target=self._follow, args=(name, kept, process), name="koban-own-data", daemon=True).start()

    def delete(self, name: str, *, by: str) -> None:
        """Delete a log with everything in it.

        Refuses: LogMissing.
        """
        if name not in log_names(self._koban.settings.data):
            raise LogMissing(f"There is no log {name[:60]!r}.")
        with self._lock:
            running = self._running.pop(name, None)
            opened = self._open.pop(name, None)
        if running is not None:
            running[0].kill()
            running[0].wait()
        if opened is not None:
            opened[0].close()
        drop_log(self._koban.settings.data, self._koban.settings.database_url, name)
        with self._koban.database.write() as tx:
            record(tx, self._now(), by, "log.deleted", name)

    # What was judged.

    def evaluation(self, name: str) -> Evaluation:
        """Hold the run against what the file says of its rows.

        Refuses: LogMissing, NotReplayed.
        """
        return evaluate(self._opened(name).database, log=name)

    def hits(self, name: str, *, offset: int, limit: int, by: str) -> tuple[Sequence[Hit], int]:
        """Return flagged rows with what people wrote in them, the strictest first, and how many there are in all.

        Refuses: LogMissing. Why it is recorded: opening what people wrote is never silent.
        """
        log = self._opened(name)
        with log.database.write() as tx:
            found = insight_store.read_hits(tx, offset=offset, limit=limit)
            total = insight_store.count_all_hits(tx)
            entries = [entry for hit in found if (entry := event_store.read_entry(tx, hit.seq)) is not None]
            keyed = [(event_store.event_key(each.source, each.event_id), each) for each in entries]
            opened = dict(zip((each.seq for each in entries), open_entries(tx, log.vault, keyed), strict=True))
        with self._koban.database.write() as tx:
            record(tx, self._now(), by, "log.texts_opened", name, {"hits": len(found)})
        rows = {each.seq: self._texts(each, opened[each.seq]) for each in entries}
        return [
            Hit(
                seq=hit.seq,
                event_id=hit.event_id,
                verdict=hit.verdict,
                rules=hit.rules,
                texts=rows.get(hit.seq, ()),
                said=hit.harmful,
                mark=hit.mark,
            )
            for hit in found
        ], total

    def mark(self, name: str, event_id: str, mark: int | None, *, by: str) -> bool:
        """Say whether a hit is right (1), wrong (0) or not to be told (2); None takes the mark back. False: no such hit.

        Refuses: LogMissing.
        """
        assert mark in {None, 0, 1, 2}, "the edge has checked it"
        with self._opened(name).database.write() as tx:
            return insight_store.set_mark(tx, event_id, mark, by=by, at=self._now())

    def marked(self, name: str) -> Marked:
        """Count marks: all together, by verdict and by rule.

        Refuses: LogMissing.
        """
        with self._opened(name).database.read() as tx:
            whole, verdicts, rules = (insight_store.count_marks(tx, each) for each in ("all", "verdict", "rule"))
        order = {verdict: place for place, verdict in enumerate(insight_store.STRICTEST)}
        return Marked(
            all=next(iter(_lines(whole)), _line("all", {})),
            verdicts=tuple(sorted(_lines(verdicts), key=lambda line: order.get(line.name, len(order)))),
            rules=tuple(sorted(_lines(rules), key=lambda line: (-line.flagged, line.name))),
        )

    def labels(self, name: str) -> list[tuple[str, int, str, str, str, int]]:
        """Return every mark: event id, mark, verdict, rules, who, when.

        Refuses: LogMissing.
        """
        with self._opened(name).database.read() as tx:
            return insight_store.read_marks(tx)

    # Inside.

    def _texts(self, entry: Entry, personal: Mapping[str, object]) -> tuple[str, ...]:
        event_type = self._koban.memory.compiled.pack.events.get(entry.type)
        if event_type is None:
            return ()
        row = read_row(make_preparer(event_type), decode_document(entry.data), personal)
        return tuple(str(row[path]) for path in event_type.texts if row.get(path))

    def _follow(self, name: str, kept: Kept, process: "subprocess.Popen[bytes]") -> None:
        try:
            result = self._speak(name, kept, "judge", process, seconds=JUDGE_S_MAX)
            judged = msgspec.convert(result, _Result)
        except _ChildRefused as refused:
            if self._folder(name).is_dir():
                self._change(name, state="failed", detail=refused.detail, problems=tuple(refused.problems))
        else:
            shutil.rmtree(self._folder(name) / "upload", ignore_errors=True)
            self._change(name, state="judged", judged=judged.shown(), looked=None)  # samples are what people wrote
        finally:
            with self._lock:
                self._running.pop(name, None)

    def _look(self, name: str, *, event: str, encoding: str) -> Looked:
        kept = self._kept(name)
        assert kept is not None, "it was written a moment ago"
        try:
            found = self._ask(name, kept, "look", event=event, encoding=encoding)
        except _ChildRefused as refused:
            raise _refused("unreadable", refused.detail) from refused
        return msgspec.convert(found, Looked)

    def _ask(self, name: str, kept: Kept, do: str, *, event: str = "", encoding: str = "") -> object:
        return self._speak(name, kept, do, self._child(), seconds=CHILD_S_MAX, event=event, encoding=encoding)

    def _child(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(  # noqa: S603 - our own command with our own arguments
            child_command("koban.app.own_worker"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )

    def _speak(
        self,
        name: str,
        kept: Kept,
        do: str,
        process: "subprocess.Popen[bytes]",
        *,
        seconds: int,
        event: str = "",
        encoding: str = "",
    ) -> object:
        """Give a child its job and read what it says; a child that says nothing more is ended after `seconds`."""
        settings = self._koban.settings
        job = Job(
            do=do,
            data=str(settings.data),
            database_url=settings.database_url,
            pack=self._koban.memory.compiled.pack.digest,
            pack_folder=str(settings.pack),
            file=str(self._folder(name) / "upload" / kept.file),
            log=name,
            event=event,
            encoding=encoding,
            chosen=msgspec.Raw(msgspec.json.encode(kept.chosen)),
            about=kept.title,
        )
        ended = threading.Timer(seconds, process.kill)
        ended.daemon = True
        ended.start()
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(msgspec.json.encode(job))
                process.stdin.close()
            for line in process.stdout:
                said = msgspec.json.decode(line, type=_Said)
                if said.progress is not None:
                    with self._lock:
                        if name in self._running:
                            self._running[name] = (process, said.progress)
                elif said.refused is not None:
                    raise _ChildRefused(said.refused.detail, said.refused.problems)
                else:
                    return said.result
            raise _ChildRefused("The child process ended early: the file is too large for it, or took too long.", ())
        finally:
            ended.cancel()
            if process.stdout is not None:
                process.stdout.close()
            process.wait()

    def _waiting(self, name: str) -> Kept:
        self.read(name)
        kept = self._kept(name)
        if kept is None or kept.state == "judged" or name in self._running:
            raise LogBusy("This log has been judged, or is being judged; upload the file again to map it anew.")
        return kept

    def _opened(self, name: str) -> NamedLog:
        self.read(name)
        with self._lock:
            if name not in self._open:
                while len(self._open) >= OPEN_MAX:
                    self._open.pop(next(iter(self._open)))[0].close()
                stack = contextlib.ExitStack()
                settings = self._koban.settings
                opened = stack.enter_context(
                    open_log(settings.data, settings.database_url, name, self._koban.secrets, make=False)
                )
                self._open[name] = (stack, opened)
            return self._open[name][1]

    def _shown(self, name: str, kept: Kept | None) -> OwnLog:
        if kept is None:
            return OwnLog(name=name, title=name, state="imported", created_at=Instant(0), by="", size=0)
        running = self._running.get(name)
        state = kept.state
        if state == "judging" and running is None:
            state = "failed"  # the server stopped in the middle of it
        return OwnLog(
            name=name,
            title=kept.title,
            state=state,
            created_at=kept.created_at,
            by=kept.by,
            size=kept.size,
            looked=kept.looked,
            chosen=kept.chosen,
            detail=kept.detail,
            problems=kept.problems,
            judged=kept.judged,
            progress=running[1] if running is not None else None,
        )

    def _kept(self, name: str) -> Kept | None:
        path = self._folder(name) / "own.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=Kept)
        except (OSError, msgspec.DecodeError):
            return None

    def _keep(self, name: str, kept: Kept) -> None:
        path = self._folder(name) / "own.json"
        beside = path.with_suffix(f".{time.monotonic_ns()}")
        beside.write_bytes(msgspec.json.encode(kept))
        beside.replace(path)

    def _change(self, name: str, **changes: object) -> None:
        with self._lock:
            kept = self._kept(name)
            if kept is not None:
                self._keep(name, msgspec.structs.replace(kept, **changes))

    def _new_name(self, file: str, known: Sequence[str]) -> str:
        stem = re.sub(r"[^a-z0-9]+", "_", file.lower().split(".", 1)[0]).strip("_")[:24]
        stem = stem if stem[:1].isalpha() else f"own_{stem}".rstrip("_")
        return next(each for number in range(1, LOGS_MAX + 2) if (each := f"{stem}_{number}") not in known)

    def _folder(self, name: str) -> pathlib.Path:
        return self._koban.settings.data / "logs" / name

    def _now(self) -> Instant:
        return self._koban.clock.now()


def _refused(reason: str, detail: str) -> FileRefused:
    return FileRefused(detail, problems=(Problem(path=reason, detail=detail),))


def _first_choice(looked: Looked) -> Chosen:
    return Chosen(
        event=looked.event,
        encoding=looked.encoding,
        columns={each.name: each.meaning for each in looked.columns},
        harmful=looked.harmful,
    )


def _lines(counts: Sequence[tuple[str, int | None, int]]) -> list[MarkedLine]:
    by_name: dict[str, dict[int | None, int]] = {}
    for name, mark, count in counts:
        by_name.setdefault(name, {})[mark] = count
    return [_line(name, marks) for name, marks in by_name.items()]


def _line(name: str, marks: Mapping[int | None, int]) -> MarkedLine:
    right, wrong = marks.get(1, 0), marks.get(0, 0)
    return MarkedLine(
        name=name,
        flagged=sum(marks.values()),
        right=right,
        wrong=wrong,
        unsure=marks.get(2, 0),
        precision=wilson(right, right + wrong),
    )


class _Refused(msgspec.Struct, frozen=True, kw_only=True):
    code: str
    detail: str
    problems: tuple[Problem, ...]


class _Said(msgspec.Struct, frozen=True, kw_only=True):
    progress: tuple[str, int, int] | None = None
    refused: _Refused | None = None
    result: object = None


class _ChildRefused(Exception):
    """The child said no, or nothing."""

    def __init__(self, detail: str, problems: Sequence[Problem]) -> None:
        """Keep what it said."""
        super().__init__(detail)
        self.detail = detail
        self.problems = tuple(problems)


class _Result(msgspec.Struct, frozen=True, kw_only=True):
    imported: ImportReport
    judged: ReplayReport

    def shown(self) -> Judged:
        """Return both reports as one."""
        return Judged(
            rows=self.imported.rows,
            imported=self.imported.imported,
            unreadable=self.imported.unreadable,
            examples=self.imported.examples,
            harmful=self.imported.harmful,
            honest=self.imported.honest,
            decided=self.judged.events,
            verdicts=self.judged.verdicts,
            rules=self.judged.rules,
            pack=self.judged.pack,
        )
