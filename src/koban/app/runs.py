"""Backtests that a server starts: each in a read-only process of its own with a memory cap, asked about while it runs.

Whole ones of the live log are kept in the database with the version that they tried (`koban.lab.kept`).
"""

import collections
import contextlib
import os
import pathlib
import random
import re
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec
import structlog

from koban.base import Instant, Refusal, child_command, random_id
from koban.base.settings import Settings
from koban.db import Database
from koban.lab import Report, Suggestions
from koban.lab.kept import Kept, keep_report, kept_report, kept_run

_log = structlog.get_logger("koban.lab")

KEPT_MAX: Final = 50
RUNNING_MAX: Final = 2
RUN_MAX_S: Final = 600.0
NICENESS: Final = 5
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*")
FIRST_LOOK: Final = 20_000  # events of a first look while somebody types


class RunMissing(Refusal):
    """A run that is not kept, or never was."""

    code = "run_missing"
    status = 404
    title = "There is no such backtest."


class RunsFull(Refusal):
    """More backtests at once than a server starts."""

    code = "runs_full"
    status = 429
    title = "Two backtests run already."


class FileNameInvalid(Refusal):
    """A file of a pack that would lie outside it."""

    code = "file_name_invalid"
    status = 422
    title = "This is no name for a file of a pack."


RunKind = Literal["backtest", "suggest"]


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """A backtest, or a search for rules, that runs, is done, failed, or was stopped because nobody waits for it."""

    id: str
    state: Literal["running", "done", "failed", "stopped"]
    kind: RunKind = "backtest"
    report: Report | None = None
    problem: str = ""
    kept: bool = False  # read again from the database: its samples were let go
    suggested: Suggestions | None = None  # of a search for rules


class Runs:
    """The backtests of one server: the last fifty of them, and the newest whole one of each version."""

    def __init__(self, settings: Settings, randomness: random.Random, database: Database) -> None:
        """Start with those that are kept."""
        self._settings = settings
        self._database = database
        self._randomness = randomness
        self._lock = threading.Lock()
        self._kept: collections.OrderedDict[str, RunView] = collections.OrderedDict()
        self._whole: dict[str, bool] = {}  # runs of the live log and of a pack as it stands -> whether of all of it
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._alive = 0

    def start(self, files: Mapping[str, str], at: Instant, arguments: Sequence[str]) -> RunView:
        """Start a backtest of a pack given as files; `arguments` are further ones of `koban backtest`.

        Refuses: RunsFull, FileNameInvalid.
        """
        whole = None if {"--log", "--list-add", "--list-remove"} & set(arguments) else "--newest" not in arguments
        return self._begin(files, at, "backtest", arguments, whole=whole)

    def suggest(self, files: Mapping[str, str], at: Instant, event: str, arguments: Sequence[str]) -> RunView:
        """Start a search for rules over an event type; `arguments` are further ones of `koban suggest`.

        Refuses: RunsFull, FileNameInvalid.
        """
        return self._begin(files, at, "suggest", [event, *arguments], whole=None)

    def _begin(
        self, files: Mapping[str, str], at: Instant, kind: RunKind, arguments: Sequence[str], *, whole: bool | None
    ) -> RunView:
        for name in files:
            if not _FILE_NAME.fullmatch(name) or ".." in name.split("/"):
                raise FileNameInvalid(f"{name[:80]!r} does not lie in the pack's folder.")
        with self._lock:
            if sum(each.state == "running" for each in self._kept.values()) >= RUNNING_MAX:
                raise RunsFull("Wait for one of them.")
            run = RunView(id=random_id("run", at, self._randomness), state="running", kind=kind)
            self._kept[run.id] = run
            if whole is not None:
                self._whole[run.id] = whole
            while len(self._kept) > KEPT_MAX:
                self._whole.pop(self._kept.popitem(last=False)[0], None)
        threading.Thread(target=self._run, args=(run, at, dict(files), tuple(arguments)), name="koban-backtest",
                         daemon=True).start()  # fmt: skip
        return run

    def stop(self, run_id: str) -> RunView:
        """Stop a backtest for which nobody waits any more; one that is over stays as it is.

        Refuses: RunMissing.
        """
        run = self.find(run_id)
        with self._lock:
            if (
                run.state != "running" or self._kept.get(run_id) is not run
            ):  # it has ended meanwhile, or is kept no more
                return self._kept.get(run_id, run)
            run = self._kept[run_id] = msgspec.structs.replace(run, state="stopped")
            child = self._children.pop(run_id, None)
        if child is not None:
            child.kill()
        return run

    @property
    def children(self) -> int:
        """Count the processes that still run."""
        with self._lock:
            return self._alive

    def find(self, run_id: str) -> RunView:
        """Return a backtest as it stands.

        Refuses: RunMissing.
        """
        with self._lock:
            run = self._kept.get(run_id)
        if run is None:
            with self._database.read() as tx:
                run = _view(kept_run(tx, run_id))
        if run is None:
            raise RunMissing(f"No backtest {run_id[:60]!r} is kept.")
        return run

    def find_of(self, digest: str) -> RunView | None:
        """Return the newest backtest of a version over the live log, a whole one before first looks; None without any."""
        with self._lock:
            found = [
                run
                for run in reversed(self._kept.values())
                if run.id in self._whole and run.report is not None and run.report.pack == digest
            ]
            whole = next((run for run in found if self._whole[run.id]), None)
        if whole is None:
            with self._database.read() as tx:
                whole = _view(kept_report(tx, digest))
        return whole or next(iter(found), None)

    def _run(self, run: RunView, at: Instant, files: Mapping[str, str], arguments: Sequence[str]) -> None:
        try:
            with tempfile.TemporaryDirectory(prefix="koban-lab-") as name:
                folder = pathlib.Path(name)
                for path, text in files.items():
                    (folder / path).parent.mkdir(parents=True, exist_ok=True)
                    (folder / path).write_text(text, encoding="utf-8")
                done = self._child(run.id, [run.kind, *arguments, "--pack", name, "--json"])
            if done.returncode == 0 and run.kind == "suggest":
                suggested = msgspec.json.decode(done.stdout, type=Suggestions)
                view = msgspec.structs.replace(run, state="done", suggested=suggested)
            elif done.returncode == 0:
                report = msgspec.json.decode(done.stdout, type=Report)
                self._keep(run.id, at, report)
                view = msgspec.structs.replace(run, state="done", report=report)
            else:
                said = done.stderr.decode(errors="replace").strip().splitlines()
                told = next((line for line in said if line.startswith("koban:")), said[-1] if said else "")
                view = msgspec.structs.replace(run, state="failed", problem=told.removeprefix("koban:").strip())
        except Exception as error:  # noqa: BLE001 - an edge, the thread's: whoever waits must hear that it failed
            _log.warning("backtest_failed", error=str(error))
            view = msgspec.structs.replace(run, state="failed", problem=type(error).__name__)
        with self._lock:
            self._children.pop(run.id, None)
            if run.id in self._kept and self._kept[run.id].state == "running":
                self._kept[run.id] = view

    def _keep(self, run_id: str, at: Instant, report: Report) -> None:
        """Keep a whole backtest of the live log before anybody hears that it is done: a switch may follow at once."""
        with self._lock:
            whole = self._whole.get(run_id, False)
        if whole:
            with self._database.write() as tx:
                keep_report(tx, at, run_id, report)

    def _child(self, run_id: str, arguments: Sequence[str]) -> "subprocess.CompletedProcess[bytes]":
        command = child_command("koban.cli", *arguments)
        data, database = str(self._settings.data), self._settings.database_url
        with subprocess.Popen(  # noqa: S603 - our own command with our own arguments
            command, env={**os.environ, "KOBAN_DATA": data, "KOBAN_DATABASE_URL": database},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as child:  # fmt: skip
            with contextlib.suppress(ProcessLookupError):
                os.setpriority(os.PRIO_PROCESS, child.pid, min(19, os.getpriority(os.PRIO_PROCESS, 0) + NICENESS))
            with self._lock:
                wanted = run_id in self._kept and self._kept[run_id].state == "running"
                self._alive += 1
                if wanted:  # else it was stopped before the child was there
                    self._children[run_id] = child
            if not wanted:
                child.kill()
            try:
                out, said = child.communicate(timeout=RUN_MAX_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.communicate()
                raise
            finally:
                with self._lock:
                    self._alive -= 1
        return subprocess.CompletedProcess(command, child.returncode, out, said)


def _view(kept: Kept | None) -> RunView | None:
    return None if kept is None else RunView(id=kept.run_id, state="done", report=kept.report, kept=True)
