"""Who makes the index beside the log: this process while little happens, one of its own while much does."""

import contextlib
import os
import signal
import subprocess
import threading
from typing import Final

import msgspec
import structlog

from koban.app.archiving import archive_of
from koban.base import child_command
from koban.base.settings import Settings
from koban.decisions import acts_store
from koban.finding import events_behind, follow
from koban.finding.worker import Job
from koban.pipeline.desk import Desk

_log = structlog.get_logger("koban.finding")

APART_AT: Final = 200  # events that the index is behind when it is looked at, once a second
RESTS_S: Final = 0.020  # after each small transaction in this process: it shares the interpreter with the decider
ALONE_AFTER_FAILURE: Final = 60  # looks for which this process does it by itself, when the other one failed
STANDS_STILL_AT: Final = 300  # looks in which it took nothing in of what there was: then it is ended
ENDS_WITHIN_S: Final = 3.0  # of which a transaction needs hundredths; a process killed in one leaves the index whole
_TRACEBACK: Final = "Traceback (most recent call last):"


class IndexFollower:
    """Has the index follow the log. Whoever else follows meanwhile, each entry is taken in once."""

    def __init__(self, desk: Desk, settings: Settings) -> None:
        """Start nothing yet."""
        self._desk = desk
        self._settings = settings
        self._child: subprocess.Popen[bytes] | None = None
        self._alone = 0
        self._still: tuple[int, int] = (0, 0)  # up to where the index is made, and for how many looks
        self._closing = threading.Event()

    def look(self) -> None:
        """Take in what is new, or see to it that the other process does; nothing once it will be closed."""
        if self._closing.is_set():
            return
        self._desk.database.mend_index()
        if self._runs_apart():
            return
        if self._alone:
            self._alone -= 1
        elif self._behind() > APART_AT and self._start():
            return
        memory = self._desk.memory
        pack = memory.compiled.pack
        follow(
            self._desk.database,
            pack.events,
            archive_of(self._settings).next_entries,
            goes_on=lambda: not self._closing.wait(RESTS_S),
            # The decider changes its memory before it commits: what the new pack decided is never read by the old one.
            is_current=lambda _tx: memory.compiled.pack is pack,
        )

    @property
    def process(self) -> int | None:
        """The number of the other process while it runs."""
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    def stop(self) -> None:
        """Say that it will be closed: a look that goes on comes to its end."""
        self._closing.set()

    def close(self) -> None:
        """End the other process, which finishes the transaction that it is in. Nobody may look any more."""
        if self._child is None:
            return
        try:
            self._child.communicate(timeout=ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.communicate()
        self._child = None

    def _behind(self) -> int:
        with self._desk.database.read() as tx:
            return events_behind(tx, at_most=APART_AT + 1)

    def _runs_apart(self) -> bool:
        """Tell whether the other process runs. If it failed: the index may be damaged, and is made here for a while."""
        child = self._child
        if child is None:
            return False
        if child.poll() is None and not self._stands_still():
            return True
        is_ended_here = child.poll() is None
        if is_ended_here:
            child.kill()
        _, said = child.communicate()
        self._child = None
        if is_ended_here:
            self._do_it_here(said="it stood still and was ended")
        elif child.returncode == -signal.SIGTERM:  # somebody stops all that runs here: the index is as it was
            self._alone = ALONE_AFTER_FAILURE
        elif child.returncode != 0:
            self._do_it_here(code=child.returncode, said=_reason(said.decode(errors="replace")))
            self._desk.database.suspect_index()
            self._desk.database.mend_index()
        return False

    def _stands_still(self) -> bool:
        """Tell whether the other process took nothing in for long, although something was there."""
        with self._desk.database.read() as tx:
            upto = acts_store.indexed_upto(tx)
            is_behind = events_behind(tx, at_most=1) > 0
        looks = self._still[1] + 1 if is_behind and upto == self._still[0] else 0
        self._still = (upto, looks)
        return looks >= STANDS_STILL_AT

    def _do_it_here(self, **why: object) -> None:
        _log.warning("index_process_failed", **why)
        self._alone = ALONE_AFTER_FAILURE

    def _start(self) -> bool:
        """Start the other process; tell whether that could be done."""
        job = Job(database_url=self._settings.database_url, archive=str(archive_of(self._settings).places.folder))
        try:
            child = subprocess.Popen(  # noqa: S603 - our own command with our own arguments
                child_command("koban.finding.worker"),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
                process_group=0,  # an interrupt at the keyboard is the server's, which ends it
            )
        except OSError as error:
            self._do_it_here(said=str(error))
            return False
        assert child.stdin is not None, "a pipe was asked for"
        self._child = child
        self._still = (0, 0)
        with contextlib.suppress(BrokenPipeError):  # it is looked at again in a second
            child.stdin.write(msgspec.json.encode(job) + b"\n")
            child.stdin.flush()
        return True


def _reason(said: str) -> str:
    """Return the line that names the error: around it stand the places it went through, and what libraries say at an end."""
    after = said.rpartition(_TRACEBACK)[2].strip("\n").split("\n")
    return next((line for line in after if line and not line.startswith(" ")), "")
